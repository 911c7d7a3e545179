"""Folding one tile: its planes in ascending z, its strips in threads, one fused tile out.

Duty: the order of planes and passes, the buffers, and that reading goes on while strips fold. Must
not know: file formats, sinks, Dask, what a method computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.pipeline.core import Fused, wait_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor, Future
    from threading import Event

    from numpy.typing import NDArray

    from zfuse.pipeline._job import Job
    from zfuse.pipeline.core import Region
    from zfuse.pipeline.methods import Method

__all__ = ["Cancelled", "StripFold", "fold_tile"]


class Cancelled(Exception):
    """The run was asked to stop."""


class StripFold:
    """The fold of one tile, in strips of rows that threads fold side by side.

    Each step is given to the pool and returned as futures, one a strip: wait for all of them before
    the next step, and before a block's memory is used again.

    Parameters
    ----------
    method
        The method.
    strips
        From the top; they cover the tile once and are shown the same.
    channels, dtype
        Of the planes.
    pool
        Threads that fold.
    """

    def __init__(
        self,
        method: Method,
        strips: Sequence[Region],
        channels: int,
        dtype: np.dtype[Any],
        pool: Executor,
    ) -> None:
        self._method = method
        self._strips = strips
        self._channels = channels
        self._dtype = dtype
        self._pool = pool
        self._states: list[Any] = [None] * len(strips)

    def _submit(self, step: Callable[[int], None]) -> list[Future[None]]:
        return [self._pool.submit(step, i) for i in range(len(self._strips))]

    def start(self, calibration: Any) -> list[Future[None]]:
        """Allocate the states."""

        def step(i: int) -> None:
            strip = self._strips[i]
            self._states[i] = self._method.start(strip, self._channels, self._dtype, calibration)

        return self._submit(step)

    def add(self, block: NDArray[Any], z: int, *, next_pass: bool = False) -> list[Future[None]]:
        """Fold planes (n, C, Y, X); `next_pass`: with these the next pass begins."""

        def step(i: int) -> None:
            if next_pass:
                self._states[i] = self._method.next_pass(self._states[i])
            self._method.add(self._states[i], block, z)

        return self._submit(step)

    def finish(self) -> Fused:
        """Return the tile; each strip's state goes as soon as its result is copied."""
        top, columns = self._strips[0].core[0].start, self._strips[0].shape[1]
        shape = (self._strips[-1].core[0].stop - top, columns)
        image = np.empty((self._channels, *shape), self._dtype)
        depth, confidence = np.empty(shape, np.float32), np.empty(shape, np.float32)

        def step(i: int) -> None:
            part = self._method.finish(self._states[i])
            self._states[i] = None
            rows = self._strips[i].core[0]
            at = slice(rows.start - top, rows.stop - top)
            image[:, at], depth[at], confidence[at] = part.image, part.depth, part.confidence

        wait_all(self._submit(step))
        return Fused(image, depth, confidence)


def fold_tile(
    job: Job,
    calibration: Any,
    t: int,
    tile: Region,
    pool: Executor,
    *,
    cancel: Event,
    advance: Callable[[int], None],
) -> Fused:
    """Fuse one tile of one time point. Reads in the calling thread.

    Parameters
    ----------
    job
        Stack, method and plan.
    calibration
        Of the method, for this time point.
    t, tile
        Time point and tile; what is shown of it includes the halo.
    pool
        Threads that fold strips.
    cancel
        Checked at every block; set, it raises `Cancelled`.
    advance
        Told the number of voxels of each block that was folded.

    Returns
    -------
    Fused
        Image (C, h, w), depth and confidence (h, w) of the tile's core.
    """
    reader = job.stack.reader
    fold = StripFold(job.method, job.plan.cut(tile), reader.shape[1], reader.dtype, pool)
    _fold_planes(fold, fold.start(calibration), job, t, tile, cancel, advance)
    return fold.finish()


def _fold_planes(
    fold: StripFold,
    started: list[Future[None]],
    job: Job,
    t: int,
    tile: Region,
    cancel: Event,
    advance: Callable[[int], None],
) -> None:
    """Go through all planes as often as the method wants; the buffers go on return."""
    reader, passes, size = job.stack.reader, job.method.passes, job.plan.block
    channels, planes = reader.shape[1:3]
    blocks = [slice(z, min(z + size, planes)) for z in range(0, planes, size)]
    turns = blocks * passes
    rows, columns = tile.shown
    shape = (size, channels, rows.stop - rows.start, columns.stop - columns.start)
    buffers = [np.empty(shape, reader.dtype) for _ in range(2)]  # one is folded, one is filled

    def read(turn: int, meanwhile: list[Future[None]]) -> NDArray[Any]:
        """Read a block while strips work on another, and wait for them."""
        z = turns[min(turn, len(turns) - 1)]
        block = buffers[turn % 2 if len(blocks) > 1 else 0][: z.stop - z.start]
        try:
            if turn == 0 or (len(blocks) > 1 and turn < len(turns)):  # one block is read once
                reader.read(t, z, rows, columns, out=block)
        finally:
            wait_all(meanwhile)
        return block

    block = read(0, started)
    for turn, z in enumerate(turns):
        if cancel.is_set():
            raise Cancelled
        folding = fold.add(block, z.start, next_pass=turn > 0 and z is blocks[0])
        block = read(turn + 1, folding)
        voxels = (z.stop - z.start) * channels * tile.shape[0] * tile.shape[1]
        done = turn // len(blocks)  # passes; each counts for its share of the voxels
        advance(voxels * (done + 1) // passes - voxels * done // passes)
