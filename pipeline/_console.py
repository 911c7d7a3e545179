"""What a person sees of a run in a terminal: a progress bar, warnings, and errors of one line.

Must not know: what is run.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from zfuse.pipeline._run import Progress as RunProgress

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.progress import Task

__all__ = ["ConsoleProgress", "compiling_notice", "say_warning"]

_ERRORS = Console(stderr=True, soft_wrap=True, highlight=False)


def say_warning(line: str) -> None:
    """Print one warning line to standard error."""
    _ERRORS.print(f"warning: {line}", markup=False)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed / 1e6:,.0f} Mvoxel/s")


class ConsoleProgress(RunProgress):
    """A progress bar with rate and time left, on standard error so that output can be piped."""

    def __init__(self, label: str) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=_ERRORS,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task(label, total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def start(self, voxels: int) -> None:
        """Set the bar's length."""
        self._bar.update(self._task, total=voxels)

    def advance(self, voxels: int) -> None:
        """Move the bar."""
        self._bar.advance(self._task, voxels)

    def warn(self, line: str) -> None:
        """Print one line above the bar."""
        say_warning(line)


class compiling_notice:
    """Says that kernels are being compiled, if that takes longer than a moment.

    Whether numba finds machine code in its cache shows only by how long the first call takes.
    """

    def __init__(self, patience: float = 1.0) -> None:
        self._timer = threading.Timer(
            patience,
            lambda: _ERRORS.print("compiling kernels for this machine, once (about 10 s) …"),
        )
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
