"""A real SLURM of one node, for the tests: Debian's slurm-wlm and munge.

Everything lies in one folder under /tmp, also keys and logs: an installed SLURM is not touched.
Its daemons need root to start jobs; where they are missing, or for other users, tests are skipped.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Slurm", "slurm"]

_DAEMONS = ("munged", "slurmctld", "slurmd")
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

# CPUs are invented: SLURM counts jobs, the kernel shares the cores that there are.
_CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
KillWait=20
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=64000 State=UNKNOWN
PartitionName=short Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """A running SLURM; `environ` is what a process needs to use it.

    Parameters
    ----------
    folder
        Of its configuration and logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _PATH}

    def call(self, *command: str) -> str:
        """Run one of SLURM's commands and return what it prints."""
        done = subprocess.run(
            command, env=self.environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def jobs(self) -> dict[int, tuple[str, str]]:
        """Return name and state of every job that is not over, by its number."""
        lines = self.call("squeue", "--noheader", "--format=%A|%T|%j").splitlines()
        split = [line.split("|", 2) for line in lines]
        return {int(number): (name, state) for number, state, name in split}

    def state(self, job: int) -> str:
        """Return a job's state: PENDING, RUNNING, COMPLETED, FAILED, CANCELLED …"""
        shown = self.call("scontrol", "show", "job", str(job), "--oneliner")
        return next(w for w in shown.split() if w.startswith("JobState=")).split("=")[1]

    def wait(self, until: Callable[[], bool], seconds: float = 120) -> None:
        """Wait until something holds; tell of the daemons' logs when it does not in time."""
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"{self.jobs()}\n{self._logs()}"
            time.sleep(0.25)

    def _logs(self) -> str:
        return "\n".join(
            f"{path.name}:\n{path.read_text(errors='replace')[-2000:]}"
            for path in self.folder.glob("*.log")
        )


@contextmanager
def slurm() -> Iterator[Slurm]:
    """Start a SLURM, and end it with all its jobs; skip where that cannot be."""
    missing = [name for name in _DAEMONS if shutil.which(name, path=_PATH) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("slurmd starts jobs as root only")
    # Not under pytest's folder, which is closed to others: munge wants a way to its socket.
    folder = Path(tempfile.mkdtemp(prefix="zfuse-slurm-"))
    folder.chmod(0o755)
    running: list[subprocess.Popen[bytes]] = []
    cluster = Slurm(folder)
    try:
        running += _start(cluster)
        cluster.wait(lambda: "idle" in cluster.call("sinfo", "--noheader", "--format=%T"), 30)
        yield cluster
        for job in cluster.jobs():
            cluster.call("scancel", str(job))
        cluster.wait(lambda: not cluster.jobs(), 60)
    finally:
        for process in reversed(running):
            process.terminate()
        for process in reversed(running):
            process.wait(30)
        shutil.rmtree(folder)


def _start(cluster: Slurm) -> list[subprocess.Popen[bytes]]:
    folder = cluster.folder
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    ports = _free_ports(2)
    host = socket.gethostname().partition(".")[0]
    text = _CONFIG.format(folder=folder, host=host, controller_port=ports[0], node_port=ports[1])
    (folder / "slurm.conf").write_text(text)
    munged = ["munged", "--foreground"] + [
        f"--{kind}={folder}/munge.{end}"
        for kind, end in [
            ("socket", "socket"),
            ("key-file", "key"),
            ("pid-file", "pid"),
            ("seed-file", "seed"),
        ]
    ]
    started = []
    for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D"]):
        program = shutil.which(command[0], path=_PATH)
        assert program
        with open(folder / f"{command[0]}.out.log", "wb") as log:
            started.append(
                subprocess.Popen(
                    [program, *command[1:]], env=cluster.environ, stdout=log, stderr=log
                )
            )
        if command is munged:
            cluster.wait((folder / "munge.socket").exists, 30)
    return started


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
