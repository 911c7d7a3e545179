"""A run's images on a cluster's workers, from the first worker to the last task.

Duty: refuse what a cluster cannot do, and leave no task behind. Must not know: in which order tiles
are done, how workers are started.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from zfuse.errors import Cancelled, ZfuseError
from zfuse.pipeline._clusters import SchedulerCluster
from zfuse.pipeline._plan import default_memory
from zfuse.pipeline.cluster._runner import ClusterRunner
from zfuse.pipeline.cluster._start import check_cluster, started, worker_cores, worker_count
from zfuse.pipeline.cluster._worker import Order, halt
from zfuse.pipeline.core import output_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client

    from zfuse.pipeline._config import RunConfig
    from zfuse.pipeline._course import Course

__all__ = ["check_run", "cluster_runner"]

_QUEUE = 5.0  # seconds after which somebody should know that no worker has come yet
_LEAVE = 12.0  # seconds that workers have to stop: a batch system kills after 20 to 30
_COUNT = 5.0  # seconds for which a number of workers is believed


def cluster_runner(config: RunConfig) -> Callable[[Course], None]:
    """Return what does a run's images on the workers of its cluster.

    Raises
    ------
    ZfuseError
        The run cannot be done on one, or it cannot be started here.
    """
    assert config.cluster is not None
    check_run(config)
    check_cluster(config.cluster)
    return _fuse


def check_run(config: RunConfig) -> None:
    """Refuse what cannot be done on a cluster.

    Raises
    ------
    ZfuseError
        The output is a single file, threads are asked for, or a path means another place there.
    """
    cluster = config.cluster
    if output_kind(config.output) != "ome-zarr":
        raise ZfuseError(
            f"output {config.output} is one file, which several workers cannot write; write to "
            ".ome.zarr, or leave out --cluster"
        )
    if config.workers is not None:
        raise ZfuseError(
            f"workers = {config.workers} counts threads of one process; on a cluster give "
            "--cluster KIND:N, and threads in the config's section cluster: cores"
        )
    # Workers that somebody has started did so in folders of their own.
    for path in (config.input, config.output) if isinstance(cluster, SchedulerCluster) else ():
        if "://" not in path and not os.path.isabs(path):
            raise ZfuseError(
                f"{path} is looked for by workers in other folders; give the whole path, "
                f"{os.path.abspath(path)}"
            )


def _fuse(course: Course) -> None:
    config = course.config
    cluster = config.cluster
    assert cluster is not None
    threads = worker_cores(cluster)
    name = uuid4().hex[:12]
    order = Order(name, config.replace(cluster=None, workers=threads), course.output.place)
    with started(cluster, config.memory or default_memory(config.method)) as client:
        _wait(client, course)
        runner = ClusterRunner(
            course, client, order.packed(), workers=_Counted(client, worker_count(cluster)),
            retries=cluster.retries, resources={"GPU": cluster.gpus} if cluster.gpus else None,
        )  # fmt: skip
        try:
            runner.run()
        except BaseException:
            _halt(client, name)
            raise


class _Counted:
    """How many workers there are, asked for now and then; or how many will be."""

    def __init__(self, client: Client, known: int | None) -> None:
        self._client, self._known = client, known
        self._count, self._until = 1, 0.0

    def __call__(self) -> int:
        if self._known is not None:
            return self._known
        if time.monotonic() > self._until:
            self._count, self._until = len(self._client.nthreads()), time.monotonic() + _COUNT
        return self._count


def _wait(client: Client, course: Course) -> None:
    """Wait for the first worker, as long as it takes."""
    begun, said = time.monotonic(), False
    while not client.nthreads():
        if course.cancel is not None and course.cancel.is_set():
            raise Cancelled
        if not said and time.monotonic() - begun > _QUEUE:
            course.progress.note("waiting for the first worker")
            said = True
        time.sleep(0.2)


def _halt(client: Client, name: str) -> None:
    """Have workers stop at their next block, and wait for them: nobody may write any more."""

    def ask() -> None:
        end = time.monotonic() + _LEAVE
        with suppress(Exception):  # the scheduler may be gone, or a worker just now
            while any(client.run(halt, name, on_error="ignore").values()):
                if time.monotonic() > end:
                    return
                time.sleep(0.1)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_LEAVE)
