"""The session: frames in, fused stacks out, while the microscope goes on.

Duty: what the acquiring thread calls, the thread that fuses, and how both begin and end. Must not
know: who acquires, what becomes of a frame, file formats.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError, reason
from zfuse.pipeline._channels import EACH, Decisions
from zfuse.pipeline.core import NoPixels, Progress, Stack, give_way
from zfuse.pipeline.live._folds import Folds
from zfuse.pipeline.live._output import LiveOutput
from zfuse.pipeline.live._queue import Budget, Ended, FrameQueue, Lost
from zfuse.pipeline.live._report import Report
from zfuse.pipeline.live._worker import Worker
from zfuse.pipeline.methods import make_method

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from zfuse.pipeline.core import Fused
    from zfuse.pipeline.live._frame import Frame, StackKey
    from zfuse.pipeline.live._report import StackReport
    from zfuse.pipeline.live._series import Series
    from zfuse.pipeline.methods import Method

__all__ = ["Session"]

_MEMORY = 2_000_000_000  # bytes
_log = logging.getLogger("zfuse.live")


class Session:
    """Fuse the stacks of one acquisition while they are acquired.

    A context manager: at its end the session ends, after an exception it is abandoned. The methods
    that an acquiring thread calls, `put` and `end_stack`, neither block nor raise.

    Parameters
    ----------
    output
        Path of the fused OME-Zarr, which grows as ``NAME.growing.ome.zarr`` beside it; None:
        results go to `on_fused` only.
    method
        Name of a method, or its name and settings.
    channel
        Who decides on focus: ``"each"`` channel for itself (RGB together), ``"together"``, or the
        index or name of the channel that decides for all.
    memory
        Bytes that frames may hold which wait or are needed again. When they are too many, pixels
        are let go of and read again where a frame says how; a stack of which that cannot be done
        fails.
    workers
        Threads that fuse; default: all cores.
    min_confidence
        Probability in 0..1 below which depth becomes NaN; by default all depth is kept.
    overwrite
        An earlier output may be replaced, also one that was begun with other settings.
    on_fused
        Called from the session's thread with each result as soon as it is there: the stack, the
        index of the channel (None where it is of several), and the result, depth in planes.
    on_begin
        Called with the session when it has begun, for those who did not make it themselves.
    progress
        Told about voxels and warnings, from the session's thread.

    Raises
    ------
    ZfuseError
        The output may not be written, or a setting is wrong.

    Examples
    --------
    >>> import numpy as np, zfuse
    >>> from zfuse.live import Frame, Series, Session, StackKey
    >>> planes = np.random.default_rng(0).integers(0, 4096, (5, 64, 64), np.uint16)
    >>> key = StackKey(p=0, t=0)
    >>> with Session(None, on_fused=lambda key, c, fused: print(key, fused.image.shape)) as session:
    ...     session.begin(Series("cells", "camera", planes={(key, 0): 5}))
    ...     for z, plane in enumerate(planes):
    ...         session.put(Frame(key, c=0, z=z, pixels=plane))
    ...     report = session.end()
    StackKey(p=0, t=0) (64, 64)
    >>> print(report)
    1 stack: 1 complete
    """

    def __init__(
        self,
        output: str | Path | None,
        method: str | dict[str, Any] | Method = "select",
        *,
        channel: int | str = EACH,
        memory: int | None = None,
        workers: int | None = None,
        min_confidence: float | None = None,
        overwrite: bool = False,
        on_fused: Callable[[StackKey, int | None, Fused], None] | None = None,
        on_begin: Callable[[Session], None] | None = None,
        progress: Progress | None = None,
    ) -> None:
        if min_confidence is not None and not 0 <= min_confidence <= 1:
            raise ZfuseError(
                f"min_confidence is {min_confidence:g}; confidence is a probability: give 0 to 1, "
                "for example 0.8"
            )
        self._method = make_method(method)
        self._channel = channel
        self._workers = workers
        self._min_confidence = min_confidence
        self._on_fused, self._on_begin = on_fused, on_begin
        self._progress = progress or Progress()
        self._output = None if output is None else LiveOutput(output, overwrite=overwrite)
        self._budget = Budget(_MEMORY if memory is None else memory)
        self._queue = FrameQueue(self._budget)
        self._worker: Worker | None = None
        self._done: frozenset[StackKey] = frozenset()
        self._stopping = self._ended = self._cancelled = False
        self._report: Report | None = None
        self._thread = threading.Thread(target=self._work, name="zfuse-session", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and self._worker is not None and not self._stopping:
            self.end()
        else:
            self.abandon()

    def begin(self, series: Series) -> None:
        """Begin, or go on with what a session that was killed left of the same series.

        Parameters
        ----------
        series
            What will come. Its `source` says which acquisition it is: a session goes on only with
            what was begun for the same source and with the same settings.

        Raises
        ------
        ZfuseError
            The output may not be written, another session writes it or began it with other
            settings, or the deciding channel does not exist.
        """
        if self._worker is not None:
            raise RuntimeError("a session serves one series; make another for the next")
        channels = 3 if series.rgb else len(series.channels)
        bare = Stack(
            NoPixels((1, channels, 1, 1, 1), np.dtype(np.uint16)),
            "czyx", series.name, series.source, series.channels, rgb=series.rgb,
        )  # fmt: skip
        decisions = Decisions.of(bare, self._channel)
        reports: dict[StackKey, StackReport] = {}
        if self._output is not None:
            settings = {
                "method": self._method.model_dump(mode="json"),
                "decision_channel": decisions.described(bare),
                "pixels": self._method.pixels,
                "depth": "of the method" if self._method.knows_depth else "of a focus measure",
                "min_confidence": self._min_confidence,
            }
            reports = self._output.begin(series, settings, each=decisions.each)
            self._done = frozenset(reports) - {self._output.landmark().key}
        try:
            folds = Folds(self._method, decisions, self._workers, series.rgb, self._budget.limit)
            self._worker = Worker(
                series, decisions, folds, self._budget, self._output, reports,
                self._min_confidence, self._on_fused, self._progress,
            )  # fmt: skip
        except BaseException:
            if self._output is not None:
                self._output.leave()
            raise
        self._thread.start()
        if self._on_begin is not None:
            try:
                self._on_begin(self)
            except Exception:
                _log.exception("on_begin failed")

    @property
    def series(self) -> Series | None:
        """What was announced; None before it begins."""
        return None if self._worker is None else self._worker.series

    @property
    def frames(self) -> tuple[int, int]:
        """How many frames were taken up so far, and how many wait."""
        return 0 if self._worker is None else self._worker.frames, len(self._queue)

    @property
    def done(self) -> frozenset[StackKey]:
        """Stacks that an earlier session has written: they need not be fed.

        But for one, where frames can be read again: by a plane of it the acquisition is known.
        """
        return self._done

    @property
    def problem(self) -> str:
        """Why nothing more is fused, whatever is fed; "" if all is well."""
        return "" if self._worker is None else self._worker.problem

    def put(self, frame: Frame) -> None:
        """Take a frame, from any thread. Never blocks, never raises."""
        try:
            self._queue.put_frame(frame)
        except Exception as error:  # pixels that are no array
            _log.exception("a frame was not understood")
            self._queue.put(Lost(frame.key, f"a frame was not understood: {reason(error)}"))

    def end_stack(self, key: StackKey, c: int | None = None) -> None:
        """No more planes of a stack, or of one of its channels, come: fuse what there is."""
        self._queue.put(Ended(key, c))

    def end(self, *, cancelled: bool = False, wait: float | None = None) -> Report:
        """Fuse everything that came, publish, and return what became of it.

        Parameters
        ----------
        cancelled
            The acquisition did not come to its end: what never began is left out of the output,
            where that is possible.
        wait
            Seconds after which a report of what is done so far is returned, while the session goes
            on; call again for the final one.

        Returns
        -------
        Report
            If something kept the output from being published, its `problem` says what.
        """
        if self._worker is None:
            return Report(None, problem="the session never began")
        if not self._ended:
            self._ended, self._cancelled = True, cancelled
            self._queue.put(Ended())
        self._join(wait)
        if self._report is not None:
            return self._report
        problem = "abandoned" if self._stopping else "still at work"
        return Report(None, self._worker.reports, problem, cancelled)

    def abandon(self) -> None:
        """Stop at once, and leave what was written for a later session. May be called twice."""
        self._stopping = True
        self._queue.close()
        if self._worker is not None:
            self._join(None)
            if self._output is not None:
                self._output.leave()

    def _join(self, wait: float | None) -> None:
        if threading.current_thread() is not self._thread:  # not from `on_fused`
            self._thread.join(wait)

    def _work(self) -> None:
        """Serve the queue, in the session's thread."""
        assert self._worker is not None
        give_way()
        while (item := self._queue.take()) is not None:
            try:
                if item.key is not None:
                    self._worker.handle(item)
                    continue
                self._report = self._worker.finish(cancelled=self._cancelled)
            except Exception as error:  # who is told of progress may fail, too
                _log.exception("the session went wrong")
                if item.key is None:
                    self._report = Report(None, self._worker.reports, reason(error))
            if item.key is None:
                self._queue.close()
