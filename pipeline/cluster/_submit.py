"""A run as a job of SLURM: a script that can be read, changed and submitted again by hand.

Duty: from a run's config to a batch script and its submission. Must not know: how runs work.

The job holds the driver (Dask's scheduler and the run) and asks SLURM for workers, jobs of
their own. So no worker's end is the run's end. The driver's own end is made good by going on: SLURM
starts the same script again after a pre-emption or the loss of a node, the script itself asks for
that shortly before its time is up, and every start resumes.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zfuse.errors import ZfuseError
from zfuse.pipeline._clusters import SlurmCluster
from zfuse.pipeline.cluster._run import check_run
from zfuse.pipeline.cluster._start import check_cluster

if TYPE_CHECKING:
    from zfuse.pipeline._config import RunConfig

__all__ = ["BatchRun", "batch_run"]

_CORES, _MEMORY = 2, "2G"  # of the driver: it took 0.3 GB with 1,000 workers
_WARNING = 180  # seconds before the end of the job's time at which it stops and asks for another

_SCRIPT = """\
#!/usr/bin/env bash
{header}

{prologue}
# Stopped by SIGTERM, the run leaves what is finished, and goes on with it when it is started again:
# by SLURM after a pre-emption, by the last line when the job's time is nearly up, or by hand.
again= code=1
trap 'kill -TERM "$run"' TERM
trap 'again=yes; kill -TERM "$run"' USR1
{command} &
run=$!
while kill -0 "$run" 2>/dev/null; do
  wait "$run"
  code=$?
done
[ -z "$again" ] || scontrol requeue "$SLURM_JOB_ID"
exit "$code"
"""


@dataclass(frozen=True)
class BatchRun:
    """A run that is ready to be submitted.

    Attributes
    ----------
    name
        Of the job.
    settings, script
        Where the two files will lie.
    settings_text, script_text
        What will be in them.
    logs
        Folder of the jobs' logs.
    """

    name: str
    settings: Path
    settings_text: str
    script: Path
    script_text: str
    logs: Path

    def submit(self) -> int:
        """Write both files and submit the script.

        Returns
        -------
        int
            The job's number.

        Raises
        ------
        ZfuseError
            A file cannot be written, or SLURM refuses; the line says what it says.
        """
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            self.settings.write_text(self.settings_text, encoding="utf-8")
            self.script.write_text(self.script_text, encoding="utf-8")
        except OSError as error:
            raise ZfuseError(
                f"cannot write to the folder for logs {self.logs} ({error.strerror or error}); "
                "name another one in cluster: logs"
            ) from error
        done = subprocess.run(
            ["sbatch", "--parsable", str(self.script)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = " ".join(done.stderr.split()).removeprefix("sbatch: error: ")
            raise ZfuseError(
                f"SLURM refuses {self.script}: {said}; change the config's section cluster "
                "(partition, account, walltime, directives)"
            )
        return int(done.stdout.strip().split(";")[0])


def batch_run(config: RunConfig, *, check: bool = True) -> BatchRun:
    """Prepare a run for SLURM, under Dask's workers as `config.cluster` says.

    Parameters
    ----------
    config
        The run; without a cluster it is SLURM with defaults.
    check
        Look whether this machine can submit.

    Raises
    ------
    ZfuseError
        It is a cluster of another kind, or the run cannot be done on one.
    """
    import yaml

    cluster = config.cluster or SlurmCluster()
    if not isinstance(cluster, SlurmCluster):
        raise ZfuseError(
            f"zfuse submit starts workers as SLURM's jobs, not on a cluster of kind "
            f"{cluster.kind!r}; give --cluster slurm:N, or call zfuse fuse in a script of your own"
        )
    config = config.replace(cluster=cluster, resume=True)
    check_run(config)
    if check:
        check_cluster(cluster)
    name = Path(config.output).name.removesuffix(".zarr").removesuffix(".ome")
    logs = Path(cluster.logs)
    settings, script = logs / f"{name}.yaml", logs / f"{name}.sbatch"
    values = config.model_dump(mode="json", exclude_unset=True)
    command = [
        sys.executable, "-m", "zfuse", "fuse", config.input, config.output,
        "--config", str(settings), "--resume",
    ]  # fmt: skip
    text = _SCRIPT.format(
        header="\n".join(_header(cluster, name)),
        prologue="".join(f"{line}\n" for line in cluster.prologue),
        command=shlex.join(command),
    )
    return BatchRun(name, settings, yaml.safe_dump(values, sort_keys=False), script, text, logs)


def _header(cluster: SlurmCluster, name: str) -> list[str]:
    options = {
        "job-name": f"zfuse-{name}",
        "output": os.path.join(cluster.logs, f"{name}-%j.log"),
        "open-mode": "append",
        "ntasks": "1",
        "cpus-per-task": str(_CORES),
        "mem": _MEMORY,
        "time": cluster.driver_walltime or cluster.walltime,
        "signal": f"B:USR1@{_WARNING}",
        "partition": cluster.partition,
        "account": cluster.account,
    }
    lines = [f"--{key}={shlex.quote(value)}" for key, value in options.items() if value]
    directives = cluster.driver_directives or cluster.directives
    return [f"#SBATCH {line}" for line in [*lines, "--requeue", *directives]]
