"""The course of a run: which images are still to do, and what becomes of those that fail.

Duty: everything that whoever does the tiles has to ask or tell, be it this process or many. Must
not know: how tiles are done, by whom.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from zfuse.errors import ZfuseError
from zfuse.pipeline._identity import source_files
from zfuse.pipeline._settle import LeftOutError, changes
from zfuse.pipeline.core import OutputError, output_kind
from zfuse.pipeline.sources import NoStackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from threading import Event
    from typing import Any

    from zfuse.pipeline._config import RunConfig
    from zfuse.pipeline._job import Job
    from zfuse.pipeline._report import Report
    from zfuse.pipeline.core import Fused, Progress, Stack
    from zfuse.pipeline.sinks import Output
    from zfuse.pipeline.sources import Collection, Member

__all__ = ["Course", "narrowed"]


class Course:
    """One run that is going on.

    Attributes
    ----------
    config, collection, output
        What is asked for, from where, to where.
    members
        The images, in order; that of a single one has the target ``""``.
    progress
        Told about voxels, notes and warnings.
    cancel
        Set from any thread, it stops the run; None: nothing does.
    on_tile
        Called with each tile that this process wrote.
    report
        What was done.
    """

    def __init__(
        self,
        config: RunConfig,
        collection: Collection,
        members: Sequence[Member],
        output: Output,
        report: Report,
        progress: Progress,
        cancel: Event | None = None,
        on_tile: Callable[[int, int, int, Fused], None] | None = None,
    ) -> None:
        self.config, self.collection, self.members = config, collection, members
        self.output, self.report, self.progress = output, report, progress
        self.cancel, self.on_tile = cancel, on_tile
        self.first_error: ZfuseError | None = None
        self._left = len(members)  # images whose voxels nobody has counted
        self._voxels = self._told = 0
        self._said: set[str] = set()

    @property
    def single(self) -> bool:
        """Whether the output is one image."""
        return [member.target for member in self.members] == [""]

    def todo(self) -> Iterator[Member]:
        """Yield every image that is not there yet.

        Raises
        ------
        ZfuseError
            The source of one that is there has changed.
        """
        for member in self.members:
            state = self.output.state(member.target)
            if not state.ended:
                yield member
                continue
            source = state.source or {}
            if source_files(str(source.get("source"))) != source.get("metadata files"):
                raise ZfuseError(_changed(source.get("source"), "its metadata files are others"))
            self.output.kept(member.target)
            self.report.kept["images"] += 1
            self.report.kept["tiles"] += len(state.done)
            self._left -= 1

    def tile(self, member: Member) -> int | None:
        """Return the edge of the tiles that an earlier attempt chose for an image."""
        return self.output.state(member.target).tile

    def check_source(self, member: Member, source: Mapping[str, Any]) -> None:
        """Refuse to go on with an image whose source has changed.

        Raises
        ------
        ZfuseError
            It has; the line says what.
        """
        before = self.output.state(member.target).source
        if before is not None and (said := changes(before, source)):
            raise ZfuseError(_changed(source.get("source"), said))

    def opened(self, stack: Stack) -> None:
        """Pass on what a person should know of a stack before it is fused."""
        for line in _remarks(stack):
            general = line.replace(stack.name, "").replace(stack.source, "")
            if general not in self._said:  # a plate's images have the same to say
                self._said.add(general)
                self.progress.warn(line)

    def begun(self, job: Job) -> None:
        """Count an image that is begun: others are taken to be as large until they are opened."""
        if not self._voxels and not job.method.knows_depth:
            self.progress.note(
                f"method {job.method.name} decides no depth: the maps are a focus measure's"
            )
        self._voxels += job.voxels
        self._left -= 1
        total = self._voxels + self._left * job.voxels
        if total != self._told:
            self.progress.start(total)
            self._told = total
        self.report.begin()

    def fail(self, member: Member, error: ZfuseError) -> None:
        """Go on without an image, if there are others.

        Raises
        ------
        ZfuseError
            The same: there is no other image, or none would fare better.
        """
        if self.single or isinstance(error, OutputError):
            raise error
        self.first_error = self.first_error or error
        if isinstance(error, NoStackError | LeftOutError):
            self.progress.warn(f"left out: {error}")
            return
        self.output.failed(member.target, str(error))
        self.report.failed[member.path] = str(error)
        self.progress.warn(f"{member} failed: {error}")


def narrowed(config: RunConfig, collection: Collection, progress: Progress) -> Sequence[Member]:
    """Return the members that a run takes; one alone becomes a single image.

    A slide's overview pictures do not make a collection of its one stack. As soon as there are two
    stacks nothing more is opened.

    Raises
    ------
    ZfuseError
        There is no stack.
    """
    members = collection.members
    if (
        collection.kind == "plate"
        and len(members) == 1
        and output_kind(config.output) != "ome-zarr"
    ):
        return [replace(members[0], target="")]  # a file holds one image
    if collection.kind != "images":
        return members
    found: list[Member] = []
    refused: list[ZfuseError] = []
    for member in members:
        try:
            collection.open(member).reader.close()
        except NoStackError as error:
            refused.append(error)
            continue
        except ZfuseError as error:
            if config.allow_missing:
                refused.append(error)
                continue
        found.append(member)
        if len(found) == 2:
            return members
    if not found:
        raise refused[0] if refused else ZfuseError(f"{collection.place} holds no stack")
    for refusal in refused:
        progress.warn(f"left out: {refusal}")
    return [replace(found[0], target="")]


def _changed(source: Any, said: str) -> str:
    return (
        f"cannot resume: {source} has changed since the interrupted run ({said}); restore it, or "
        "begin again with --overwrite"
    )


def _remarks(stack: Stack) -> Iterator[str]:
    for line in stack.warnings:
        yield line if stack.name in line else f"{stack.name}: {line}"
    if stack.shape[2] == 1:
        yield f"{stack.name}: the one plane is copied, its confidence is 0"
