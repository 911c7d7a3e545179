"""Clusters for the tests: two workers that all tests share, and a real SLURM where it can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.slurm import Slurm, slurm

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """The address of a scheduler with two workers, processes of their own."""
    distributed = pytest.importorskip("distributed", reason="needs zfuse[cluster]")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        memory_limit=0,
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="session")
def batch() -> Iterator[Slurm]:
    """A SLURM of one node."""
    pytest.importorskip("dask_jobqueue", reason="needs zfuse[cluster]")
    with slurm() as started:
        yield started
