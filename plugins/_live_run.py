"""A live run in the background: a folder that is watched, or a microscope in this process.

Duty: start, stop, and what a widget asks for meanwhile: pictures, speed, complaints, how it ended.
Must not know: Qt, viewers, formats, how stacks are fused.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError, reason
from zfuse.pipeline.core import Progress
from zfuse.plugins._live import LiveImages, Rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from zfuse.pipeline.core import Fused
    from zfuse.pipeline.live import Session, StackKey

__all__ = ["LiveRun", "attached", "running_core", "watched"]


class LiveRun:
    """One run. Started at once, in a thread of its own.

    Parameters
    ----------
    work
        Called in the thread with the run; returns when the run is over, or after `cancel` was set.
        What it returns is said at the end.

    Attributes
    ----------
    cancel
        Set by `stop`.
    ready
        Set by `work` when frames may come.
    images
        Of the acquisition that goes on, or of the last one; None before the first.
    ended
        What is to be said at the end; None while it runs.
    """

    def __init__(self, work: Callable[[LiveRun], str]) -> None:
        self.cancel, self.ready = threading.Event(), threading.Event()
        self.images: LiveImages | None = None
        self.ended: str | None = None
        self._session: Session | None = None
        self._rate = Rate()
        self._lines: list[str] = []
        self._work = work
        self._thread = threading.Thread(target=self._run, name="zfuse-live", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; returns at once. What was fused stays."""
        self.cancel.set()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it is over."""
        self._thread.join(seconds)

    def complain(self, line: str) -> None:
        """Keep a line for people."""
        if line not in self._lines[-20:]:
            self._lines.append(line)

    def take_complaints(self) -> list[str]:
        """Return the lines that came since the last call."""
        lines, self._lines = self._lines, []
        return lines

    @property
    def status(self) -> str:
        """How it goes, in one line."""
        session, images = self._session, self.images
        if not self.ready.is_set():
            return "preparing …"
        if session is None or images is None:
            return "waiting for the first plane …"
        done, waiting = session.frames
        rate = self._rate(time.monotonic(), done)
        said = f"{images.stacks} stacks · {rate:.0f} planes/s"
        if not waiting:
            return f"{said} · up to date"
        behind = f", {waiting / rate:.1f} s behind" if rate else ""
        return f"{said} · {waiting} planes wait{behind}"

    @property
    def hooks(self) -> dict[str, Any]:
        """Settings of a session that let this run see it."""
        return {"on_begin": self._on_begin, "on_fused": self._on_fused}

    def _on_begin(self, session: Session) -> None:
        series = session.series
        if series is not None and series.source != "zfuse":  # its rehearsal
            self._session, self.images = session, LiveImages(series)

    def _on_fused(self, key: StackKey, c: int | None, fused: Fused) -> None:
        images = self.images
        if images is None:
            return
        before = images.blanked
        images.put(key, c, fused)
        if images.blanked and not before:
            self.complain(
                "the pictures of the run have filled their memory: the earliest time points go "
                "blank here, and are kept only where an output was given"
            )

    def _run(self) -> None:
        log, listener = logging.getLogger("zfuse.live"), _Listener(self.complain)
        log.addHandler(listener)
        said = ""
        try:
            said = self._work(self)
        except ZfuseError as error:
            self.complain(str(error))
        except Exception as error:
            log.exception("the live run ended")
            self.complain(reason(error))
        finally:
            log.removeHandler(listener)
            self._session = None  # and with it its threads
            self.ended = said or "stopped"


class _Listener(logging.Handler):
    """Hands on what is logged as an error: whoever acquires is not told by exceptions."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._complain = complain

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record."""
        cause = record.exc_info[1] if record.exc_info else None
        said = record.getMessage()
        self._complain(f"{said}: {reason(cause)}" if cause else said)


class _Warnings(Progress):
    def __init__(self, run: LiveRun) -> None:
        self.warn = run.complain  # type: ignore[method-assign]


def watched(folder: str, output: str, method: str, **settings: Any) -> LiveRun:
    """Watch a folder or data set that another program writes; see `zfuse.live.watch`."""
    from zfuse.pipeline.live import watch

    def work(run: LiveRun) -> str:
        more = run.hooks | settings
        run.ready.set()
        report = watch(folder, output, method, cancel=run.cancel, progress=_Warnings(run), **more)
        return str(report)

    return LiveRun(work)


def attached(core: Any, output: str | None, method: str) -> LiveRun:
    """Listen to the acquisitions of a pymmcore-plus core; see `zfuse.live.attach`."""
    from zfuse.pipeline.live import attach

    def work(run: LiveRun) -> str:
        attachment = attach(core, method, output or None, **run.hooks)
        run.ready.set()
        try:
            run.cancel.wait()
        finally:
            attachment.detach()
        return "\n".join(str(report) for report in attachment.wait())

    return LiveRun(work)


def running_core() -> Any:
    """Return the core of this process, which napari-micromanager uses, too.

    Raises
    ------
    ZfuseError
        There is no pymmcore-plus.
    """
    try:
        from pymmcore_plus import CMMCorePlus
    except ImportError as error:
        raise ZfuseError(
            f"pymmcore-plus is missing here ({error}). Install with: pip install 'zfuse[rig]'"
        ) from error
    return CMMCorePlus.instance()
