"""What ``--cluster`` and the section ``cluster:`` may say, and that anything else is refused."""

from __future__ import annotations

from typing import Any

import pytest

from zfuse.errors import ZfuseError
from zfuse.pipeline import RunConfig
from zfuse.pipeline._clusters import LocalCluster, SchedulerCluster, SlurmCluster

PATHS = {"input": "in.ome.zarr", "output": "out.ome.zarr"}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (None, None),
        ("local", LocalCluster()),
        ("local:4", LocalCluster(workers=4)),
        ("slurm", SlurmCluster()),
        ("SLURM:100", SlurmCluster(workers=100)),
        ("tcp://head:8786", SchedulerCluster(address="tcp://head:8786")),
        ({"kind": "slurm", "memory": "4GB"}, SlurmCluster(memory=4 * 10**9)),
    ],
)
def test_clusters(said: Any, meant: Any) -> None:
    assert RunConfig.checked(PATHS | {"cluster": said}).cluster == meant


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("lokal:4", "cluster = 'lokal:4': 'lokal:4' is no cluster; write local, local:N, slurm"),
        ("local:0", "cluster.local.workers = 0: must be 1 or more"),
        ({"kind": "pbs"}, "cluster: 'kind' is 'pbs'; it must be one of 'local', 'slurm', 'sched"),
        ({"workers": 4}, "cluster: the key 'kind' is missing"),
        ({"kind": "slurm", "worker": 4}, "unknown key 'cluster.slurm.worker': did you mean"),
        ({"kind": "slurm", "walltime": 43200}, "cluster.slurm.walltime = 43200: write it as"),
        ({"kind": "slurm", "at_least": 9}, "cluster.slurm: at_least = 9 is more than workers = 8"),
        ({"kind": "scheduler", "address": "head"}, "address = 'head': write it like tcp://HOST"),
    ],
)  # fmt: skip
def test_no_cluster(said: Any, message: str) -> None:
    with pytest.raises(ZfuseError) as refused:
        RunConfig.checked(PATHS | {"cluster": said})
    assert message in str(refused.value)
