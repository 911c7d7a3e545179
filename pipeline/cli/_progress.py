"""A run's progress bar, its notes and warnings, on standard error so that output can be piped.

Must not know: what is run.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from zfuse.pipeline.cli._console import console, plain, say_error
from zfuse.pipeline.core import Progress as RunProgress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from rich.progress import Task

__all__ = ["ConsoleProgress", "compiling_notice"]


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed / 1e6:,.0f} Mvoxel/s")


class ConsoleProgress(RunProgress):
    """A progress bar with rate and time left."""

    def __init__(self, label: str) -> None:
        self._console = console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task(plain(label), total=None)

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

    def note(self, line: str) -> None:
        """Print one line above the bar."""
        self._console.print(plain(line))

    def warn(self, line: str) -> None:
        """Print one line above the bar."""
        self.note(f"warning: {line}")


@contextmanager
def compiling_notice() -> Iterator[None]:
    """Say once that kernels are being compiled, if they are: not when the cache has them."""
    from numba.core import event

    class Notice(event.Listener):  # type: ignore[misc]
        said = False

        def on_start(self, event: object) -> None:
            if not self.said:
                self.said = True
                say_error("compiling kernels for this machine, once (some seconds) …")

        def on_end(self, event: object) -> None:
            pass

    with event.install_listener("numba:compile", Notice()):
        yield
