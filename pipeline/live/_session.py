"""The session: frames in, fused stacks out, while the microscope goes on.

Duty: one worker thread that takes frames from a queue, fuses stacks as they become complete and
writes them; whatever goes wrong with one stack is that stack's failure. Must not know: who
acquires, how stacks are fused, file formats.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError, reason
from zfuse.pipeline._channels import EACH, Decisions
from zfuse.pipeline._fuse import fuse
from zfuse.pipeline.core import NoPixels, Progress, Stack
from zfuse.pipeline.live._frame import Frame, StackKey
from zfuse.pipeline.live._fusing import LiveStack
from zfuse.pipeline.live._lane import Lane
from zfuse.pipeline.live._output import LiveOutput
from zfuse.pipeline.live._queue import Budget, FrameQueue, Lost
from zfuse.pipeline.live._report import FAILED, Report, StackReport
from zfuse.pipeline.methods import make_method
from zfuse.pipeline.sources import from_array

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Fused
    from zfuse.pipeline.live._series import Series
    from zfuse.pipeline.methods import Method

__all__ = ["Session"]

_MEMORY = 2_000_000_000  # bytes
_log = logging.getLogger("zfuse.live")


class _Ended:
    """No more planes of a stack, or of all, come."""

    def __init__(self, key: StackKey | None = None, c: int | None = None) -> None:
        self.key, self.c = key, c


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
    1 stacks: 1 complete
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
        self._on_fused = on_fused
        self._progress = progress or Progress()
        self._output = None if output is None else LiveOutput(output, overwrite=overwrite)
        self._budget = Budget(_MEMORY if memory is None else memory)
        self._queue = FrameQueue(self._budget)
        self._open: dict[StackKey, LiveStack] = {}
        self._reports: dict[StackKey, StackReport] = {}
        self._done: frozenset[StackKey] = frozenset()
        self._frames: tuple[tuple[int, ...], np.dtype[Any]] | None = None
        self._stopping = threading.Event()
        self._ending: bool | None = None
        self._report: Report | None = None
        self._worker = threading.Thread(target=self._work, name="zfuse-session", daemon=True)
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and self._begun and not self._stopping.is_set():
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
        if self._begun:
            raise RuntimeError("a session serves one series; make another for the next")
        self._series = series
        self._n_channels = 3 if series.rgb else len(series.channels)
        bare = Stack(
            NoPixels((1, self._n_channels, 1, 1, 1), np.dtype(np.uint16)),
            "czyx",
            series.name,
            series.source,
            series.channels,
            rgb=series.rgb,
        )
        self._decisions = Decisions.of(bare, self._channel)
        if self._output is not None:
            settings = {
                "method": self._method.model_dump(mode="json"),
                "decision_channel": self._decisions.described(bare),
                "pixels": self._method.pixels,
                "depth": "of the method" if self._method.knows_depth else "of a focus measure",
                "min_confidence": self._min_confidence,
            }
            self._reports = self._output.begin(series, settings, each=self._decisions.each)
            self._done = frozenset(self._reports)
            if known := self._output.frames():
                self._frames = known[0], np.dtype(known[1])
        self._begun = True
        self._worker.start()

    @property
    def done(self) -> frozenset[StackKey]:
        """Stacks that an earlier session has written: they need not be fed."""
        return self._done

    def put(self, frame: Frame) -> None:
        """Take a frame, from any thread. Never blocks, never raises."""
        self._queue.put_frame(frame)

    def end_stack(self, key: StackKey, c: int | None = None) -> None:
        """No more planes of a stack, or of one of its channels, come: fuse what there is."""
        self._queue.put(_Ended(key, c))

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
        if not self._begun:
            return Report(None, problem="the session never began")
        if self._ending is None:
            self._ending = cancelled
            self._queue.put(_Ended())
        self._worker.join(wait)
        if self._report is not None:
            return self._report
        stacks = tuple(self._reports.values())
        problem = "abandoned" if self._stopping.is_set() else "still at work"
        return Report(None, stacks, problem, cancelled)

    def abandon(self) -> None:
        """Stop at once, and leave what was written for a later session. May be called twice."""
        self._stopping.set()
        if self._begun:
            self._queue.put(None)
            self._worker.join()
            if self._output is not None:
                self._output.leave()

    # All below runs in the session's thread.

    def _work(self) -> None:
        while not self._stopping.is_set():
            item = self._queue.take()
            if isinstance(item, _Ended) and item.key is None:
                self._report = self._finish()
                return
            try:
                self._handle(item)
            except Exception as error:
                key = getattr(item, "key", None)
                _log.exception("stack %s failed", key)
                if key is not None:
                    self._fail(key, error)

    def _handle(self, item: Frame | Lost | _Ended | None) -> None:
        if item is None or item.key is None:
            return
        if item.key in self._reports:
            if isinstance(item, Frame) and item.pixels is not None:
                self._budget.give_back(item.pixels.nbytes)
            return
        stack = self._open.get(item.key)
        if stack is None:
            stack = self._open[item.key] = self._stack(item.key)
        if isinstance(item, Lost):
            raise ZfuseError(
                f"plane {item.z} of channel {item.c} came when {self._budget.limit / 1e6:.0f} MB "
                "were waiting to be fused, and cannot be read again; give more memory"
            )
        if isinstance(item, Frame):
            complete = stack.add(item)
            lanes = [] if complete is None else [complete]
        else:
            lanes = [i for i in stack.open_lanes() if item.c in (None, *stack.lanes[i].channels)]
        self._fuse(stack, lanes)

    def _stack(self, key: StackKey) -> LiveStack:
        groups = self._decisions.groups
        lanes = []
        for group in groups:
            channels = (0,) if self._series.rgb else tuple(range(group.start, group.stop))
            known = [self._series.planes.get((key, c)) for c in channels]
            expected = None if None in known else max(n for n in known if n is not None)
            if expected != 0:
                lanes.append(
                    Lane(
                        channels,
                        expected,
                        check=self._check,
                        fuse=self._fused,
                        budget=self._budget,
                    )
                )
        return LiveStack(key, lanes, self._n_channels, each=self._decisions.each)

    def _check(self, pixels: NDArray[Any]) -> None:
        if self._frames is None:
            if self._output is not None:
                self._output.settle(pixels.shape, pixels.dtype)
            self._frames = pixels.shape, pixels.dtype
        if (pixels.shape, pixels.dtype) != self._frames:
            shape, dtype = self._frames
            raise ZfuseError(
                f"a frame is {pixels.dtype} {pixels.shape}, those of the series are {dtype} {shape}"
            )

    def _fused(self, planes: NDArray[Any]) -> Fused:
        stack = from_array(
            planes,
            axes="CZYX"[-planes.ndim :],
            z_step=self._series.z_step,
            pixel_size=self._series.pixel_size,
            rgb=self._series.rgb,
        )
        together = not self._decisions.each and stack.shape[1] > 1
        channel: int | str = "together" if together else EACH
        if together and self._decisions.channel is not None:
            channel = self._decisions.channel
        return fuse(
            stack,
            self._method,
            channel=channel,
            workers=self._workers,
            min_confidence=self._min_confidence,
        )

    def _fuse(self, stack: LiveStack, lanes: list[int]) -> None:
        for index in lanes:
            fused = stack.fuse(index)
            self._tell(stack, stack.lanes[index].channels, fused)
        if stack.finished and stack.lanes:
            report = stack.report()
            if self._output is not None:
                self._output.write(report, stack.joined())
            self._close(report)

    def _tell(self, stack: LiveStack, channels: tuple[int, ...], fused: Fused) -> None:
        if self._on_fused is None:
            return
        alone = len(channels) == 1 and not self._series.rgb
        try:
            self._on_fused(stack.key, channels[0] if alone else None, fused)
        except Exception as error:
            _log.exception("on_fused failed for stack %s", stack.key)
            stack.remarks.append(f"on_fused failed: {reason(error)}")

    def _close(self, report: StackReport) -> None:
        stack = self._open.pop(report.key, None)
        if stack is not None:
            stack.drop()
        self._reports[report.key] = report
        if report.status == FAILED:
            self._progress.warn(str(report))

    def _fail(self, key: StackKey, error: Exception) -> None:
        stack = self._open.get(key) or LiveStack(key, [], self._n_channels, each=False)
        self._close(stack.report(FAILED, reason(error)))

    def _finish(self) -> Report:
        """Fuse what is open and publish."""
        for key in sorted(self._open):
            stack = self._open[key]
            try:
                self._fuse(stack, stack.open_lanes())
            except Exception as error:
                _log.exception("stack %s failed", key)
                self._fail(key, error)
        if not self._ending:
            for key in {key for key, _ in self._series.planes} - self._reports.keys():
                self._fail(key, ZfuseError("it never came"))
        reports = tuple(sorted(self._reports.values(), key=lambda r: (r.key.t, r.key.p)))
        report = Report(None, reports, cancelled=bool(self._ending))
        if self._output is None:
            return report
        try:
            self._output.finish(reports, cancelled=bool(self._ending))
        except Exception as error:
            _log.exception("the output was not published")
            self._output.leave()
            return replace(report, problem=reason(error))
        return replace(report, output=str(self._output.path))
