"""A run whose tiles other processes fuse: who gets what next, and what becomes of what they tell.

Duty: order of images and tiles, size of tasks, and that only this process records. Must not know:
how workers are started, how a tile is fused, file formats.

The first image is settled alone, and its kernels compiled, so that a thousand workers do not all
compile them at once. Of several images a task fuses all of one, as long as that has few tiles. The
tiles of a large one are tasks of their own, several each where they take less than a second.
"""

from __future__ import annotations

import pickle
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError
from zfuse.pipeline.cluster._waves import Task, in_waves
from zfuse.pipeline.cluster._worker import Done, fuse_image, fuse_tiles, settle_image
from zfuse.pipeline.core import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed import Client

    from zfuse.pipeline._course import Course
    from zfuse.pipeline._settle import Settled
    from zfuse.pipeline.core import Region
    from zfuse.pipeline.sinks import Sink
    from zfuse.pipeline.sources import Member

__all__ = ["ClusterRunner"]

_AHEAD = 3  # tasks for each worker: one it does, one that waits there, one on its way
_FEW = 64  # tiles of an image that one task fuses: a worker that dies loses minutes at most
_SECOND = 1.0  # a task should last: what Dask takes for one, 5 ms, is then next to nothing
_MOST = 64  # tiles of a task


@dataclass
class _Spread:
    """An image whose tiles are tasks of their own."""

    member: Member
    settled: Settled
    packed: bytes
    sink: Sink
    todo: Iterator[tuple[int, Region]]
    flying: int = 0
    more: bool = True
    error: ZfuseError | None = None

    def take(self, count: int) -> list[tuple[int, Region]]:
        tiles = [] if self.error else list(islice(self.todo, count))
        self.more = len(tiles) == count
        return tiles


