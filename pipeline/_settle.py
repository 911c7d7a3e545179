"""One image settled once, so that any process can fuse any tile of it.

Duty: from a member of the input to everything that must be the same for all of its tiles (plan,
alignment, calibrations), as a small value that can be sent; and back to a job that reads. Must not
know: who fuses which tile, what is recorded of it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

import zfuse
from zfuse.errors import ZfuseError
from zfuse.pipeline._identity import member_source
from zfuse.pipeline._job import Job, lay_job, plan_job
from zfuse.pipeline._tiles import fuse_tile
from zfuse.pipeline.core import Progress, release_free_memory
from zfuse.pipeline.sources import NoStackError, open_member

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from zfuse.pipeline._config import RunConfig
    from zfuse.pipeline._report import Report
    from zfuse.pipeline.core import Region, Stack
    from zfuse.pipeline.sinks import Files, Place, Sink
    from zfuse.pipeline.sources import Collection, Member

__all__ = [
    "LeftOutError",
    "Settled",
    "fuse_one",
    "open_image",
    "open_settled",
    "open_sink",
    "provenance",
    "settle",
]


class LeftOutError(ZfuseError):
    """An image of several that cannot be opened, where those may be left out."""


@dataclass(frozen=True)
class Settled:
    """One image with all that is the same for its tiles; picklable, some kilobytes.

    Attributes
    ----------
    member
        Which image.
    job
        Plan, decisions, method and alignment, without pixels.
    calibrations
        Of the method: for each time point, one a decision.
    provenance
        What the output records about its making.
    source
        What of the source it was made from.
    """

    member: Member
    job: Job
    calibrations: Sequence[Sequence[Any]]
    provenance: Mapping[str, Any]
    source: Mapping[str, Any]

    def tiles(self) -> Iterator[tuple[int, Region]]:
        """Yield time point and region of every tile."""
        for t in range(self.job.stack.shape[0]):
            for tile in self.job.plan.tiles():
                yield t, tile


def open_image(
    config: RunConfig,
    member: Member,
    collection: Collection | None = None,
    cancel: Event | None = None,
) -> Stack:
    """Open one image, with the calibration that was given by hand.

    Parameters
    ----------
    config
        The run.
    member
        Which image of its input.
    collection
        The input, if it is at hand: then nothing is listed again.
    cancel
        Set from any thread, it stops reading.

    Raises
    ------
    zfuse.pipeline.sources.NoStackError
        It is whole, but no stack.
    LeftOutError
        It cannot be used, and the config says that such ones are left out.
    ZfuseError
        It cannot be used.
    """
    try:
        if collection is not None:
            stack = collection.open(member)
        else:
            stack = open_member(
                config.input, member, select=config.select, allow_missing=config.allow_missing
            )
    except NoStackError:
        raise
    except ZfuseError as error:
        if config.allow_missing and member.target:
            raise LeftOutError(str(error)) from error
        raise
    stack = stack.calibrated(z_step=config.z_step, pixel_size=config.pixel_size)
    return stack.stoppable(cancel)


def settle(
    config: RunConfig,
    member: Member,
    *,
    collection: Collection | None = None,
    tile: int | None = None,
    progress: Progress | None = None,
    cancel: Event | None = None,
) -> Settled:
    """Settle one image, and close it again.

    Parameters
    ----------
    config
        The run.
    member
        Which image of its input.
    collection
        The input, if it is at hand.
    tile
        Edge of a tile, if an earlier attempt has chosen it.
    progress
        Told what was found and what is in doubt.
    cancel
        Set from any thread, it stops reading.

    Raises
    ------
    ZfuseError
        See `open_image` and `zfuse.pipeline.make_job`.
    """
    stack = open_image(config, member, collection, cancel)
    try:
        source = member_source(stack)
        job = plan_job(config, stack, tile=tile)
        job = lay_job(job, config, progress or Progress(), tile=tile)
        calibrations = [
            job.decisions.calibrate(job.method, job.stack, t) for t in range(stack.shape[0])
        ]
    finally:
        stack.reader.close()
    return Settled(member, job.without_pixels(), calibrations, provenance(job), source)


def open_settled(
    config: RunConfig,
    settled: Settled,
    *,
    collection: Collection | None = None,
    cancel: Event | None = None,
) -> Job:
    """Open the source of a settled image again, in any process.

    Parameters
    ----------
    config
        The run.
    settled
        The image.
    collection
        The input, if it is at hand.
    cancel
        Set from any thread, it stops reading.

    Returns
    -------
    Job
        Its reader is open; whoever asked for it closes it.

    Raises
    ------
    ZfuseError
        It cannot be opened, or is not what it was when it was settled.
    """
    stack = open_image(config, settled.member, collection, cancel)
    if said := changes(settled.source, member_source(stack)):
        stack.reader.close()
        raise ZfuseError(f"{stack.source} changed while it was fused: {said}; begin again")
    return settled.job.reading(stack.reader)


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say which values of a source are others than before; "" if none."""
    return "; ".join(
        f"{key} {before.get(key)}, now {now.get(key)}"
        for key in {**before, **now}
        if before.get(key) != now.get(key)
    )


def open_sink(place: Place, settled: Settled, *, begin: bool, again: bool = False) -> Sink:
    """Open the output of a settled image, in any process.

    Parameters
    ----------
    place
        Where the output is made.
    settled
        The image.
    begin
        Make its arrays, and remove what lies there; one process does. The others only add tiles.
    again
        Then leave what lies there: an earlier attempt made a part of it.

    Raises
    ------
    ZfuseError
        The disk refuses.
    """
    if begin and not again:
        place.remove(settled.member.target)
    return place.sink(
        settled.member.target, settled.job.stack, tile=settled.job.plan.tile,
        each=settled.job.decisions.each, provenance=settled.provenance, make=begin, again=True,
    )  # fmt: skip


def fuse_one(
    job: Job,
    settled: Settled,
    t: int,
    tile: Region,
    sink: Sink,
    *,
    pool: Executor | None = None,
    cancel: Event | None = None,
    report: Report | None = None,
) -> Files:
    """Fuse one tile and write it.

    Parameters
    ----------
    job
        The settled image, open.
    settled
        The same, with its calibrations.
    t, tile
        Time point and tile.
    sink
        Its output, open.
    pool
        Threads that fold; by default as many as the plan says, for this tile.
    cancel
        Set from any thread, it stops the tile at its next block.
    report
        Told what was done.

    Returns
    -------
    dict
        The tile's files by their path relative to the image: bytes and CRC-32C.

    Raises
    ------
    zfuse.errors.Cancelled
        `cancel` was set.
    ZfuseError
        The source cannot be read, or the disk refuses.
    """
    own = None
    if pool is None:
        pool = own = ThreadPoolExecutor(job.plan.workers, thread_name_prefix="zfuse-fold")
    try:
        with report.stage("fold") if report else nullcontext():
            fused = fuse_tile(
                job, settled.calibrations[t], t, tile, pool, cancel=cancel or Event(),
                advance=lambda _: None,
            )  # fmt: skip
    finally:
        if own is not None:
            own.shutdown()
    with report.stage("write") if report else nullcontext():
        files = sink.write(t, tile.core[0].start, tile.core[1].start, fused)
    if report:
        _, channels, planes, *_ = job.stack.shape
        n_bytes = sum(size for size, _ in files.values())
        report.tile(channels * planes * tile.shape[0] * tile.shape[1], n_bytes)
    del fused
    release_free_memory()
    return files


def provenance(job: Job) -> dict[str, Any]:
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
