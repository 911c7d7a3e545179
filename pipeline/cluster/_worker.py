"""What a worker does: settle an image, fuse tiles of one, or all of a small one.

Duty: the functions that tasks call, and what a process keeps open between them. Must not know:
Dask, how tasks are handed out, what is recorded.

What is fused is written by the worker, and only told of. A worker does one task at a time, however
many threads Dask gave it: a task's memory is the run's whole allowance.
"""

from __future__ import annotations

import pickle
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import TYPE_CHECKING

from zfuse.pipeline._report import Report
from zfuse.pipeline._settle import (
    LeftOutError,
    Settled,
    fuse_one,
    open_settled,
    open_sink,
    settle,
)
from zfuse.pipeline.core import OutputError, Progress, limit_cores
from zfuse.pipeline.methods import warm_up
from zfuse.pipeline.sources import NoStackError, open_collection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zfuse.errors import ZfuseError
    from zfuse.pipeline._config import RunConfig
    from zfuse.pipeline._job import Job
    from zfuse.pipeline.core import Region
    from zfuse.pipeline.sinks import Files, Place, Sink
    from zfuse.pipeline.sources import Collection, Member

__all__ = ["Done", "Order", "fuse_image", "fuse_tiles", "halt", "settle_image"]

_OPEN_IMAGES = 2  # that a worker keeps open: neighbouring tiles come one after another
_FINAL = (OutputError, NoStackError, LeftOutError)
"""Errors that another attempt does not mend: returned, as Dask tries again whatever is raised."""


@dataclass(frozen=True)
class Order:
    """What every task of a run needs.

    Attributes
    ----------
    run
        Name of the run, which no other run has.
    config
        Its settings; `workers` are the threads of one worker.
    place
        Where the output is made.
    """

    run: str
    config: RunConfig
    place: Place

    def packed(self) -> bytes:
        """Return it as every task carries it."""
        return pickle.dumps(self)


@dataclass
class Done:
    """What a task tells of what it wrote.

    Attributes
    ----------
    tiles
        Time point, top, left and files of each tile.
    settled
        The image, if this task settled it.
    ended
        The files of its metadata, if this task ended it.
    stages
        Seconds by stage.
    lines
        Kind (``note``, ``warn``) and text, for people.
    seconds
        How long all of it took.
    """

    tiles: list[tuple[int, int, int, Files]] = field(default_factory=list)
    settled: Settled | None = None
    ended: Files | None = None
    stages: dict[str, float] = field(default_factory=dict)
    lines: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0


def settle_image(order: bytes, member: Member, edge: int | None) -> Done | ZfuseError:
    """Settle one image, and have the kernels compiled: other workers then find them.

    Parameters
    ----------
    order
        A packed `Order`.
    member
        Which image.
    edge
        Of its tiles, if an earlier attempt has chosen it.

    Returns
    -------
    Done or ZfuseError
        The error if another attempt would not mend it.

    Raises
    ------
    ZfuseError
        The image cannot be used; another attempt may find it better.
    """

    def work(here: _Here, done: Done) -> None:
        done.settled = settled = here.settle(member, edge, done)
        job, each = settled.job, settled.job.decisions.each
        warm_up(job.method, job.stack.only(0) if each else job.stack)

    return _do(order, work)


def fuse_tiles(
    order: bytes, name: str, image: bytes, tiles: Sequence[tuple[int, Region]]
) -> Done | ZfuseError:
    """Fuse tiles of an image whose arrays are made.

    Parameters
    ----------
    order
        A packed `Order`.
    name
        Of the image in the output.
    image
        A pickled `Settled`.
    tiles
        Time points and regions.
    """

    def work(here: _Here, done: Done) -> None:
        settled, job, sink = here.opened(name, image)
        here.fuse(settled, job, sink, tiles, done)

    return _do(order, work)


