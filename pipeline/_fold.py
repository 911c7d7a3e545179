"""Folding one tile: its planes in ascending z, its strips in threads, one fused tile out.

Duty: the order of planes and passes, the buffers, that reading goes on while strips fold, and that
every group of channels that decides together is folded as if there were no other. Must not know:
file formats, sinks, Dask, what a method computes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import Cancelled
from zfuse.pipeline._channels import Decisions
from zfuse.pipeline.core import Fused, Region, wait_all, within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor, Future
    from threading import Event

    from numpy.typing import NDArray

    from zfuse.pipeline._job import Job
    from zfuse.pipeline.methods import Method

__all__ = ["StripFold", "fold_tile"]

_NOTHING = Fused(np.zeros((), np.uint8), np.zeros((), np.float32), np.zeros((), np.float32))


class StripFold:
    """The fold of one tile, in strips of rows and groups of channels, side by side in threads.

    Each step is given to the pool and returned as futures, one for each strip and group: wait for
    all of them before the next step, and before a block's memory is used again.

    Parameters
    ----------
    method
        The method.
    strips
        From the top; they cover the tile once and are shown the same.
    groups
        Channels that decide together; they cover all channels once.
    dtype
        Of the planes.
    pool
        Threads that fold; one, if the method brings its own.
    again
        There will be another tile of the same size, started when this one is finished: memory is
        kept for it, and that of its result touched beforehand.
    """

    def __init__(
        self,
        method: Method,
        strips: Sequence[Region],
        groups: Sequence[slice],
        dtype: np.dtype[Any],
        pool: Executor,
        *,
        again: bool = False,
    ) -> None:
        self._method = method
        self._strips = strips
        self._groups = groups
        self._dtype = dtype
        self._pool = pool
        self._parts = [(i, g) for i in range(len(strips)) for g in range(len(groups))]
        self._top = strips[0].core[0].start
        self._states: dict[tuple[int, int], Any] = {}
        self._again = again
        self._result: Fused | None = None

    def _submit(self, step: Callable[[int, int], None]) -> list[Future[None]]:
        return [self._pool.submit(step, i, g) for i, g in self._parts]

    def start(self, calibrations: Sequence[Any]) -> list[Future[None]]:
        """Allocate the states, or use them again; one calibration a group."""
        touched = None
        if self._again and self._result is None:
            touched = self._result = self._new_result()

        def step(i: int, g: int) -> None:
            if self._method.reusable and (i, g) in self._states:
                self._method.restart(self._states[i, g], calibrations[g])
            else:
                self._states.pop((i, g), None)
                self._states[i, g] = self._method.start(
                    self._region(i), _length(self._groups[g]), self._dtype, calibrations[g]
                )
            if touched is not None:
                self._put(i, g, _NOTHING, touched)

        return self._submit(step)

    def recalibrated(self, old: Sequence[Any], new: Sequence[Any]) -> bool:
        """Let the states go on with other calibrations; False: they can't, start again."""
        return all(
            self._method.recalibrated(self._states[i, g], old[g], new[g]) for i, g in self._parts
        )

    def add(self, block: NDArray[Any], z: int, *, next_pass: bool = False) -> list[Future[None]]:
        """Fold planes (n, C, Y, X); `next_pass`: with these the next pass begins."""

        def step(i: int, g: int) -> None:
            if next_pass:
                self._states[i, g] = self._method.next_pass(self._states[i, g])
            self._method.add(self._states[i, g], self._shown(block, i, g), z)

        return self._submit(step)

    def finish(self) -> Fused:
        """Return the tile, depth and confidence with a channel axis if there are several groups.

        Each state goes as soon as its result is copied, unless it serves once more.
        """
        result = self._result or self._new_result()
        self._result = None

        def step(i: int, g: int) -> None:
            state = self._states.pop((i, g))
            self._put(i, g, self._method.finish(state), result)
            if self._again and self._method.reusable:
                self._states[i, g] = state

        wait_all(self._submit(step))
        if len(self._groups) == 1:
            result = replace(result, depth=result.depth[0], confidence=result.confidence[0])
        return result

    def _new_result(self) -> Fused:
        """Return memory for a result, depth and confidence with an axis of groups."""
        rows, columns = self._strips[-1].core[0].stop - self._top, self._strips[0].shape[1]
        maps = (len(self._groups), rows, columns)
        return Fused(
            np.empty((self._groups[-1].stop, rows, columns), self._dtype),
            np.empty(maps, np.float32),
            np.empty(maps, np.float32),
        )

    def _put(self, i: int, g: int, part: Fused, result: Fused) -> None:
        """Copy a strip's result to its place."""
        rows = self._strips[i].core[0]
        at = slice(rows.start - self._top, rows.stop - self._top)
        result.image[self._groups[g], at] = part.image
        result.depth[g, at], result.confidence[g, at] = part.depth, part.confidence

    def _region(self, i: int) -> Region:
        """Return a strip; of several groups it is shown only its own halo, which is copied."""
        strip = self._strips[i]
        if len(self._groups) == 1:
            return strip
        needed = Region.grown(strip.core, self._method.halo, strip.image)
        return Region(strip.image, strip.core, needed)

    def _shown(self, block: NDArray[Any], i: int, g: int) -> NDArray[Any]:
        """Return what a strip is shown of a block, C-contiguous."""
        if len(self._groups) == 1:
            return block
        cut = within(self._region(i).shown, self._strips[i].shown)
        return np.ascontiguousarray(block[:, self._groups[g], *cut])


def _length(group: slice) -> int:
    return int(group.stop - group.start)


def fold_tile(
    job: Job,
    calibrations: Sequence[Any],
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
    calibrations
        Of the method, for this time point, one a decision.
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
        Image (C, h, w), depth and confidence (h, w), or (C, h, w) where each channel decides, of
        the tile's core.
    """
    if job.plan.in_turn:
        return _one_by_one(job, calibrations, t, tile, pool, cancel=cancel, advance=advance)
    reader = job.stack.reader
    fold = StripFold(job.method, job.plan.cut(tile), job.decisions.groups, reader.dtype, pool)
    _fold_planes(fold, fold.start(calibrations), job, t, tile, cancel, advance)
    return fold.finish()


def _one_by_one(
    job: Job, calibrations: Sequence[Any], t: int, tile: Region, *rest: Any, **more: Any
) -> Fused:
    """Fold each channel as a stack of its own, reading all planes once for each."""
    shape = (job.stack.shape[1], *tile.shape)
    fused = Fused(
        np.empty(shape, job.stack.dtype), np.empty(shape, np.float32), np.empty(shape, np.float32)
    )
    for c, calibration in enumerate(calibrations):
        alone = job.stack.only(c)
        plan = replace(job.plan, in_turn=False)
        one = replace(job, stack=alone, plan=plan, decisions=Decisions.of(alone))
        part = fold_tile(one, [calibration], t, tile, *rest, **more)
        fused.image[c] = part.image[0]
        fused.depth[c], fused.confidence[c] = part.depth, part.confidence
    return fused


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
