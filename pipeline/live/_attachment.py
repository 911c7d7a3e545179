"""A listener at a microscope in this process.

Duty: listen to pymmcore-plus's signals, take every frame over in microseconds, one session an
acquisition. Must not know: sequences, formats, what a session does with a frame.

The acquiring thread only puts what it has into a queue. A second one gives the frames to the
session, because beginning one opens files; a third one waits for the session's end, because the
next acquisition may have begun by then. Whatever goes wrong in any of them is logged.
"""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import give_way, growing_folder
from zfuse.pipeline.live._acquisition import Acquisition
from zfuse.pipeline.live._sink_view import mark_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from zfuse.pipeline.live._report import Report
    from zfuse.pipeline.live._session import Session

__all__ = ["Attachment"]

_log = logging.getLogger("zfuse.live")
_HANDED_OVER = 256 << 20  # bytes that may lie between the threads: 30 frames of 4 Mpx


class _News(NamedTuple):
    """What the acquiring thread has to say."""

    what: str
    sequence: Any = None
    about: Any = None
    view: Any = None
    event: Any = None
    image: NDArray[Any] | None = None
    size: int = 0
    mark: int | None = None


class Attachment:
    """A listener at a microscope; see `attach`.

    A context manager: at its end it waits until everything that was begun is acquired and fused,
    and detaches.
    """

    def __init__(
        self, runner: Any, session: Callable[..., Session], output: Path | None, overwrite: bool
    ) -> None:
        self._runner = runner
        self._session = session
        self._output = output
        self._overwrite = overwrite
        self._given: set[Path] = set()  # to earlier acquisitions, which may still be written
        self._news: SimpleQueue[_News] = SimpleQueue()
        self._state = threading.Condition()
        self._taken = 0  # bytes handed over
        self._open = 0  # acquisitions that are not fused yet
        self._reports: list[Report] = []
        self._acquisition: Acquisition | None = None
        self._complained = False
        # Functions, because signals hold methods by weak references only.
        self._slots: dict[str, Callable[..., None]] = {
            "sequenceStarted": lambda sequence, about: self._started(sequence, about),
            "frameReady": lambda image, event, about: self._frame(image, event),
            "sequenceCanceled": lambda sequence: self._news.put(_News("cancel")),
            "sequenceFinished": lambda sequence: self._news.put(_News("finish")),
        }
        threading.Thread(target=self._work, name="zfuse-attach", daemon=True).start()
        for name, slot in self._slots.items():
            _connect(getattr(runner.events, name), slot)

    @property
    def session(self) -> Session | None:
        """The session of the acquisition that runs; None: none runs."""
        acquisition = self._acquisition
        return None if acquisition is None else acquisition.session

    def wait(self, timeout: float | None = None) -> tuple[Report, ...]:
        """Wait until every acquisition that has begun is over, fused and written.

        Parameters
        ----------
        timeout
            Seconds after which it waits no longer.

        Returns
        -------
        tuple of Report
            What became of each acquisition, in the order in which they were done.
        """
        with self._state:
            self._state.wait_for(lambda: self._open == 0, timeout)
            return tuple(self._reports)

    def detach(self) -> None:
        """Listen no more. What came is fused; an acquisition that runs goes on without zfuse."""
        slots, self._slots = self._slots, {}
        for name, slot in slots.items():
            try:
                getattr(self._runner.events, name).disconnect(slot)
            except (ValueError, TypeError, RuntimeError):  # psygnal, PyQt, PySide
                _log.debug("%s was disconnected already", name)
        if slots:
            self._news.put(_News("stop"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.wait()  # an acquisition in another thread comes to its end
        self.detach()
        if kind is None:
            self.wait()

    # In the acquiring thread: microseconds, and nothing is raised.

    def _started(self, sequence: Any, about: Any) -> None:
        try:
            view = _view(self._runner)
            with self._state:
                self._open += 1
            self._news.put(_News("start", sequence, about, view))
        except Exception:
            _log.exception("this acquisition is not fused")

    def _frame(self, image: NDArray[Any], event: Any) -> None:
        try:
            size, mark = image.nbytes, None
            with self._state:
                room = self._taken == 0 or self._taken + size <= _HANDED_OVER
                self._taken += size if room else 0
            if room:
                self._news.put(_News("frame", event=event, image=image, size=size))
            else:
                mark = mark_of(image)
                self._news.put(_News("frame", event=event, mark=mark))
        except Exception:
            _log.exception("a frame is not fused")

    # In our own threads.

    def _work(self) -> None:
        give_way()
        while True:
            news = self._news.get()
            try:
                self._heed(news)
            except ZfuseError as error:
                _log.error("%s", error)
            except Exception:
                _log.log(
                    logging.DEBUG if self._complained else logging.ERROR,
                    "zfuse could not take what the acquisition gave; the acquisition goes on",
                    exc_info=True,
                )
                self._complained = True
            with self._state:
                self._taken -= news.size
            if news.what == "stop":
                return

    def _heed(self, news: _News) -> None:
        if news.what == "start":
            self._begin(news.sequence, news.about, news.view, whole=True)
        elif news.what == "frame":
            if self._acquisition is None and self._open == 0:  # it ran already
                with self._state:
                    self._open += 1
                self._begin(news.event.sequence, {}, _view(self._runner), whole=False)
            if self._acquisition is not None:
                self._acquisition.take(news.image, news.event, news.mark)
        elif news.what == "cancel":
            if self._acquisition is not None:
                self._acquisition.cancelled = True
        else:
            self._finish(cancelled=news.what == "stop")

    def _begin(self, sequence: Any, about: Any, view: Any, *, whole: bool) -> None:
        self._finish(cancelled=True)  # of an engine that did not say that it was over
        self._complained = False
        try:
            replace = self._overwrite and not self._given
            session = self._session(self._next_output(replace), replace=replace)
            self._acquisition = Acquisition(
                session, sequence, about or {}, view, whole=whole, name=_stem(self._output)[0]
            )
        except BaseException:
            self._close(None)
            raise

    def _next_output(self, replace: bool) -> Path | None:
        """Return the first name that nobody has, nor any acquisition before."""
        if self._output is None:
            return None
        stem, suffix = _stem(self._output)
        path, number = self._output, 0
        while path in self._given or (_taken(path) and not replace):
            number += 1
            path = self._output.with_name(f"{stem}_{number:03d}{suffix}")
        self._given.add(path)
        return path

    def _finish(self, *, cancelled: bool) -> None:
        acquisition, self._acquisition = self._acquisition, None
        if acquisition is not None:
            threading.Thread(
                target=self._end,
                args=(acquisition.session, cancelled or acquisition.cancelled),
                name="zfuse-attach-end",
                daemon=True,
            ).start()

    def _end(self, session: Session, cancelled: bool) -> None:
        report = None
        try:
            report = session.end(cancelled=cancelled)
        except ZfuseError as error:
            _log.error("%s", error)
        except Exception:
            _log.exception("the fused acquisition could not be finished")
        self._close(report)

    def _close(self, report: Report | None) -> None:
        with self._state:
            self._open -= 1
            if report is not None:
                self._reports.append(report)
            self._state.notify_all()


def _connect(signal: Any, slot: Callable[..., None]) -> None:
    """Connect psygnal's or Qt's signal so that the slot runs in the thread that emits.

    By itself Qt would call it in the thread that connects: it would wait while the window is busy.
    """
    if type(signal).__module__.partition(".")[0] == "psygnal":
        signal.connect(slot)
        return
    from qtpy.QtCore import Qt

    signal.connect(slot, Qt.ConnectionType.DirectConnection)


def _taken(path: Path) -> bool:
    return growing_folder(path).exists() or path.exists()  # in this order: it may be renamed


def _stem(output: Path | None) -> tuple[str, str]:
    if output is None:
        return "acquisition", ""
    stem, _, suffix = growing_folder(output).name.rpartition(".growing.")
    return stem, "." + suffix


def _view(runner: Any) -> Any:
    """Return the frames in the acquisition's own output, or None where it has none."""
    return runner.get_view() if hasattr(runner, "get_view") else None
