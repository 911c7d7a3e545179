"""Tasks in waves: any number of them, and never more than so many at the scheduler.

Duty: order, retries and what becomes of a task whose worker died. Must not know: what tasks do, how
a cluster is started.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zfuse.errors import Cancelled, ZfuseError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from threading import Event

    from distributed import Client

__all__ = ["Task", "in_waves"]

_LOOK = 0.01  # seconds between two looks: workers have their next task already


@dataclass(frozen=True)
class Task:
    """A call of a function on some worker.

    Attributes
    ----------
    name
        Kind and piece, for people: a key of Dask is made of it.
    work, given
        Function and arguments, picklable.
    about
        What the caller wants to know of it when it is done; stays in this process.
    """

    name: str
    work: Callable[..., Any]
    given: tuple[Any, ...]
    about: Any = field(default=None, compare=False)


def in_waves(
    client: Client,
    more: Callable[[], Iterable[Task]],
    *,
    retries: int,
    resources: Mapping[str, float] | None = None,
    cancel: Event | None = None,
) -> Generator[tuple[Task, Any]]:
    """Have tasks done, and yield each with its result, or the error it raised, as soon as it ends.

    The scheduler forgets a task as soon as it is yielded. Whoever stops early cancels the rest.

    Parameters
    ----------
    client
        Of the scheduler.
    more
        Asked for tasks before every look at those in flight: what it has room for. If there are
        none, and none in flight, that is the end.
    retries
        How often a task that raised is tried again. One whose worker died goes to another worker by
        the scheduler's own rule (``distributed.scheduler.allowed-failures``).
    resources
        What a worker must offer for a task, e.g. ``{"GPU": 1}``.
    cancel
        Set from any thread, it ends the waiting.

    Raises
    ------
    ZfuseError
        The scheduler is gone.
    Cancelled
        `cancel` was set.
    """
    from distributed import as_completed

    flying: dict[Any, tuple[Task, Any]] = {}
    done = as_completed(with_results=True, raise_errors=False, loop=client.loop)
    number = 0
    try:
        while True:
            for task in more():
                number += 1
                # Dask groups what it knows of tasks by the word before the first dash. Earlier ones
                # first: neighbours, which read the same chunks at their border, run together.
                future = client.submit(
                    task.work, *task.given, key=f"{task.name}-{number}", pure=False,
                    retries=retries, priority=-number, resources=resources,
                )  # fmt: skip
                flying[future.key] = task, future
                done.add(future)
            if not flying:
                return
            while not done.has_ready():
                if cancel is not None and cancel.is_set():
                    raise Cancelled
                time.sleep(_LOOK)
            for future, result in done.next_batch(block=False):
                task, _ = flying.pop(future.key)
                status = future.status
                future.release()
                yield task, _outcome(task, status, result)
    finally:
        if flying:
            client.cancel([future for _, future in flying.values()], force=True)


def _outcome(task: Task, status: str, result: Any) -> Any:
    """Return what a task returned, or the error it raised."""
    from distributed import KilledWorker

    if status == "finished":
        return result
    if status == "error":
        _, error, traceback = result
        if isinstance(error, KilledWorker):
            return ZfuseError(
                f"{task.name}: {error.allowed_failures + 1} workers died of it one after another, "
                "probably for lack of memory; allow a task less (--memory) or give workers more "
                "(cluster.memory), and go on with --resume"
            )
        return error.with_traceback(traceback)
    raise ZfuseError(
        "the connection to the Dask scheduler is lost; look in its log, and go on with --resume"
    )
