"""The job: one stack with everything that is settled before its first tile.

Duty: from a stack and a config to a plan and an alignment, with the pixels at hand or without, so
that it can be given to another process. Must not know: sinks, threads, how tiles are folded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline._channels import EACH, Decisions
from zfuse.pipeline._plan import TilePlan, plan_tiles
from zfuse.pipeline.core import NoPixels, cores

if TYPE_CHECKING:
    from zfuse.pipeline._config import RunConfig
    from zfuse.pipeline.alignment import Aligned, AlignMode
    from zfuse.pipeline.core import PlaneReader, Progress, Stack
    from zfuse.pipeline.methods import Method

__all__ = ["Job", "align_job", "lay_job", "make_job", "plan_job"]


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

    def reading(self, reader: PlaneReader) -> Job:
        """Return the same job of the same planes, read by another reader."""
        if self.aligned is None:
            return replace(self, stack=replace(self.stack, reader=reader))
        aligned = self.aligned.reading(reader)
        return replace(self, stack=aligned.stack, aligned=aligned)

    def without_pixels(self) -> Job:
        """Return what can be given to another process, which adds a reader of its own."""
        reader = self.stack.reader
        return self.reading(NoPixels(reader.shape, reader.dtype, reader.chunk))


def plan_job(config: RunConfig, stack: Stack, *, tile: int | None = None) -> Job:
    """Plan a stack as a config says.

    Parameters
    ----------
    config
        The run.
    stack
        One image of it.
    tile
        Edge of a tile, if an earlier attempt has chosen it.

    Raises
    ------
    ZfuseError
        See `make_job`.
    """
    aligning = config.align in ("translation", "similarity")
    return _planned(config, stack, tile or config.tile, aligning=aligning)


def lay_job(job: Job, config: RunConfig, progress: Progress, *, tile: int | None = None) -> Job:
    """Settle drift; planes that are resampled while they are read need memory."""
    job = align_job(job, config.align, progress)
    if config.align == "auto" and job.aligned and job.aligned.reader:
        new = _planned(config, job.stack, tile or config.tile, aligning=True)
        job = replace(job, plan=new.plan)
    return job


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
