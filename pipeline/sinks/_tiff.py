"""TIFF: the fused image, with depth and confidence as float32 TIFFs beside it.

Duty: which file gets what; an OME-TIFF has a pyramid, for those who look at slides. Must not know:
how a TIFF is laid out, staging and publishing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.pipeline.sinks._labels import channel_names, clean, colour_of
from zfuse.pipeline.sinks._levels import plan_levels
from zfuse.pipeline.sinks._maps import confidence_map, depth_map
from zfuse.pipeline.sinks._sink import Sink
from zfuse.pipeline.sinks._tiff_file import TiffFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Stack

__all__ = ["MapFiles", "TiffSink"]


class MapFiles:
    """Depth and confidence as two TIFFs.

    Parameters
    ----------
    depth, confidence
        The files to make.
    stack
        Gives size and calibration.
    provenance
        Recorded in both, next to what the values mean.
    image
        Name of the image that they belong to, recorded likewise.
    each
        They have the image's channels.
    """

    def __init__(
        self,
        depth: Path,
        confidence: Path,
        stack: Stack,
        provenance: Mapping[str, Any],
        image: str,
        each: bool = False,
    ) -> None:
        self._maps = []
        try:
            for path, stored in ((depth, depth_map(stack)), (confidence, confidence_map())):
                file = TiffFile(
                    path,
                    stack,
                    np.dtype(np.float32),
                    channels=channel_names(stack) if each else (stored.label,),
                    notes={
                        **stored.attributes(),
                        "image": clean(image),
                        "provenance": dict(provenance),
                    },
                )
                self._maps.append((stored, file))
        except BaseException:
            self.close()
            raise

    def write(
        self, t: int, y: int, x: int, depth: NDArray[np.float32], confidence: NDArray[np.float32]
    ) -> None:
        """Write one tile of both maps, (C or 1, h, w) each; depth in planes."""
        for (stored, file), values in zip(self._maps, (depth, confidence), strict=True):
            file.write(t, y, x, np.stack([stored.store(part) for part in values]))

    def close(self) -> None:
        """Close both files. May be called twice."""
        for _, file in self._maps:
            file.close()


class TiffSink(Sink):
    """One TIFF, OME-TIFF or BigTIFF that is being written, and its maps.

    Parameters
    ----------
    stack, tile, output, each
        See `Sink`.
    files
        Image, depth and confidence in the staging folder.
    provenance
        Recorded in the description of all three.
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
        name = output.name.lower()
        ome = name.endswith((".ome.tif", ".ome.tiff"))
        levels = plan_levels(self.height, self.width, tile) if ome else []
        self._image = TiffFile(
            files[0],
            stack,
            stack.dtype,
            channels=channel_names(stack),
            colours=[colour_of(channel.omero) for channel in stack.channels],
            notes=provenance,
            rgb=stack.rgb and stack.shape[1] == 3,
            ome=ome,
            levels=[(level.height, level.width) for level in levels],
            big=name.endswith(".btf"),
        )
        try:
            self._maps = MapFiles(files[1], files[2], stack, provenance, output.name, each)
        except BaseException:
            self._image.close()
            raise

    def _store(
        self,
        t: int,
        y: int,
        x: int,
        image: NDArray[Any],
        depth: NDArray[np.float32],
        confidence: NDArray[np.float32],
    ) -> None:
        self._image.write(t, y, x, image)
        self._maps.write(t, y, x, depth, confidence)

    def _finish(self) -> None:
        self.release()

    def release(self) -> None:
        """Close the files."""
        self._image.close()
        self._maps.close()
