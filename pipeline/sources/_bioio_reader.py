"""Windows of an image that a reader plugin of bioio opened, tiles of a mosaic put in their places.

Duty: ask for no more than the planes and tiles that a window needs. Must not know: which plugin it
is, metadata, how scenes are chosen.

Threads: the plugins for CZI, ND2 and LIF open the file anew for each read and share nothing but
what was looked up once (axes, shape), so reads need no lock (eight threads read the same as one:
tests/pipeline/sources/test_bioio.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError, reason
from zfuse.pipeline.core import BaseReader

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.sources._layout import Layout

__all__ = ["BioioReader", "Mosaic"]


@dataclass(frozen=True)
class Mosaic:
    """Where the tiles of a mosaic lie.

    Attributes
    ----------
    places
        Row and column of each tile's first pixel, from 0; the later tile covers the earlier one.
    height, width
        Of one tile.
    """

    places: tuple[tuple[int, int], ...]
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the whole."""
        rows, columns = zip(*self.places, strict=True)
        return max(rows) + self.height, max(columns) + self.width


class BioioReader(BaseReader):
    """Reads one scene.

    Parameters
    ----------
    image
        The plugin's reader, its scene set.
    layout
        The axes, samples as channels.
    dtype
        Of the pixels.
    samples
        Which samples of a pixel are red, green and blue; None for grey.
    fixed
        Indices along axes that mean nothing here, such as one tile of several.
    mosaic
        Where tiles lie, None for an image in one piece.
    """

    def __init__(
        self,
        image: Any,
        layout: Layout,
        dtype: np.dtype[Any],
        samples: slice | None,
        fixed: dict[str, int],
        mosaic: Mosaic | None,
    ) -> None:
        _, _, _, height, width = layout.shape
        chunk = (height, width) if mosaic is None else (mosaic.height, mosaic.width)
        super().__init__(layout.shape, dtype, (1, *chunk))
        self._image = image
        self._order = str(image.dims.order)
        self._samples = samples
        self._fixed = fixed
        self._mosaic = mosaic
        self._source = layout.source
        # Without a method of its own a plugin reads all of the image for any part of it.
        indexed = getattr(type(image), "_read_indexed", None)
        self._lazy = indexed is None or "bioio_base" in str(getattr(indexed, "__module__", ""))

    def fill(self, t: int, z: slice, y: slice, x: slice, out: NDArray[Any]) -> None:
        """Fill `out` with the window."""
        if self._mosaic is None:
            out[...] = self._window(t, z, y, x, None)
            return
        out[...] = 0  # between tiles there is nothing
        for number, (row, column) in enumerate(self._mosaic.places):
            rows, inside_y = _overlap(y, row, self._mosaic.height)
            columns, inside_x = _overlap(x, column, self._mosaic.width)
            if rows.start < rows.stop and columns.start < columns.stop:
                tile = self._window(t, z, inside_y, inside_x, number)
                out[:, :, rows, columns] = tile

    def _window(self, t: int, z: slice, y: slice, x: slice, tile: int | None) -> NDArray[Any]:
        """Read a window of one tile, (planes, C, Y, X)."""
        wanted: dict[str, Any] = {"T": t, "Z": z, "Y": y, "X": x, **self._fixed}
        if tile is not None:
            wanted["M"] = tile
        if self._samples is not None:
            wanted["C"], order = 0, "ZSYX"
        else:
            order = "ZCYX"
        given = {axis: at for axis, at in wanted.items() if axis in self._order}
        size = (z.stop - z.start, self.shape[1], y.stop - y.start, x.stop - x.start)
        try:
            if self._lazy:
                lazy = self._image.get_image_dask_data(order, **given)
                pixels = np.asarray(lazy.compute(scheduler="synchronous", callbacks=()))
            else:
                pixels = np.asarray(self._image.get_image_data(order, **given))
        except MemoryError:
            raise
        except Exception as error:  # each plugin raises what its library raises
            raise ZfuseError(
                f"{self._source}: planes {z.start} to {z.stop - 1} of time point {t} cannot be "
                f"read ({reason(error)}); the file is damaged, or of a kind that its bioio plugin "
                "does not know: copy it again, or export it as OME-TIFF"
            ) from error
        if self._samples is not None:
            pixels = pixels[:, self._samples]
        if pixels.shape != size or pixels.dtype != self.dtype:
            raise ZfuseError(
                f"{self._source}: {size} pixels of {self.dtype} were announced, its bioio plugin "
                f"returns {pixels.shape} of {pixels.dtype}; export it as OME-TIFF"
            )
        return pixels


def _overlap(window: slice, start: int, length: int) -> tuple[slice, slice]:
    """Return where a tile lies in a window, and which part of the tile that is."""
    first, last = max(window.start, start), min(window.stop, start + length)
    return slice(first - window.start, last - window.start), slice(first - start, last - start)
