"""The job: one stack with everything that is settled before its first tile.

Duty: from a config's input to planned and aligned stacks. Must not know: sinks, threads, how
tiles are folded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline._channels import EACH, Decisions
from zfuse.pipeline._plan import TilePlan, plan_tiles
from zfuse.pipeline.core import cores

if TYPE_CHECKING:
    from threading import Event

    from zfuse.pipeline._config import RunConfig
    from zfuse.pipeline.alignment import Aligned, AlignMode
    from zfuse.pipeline.core import Progress, Stack
    from zfuse.pipeline.methods import Method

__all__ = ["Job", "align_job", "align_jobs", "make_job", "open_jobs"]


@dataclass(frozen=True)
class Job:
    """One stack, its method and its tile plan.

    Attributes
    ----------
    stack, method, plan
        What, how, and in which pieces.
    decisions
        Which channels decide together.
    aligned
        How the planes were found to lie on each other, once `align_job` has looked.
    min_confidence
        Below it depth becomes NaN; None keeps it all.
    """

    stack: Stack
    method: Method
    plan: TilePlan
    decisions: Decisions
    aligned: Aligned | None = None
    min_confidence: float | None = None

    @property
    def voxels(self) -> int:
        """Voxels of the stack."""
        return int(np.prod(self.stack.shape, dtype=np.int64))


def open_jobs(
    config: RunConfig, stack: Stack | None = None, cancel: Event | None = None
) -> list[Job]:
    """Open the input, unless it is given as a stack, and plan every stack of it.

    Once `cancel` is set, their readers raise `Cancelled`.

    Raises
    ------
    ZfuseError
        The input cannot be used, the channel does not exist, the memory is too small.
    """
    from zfuse.pipeline.sources import open_stack, open_stacks

    if stack is not None:
        stacks = [stack]
    elif config.series is None:
        stacks = open_stacks(config.input, select=config.select, allow_missing=config.allow_missing)
    else:
        stacks = [
            open_stack(
                config.input,
                series=config.series,
                select=config.select,
                allow_missing=config.allow_missing,
            )
        ]

    stacks = [
        stack.calibrated(z_step=config.z_step, pixel_size=config.pixel_size).stoppable(cancel)
        for stack in stacks
    ]
    aligning = config.align in ("translation", "similarity")
    jobs = [_planned(config, stack, config.tile, aligning=aligning) for stack in stacks]
    if len(jobs) > 1:
        edge = _shared_edge(jobs)
        jobs = [_planned(config, stack, edge, aligning=aligning) for stack in stacks]
    return jobs


def _planned(config: RunConfig, stack: Stack, tile: int | None, *, aligning: bool) -> Job:
    return make_job(
        stack,
        config.method,
        channel=config.channel,
        memory=config.memory,
        workers=config.workers,
        tile=tile,
        aligning=aligning,
        min_confidence=config.min_confidence,
    )


def _shared_edge(jobs: list[Job]) -> int:
    """Return the tile edge of a collection: one sink serves one, images share the smallest."""
    edge = min(job.plan.tile for job in jobs)
    return max(64, edge // 64 * 64)


def make_job(
    stack: Stack,
    method: Method,
    *,
    channel: int | str = EACH,
    memory: int | None = None,
    workers: int | None = None,
    tile: int | None = None,
    aligning: bool = False,
    min_confidence: float | None = None,
) -> Job:
    """Plan one stack, whose planes may be resampled while they are read (`aligning`).

    Raises
    ------
    ZfuseError
        There are more planes than the method can count, the channel does not exist, the memory is
        too small, or the least confidence is no probability.
    """
    if min_confidence is not None and not 0 <= min_confidence <= 1:
        raise ZfuseError(
            f"min_confidence is {min_confidence:g}; confidence is a probability: give 0 to 1, "
            "for example 0.8"
        )
    if stack.shape[2] > method.max_planes:
        raise ZfuseError(
            f"{stack.name} has {stack.shape[2]} planes; method {method.name!r} counts up to "
            f"{method.max_planes}: split the stack"
        )
    workers = workers or cores()
    method = method.with_workers(workers)
    decisions = Decisions.of(stack, channel)
    plan = plan_tiles(
        stack,
        method,
        memory=memory,
        workers=workers,
        tile=tile,
        aligning=aligning,
        decisions=len(decisions.groups),
    )
    return Job(stack, method, plan, decisions, min_confidence=min_confidence)


def align_jobs(jobs: list[Job], config: RunConfig, progress: Progress) -> list[Job]:
    """Settle drift for all jobs; planes that are resampled while they are read need memory."""
    jobs = [align_job(job, config.align, progress) for job in jobs]
    if config.align == "auto" and any(job.aligned and job.aligned.reader for job in jobs):
        plans = [_planned(config, job.stack, config.tile, aligning=True) for job in jobs]
        if len(plans) > 1:
            edge = _shared_edge(plans)
            plans = [_planned(config, job.stack, edge, aligning=True) for job in jobs]
        jobs = [replace(job, plan=new.plan) for job, new in zip(jobs, plans, strict=True)]
    return jobs


def align_job(job: Job, align: AlignMode, progress: Progress) -> Job:
    """Find how the planes of a job lie on each other, and read them so from now on."""
    if job.stack.shape[2] == 1:
        return job
    from zfuse.pipeline.alignment import settle_drift

    begun = time.perf_counter()
    method = job.method
    aligned = settle_drift(
        job.stack,
        align,
        job.decisions.channel,
        method=method.name,
        keeps_values=method.copies_pixels or method.measures,
        copies=method.copies_pixels,
    )
    if aligned.summary:
        progress.note(f"{job.stack.name}: {aligned.summary} ({time.perf_counter() - begun:.1f} s)")
    for line in aligned.warnings:
        progress.warn(f"{job.stack.name}: {line}")
    return replace(job, stack=aligned.stack, aligned=aligned)
