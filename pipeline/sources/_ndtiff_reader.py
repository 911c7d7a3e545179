"""Planes of an NDTiff data set, read where they lie.

Duty: windows of uncompressed planes by memory map. Must not know: the index, axes, metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zfuse.pipeline.core import BaseReader, each
from zfuse.pipeline.sources._tiff_pages import Files, read_contiguous

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from zfuse.pipeline.sources._layout import Layout
    from zfuse.pipeline.sources._ndtiff_index import NDTiffEntry

__all__ = ["NDTiffReader"]


class NDTiffReader(BaseReader):
    """Reads planes where they lie.

    Parameters
    ----------
    folder
        Of the files.
    grid
        ``grid[t][c][z]``: entries, None for planes that were never written.
    layout
        The axes.
    first
        An entry: all are alike.
    samples
        Of a pixel.
    """

    def __init__(
        self,
        folder: Path,
        grid: list[list[list[NDTiffEntry | None]]],
        layout: Layout,
        first: NDTiffEntry,
        samples: int,
    ) -> None:
        super().__init__(layout.shape, first.dtype.newbyteorder("="), (1, 1, 1))
        self._folder = folder
        self._grid = grid
        self._samples = samples
        self._files = Files()

    def fill(self, t: int, z: slice, y: slice, x: slice, out: NDArray[Any]) -> None:
        """Fill `out` with the window, planes in parallel."""
        step = self._samples
        work = [
            (entry, out[i, c * step : (c + 1) * step])
            for c, row in enumerate(self._grid[t])
            for i, entry in enumerate(row[z])
        ]
        each(lambda job: self._plane(job[0], y, x, job[1]), work)

    def close(self) -> None:
        """Release the files."""
        super().close()
        self._files.close()

    def _plane(self, entry: NDTiffEntry | None, y: slice, x: slice, out: NDArray[Any]) -> None:
        if entry is None:
            out[...] = 0
            return
        path = str(self._folder / entry.file)
        big = self._files.get(path)[:2] == b"MM"
        dtype = self.dtype.newbyteorder(">" if big else "<")
        size = (1, entry.height, entry.width, self._samples)
        read_contiguous(self._files, path, entry.offset, dtype, size, y, x, out)
