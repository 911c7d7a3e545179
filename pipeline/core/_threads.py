"""Threads: how many cores there are, and the pool that packs and unpacks chunks.

The one place that says who owns which thread of a run:

============  =================  ===========================================================
thread        how many           what it does, and who ends it
============  =================  ===========================================================
zfuse-tile    tiles in flight    one tile each, from its first plane to its shard: reads the next
                                 block while the strips of this one are folded, then writes. Dask
                                 hands it tiles; the run of one stack owns it (`_tiles`).
zfuse-fold    ``--workers``      folds strips, of all tiles in flight: the cores that a run asks
                                 for. Owned by the same run, or by a live `Fold`.
zfuse-chunk   cores              decodes and encodes chunks, resamples rows (`each`). Codecs release
                                 the GIL, and more threads than cores do not help: one pool serves
                                 all readers and sinks of the process, and idles between runs.
============  =================  ===========================================================

Only the first kind waits for others, so nothing can wait in a circle. What has threads of its own
(the runner of a network) is called from one thread at a time. Must not know: what is done.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["chunk_pool", "cores", "each", "give_way", "limit_cores", "wait_all"]

T = TypeVar("T")
_NAME = "zfuse-chunk"
_limit: int | None = None


def cores() -> int:
    """Cores that this process may use, where the system can say: a cluster job gets few of many."""
    try:
        there = len(os.sched_getaffinity(0))
    except AttributeError:  # Windows and macOS
        there = os.cpu_count() or 1
    return min(there, _limit or there)


def limit_cores(count: int) -> None:
    """Use no more cores than that: one worker of several on a machine. Before the first pixel."""
    global _limit
    if count != _limit:
        _limit = count
        chunk_pool.cache_clear()


@cache
def chunk_pool() -> ThreadPoolExecutor:
    """Return the pool for work on chunks; its tasks never wait for each other."""
    return ThreadPoolExecutor(cores(), thread_name_prefix=_NAME)


def each(work: Callable[[T], None], items: Iterable[T]) -> None:
    """Do `work` on every item, in the pool when there are several.

    Inside the pool there is nobody left to wait for, so nested calls work in line.
    """
    todo = list(items)
    if len(todo) == 1 or threading.current_thread().name.startswith(_NAME):
        for item in todo:
            work(item)
        return
    wait_all([chunk_pool().submit(work, item) for item in todo])


def give_way() -> None:
    """Let everybody else have the cores first: for the thread that calls, and those it starts.

    The camera of an acquisition must not wait for a fold: with 2 cores and frames of 2048 x 2048
    each 10 ms an acquisition keeps 71 to 73 instead of 63 of its 79 frames/s
    (``python benchmarks/rig.py --size 2048 --exposure 10 --still``). Windows does not
    pass it on to threads that are started; elsewhere nothing happens.
    """
    with suppress(OSError):
        if sys.platform == "linux":
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + 10)
        elif sys.platform == "win32":
            import ctypes

            kernel = ctypes.windll.kernel32
            kernel.SetThreadPriority(kernel.GetCurrentThread(), -1)


def wait_all(futures: Sequence[Future[Any]]) -> None:
    """Wait for every future, then raise the first error.

    Nobody may write into a caller's arrays any more when this returns, or raises.
    """
    wait(futures)
    for future in futures:
        future.result()
