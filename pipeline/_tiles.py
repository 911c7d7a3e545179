"""All tiles of a run: every one a Dask task, folded, marked and handed to a writer.

Duty: that tiles are taken one after another from a plan of any length, that cores are never asked
for twice (`zfuse.pipeline.core._threads` says who owns which thread), and that everything stops
when one tile fails. Must not know: file formats, configs, what a method computes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, TypeAlias

from zfuse.pipeline._fold import Cancelled, fold_tile
from zfuse.pipeline.core import release_free_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from zfuse.pipeline._job import Job
    from zfuse.pipeline.core import Fused, Progress, Region

__all__ = ["run_jobs"]

Write: TypeAlias = "Callable[[int, int, int, Fused], None]"

_TASKS = 256  # given to Dask at once: a slide has 100,000 tiles, and a task takes 0.1 ms to make


def run_jobs(jobs: Sequence[Job], writers: Sequence[Write], progress: Progress) -> None:
    """Run every tile of every job.

    When a task fails or Ctrl-C comes, the others stop at their next block and are waited for: no
    thread outlives a run.

    Parameters
    ----------
    jobs
        What is fused.
    writers
        One a job: called with time point, top and left of a tile, and the tile, from any thread.
    progress
        Told about voxels.
    """
    progress.start(sum(job.voxels for job in jobs))
    cancel, lock = Event(), Lock()

    def advance(voxels: int) -> None:
        with lock:
            progress.advance(voxels)

    for job, write in zip(jobs, writers, strict=True):
        pool = ThreadPoolExecutor(job.plan.workers, thread_name_prefix="zfuse-fold")
        tasks = ThreadPoolExecutor(job.plan.in_flight, thread_name_prefix="zfuse-tile")
        try:
            _run_job(job, write, pool, tasks, cancel, advance)
        finally:
            cancel.set()
            tasks.shutdown(cancel_futures=True)
            pool.shutdown(cancel_futures=True)
        cancel.clear()


def _run_job(
    job: Job,
    write: Write,
    pool: ThreadPoolExecutor,
    tasks: ThreadPoolExecutor,
    cancel: Event,
    advance: Callable[[int], None],
) -> None:
    from dask.base import compute
    from dask.delayed import delayed

    failures: list[BaseException] = []

    def one_tile(calibrations: Sequence[Any], t: int, tile: Region) -> None:
        try:
            fused = fold_tile(job, calibrations, t, tile, pool, cancel=cancel, advance=advance)
            if job.aligned and job.aligned.reader:
                fused = job.aligned.reader.mark(t, tile, fused)
            if job.min_confidence is not None:
                fused = fused.blanked(job.min_confidence)
            write(t, tile.core[0].start, tile.core[1].start, fused)
            del fused
            release_free_memory()
        except Cancelled:
            raise
        except BaseException as error:
            failures.append(error)
            cancel.set()
            raise

    task = delayed(one_tile, pure=False, traverse=False)
    todo = (task(*of_tile) for of_tile in _calibrated_tiles(job))
    try:
        while some := list(islice(todo, _TASKS)):
            compute(*some, scheduler="threads", pool=tasks, optimize_graph=False)
    except Cancelled:  # Dask met a task that was stopped before it met the one that failed
        raise failures[0] from None


def _calibrated_tiles(job: Job) -> Iterator[tuple[list[Any], int, Region]]:
    """Yield every tile of every time point with the time point's calibrations."""
    for t in range(job.stack.shape[0]):
        calibrations = job.decisions.calibrate(job.method, job.stack, t)
        for tile in job.plan.tiles():
            yield calibrations, t, tile
