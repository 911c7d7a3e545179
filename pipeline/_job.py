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
    from zfuse.pipeline._config import RunConfig
    from zfuse.pipeline.alignment import Aligned, AlignMode
    from zfuse.pipeline.core import Progress, Stack
    from zfuse.pipeline.methods import Method

__all__ = ["Job", "align_job", "make_job", "open_jobs"]


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

    def planned(tile: int | None) -> list[Job]:
        return [
            make_job(
                stack.calibrated(z_step=config.z_step, pixel_size=config.pixel_size),
                config.method,
                channel=config.channel,
                memory=config.memory,
                workers=config.workers,
                tile=tile,
                align=config.align,
                min_confidence=config.min_confidence,
            )
            for stack in stacks
        ]

    jobs = planned(config.tile)
    if len(jobs) > 1:  # one sink serves one tile edge: images of a collection share the smallest
        edge = min(job.plan.tile for job in jobs)
        jobs = planned(max(64, edge // 64 * 64))
    return jobs


def make_job(
    stack: Stack,
    method: Method,
    *,
    channel: int | str = EACH,
    memory: int | None = None,
    workers: int | None = None,
    tile: int | None = None,
    align: AlignMode = "none",
    min_confidence: float | None = None,
) -> Job:
    """Plan one stack; `align_job` comes afterwards.

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
        aligning=align != "none",
        decisions=len(decisions.groups),
    )
    return Job(stack, method, plan, decisions, min_confidence=min_confidence)


def align_job(job: Job, align: AlignMode, progress: Progress) -> Job:
    """Find how the planes of a job lie on each other, and read them so from now on."""
    if align == "none" or job.stack.shape[2] == 1:
        return job
    from zfuse.pipeline.alignment import align_stack

    begun = time.perf_counter()
    aligned = align_stack(job.stack, align, job.decisions.channel, copies=job.method.copies_pixels)
    progress.note(f"{job.stack.name}: {aligned.summary} ({time.perf_counter() - begun:.1f} s)")
    for line in aligned.warnings:
        progress.warn(f"{job.stack.name}: {line}")
    return replace(job, stack=aligned.stack, aligned=aligned)
