"""The run: from a config to an output that is published whole or not at all.

Duty: join source, plan, tiles and sink, and end cleanly whatever happens. Must not know: file
formats, what a method computes, how progress is shown.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zfuse
from zfuse.pipeline._job import align_jobs, open_jobs
from zfuse.pipeline._tiles import run_jobs
from zfuse.pipeline.core import Progress
from zfuse.pipeline.methods import warm_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from zfuse.pipeline._config import RunConfig
    from zfuse.pipeline._job import Job
    from zfuse.pipeline.core import Fused, Stack

__all__ = ["RunSummary", "run"]


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


def run(
    config: RunConfig,
    progress: Progress | None = None,
    *,
    stack: Stack | None = None,
    cancel: Event | None = None,
    on_tile: Callable[[int, int, int, Fused], None] | None = None,
) -> RunSummary:
    """Fuse what `config` names and write it.

    Parameters
    ----------
    config
        The run.
    progress
        Told about voxels and warnings.
    stack
        Fused instead of what `config.input` names, and closed at the end.
    cancel
        A `threading.Event`: set from any thread, it stops the run within a block of planes, and
        what was begun is removed.
    on_tile
        Called with time point, top and left of each tile that was written, and the tile (its image
        has a channel axis), from any thread. A collection's images come one after another.

    Returns
    -------
    RunSummary
        What was done; `str` of it is one line.

    Raises
    ------
    ZfuseError
        One clear line; nothing was written, or what was begun is removed.
    KeyboardInterrupt, zfuse.errors.Cancelled
        Likewise.
    """
    from zfuse.pipeline.sinks import check_output, open_output

    progress = progress or Progress()
    check_output(config.output, [config.input], config.overwrite)
    jobs = open_jobs(config, stack, cancel)
    try:
        for line in _remarks(jobs):
            progress.warn(line)
        if not jobs[0].method.knows_depth:
            progress.note(
                f"method {jobs[0].method.name} decides no depth: the maps are a focus measure's"
            )
        jobs = align_jobs(jobs, config, progress)
        output = open_output(
            config.output,
            [job.stack for job in jobs],
            tile=jobs[0].plan.tile,
            each=[job.decisions.each for job in jobs],
            provenance=[_provenance(job) for job in jobs],
            overwrite=config.overwrite,
        )
        for job in jobs:
            warm_up(job.method, job.stack.only(0) if job.decisions.each else job.stack)
        begun = time.perf_counter()
        with output:
            writers = [_then(sink.write, on_tile) for sink in output.sinks]
            run_jobs(jobs, writers, progress, cancel)
    finally:
        for job in jobs:
            job.stack.reader.close()
    voxels = sum(job.voxels for job in jobs)
    return RunSummary(config.output, len(jobs), voxels, time.perf_counter() - begun)


def _then(
    write: Callable[[int, int, int, Fused], None],
    on_tile: Callable[[int, int, int, Fused], None] | None,
) -> Callable[[int, int, int, Fused], None]:
    """Return what writes a tile, and then tells of it."""
    if on_tile is None:
        return write

    def write_and_tell(t: int, y: int, x: int, fused: Fused) -> None:
        write(t, y, x, fused)
        on_tile(t, y, x, fused)

    return write_and_tell


def _remarks(jobs: list[Job]) -> Iterator[str]:
    """Yield what a person should know of the stacks before they are fused."""
    for job in jobs:
        name = job.stack.name
        for line in job.stack.warnings:
            yield line if name in line else f"{name}: {line}"
        if job.stack.shape[2] == 1:
            yield f"{name}: the one plane is copied, its confidence is 0"


def _provenance(job: Job) -> dict[str, Any]:
    """Return what an output records about its making."""
    record = job.aligned.record if job.aligned else {"align": "none"}
    pixels = job.method.pixels
    if pixels == "copied" and record.get("resampled"):
        pixels = "resampled"
    return {
        "version": zfuse.__version__,
        "method": job.method.model_dump(mode="json"),
        "source": job.stack.source,
        "planes": job.stack.shape[2],
        "decision_channel": job.decisions.described(job.stack),
        "z_step_um": job.stack.z_step,
        "pixels": pixels,
        "depth": "of the method" if job.method.knows_depth else "of a focus measure",
        "alignment": record,
        "min_confidence": job.min_confidence,
    }