class ClusterRunner:
    """One course on one cluster.

    Parameters
    ----------
    course
        The run.
    client
        Of the scheduler.
    order
        A packed `Order`.
    workers
        Says how many workers there are, or will be.
    retries, resources
        See `in_waves`.
    """

    def __init__(
        self,
        course: Course,
        client: Client,
        order: bytes,
        *,
        workers: Callable[[], int],
        retries: int,
        resources: dict[str, float] | None = None,
    ) -> None:
        self._course, self._client, self._order = course, client, order
        self._workers, self._retries, self._resources = workers, retries, resources
        self._members = iter(course.todo())
        self._spread: deque[_Spread] = deque()
        self._flying = 0
        self._first = True  # no image was settled yet
        self._seconds = 0.0  # that a tile took on average, lately

    def run(self) -> None:
        """Fuse every image that is to do.

        Raises
        ------
        ZfuseError
            The only image failed, the output's disk refuses, or the scheduler is gone.
        Cancelled
            The run was cancelled.
        """
        outcomes = in_waves(
            self._client, self._more, retries=self._retries, resources=self._resources,
            cancel=self._course.cancel,
        )  # fmt: skip
        with closing(outcomes):
            for task, outcome in outcomes:
                self._flying -= 1
                self._is_back(task.about, outcome)

    def _is_back(self, about: tuple[Member, _Spread | None], outcome: Any) -> None:
        member, spread = about
        if spread is not None:
            self._tiles_are_back(spread, outcome)
            return
        try:
            self._image_is_back(member, outcome)
        except ZfuseError as error:
            self._course.fail(member, error)

    def _more(self) -> Iterator[Task]:
        """Yield what the scheduler should have now: tiles of what is begun, then more images."""
        room = _AHEAD * max(1, self._workers())
        while self._flying < room:
            task = self._next()
            if task is None:
                return
            self._flying += 1
            yield task

    def _next(self) -> Task | None:
        while self._spread:
            spread = self._spread[0]
            if tiles := spread.take(self._count()):
                spread.flying += 1
                work = (self._order, spread.member.target, spread.packed, tiles)
                return Task("tile", fuse_tiles, work, (spread.member, spread))
            self._spread.popleft()
            self._maybe_end(spread)
        if self._first and self._flying:
            return None
        member = next(self._members, None)
        if member is None:
            return None
        edge = self._course.tile(member)
        if self._first or self._course.single:
            return Task("settle", settle_image, (self._order, member, edge), (member, None))
        state = self._course.output.state(member.target)
        has = bytes(state.done) if state.tile else None
        given = (self._order, member, edge, has, _FEW)
        return Task("image", fuse_image, given, (member, None))

    def _count(self) -> int:
        """Return how many tiles make a task."""
        return max(1, min(_MOST, int(_SECOND / self._seconds))) if self._seconds else 1

    def _image_is_back(self, member: Member, outcome: Any) -> None:
        done = self._checked(outcome)
        settled, course = done.settled, self._course
        assert settled is not None
        self._first = False
        course.check_source(member, settled.source)
        course.opened(settled.job.stack)
        job, state = settled.job, course.output.state(member.target)
        image: dict[str, Any] = {"each": job.decisions.each}
        if done.ended is None:
            sink = course.output.begin(
                member.target, job.stack, tile=job.plan.tile, provenance=settled.provenance,
                source=settled.source, **image,
            )  # fmt: skip
            course.begun(job)
            todo = self._todo(settled, state.has if state.tile else None)
            self._spread.append(_Spread(member, settled, pickle.dumps(settled), sink, todo))
        else:
            course.output.check(member.target, job.stack, **image)
            course.output.began(member.target, job.stack, job.plan.tile, settled.source, made=True)
            course.begun(job)
            self._count_tiles(member, settled, done)
            course.output.ended(member.target, done.ended)
            course.report.images += 1
        course.report.kept["tiles"] += state.done.count(1)

    def _todo(
        self, settled: Settled, has: Callable[[int, int, int], bool] | None
    ) -> Iterator[tuple[int, Region]]:
        """Yield the tiles that are not there, and count those that are."""
        for t, tile in settled.tiles():
            if has is not None and has(t, tile.core[0].start, tile.core[1].start):
                self._course.progress.advance(_voxels(settled, tile))
            else:
                yield t, tile

    def _tiles_are_back(self, spread: _Spread, outcome: Any) -> None:
        spread.flying -= 1
        try:
            done = self._checked(outcome)
        except OutputError:
            raise
        except ZfuseError as error:
            spread.error = spread.error or error
        else:
            if spread.error is None:
                self._count_tiles(spread.member, spread.settled, done)
            took = done.seconds / len(done.tiles)
            self._seconds = took if not self._seconds else 0.8 * self._seconds + 0.2 * took
        self._maybe_end(spread)

    def _count_tiles(self, member: Member, settled: Settled, done: Done) -> None:
        course, image = self._course, settled.job.stack
        for t, y, x, files in done.tiles:
            course.output.wrote(member.target, t, y, x, files)
            edge = settled.job.plan.tile
            area = min(edge, image.shape[3] - y) * min(edge, image.shape[4] - x)
            voxels = area * image.shape[1] * image.shape[2]
            course.report.tile(voxels, sum(size for size, _ in files.values()))
            course.progress.advance(voxels)

    def _maybe_end(self, spread: _Spread) -> None:
        """End an image that has no tile left, nor one in flight: nobody writes into it any more."""
        if spread.flying or (spread.more and spread.error is None):
            return
        if spread in self._spread:
            self._spread.remove(spread)
        course, spread.flying = self._course, -1
        try:
            if spread.error is not None:
                raise spread.error
            spread.sink.known()
            with course.report.stage("write"):
                course.output.end(spread.member.target)
            course.report.images += 1
        except ZfuseError as error:
            course.fail(spread.member, error)

    def _checked(self, outcome: Any) -> Done:
        """Pass on what a task has to say, and raise its error."""
        if isinstance(outcome, BaseException):
            raise outcome
        done: Done = outcome
        for kind, line in done.lines:
            (self._course.progress.note if kind == "note" else self._course.progress.warn)(line)
        self._course.report.add(done.stages)
        return done


def _voxels(settled: Settled, tile: Region) -> int:
    _, channels, planes, *_ = settled.job.stack.shape
    return channels * planes * tile.shape[0] * tile.shape[1]
