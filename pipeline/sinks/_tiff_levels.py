"""Where the pixels of one level of an uncompressed TIFF lie in its file.

Duty: from a part of a page to stretches of the file. A level is whole pages in one piece, or
pages of square tiles, of which those at the right and lower edge reach beyond the image. Must not
know: how the file is made and written, what the pages mean.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["TILE", "TiffLevel", "lay_tiles", "stored_bytes"]

_ALIGNED = 16  # bytes
TILE = 256  # px; what Bio-Formats and QuPath write and ask for


def stored_bytes(size: tuple[int, int], n_levels: int, step: int) -> int:
    """Bytes of one page (height, width) of a level, `step` bytes a pixel."""
    height, width = size
    if n_levels > 1:
        height, width = (-(-edge // TILE) * TILE for edge in size)
    return height * width * step


@dataclass(frozen=True)
class TiffLevel:
    """One level of a TIFF.

    Attributes
    ----------
    size
        Height and width in pixels.
    step
        Bytes a pixel.
    starts
        Where in the file each page begins.
    tiled
        Pages are tiles, row by row; else rows.
    """

    size: tuple[int, int]
    step: int
    starts: Sequence[int]
    tiled: bool

    @classmethod
    def whole(cls, file: tifffile.TiffFile, size: tuple[int, int], step: int) -> TiffLevel:
        """Return the one level of a file that tifffile has laid out in one piece.

        Raises
        ------
        RuntimeError
            It is not in one piece.
        """
        series = file.series[0]
        if series.dataoffset is None:
            raise RuntimeError("tifffile did not lay the pixels out in one piece")
        page = stored_bytes(size, 1, step)
        end = series.dataoffset + math.prod(series.shape) * series.dtype.itemsize
        return cls(size, step, range(series.dataoffset, end, page), tiled=False)

    def places(
        self, page: int, y: int, x: int, rows: NDArray[Any]
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield places in the file, and the pixels that belong there, one after another.

        Parameters
        ----------
        page
            Its number.
        y, x
            Top-left pixel of the part.
        rows
            (h, w) or (h, w, samples) C-contiguous pixels.
        """
        start, across = self.starts[page], -(-self.size[1] // TILE)
        if not self.tiled:
            place = start + (y * self.size[1] + x) * self.step
            yield from self._cut(place, self.size[1], rows)
            return
        height, width = rows.shape[:2]
        for top in range(y // TILE * TILE, y + height, TILE):
            for left in range(x // TILE * TILE, x + width, TILE):
                place = (top // TILE * across + left // TILE) * TILE * TILE
                first_y, first_x = max(top, y), max(left, x)
                part = rows[first_y - y : top + TILE - y, first_x - x : left + TILE - x]
                if first_x == left and left + part.shape[1] == self.size[1]:
                    # What lies beyond the image is nobody's: a whole row takes one write less.
                    beyond = [(0, 0), (0, TILE - part.shape[1])] + [(0, 0)] * (part.ndim - 2)
                    part = np.pad(part, beyond)
                place += (first_y - top) * TILE + first_x - left
                yield from self._cut(start + place * self.step, TILE, part)

    def _cut(
        self, place: int, width: int, rows: NDArray[Any]
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield whole rows at once, parts of rows one by one."""
        if rows.shape[1] == width:
            yield place, np.ascontiguousarray(rows)
            return
        for row in rows:
            yield place, np.ascontiguousarray(row)
            place += width * self.step


def lay_tiles(
    file: tifffile.TiffFile, sizes: Sequence[tuple[int, int]], step: int
) -> tuple[list[TiffLevel], int]:
    """Give every tile of every page and level its place, behind all that is there.

    tifffile itself would fill them with zeros, which takes as long as writing them.

    Parameters
    ----------
    file
        Open for writing; its tiles have no places yet.
    sizes
        Height and width of each level, the largest first.
    step
        Bytes a pixel.

    Returns
    -------
    levels
        Where the pixels of each belong.
    end
        Bytes of the file with all of them.
    """
    handle = file.filehandle
    handle.seek(0, os.SEEK_END)
    end = -(-handle.tell() // _ALIGNED) * _ALIGNED
    each = TILE * TILE * step
    starts: list[list[int]] = [[] for _ in sizes]
    for page in file.pages:
        below = page.pages
        if not isinstance(page, tifffile.TiffPage) or below is None:
            raise RuntimeError("tifffile did not lay out pages with levels")
        for level, (size, begun) in enumerate(zip(sizes, starts, strict=True)):
            count = stored_bytes(size, 2, step) // each
            part = page if level == 0 else below[level - 1]
            if not isinstance(part, tifffile.TiffPage):
                raise RuntimeError("tifffile did not read the tags of a level")
            part.tags["TileOffsets"].overwrite(range(end, end + count * each, each))
            part.tags["TileByteCounts"].overwrite([each] * count)
            begun.append(end)
            end += count * each
    levels = [TiffLevel(size, step, at, tiled=True) for size, at in zip(sizes, starts, strict=True)]
    return levels, end
