"""PNG: the fused image as a picture, with depth and confidence as float32 TIFFs beside it.

Duty: what a PNG can hold, and making one. Must not know: staging and publishing.

A PNG is one compressed stream from top to bottom, so the whole image is kept in memory until the
end. It is a format for pictures, not for slides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline.sinks._sink import Sink
from zfuse.pipeline.sinks._tiff import MapFiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Stack

__all__ = ["PngSink", "check_png"]

_LARGEST = 10**9  # pixels: 2 GB of 16-bit grey
_LEVEL = 3  # of zlib: a third of the time of the usual 6, for some per cent of size


def check_png(output: str | Path, stack: Stack) -> None:
    """Refuse a stack that a PNG cannot hold.

    Raises
    ------
    ZfuseError
        It has several time points, neither grey nor RGB pixels, other than 8 or 16 bits, or more
        than a gigapixel.
    """
    n_times, n_channels, _, height, width = stack.shape
    what = None
    if stack.dtype.name not in ("uint8", "uint16"):
        what = f"pixels are {stack.dtype}, a PNG holds uint8 or uint16"
    elif n_times > 1:
        what = f"it has {n_times} time points, a PNG holds one"
    elif n_channels != 1 and not (stack.rgb and n_channels == 3):
        what = f"it has {n_channels} channels, a PNG holds grey or RGB"
    elif height * width > _LARGEST:
        what = f"it has {height} x {width} pixels, the limit for a PNG is 10^9"
    if what:
        raise ZfuseError(f"cannot write {output}: {what}; write to .ome.tif or .ome.zarr instead")


class PngSink(Sink):
    """One PNG that is being collected, and its maps.

    Parameters
    ----------
    stack, tile, output, each
        See `Sink`.
    files
        Image, depth and confidence in the staging folder.
    provenance
        Recorded in the description of the maps.
    """

    def __init__(
        self,
        stack: Stack,
        tile: int,
        output: Path,
        *,
        files: Sequence[Path],
        provenance: Mapping[str, Any],
        each: bool = False,
    ) -> None:
        super().__init__(stack, tile, output, each=each)
        self._path = files[0]
        self._pixels = np.empty((self.height, self.width, self.n_channels), stack.dtype)
        self._maps = MapFiles(files[1], files[2], stack, provenance, output.name, each)

    def _store(
        self,
        t: int,
        y: int,
        x: int,
        image: NDArray[Any],
        depth: NDArray[np.float32],
        confidence: NDArray[np.float32],
    ) -> None:
        _, height, width = image.shape
        self._pixels[y : y + height, x : x + width] = np.moveaxis(image, 0, -1)
        self._maps.write(t, y, x, depth, confidence)

    def _finish(self) -> None:
        from imagecodecs import png_encode

        self._maps.close()
        pixels = self._pixels if self.n_channels == 3 else self._pixels[..., 0]
        with open(self._path, "xb") as file:
            file.write(png_encode(pixels, level=_LEVEL))

    def release(self) -> None:
        """Close the files."""
        self._maps.close()
