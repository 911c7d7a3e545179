"""Clusters as values: on which workers a run's images are fused.

Duty: what ``--cluster`` and a config's section ``cluster:`` may say. Must not know: how workers are
started, what they do.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from zfuse.pipeline.core import Settings, byte_count

__all__ = [
    "Cluster",
    "LocalCluster",
    "SchedulerCluster",
    "SlurmCluster",
    "merged_cluster",
    "parse_cluster",
]

_FORMS = "local, local:N, slurm, slurm:N, or a scheduler's address such as tcp://HOST:8786"


def _walltime(value: Any) -> Any:
    # YAML reads 12:00:00 without quotes as a number to the base of 60.
    if not isinstance(value, str) or not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", value):
        raise ValueError('write it as sbatch takes it, and in quotes: "04:00:00", "2-00:00:00"')
    return value


def _address(value: str) -> str:
    if not re.fullmatch(r"\w+://\S+", value):
        raise ValueError("write it like tcp://HOST:8786")
    return value


_Walltime = Annotated[str, BeforeValidator(_walltime)]


class _AnyCluster(Settings):
    """What all kinds share."""

    retries: int = Field(
        3, ge=0, description="how often a tile is tried again that an error ended (a slow disk …)"
    )
    gpus: int = Field(0, ge=0, description="GPUs a worker; tasks then need the Dask resource GPU")
    report: str | None = Field(
        None, description="write Dask's performance report here (.html; needs bokeh)"
    )


class LocalCluster(_AnyCluster):
    """Processes of this machine.

    Examples
    --------
    >>> from zfuse.pipeline import RunConfig
    >>> RunConfig(input="in.ome.zarr", output="out.ome.zarr", cluster="local:4").cluster.workers
    4
    """

    kind: Literal["local"] = "local"
    workers: int | None = Field(None, ge=1, description="processes; default: one for two cores")
    cores: int | None = Field(None, ge=1, description="threads each; default: cores / workers")


class SlurmCluster(_AnyCluster):
    """Jobs of SLURM, which come and go as it lets them.

    Lost ones are asked for again as long as the run lasts.
    """

    kind: Literal["slurm"] = "slurm"
    workers: int = Field(8, ge=1, description="workers that are asked for")
    at_least: int | None = Field(
        None, ge=0, description="keep so many only, and ask for more by the work that waits"
    )
    cores: int = Field(2, ge=1, description="threads of a worker")
    memory: Annotated[int | None, BeforeValidator(byte_count)] = Field(
        None, gt=0, description="bytes of a worker; default: the run's memory and 300 MB"
    )
    workers_per_job: int = Field(1, ge=1, description="workers that share one job")
    walltime: _Walltime = Field("04:00:00", description="of a worker's job, as sbatch takes it")
    partition: str | None = Field(None, description="sbatch --partition; default: SLURM's own")
    account: str | None = Field(None, description="sbatch --account")
    directives: tuple[str, ...] = Field(
        (), description="more options of sbatch, e.g. --qos=normal, --constraint=avx512"
    )
    prologue: tuple[str, ...] = Field(
        (), description="lines of shell before a worker starts, e.g. module load python"
    )
    interface: str | None = Field(
        None, description="network between driver and workers, e.g. ib0; default: Dask's choice"
    )
    logs: str = Field("zfuse-logs", description="folder of the jobs' logs, seen by all nodes")
    driver_walltime: _Walltime | None = Field(
        None, description="of the job that `zfuse submit` starts; default: walltime"
    )
    driver_directives: tuple[str, ...] = Field(
        (), description="options of sbatch for that job instead of directives"
    )

    @model_validator(mode="after")
    def _at_least_is_no_more(self) -> SlurmCluster:
        if self.at_least is not None and self.at_least > self.workers:
            raise ValueError(f"at_least = {self.at_least} is more than workers = {self.workers}")
        return self


class SchedulerCluster(_AnyCluster):
    """Workers that somebody has started, by the address of their scheduler."""

    kind: Literal["scheduler"] = "scheduler"
    address: Annotated[str, AfterValidator(_address)] = Field(description="tcp://HOST:PORT")
    cores: int = Field(1, ge=1, description="threads of a worker that one task may use")


Cluster = Annotated[LocalCluster | SlurmCluster | SchedulerCluster, Field(discriminator="kind")]
"""On which workers a run is done."""


def merged_cluster(section: Any, said: str | None) -> Any:
    """Return a config's section with what a command line says; of another kind, that alone.

    Not checked: that is what the config does.
    """
    if said is None:
        return section
    try:
        given, known = parse_cluster(said), parse_cluster(section)
    except ValueError:
        return said
    same = isinstance(known, dict) and known.get("kind") == given["kind"]
    return known | given if same else given


def parse_cluster(value: Any) -> Any:
    """Return the keys and values of ``local:4``, ``slurm:20``, ``tcp://host:8786``.

    Raises
    ------
    ValueError
        A text is none of these.
    """
    if not isinstance(value, str):
        return value
    if "://" in value:
        return {"kind": "scheduler", "address": value}
    match = re.fullmatch(r"(local|slurm)(?::(\d+))?", value.strip().lower())
    if match is None:
        raise ValueError(f"{value!r} is no cluster; write {_FORMS}")
    kind, workers = match.groups()
    return {"kind": kind} | ({"workers": int(workers)} if workers else {})
