"""Starting workers and ending them: here, as jobs of SLURM, or none because they are there already.

Duty: from a cluster's settings to a client of its scheduler. Must not know: what workers will do.

Each worker is a process that does one task at a time, which has all its cores: zfuse folds in
threads of its own. Nothing is ever spilled to disk, and no worker is paused or ended for its
memory, which is known before a task begins (``--memory``).
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import zfuse
from zfuse.errors import ZfuseError
from zfuse.pipeline._clusters import LocalCluster, SchedulerCluster, SlurmCluster
from zfuse.pipeline.core import cores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

    from zfuse.pipeline._clusters import Cluster

__all__ = ["check_cluster", "started", "worker_cores", "worker_count"]

_BESIDE = 300_000_000  # bytes of a worker beside the run's memory: Dask's own 70 MB, and its nanny
_ANSWER = "20s"  # that a scheduler takes to be found
_PAGE = "127.0.0.1:0"  # of numbers for a monitor: None would take port 8787, if it is free
_PATIENCE = 60  # seconds that a worker waits for a scheduler that is gone

_SETTINGS = {
    "distributed.worker.profile.enabled": False,  # it looks at every thread 100 times a second
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.comm.timeouts.connect": "60s",
}


def check_cluster(cluster: Cluster) -> None:
    """Refuse a cluster that cannot be started here, before anything is opened.

    Raises
    ------
    ZfuseError
        A library or SLURM is missing.
    """
    needed = ["distributed", *(["dask_jobqueue"] if isinstance(cluster, SlurmCluster) else [])]
    for library in needed:
        if importlib.util.find_spec(library) is None:
            raise ZfuseError(
                f'a cluster needs {library}, which is not installed: pip install "zfuse[cluster]"'
            )
    if cluster.report is not None and importlib.util.find_spec("bokeh") is None:
        raise ZfuseError("cluster.report needs bokeh, which is not installed: pip install bokeh")
    if isinstance(cluster, SlurmCluster) and shutil.which("sbatch") is None:
        raise ZfuseError(
            "no sbatch here, so no SLURM: run this on a login node, or give --cluster local:N"
        )


def worker_count(cluster: Cluster) -> int | None:
    """Return how many workers are asked for; None if that is not ours to say."""
    if isinstance(cluster, LocalCluster):
        return cluster.workers or max(1, cores() // 2)
    return cluster.workers if isinstance(cluster, SlurmCluster) else None


def worker_cores(cluster: Cluster) -> int:
    """Return how many threads fold in a worker."""
    if isinstance(cluster, LocalCluster):
        return cluster.cores or max(1, cores() // (worker_count(cluster) or 1))
    return cluster.cores


@contextmanager
def started(cluster: Cluster, memory: int) -> Iterator[Client]:
    """Start what a cluster's settings say, and end at least all of that.

    Parameters
    ----------
    cluster
        The settings.
    memory
        Bytes that a run may take in a worker.

    Yields
    ------
    distributed.Client
        Of the scheduler; its first workers may still be on their way.

    Raises
    ------
    ZfuseError
        It cannot be started, or no scheduler answers.
    """
    check_cluster(cluster)
    import dask
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.ERROR)
    with dask.config.set(_SETTINGS), ExitStack() as stack:
        if isinstance(cluster, SchedulerCluster):
            try:
                client = stack.enter_context(Client(cluster.address, timeout=_ANSWER))
            except (OSError, ValueError) as error:
                raise ZfuseError(
                    f"no Dask scheduler answers at {cluster.address}; start one (dask scheduler), "
                    "or look whether a firewall is between"
                ) from error
            _check_versions(client, cluster.address)
        else:
            if isinstance(cluster, LocalCluster):
                workers = stack.enter_context(_local(cluster))
            else:
                workers = stack.enter_context(_slurm(cluster, memory))
            client = stack.enter_context(Client(workers))
        if cluster.report is not None:
            from distributed import performance_report

            stack.enter_context(performance_report(filename=cluster.report))
        yield client


def _check_versions(client: Client, address: str) -> None:
    """Refuse workers that know no zfuse, or another one: they would die of their first task.

    Raises
    ------
    ZfuseError
        There are such.
    """
    found: Any = client.get_versions(packages=["zfuse"])
    for worker, said in found["workers"].items():
        version = said["packages"].get("zfuse")
        if version != zfuse.__version__:
            raise ZfuseError(
                f"worker {worker} of {address} has {'zfuse ' + version if version else 'no zfuse'},"
                f" this is zfuse {zfuse.__version__}: install the same one there"
            )


def _resources(cluster: Cluster) -> dict[str, float]:
    return {"GPU": cluster.gpus} if cluster.gpus else {}


def _local(cluster: LocalCluster) -> Any:
    from distributed import LocalCluster as Local

    return Local(
        n_workers=worker_count(cluster),
        threads_per_worker=1,
        processes=True,
        memory_limit=0,
        dashboard_address=_PAGE,
        resources=_resources(cluster),
        silence_logs=logging.CRITICAL,
    )


def _slurm(cluster: SlurmCluster, memory: int) -> Any:
    from dask_jobqueue.slurm import SLURMCluster

    count = cluster.workers_per_job
    extra = ["--memory-limit", "0", "--no-dashboard"]
    if cluster.gpus:
        extra += ["--resources", f"GPU={cluster.gpus}"]
    gres = [f"--gres=gpu:{cluster.gpus * count}"] if cluster.gpus else []
    jobs = SLURMCluster(
        job_name="zfuse-worker",
        # Dask's cores are tasks at once: one. What SLURM gives is asked for beside it.
        cores=count,
        processes=count,
        job_cpu=cluster.cores * count,
        memory=f"{(cluster.memory or memory + _BESIDE) * count}B",
        walltime=cluster.walltime,
        queue=cluster.partition,
        account=cluster.account,
        job_extra_directives=[*gres, *cluster.directives],
        job_script_prologue=list(cluster.prologue),
        interface=cluster.interface,
        log_directory=cluster.logs,
        worker_extra_args=extra,
        death_timeout=_PATIENCE,
        scheduler_options={"dashboard_address": _PAGE},
        silence_logs=logging.CRITICAL,
    )
    least = cluster.workers if cluster.at_least is None else cluster.at_least
    # Also for a fixed number: what is lost (a time that is up, a node that fails) comes back.
    jobs.adapt(minimum=least, maximum=cluster.workers, interval="5s")
    return jobs
