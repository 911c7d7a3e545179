"""The command line in processes that get so much memory and time and no more (POSIX).

A process is forked for each command from one that has imported everything, which takes 0.1 s
instead of 2; what is measured and limited is the process of the command alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

__all__ = ["Bounded", "Outcome"]

MEGABYTES = 4000  # of addresses: what is reserved and never touched counts
SECONDS = 20.0


@dataclass(frozen=True)
class Outcome:
    """What became of a command: `code` is below zero when a signal ended it."""

    code: int
    seconds: float
    megabytes: float
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


class Bounded:
    """Runs commands of zfuse one after another; a context manager."""

    def __enter__(self) -> Bounded:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def run(self, *words: object, seconds: float = SECONDS, megabytes: int = MEGABYTES) -> Outcome:
        """Run ``zfuse WORDS``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        said = json.dumps([[str(word) for word in words], seconds, megabytes])
        self._process.stdin.write(f"{said}\n")
        self._process.stdin.flush()
        return Outcome(**json.loads(self._process.stdout.readline()))


def _serve() -> None:
    import zfuse.pipeline  # noqa: F401  before the fork, for all
    from zfuse.pipeline import cli, sinks, sources
    from zfuse.pipeline.alignment import settle_drift  # noqa: F401
    from zfuse.pipeline.methods import DEFAULT_METHOD, make_method

    make_method(DEFAULT_METHOD)
    assert cli.main
    for room in (sources, sinks):
        for name in room.__all__:
            getattr(room, name)
    for line in sys.stdin:
        print(json.dumps(_one(*json.loads(line))), flush=True)


def _one(words: list[str], seconds: float, megabytes: int) -> dict[str, Any]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = time.perf_counter()
        child = os.fork()
        if child == 0:
            _run(words, out.fileno(), err.fileno(), megabytes)
        peak = 0.0
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            peak = max(peak, _resident(child))
            if time.perf_counter() - begun > seconds:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.002)
        took = time.perf_counter() - begun
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    code = os.waitstatus_to_exitcode(ended[1])
    return {"code": code, "seconds": took, "megabytes": peak, "out": texts[0], "err": texts[1]}


def _run(words: list[str], out: int, err: int, megabytes: int) -> None:
    """Be the command; never return."""
    import resource

    from zfuse.pipeline.cli import main

    code = 99
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.stdout = os.fdopen(1, "w")
        sys.stderr = os.fdopen(2, "w")
        sys.argv = ["zfuse", *words]
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _resident(process: int) -> float:
    """Megabytes in memory now; 0 where the system does not tell (macOS) or it has just ended."""
    with (
        contextlib.suppress(OSError, ValueError, IndexError),
        open(f"/proc/{process}/statm") as file,
    ):
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return 0.0


if __name__ == "__main__":
    _serve()
