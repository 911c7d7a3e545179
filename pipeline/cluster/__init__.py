"""Runs on many machines: Dask's workers here, on SLURM, or wherever a scheduler has some."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.pipeline.cluster._run import check_run as check_run, cluster_runner as cluster_runner
    from zfuse.pipeline.cluster._start import check_cluster as check_cluster
    from zfuse.pipeline.cluster._submit import BatchRun as BatchRun, batch_run as batch_run
    from zfuse.pipeline.cluster._waves import Task as Task, in_waves as in_waves

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_run": ["check_run", "cluster_runner"],
        "_start": ["check_cluster"],
        "_submit": ["BatchRun", "batch_run"],
        "_waves": ["Task", "in_waves"],
    },
)
