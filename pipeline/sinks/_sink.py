"""The sink: finished tiles go in, one image of the output comes out.

Duty: what every format shares. It checks that a tile is what the contract says, that none is
written twice or forgotten, and knows when no thread writes any more. Must not know: file formats,
where files are staged and published.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import Condition
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from zfuse.pipeline.core import disk_errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Fused, Stack

__all__ = ["Files", "Sink"]

Files: TypeAlias = "dict[str, tuple[int, int]]"
"""Bytes and CRC-32C of files, by their path relative to the image, with "/"."""


class Sink(ABC):
    """One fused image that is being written. `write` may be called from many threads at once.

    Parameters
    ----------
    stack
        The stack that is fused: shape, dtype and calibration of the output.
    tile
        Edge of a tile in pixels.
    output
        Final path, for messages.
    each
        Depth and confidence have the image's channels, each of which decided for itself.
    again
        Tiles may be written again, over what an earlier attempt has left of them.

    Attributes
    ----------
    kept
        What a message says is left of the output, should the disk refuse.
    """

    kept: str | Callable[[], str] = "nothing was kept"

    def __init__(
        self, stack: Stack, tile: int, output: Path, *, each: bool = False, again: bool = False
    ) -> None:
        n_times, self.n_channels, _, self.height, self.width = stack.shape
        if tile < 1 or (tile % 64 and tile < max(self.height, self.width)):
            raise ValueError(f"tile {tile} is neither a multiple of 64 nor the whole image")
        self.stack = stack
        self.each = each
        self.tile = tile
        self._output = output
        self._again = again
        self._grid = n_times, -(-self.height // tile), -(-self.width // tile)
        self._tiles = bytearray(self._grid[0] * self._grid[1] * self._grid[2])  # 1: written
        self._writing = 0
        self._open = True
        self._changed = Condition()

    @property
    def grid(self) -> tuple[int, int, int]:
        """Time points, and tiles down and across."""
        return self._grid

    def known(self, tiles: bytes | bytearray | None = None) -> None:
        """Take tiles for written that others wrote: one byte a tile in the order of `grid`, or all.

        Raises
        ------
        ValueError
            They are of another grid.
        """
        if tiles is not None and len(tiles) != len(self._tiles):
            raise ValueError(f"{len(tiles)} tiles are told, the grid is {self._grid}")
        self._tiles[:] = tiles or b"\1" * len(self._tiles)

    def write(self, t: int, y: int, x: int, fused: Fused) -> Files:
        """Write one finished tile.

        Parameters
        ----------
        t
            Time point.
        y, x
            Its top-left pixel, multiples of the tile's edge.
        fused
            Image, depth in planes, confidence. They are not changed, and not kept after returning.

        Returns
        -------
        dict
            The files that hold the tile and nothing else; none where a file holds several tiles.

        Raises
        ------
        ZfuseError
            The disk is full, or writing is not permitted.
        ValueError
            The tile does not fit the tile grid, or was written before.
        RuntimeError
            The output is closed.
        """
        image, depth, confidence = self._checked(t, y, x, fused)
        _, rows, columns = self._grid
        index = (t * rows + y // self.tile) * columns + x // self.tile
        with self._changed:
            if not self._open:
                raise RuntimeError("the output is closed; tiles can no longer be written")
            if self._tiles[index] and not self._again:
                raise ValueError(f"tile t={t}, y={y}, x={x} was written before")
            self._tiles[index] = 1
            self._writing += 1
        try:
            n_bytes = image.nbytes + depth.nbytes + confidence.nbytes
            with disk_errors(self._output, n_bytes, kept=self.kept):
                return self._store(t, y, x, image, depth, confidence) or {}
        finally:
            with self._changed:
                self._writing -= 1
                self._changed.notify_all()

    def stop(self) -> None:
        """Take no more tiles, and wait for those that are being written."""
        with self._changed:
            self._open = False
            self._changed.wait_for(lambda: self._writing == 0)

    def finish(self) -> Files:
        """Complete the files after the last tile.

        Returns
        -------
        dict
            The files that hold no tile.

        Raises
        ------
        RuntimeError
            Tiles are missing: a defect of the caller, and nothing may look finished.
        """
        written = self._tiles.count(1)
        if written != len(self._tiles):
            raise RuntimeError(
                f"{self._output}: only {written} of {len(self._tiles)} tiles were written"
            )
        with disk_errors(self._output, kept=self.kept):
            return self._finish() or {}

    def release(self) -> None:  # noqa: B027 - OME-Zarr holds nothing open
        """Close open files without completing them. May be called twice."""

    def _checked(
        self, t: int, y: int, x: int, fused: Fused
    ) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
        n_times = self.stack.shape[0]
        inside = 0 <= t < n_times and 0 <= y < self.height and 0 <= x < self.width
        if not inside or y % self.tile or x % self.tile:
            raise ValueError(f"t={t}, y={y}, x={x} is no corner of a tile of {self.tile} px")
        shape = (min(self.tile, self.height - y), min(self.tile, self.width - x))
        image = fused.image if fused.image.ndim == 3 else fused.image[np.newaxis]
        if image.shape != (self.n_channels, *shape) or image.dtype != self.stack.dtype:
            raise ValueError(
                f"tile image is {image.dtype} {image.shape}, "
                f"not {self.stack.dtype} {(self.n_channels, *shape)}"
            )
        maps = (self.n_channels, *shape) if self.each else shape
        for values in (fused.depth, fused.confidence):
            if values.shape != maps or values.dtype != np.float32:
                raise ValueError(f"tile map is {values.dtype} {values.shape}, not float32 {maps}")
        return image, fused.depth.reshape(-1, *shape), fused.confidence.reshape(-1, *shape)

    @abstractmethod
    def _store(
        self,
        t: int,
        y: int,
        x: int,
        image: NDArray[Any],
        depth: NDArray[np.float32],
        confidence: NDArray[np.float32],
    ) -> Files | None:
        """Write one checked tile: image (C, h, w), depth in planes and confidence (n, h, w).

        n is C if `each` channel has its own, else 1.
        """

    @abstractmethod
    def _finish(self) -> Files | None:
        """Complete and close the files."""