def fuse_image(
    order: bytes, member: Member, edge: int | None, has: bytes | None, at_most: int
) -> Done | ZfuseError:
    """Fuse all of one image, unless it is found to have too many tiles: then it is settled only.

    Parameters
    ----------
    order
        A packed `Order`.
    member
        Which image.
    edge
        Of its tiles, if an earlier attempt has chosen it.
    has
        One byte a tile: 1 if an earlier attempt has left it whole.
    at_most
        Tiles.
    """

    def work(here: _Here, done: Done) -> None:
        done.settled = settled = here.settle(member, edge, done)
        todo = list(settled.tiles())
        if len(todo) > at_most:
            return
        if has:
            todo = [tile for tile, there in zip(todo, has, strict=True) if not there]
        job = here.job(settled)
        try:
            sink = open_sink(here.order.place, settled, begin=True, again=bool(has))
            here.fuse(settled, job, sink, todo, done)
            sink.known()
            sink.stop()
            done.ended = sink.finish()
        finally:
            job.stack.reader.close()

    return _do(order, work)


def halt(run: str) -> bool:
    """Stop a run's tasks in this process at their next block; return whether one goes on."""
    here = _here
    if here is None or here.order.run != run:
        return False
    here.stop.set()
    return _alone.locked()


class _Here:
    """A run as this process knows it."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.stop = Event()
        threads = order.config.workers or 1
        limit_cores(threads)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="zfuse-fold")
        self._collection: Collection | None = None
        self._images: OrderedDict[str, tuple[Settled, Job, Sink]] = OrderedDict()

    @property
    def collection(self) -> Collection:
        if self._collection is None:
            config = self.order.config
            self._collection = open_collection(
                config.input,
                series=config.series,
                select=config.select,
                allow_missing=config.allow_missing,
            )
        return self._collection

    def settle(self, member: Member, edge: int | None, done: Done) -> Settled:
        begun = time.perf_counter()
        settled = settle(
            self.order.config, member, collection=self.collection, tile=edge,
            progress=_Told(done.lines), cancel=self.stop,
        )  # fmt: skip
        done.stages["open"] = time.perf_counter() - begun
        return settled

    def job(self, settled: Settled) -> Job:
        return open_settled(
            self.order.config, settled, collection=self.collection, cancel=self.stop
        )

    def opened(self, name: str, image: bytes) -> tuple[Settled, Job, Sink]:
        """Return an image that is open, or open it instead of the one longest not used."""
        if name not in self._images:
            settled: Settled = pickle.loads(image)
            sink = open_sink(self.order.place, settled, begin=False)
            self._images[name] = settled, self.job(settled), sink
            if len(self._images) > _OPEN_IMAGES:
                _, (_, job, _) = self._images.popitem(last=False)
                job.stack.reader.close()
        self._images.move_to_end(name)
        return self._images[name]

    def fuse(
        self,
        settled: Settled,
        job: Job,
        sink: Sink,
        tiles: Sequence[tuple[int, Region]],
        done: Done,
    ) -> None:
        report = Report()
        for t, tile in tiles:
            files = fuse_one(
                job, settled, t, tile, sink, pool=self._pool, cancel=self.stop, report=report
            )
            done.tiles.append((t, tile.core[0].start, tile.core[1].start, files))
        for stage in ("fold", "write"):
            done.stages[stage] = report.stages[stage]

    def close(self) -> None:
        for _, job, _ in self._images.values():
            job.stack.reader.close()
        self._pool.shutdown()


_alone = Lock()
_here: _Here | None = None  # the run that this process worked for last


def _do(order: bytes, work: Callable[[_Here, Done], None]) -> Done | ZfuseError:
    """Do a task, alone in this process."""
    global _here
    begun, done = time.perf_counter(), Done()
    with _alone:
        wanted: Order = pickle.loads(order)
        if _here is None or _here.order.run != wanted.run:
            if _here is not None:
                _here.close()
            _here = _Here(wanted)
        try:
            work(_here, done)
        except _FINAL as error:
            return error
    done.seconds = time.perf_counter() - begun
    return done


class _Told(Progress):
    """Lines that are told, kept for the driver."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        self._lines = lines

    def note(self, line: str) -> None:
        self._lines.append(("note", line))

    def warn(self, line: str) -> None:
        self._lines.append(("warn", line))
