"""The run: from a config to an output that is published whole or not at all.

Duty: join source, plan, tiles and sink, one image after another, and end cleanly whatever happens.
Must not know: file formats, what a method computes, how progress is shown.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import zfuse
from zfuse.errors import ZfuseError
from zfuse.pipeline._course import Course, narrowed
from zfuse.pipeline._identity import member_source, run_identity
from zfuse.pipeline._job import lay_job, plan_job
from zfuse.pipeline._report import Report
from zfuse.pipeline._settle import open_image, provenance
from zfuse.pipeline._tiles import run_job
from zfuse.pipeline.core import Progress
from zfuse.pipeline.methods import warm_up

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event

    from zfuse.pipeline._config import RunConfig
    from zfuse.pipeline.core import Fused, Stack
    from zfuse.pipeline.sources import Collection, Member

    Runner: TypeAlias = Callable[[Course], None]

__all__ = ["RunSummary", "run", "run_locally"]

_LONG = 60.0  # seconds after which a run of one image leaves a report


@dataclass(frozen=True)
class RunSummary:
    """What a run did: where it wrote, how many images and voxels, how many seconds.

    The seconds do without opening the first image and compiling kernels.

    Attributes
    ----------
    failed
        Reasons, by the path of each image of several that could not be fused.
    details
        More lines for people.
    """

    output: str
    images: int
    voxels: int
    seconds: float
    failed: Mapping[str, str] = field(default_factory=dict)
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        images = f"{self.images} images, " if self.images > 1 else ""
        rate = self.voxels / max(self.seconds, 1e-9) / 1e6
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
    runner: Runner | None = None,
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
    runner
        Does the tiles; by default the workers of `config.cluster`, or the threads of this process.

    Returns
    -------
    RunSummary
        What was done; `str` of it is one line. Images of several that failed are listed in it.

    Raises
    ------
    ZfuseError
        One clear line; nothing was written, or what was begun is removed. But what an OME-Zarr run
        of more than a minute has finished stays beside the output: a note on the error says so, and
        ``resume`` goes on with it.
    KeyboardInterrupt, zfuse.errors.Cancelled
        Likewise; after `Cancelled` nothing stays.
    """
    from zfuse.pipeline.sinks import check_output, open_output
    from zfuse.pipeline.sources import open_collection

    progress = progress or Progress()
    runner = runner or _runner(config, stack)
    try:
        check_output(config.output, [config.input], config.overwrite, resume=config.resume)
    except ZfuseError:
        if config.resume and _is_complete(config):
            progress.note(f"{config.output} is complete: there is nothing to do")
            return RunSummary(config.output, 0, 0, 0.0)
        raise
    report = Report()
    with report.stage("open"):
        if stack is not None:
            collection = cast("Collection", _Given(stack))
        else:
            collection = open_collection(
                config.input,
                series=config.series,
                select=config.select,
                allow_missing=config.allow_missing,
            )
        for line in collection.warnings:
            progress.warn(line)
        members = narrowed(config, collection, progress)
    identity = run_identity(config, collection)
    output = open_output(
        config.output,
        [member.target for member in members],
        layout=collection.plate,
        overwrite=config.overwrite,
        resume=config.resume,
        identity=identity,
        provenance={"version": zfuse.__version__, "source": config.input},
        version=config.ome_zarr,
    )
    with output:
        course = Course(config, collection, members, output, report, progress, cancel, on_tile)
        if output.resumed:
            progress.note(f"going on with what is finished of {config.output}" + _torn(output.torn))
        if not output.published:
            runner(course)
            if not report.images + report.kept["images"]:
                raise _nothing(course)
    details: tuple[str, ...] = ()
    # One small picture is one line, and nothing lies beside it.
    if config.report or config.resume or not course.single or report.seconds > _LONG:
        details = tuple(report.lines())
        _write_report(config, identity, report, progress)
    return RunSummary(
        config.output, report.images, report.voxels, report.seconds, report.failed, details
    )


