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
    from collections.abc import Iterator

    from zfuse.pipeline._config import RunConfig
    from zfuse.pipeline._job import Job

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
            run_jobs(jobs, [sink.write for sink in output.sinks], progress)
    finally:
        for job in jobs:
            job.stack.reader.close()
    voxels = sum(job.voxels for job in jobs)
    return RunSummary(config.output, len(jobs), voxels, time.perf_counter() - begun)


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
