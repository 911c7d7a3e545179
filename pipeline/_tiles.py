"""All tiles of one image: every one a Dask task, folded, marked and handed to a writer.

A tile that is alone needs no scheduler: it is done without Dask, whose import takes 0.12 s.

Duty: that tiles are taken one after another from a plan of any length, that cores are never asked
for twice (`zfuse.pipeline.core._threads` says who owns which thread), and that everything stops
when one tile fails. Must not know: file formats, configs, what a method computes.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, TypeAlias

from zfuse.errors import Cancelled
from zfuse.pipeline._fold import fold_tile
from zfuse.pipeline.core import release_free_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

    from zfuse.pipeline._job import Job
    from zfuse.pipeline.core import Fused, Progress, Region

__all__ = ["fuse_tile", "run_job"]

Write: TypeAlias = "Callable[[int, int, int, Fused], None]"
Has: TypeAlias = "Callable[[int, int, int], bool]"
Clock: TypeAlias = "Callable[[dict[str, float]], None]"

_TASKS = 256  # given to Dask at once: a slide has 100,000 tiles, and a task takes 0.1 ms to make


class _Stop(Event):
    """Set when a tile failed, or when the caller's own event is."""

    def __init__(self, asked: Event | None) -> None:
        super().__init__()
        self.asked = asked

    def is_set(self) -> bool:
        return super().is_set() or (self.asked is not None and self.asked.is_set())


def fuse_tile(
    job: Job,
    calibrations: Sequence[Any],
    t: int,
    tile: Region,
    pool: Executor,
    *,
    cancel: Event,
    advance: Callable[[int], None],
) -> Fused:
    """Fuse one tile as it is written: what no plane reaches is marked, what is unsure is blank.

    Parameters and errors are those of `zfuse.pipeline._fold.fold_tile`.
    """
    fused = fold_tile(job, calibrations, t, tile, pool, cancel=cancel, advance=advance)
    if job.aligned and job.aligned.reader:
        fused = job.aligned.reader.mark(t, tile, fused)
    if job.min_confidence is not None:
        fused = fused.blanked(job.min_confidence)
    return fused


def run_job(
    job: Job,
    write: Write,
    progress: Progress,
    cancel: Event | None = None,
    *,
    has: Has | None = None,
    clock: Clock | None = None,
) -> None:
    """Run every tile of a job.

    When a task fails or Ctrl-C comes, the others stop at their next block and are waited for: no
    thread outlives a run.

    Parameters
    ----------
    job
        What is fused.
    write
        Called with time point, top and left of a tile, and the tile, from any thread.
    progress
        Told about voxels.
    cancel
        Set by the caller from any thread, it stops the run at its next block.
    has
        Says of a time point, top and left whether the tile is there already, and left out.
    clock
        Told how many seconds each stage of a tile took, from any thread.

    Raises
    ------
    Cancelled
        `cancel` was set.
    """
    stop, lock = _Stop(cancel), Lock()

    def advance(voxels: int) -> None:
        with lock:
            progress.advance(voxels)

    pool = ThreadPoolExecutor(job.plan.workers, thread_name_prefix="zfuse-fold")
    tasks = ThreadPoolExecutor(job.plan.in_flight, thread_name_prefix="zfuse-tile")
    try:
        _run_job(job, write, pool, tasks, stop, advance, has, clock)
    finally:
        stop.set()
        tasks.shutdown(cancel_futures=True)
        pool.shutdown(cancel_futures=True)


def _run_job(
    job: Job,
    write: Write,
    pool: ThreadPoolExecutor,
    tasks: ThreadPoolExecutor,
    stop: _Stop,
    advance: Callable[[int], None],
    has: Has | None,
    clock: Clock | None,
) -> None:
    failures: list[BaseException] = []

    def one_tile(calibrations: Sequence[Any], t: int, tile: Region) -> None:
        try:
            begun = time.perf_counter()
            fused = fuse_tile(job, calibrations, t, tile, pool, cancel=stop, advance=advance)
            folded = time.perf_counter()
            write(t, tile.core[0].start, tile.core[1].start, fused)
            if clock is not None:
                clock({"fold": folded - begun, "write": time.perf_counter() - folded})
            del fused
            release_free_memory()
        except Cancelled:
            raise
        except BaseException as error:
            failures.append(error)
            stop.set()
            raise

    todo = _calibrated_tiles(job, advance, has, clock)
    try:
        while some := list(islice(todo, _TASKS)):
            if stop.is_set():
                raise Cancelled
            if len(some) == 1:
                tasks.submit(one_tile, *some[0]).result()
            else:
                _compute(one_tile, some, tasks)
    except Cancelled:  # Dask met a task that was stopped before it met the one that failed
        if failures:
            raise failures[0] from None
        raise


def _compute(
    one_tile: Callable[[Sequence[Any], int, Region], None],
    of_tiles: Sequence[tuple[list[Any], int, Region]],
    tasks: ThreadPoolExecutor,
) -> None:
    """Do several tiles as tasks of Dask."""
    from dask.base import compute
    from dask.delayed import delayed

    task = delayed(one_tile, pure=False, traverse=False)
    todo = [task(*of_tile) for of_tile in of_tiles]
    # Others' callbacks mean arrays, not tiles; and while Dask calls them it hides them from all
    # threads.
    compute(*todo, scheduler="threads", pool=tasks, optimize_graph=False, callbacks=())


def _calibrated_tiles(
    job: Job, advance: Callable[[int], None], has: Has | None, clock: Clock | None
) -> Iterator[tuple[list[Any], int, Region]]:
    """Yield every tile that is not there, with the calibrations of its time point."""
    _, channels, planes, *_ = job.stack.shape
    for t in range(job.stack.shape[0]):
        calibrations: list[Any] | None = None
        for tile in job.plan.tiles():
            if has is not None and has(t, tile.core[0].start, tile.core[1].start):
                advance(planes * channels * tile.shape[0] * tile.shape[1])
                continue
            if calibrations is None:
                begun = time.perf_counter()
                calibrations = job.decisions.calibrate(job.method, job.stack, t)
                if clock is not None:
                    clock({"calibrate": time.perf_counter() - begun})
            yield calibrations, t, tile