def _runner(config: RunConfig, stack: Stack | None) -> Runner:
    """Return who does the tiles, as the config says."""
    if config.cluster is None:
        return run_locally
    if stack is not None:
        raise ZfuseError(
            "a stack in memory cannot be fused on a cluster, whose workers read it themselves; "
            "write it to disk, or leave out cluster"
        )
    # The only step upwards in the order of imports: who needs no cluster imports none of it.
    runner: Runner = import_module("zfuse.pipeline.cluster").cluster_runner(config)
    return runner


def run_locally(course: Course) -> None:
    """Fuse every image of a course with the threads of this process, one after another.

    Raises
    ------
    ZfuseError
        The only image failed, or the output's disk refuses.
    """
    for member in course.todo():
        try:
            _fuse_member(course, member)
        except ZfuseError as error:
            course.fail(member, error)


def _fuse_member(course: Course, member: Member) -> None:
    config, output, report = course.config, course.output, course.report
    with report.stage("open"):
        stack = open_image(config, member, course.collection, course.cancel)
    try:
        source = member_source(stack)
        course.check_source(member, source)
        edge = course.tile(member)
        job = plan_job(config, stack, tile=edge)
        course.opened(stack)
        with report.stage("align"):
            job = lay_job(job, config, course.progress, tile=edge)
        state = output.state(member.target)
        output.check(member.target, job.stack, each=job.decisions.each)
        warm_up(job.method, job.stack.only(0) if job.decisions.each else job.stack)
        sink = output.begin(
            member.target,
            job.stack,
            tile=job.plan.tile,
            each=job.decisions.each,
            provenance=provenance(job),
            source=source,
        )
        course.begun(job)

        def write(t: int, y: int, x: int, fused: Fused) -> None:
            files = sink.write(t, y, x, fused)
            output.wrote(member.target, t, y, x, files)
            _, channels, planes, *_ = job.stack.shape
            n_bytes = sum(size for size, _ in files.values())
            report.tile(channels * planes * fused.image[0].size, n_bytes)
            if course.on_tile is not None:
                course.on_tile(t, y, x, fused)

        run_job(
            job, write, course.progress, course.cancel, has=state.has if state.tile else None,
            clock=report.add,
        )  # fmt: skip
        report.kept["tiles"] += state.done.count(1)
        with report.stage("write"):
            output.end(member.target)
        report.images += 1
    finally:
        stack.reader.close()


class _Given:
    """The collection of one stack that is open."""

    kind = "image"
    plate, warnings = None, ()

    def __init__(self, stack: Stack) -> None:
        from zfuse.pipeline.sources import Member

        self._stack = stack
        self.place = stack.source
        self.members = [Member("")]

    def open(self, member: Member) -> Stack:
        """Return the stack."""
        return self._stack


def _nothing(course: Course) -> ZfuseError:
    """Return what is said of a run of several images that made none."""
    error = course.first_error
    if error is None:
        return ZfuseError(f"{course.config.input}: there is nothing to fuse")
    failed = len(course.report.failed)
    if not failed:
        return error
    return type(error)(f"all {failed} images failed, the first one so: {error}")


def _torn(count: int) -> str:
    return f"; {count} parts of it are torn, and are made again" if count else ""


def _report_path(config: RunConfig) -> Path:
    return Path(config.report or f"{config.output}.report.json")


def _is_complete(config: RunConfig) -> bool:
    """Whether the output is what a run of this config has published, as its report says."""
    from zfuse.pipeline.core import staging_folder
    from zfuse.pipeline.sources import open_collection

    if not Path(config.output).exists() or staging_folder(config.output).exists():
        return False
    try:
        said = json.loads(_report_path(config).read_text(encoding="utf-8"))["identity"]
    except (OSError, ValueError, LookupError, TypeError):
        return False
    collection = open_collection(
        config.input,
        series=config.series,
        select=config.select,
        allow_missing=config.allow_missing,
    )
    return bool(said == _hash(run_identity(config, collection)))


def _hash(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _write_report(
    config: RunConfig,
    identity: Mapping[str, Any],
    report: Report,
    progress: Progress,
) -> None:
    """Write the report beside the output, or where it is wanted."""
    more = {
        "output": config.output,
        "input": config.input,
        "version": zfuse.__version__,
        "identity": _hash(identity),
    }
    try:
        report.write(_report_path(config), more)
    except OSError as error:  # the output stands
        progress.warn(f"the report could not be written: {error}")
