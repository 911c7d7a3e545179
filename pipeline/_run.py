"""The run: stacks in, tiles as Dask tasks, an output that is published whole or not at all.

Duty: join source, plan, fold and sink, and end cleanly whatever happens. Must not know: file
formats, what a method computes, how progress is shown.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline._fold import Cancelled, fold_tile
from zfuse.pipeline._plan import TilePlan, plan_tiles
from zfuse.pipeline.core import Fused, Sample, cores, nearest, release_free_memory
from zfuse.pipeline.methods import DEFAULT_METHOD, Method, make_method, warm_up

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike

    from zfuse.pipeline._config import RunConfig
    from zfuse.pipeline.alignment import Aligned, AlignMode
    from zfuse.pipeline.core import Region, Stack

__all__ = [
    "Job",
    "Progress",
    "RunSummary",
    "align_job",
    "cores",
    "fuse",
    "make_job",
    "open_jobs",
    "run",
    "run_jobs",
]


_SPARE = 2  # planes that aligned reading needs: the plane as it is, and the reference plane


class Progress:
    """What a run tells the outside. The default says nothing; override what you show."""

    def start(self, voxels: int) -> None:
        """Tell how many voxels the run will fold."""

    def advance(self, voxels: int) -> None:
        """Tell that so many more are done. Called from worker threads, one at a time."""

    def note(self, line: str) -> None:
        """Show one line about what was found."""

    def warn(self, line: str) -> None:
        """Show one line about an assumption or a doubt."""


@dataclass(frozen=True)
class Job:
    """One stack with everything that is settled before its first tile."""

    stack: Stack
    method: Method
    plan: TilePlan
    channel: int | None
    aligned: Aligned | None = None

    @property
    def voxels(self) -> int:
        """Voxels of the stack."""
        return int(np.prod(self.stack.shape))

    def provenance(self) -> dict[str, Any]:
        """Return what the output records about its making."""
        import zfuse

        channels = self.stack.channels
        record = self.aligned.record if self.aligned else {"align": "none"}
        pixels = self.method.pixels
        if pixels == "copied" and record.get("resampled"):
            pixels = "resampled"
        return {
            "version": zfuse.__version__,
            "method": self.method.model_dump(mode="json"),
            "source": self.stack.source,
            "planes": self.stack.shape[2],
            "decision_channel": None if self.channel is None else channels[self.channel].name,
            "z_step_um": self.stack.z_step,
            "pixels": pixels,
            "depth": "of the method" if self.method.knows_depth else "of a focus measure",
            "alignment": record,
        }


@dataclass(frozen=True)
class RunSummary:
    """What a run did: where it wrote, how many images and voxels, how many seconds.

    The seconds do without opening the input and compiling kernels.
    """

    output: str
    images: int
    voxels: int
    seconds: float

    def __str__(self) -> str:
        images = f"{self.images} images, " if self.images > 1 else ""
        rate = self.voxels / self.seconds / 1e6
        return (
            f"{self.output}: {images}{self.voxels / 1e6:,.1f} Mvoxel in {self.seconds:.1f} s "
            f"({rate:,.3g} Mvoxel/s)"
        )


def open_jobs(config: RunConfig) -> list[Job]:
    """Open the input and plan every stack of it.

    Raises
    ------
    ZfuseError
        The input cannot be used, the channel does not exist, the memory is too small.
    """
    from zfuse.pipeline.sources import open_stack, open_stacks

    if config.series is None:
        stacks = open_stacks(config.input, allow_missing=config.allow_missing)
    else:
        stacks = [
            open_stack(config.input, series=config.series, allow_missing=config.allow_missing)
        ]
    jobs = []
    for stack in stacks:
        stack = stack.calibrated(z_step=config.z_step, pixel_size=config.pixel_size)
        jobs.append(
            make_job(
                stack,
                config.method,
                channel=config.channel,
                memory=config.memory,
                workers=config.workers,
                tile=config.tile,
                align=config.align,
            )
        )
    if len(jobs) > 1:  # one sink serves one tile edge: images of a collection share the smallest
        edge = min(job.plan.tile for job in jobs)
        edge = max(64, edge // 64 * 64)
        jobs = [
            make_job(
                job.stack,
                config.method,
                channel=config.channel,
                memory=config.memory,
                workers=config.workers,
                tile=edge,
                align=config.align,
            )
            for job in jobs
        ]
    return jobs


def make_job(
    stack: Stack,
    method: Method,
    *,
    channel: int | str | None = None,
    memory: int | None = None,
    workers: int | None = None,
    tile: int | None = None,
    align: AlignMode = "none",
) -> Job:
    """Plan one stack; `align_job` comes afterwards.

    Raises
    ------
    ZfuseError
        There are more planes than the method can count, the channel does not exist, or the memory
        is too small.
    """
    if stack.shape[2] > method.max_planes:
        raise ZfuseError(
            f"{stack.name} has {stack.shape[2]} planes; method {method.name!r} counts up to "
            f"{method.max_planes}: split the stack"
        )
    workers = workers or cores()
    method = method.with_workers(workers)
    plan = plan_tiles(
        stack, method, memory=memory, workers=workers, tile=tile,
        spare=0 if align == "none" else _SPARE,
    )  # fmt: skip
    return Job(stack, method, plan, _channel_index(stack, channel))


def align_job(job: Job, align: AlignMode, progress: Progress) -> Job:
    """Find how the planes of a job lie on each other, and read them so from now on."""
    if align == "none" or job.stack.shape[2] == 1:
        return job
    from zfuse.pipeline.alignment import align_stack

    begun = time.perf_counter()
    aligned = align_stack(job.stack, align, job.channel, copies=job.method.copies_pixels)
    progress.note(f"{job.stack.name}: {aligned.summary} ({time.perf_counter() - begun:.1f} s)")
    for line in aligned.doubts:
        progress.warn(f"{job.stack.name}: {line}")
    return replace(job, stack=aligned.stack, aligned=aligned)


def _channel_index(stack: Stack, channel: int | str | None) -> int | None:
    names = [c.name for c in stack.channels]
    if channel is None:
        return None
    if isinstance(channel, str) and channel in names:
        return names.index(channel)
    index = int(channel) if str(channel).isdecimal() else -1
    if not 0 <= index < len(names):
        listed = ", ".join(f"{i}: {name}" for i, name in enumerate(names))
        near = nearest(str(channel), names)
        hint = f"; {near}" if near.startswith("did") else ""
        raise ZfuseError(f"no channel {channel!r} in {stack.name}: it has {listed}{hint}")
    return index


def run(config: RunConfig, progress: Progress | None = None) -> RunSummary:
    """Fuse what `config` names and write it.

    Parameters
    ----------
    config
        The run.
    progress
        Told about voxels and warnings.

    Returns
    -------
    RunSummary
        What was done; `str` of it is one line.

    Raises
    ------
    ZfuseError
        One clear line; nothing was written, or what was begun is removed.
    KeyboardInterrupt
        Likewise.
    """
    from zfuse.pipeline.sinks import check_output, open_output

    progress = progress or Progress()
    check_output(config.output, [config.input], config.overwrite)
    jobs = open_jobs(config)
    try:
        for job in jobs:
            name = job.stack.name
            for line in job.stack.warnings:
                progress.warn(line if name in line else f"{name}: {line}")
            if job.stack.shape[2] == 1:
                progress.warn(f"{name}: the one plane is copied, its confidence is 0")
        if not jobs[0].method.knows_depth:
            progress.note(
                f"method {jobs[0].method.name} decides no depth: the maps are a focus measure's"
            )
        jobs = [align_job(job, config.align, progress) for job in jobs]
        output = open_output(
            config.output,
            [job.stack for job in jobs],
            tile=jobs[0].plan.tile,
            provenance=[job.provenance() for job in jobs],
            overwrite=config.overwrite,
        )
        for job in jobs:
            warm_up(job.method, job.stack)
        begun = time.perf_counter()
        with output:
            writers = [sink.write for sink in output.sinks]
            run_jobs(jobs, writers, progress)
    finally:
        for job in jobs:
            job.stack.reader.close()
    voxels = sum(job.voxels for job in jobs)
    return RunSummary(config.output, len(jobs), voxels, time.perf_counter() - begun)


def run_jobs(
    jobs: Sequence[Job],
    writers: Sequence[Callable[[int, int, int, Fused], None]],
    progress: Progress,
) -> None:
    """Run every tile of every job as one Dask task.

    A task reads its planes, folds them and writes the result; it hands its strips to a pool of
    `workers` threads that all tasks share, so cores are never asked for twice. When a task fails or
    Ctrl-C comes, the others stop at their next block and are waited for: no thread outlives a run.
    """
    from dask.base import compute
    from dask.delayed import delayed

    progress.start(sum(job.voxels for job in jobs))
    cancel, lock = Event(), Lock()

    def advance(voxels: int) -> None:
        with lock:
            progress.advance(voxels)

    in_flight = max(job.plan.in_flight for job in jobs)
    pool = ThreadPoolExecutor(jobs[0].plan.workers, thread_name_prefix="zfuse-fold")
    tasks = ThreadPoolExecutor(in_flight, thread_name_prefix="zfuse-tile")

    def one_tile(
        job: Job,
        calibration: Any,
        t: int,
        tile: Region,
        write: Callable[[int, int, int, Fused], None],
    ) -> None:
        try:
            fused = fold_tile(
                job.stack.reader, t, tile, job.plan, job.method, calibration, pool,
                cancel=cancel, advance=advance,
            )  # fmt: skip
            if job.aligned and job.aligned.reader:
                fused = job.aligned.reader.mark(t, tile, fused)
            write(t, tile.core[0].start, tile.core[1].start, fused)
            del fused
            release_free_memory()
        except BaseException:
            cancel.set()
            raise

    try:
        for job, write in zip(jobs, writers, strict=True):
            graph = []
            for t in range(job.stack.shape[0]):
                sample = Sample(job.stack, job.channel, t)
                calibration = job.method.calibrate(sample)
                graph += [
                    delayed(one_tile, pure=False, traverse=False)(job, calibration, t, tile, write)
                    for tile in job.plan.tiles()
                ]
            compute(*graph, scheduler="threads", pool=tasks, optimize_graph=False)
    except Cancelled:  # pragma: no cover - the error that cancelled is raised first
        raise
    finally:
        cancel.set()
        tasks.shutdown(cancel_futures=True)
        pool.shutdown(cancel_futures=True)


def fuse(
    stack: ArrayLike | Stack,
    method: str | dict[str, Any] | Method = DEFAULT_METHOD,
    *,
    channel: int | str | None = None,
    align: AlignMode = "none",
    tile: int | None = None,
    memory: int | None = None,
    workers: int | None = None,
) -> Fused:
    """Fuse one focal stack in memory.

    Parameters
    ----------
    stack
        (Z, Y, X) or (C, Z, Y, X) array (NumPy, Zarr, Dask), or a `Stack` with one time point.
    method
        Name of a method, or its name and settings, e.g. ``{"name": "select", "window": 13}``.
    channel
        Channel that decides for all of them: its index or name. By default all decide together.
    align
        Undo drift of the planes: ``"none"``, ``"translation"``, or ``"similarity"``: also scale
        and angle.
    tile
        Edge of a tile in pixels; the result does not depend on it.
    memory
        Bytes the fold may use beside the result; default: for methods that run a network 2 GB,
        for others what the whole image takes at once.
    workers
        Threads; default: all cores.

    Returns
    -------
    Fused
        ``image`` (Y, X) or (C, Y, X) of the input's dtype, ``depth`` (Y, X) float32 in planes,
        ``confidence`` (Y, X) float32 in 0..1.

    Raises
    ------
    ZfuseError
        The array is no focal stack, or a setting is wrong.

    Examples
    --------
    >>> import numpy as np, zfuse
    >>> planes = np.random.default_rng(0).integers(0, 4096, (5, 64, 64), np.uint16)
    >>> fused = zfuse.fuse(planes)
    >>> fused.image.dtype, fused.depth.shape
    (dtype('uint16'), (64, 64))
    """
    from zfuse.pipeline.core import Stack
    from zfuse.pipeline.sources import from_array

    opened = stack if isinstance(stack, Stack) else from_array(stack)
    if opened.shape[0] != 1:
        raise ZfuseError(f"{opened.shape[0]} time points; fuse them one by one, or use zfuse.run")
    chosen = make_method(method)
    job = make_job(
        opened, chosen, channel=channel, memory=memory or _unlimited(chosen), workers=workers,
        tile=tile, align=align,
    )  # fmt: skip
    job = align_job(job, align, Progress())
    _, channels, _, height, width = opened.shape
    image = np.empty((channels, height, width), opened.dtype)
    depth, confidence = np.empty((height, width), np.float32), np.empty((height, width), np.float32)

    def keep(t: int, y: int, x: int, fused: Fused) -> None:
        rows, columns = fused.depth.shape
        at = (slice(y, y + rows), slice(x, x + columns))
        image[:, *at], depth[at], confidence[at] = fused.image, fused.depth, fused.confidence

    run_jobs([job], [keep], Progress())
    return Fused(image if "c" in opened.axes else image[0], depth, confidence)


def _unlimited(method: Method) -> int | None:
    """Return what in-memory stacks get: their like again, but a network needs kilobytes a pixel."""
    return None if method.own_threads else 10**12
