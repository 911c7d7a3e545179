"""What becomes of frames: stacks in the making, their results, and the reports on them.

Duty: one item of the queue after another, in one thread; whatever goes wrong with a stack is that
stack's failure, and no other's. Must not know: threads, the queue's bounds, file formats.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError, reason
from zfuse.pipeline.live._frame import Frame
from zfuse.pipeline.live._fusing import LiveStack
from zfuse.pipeline.live._lane import Lane
from zfuse.pipeline.live._queue import Lost
from zfuse.pipeline.live._report import FAILED, Report, StackReport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from zfuse.pipeline._channels import Decisions
    from zfuse.pipeline.core import Fused, Progress
    from zfuse.pipeline.live._folds import Folds
    from zfuse.pipeline.live._frame import StackKey
    from zfuse.pipeline.live._landmark import Landmark
    from zfuse.pipeline.live._output import LiveOutput
    from zfuse.pipeline.live._queue import Budget, Ended
    from zfuse.pipeline.live._series import Series

    OnFused = Callable[[StackKey, int | None, Fused], None]

__all__ = ["Worker"]

_log = logging.getLogger("zfuse.live")


class Worker:
    """All stacks of one series. For one thread.

    Parameters
    ----------
    series
        What was announced.
    decisions
        Which channels are fused together.
    folds
        What fuses.
    budget
        Frames come with their bytes taken.
    output
        Where results go, begun; or None.
    reports
        Stacks that are done already.
    min_confidence
        Probability below which depth becomes NaN, or None.
    on_fused, progress
        Told.

    Attributes
    ----------
    series
        As given.
    frames
        How many were taken up.
    problem
        Why nothing more is fused; "" if all is well.
    """

    def __init__(
        self,
        series: Series,
        decisions: Decisions,
        folds: Folds,
        budget: Budget,
        output: LiveOutput | None,
        reports: Mapping[StackKey, StackReport],
        min_confidence: float | None,
        on_fused: OnFused | None,
        progress: Progress,
    ) -> None:
        self.series, self._decisions, self._folds = series, decisions, folds
        self.frames, self.problem = 0, ""
        self._landmark: Landmark | None = None if output is None else output.landmark()
        self._budget, self._output = budget, output
        self._min_confidence = min_confidence
        self._on_fused, self._progress = on_fused, progress
        self._reports = dict(reports)
        self._channels = 1 if series.rgb else len(series.channels)
        self._unwritten: dict[StackKey, str] = {}
        self._late: Counter[StackKey] = Counter()
        self._open: dict[StackKey, LiveStack] = {}
        self._frames: tuple[tuple[int, ...], np.dtype[Any]] | None = None
        if output is not None and (known := output.frames()):
            self._frames = known[0], np.dtype(known[1])
            self._tell_voxels(known[0])

    @property
    def reports(self) -> tuple[StackReport, ...]:
        """What became of the stacks so far, by time point and position."""
        told = dict(self._reports)  # the worker goes on meanwhile
        for key, n in dict(self._late).items():
            if key in told:
                line = f"{n} frames came too late" if n > 1 else "a frame came too late"
                told[key] = replace(told[key], remarks=(*told[key].remarks, line))
        return tuple(sorted(told.values(), key=lambda report: (report.key.t, report.key.p)))

    def handle(self, item: Frame | Lost | Ended) -> None:
        """Take one item of the queue; its stack fails where it cannot be taken. Never raises."""
        key = item.key
        if key is None or not self._is_same(item):
            return
        try:
            if key in self._reports:
                self._too_late(self._reports[key], item)
                return
            if key not in self._open:
                self._open[key] = self._stack(key)
            self._take(self._open[key], item)
        except Exception as error:
            self._fail(key, error)

    def finish(self, *, cancelled: bool) -> Report:
        """Fuse what is open, publish, and tell what became of everything. Never raises."""
        if self.problem:
            assert self._output is not None
            self._output.leave()
            return Report(None, self.reports, self.problem, cancelled)
        for key in sorted(self._open):
            try:
                stack = self._open[key]
                if cancelled:
                    stack.cut()
                self._fuse(stack, stack.open_lanes())
            except Exception as error:
                self._fail(key, error)
        if not cancelled:
            announced = {key for (key, _), planes in self.series.planes.items() if planes}
            for key in sorted(announced - self._reports.keys()):
                self._fail(key, ZfuseError("it never came"))
        report = Report(None, self.reports, cancelled=cancelled)
        if self._output is None:
            return report
        if self._unwritten:  # published, they could not be written any more
            self._output.leave()
            *_, why = self._unwritten.values()
            plural = "" if len(self._unwritten) == 1 else "s"
            return replace(
                report,
                problem=f"{len(self._unwritten)} stack{plural} could not be written: {why}; a "
                "session on the same output goes on with those that were",
            )
        try:
            self._output.finish(tuple(self._reports.values()), cancelled=cancelled)
        except Exception as error:
            _log.exception("%s was not published", self._output.path)
            self._output.leave()
            return replace(report, problem=reason(error))
        return replace(report, output=str(self._output.path))

    def _is_same(self, item: Frame | Lost | Ended) -> bool:
        """Whether this is still the acquisition that was begun with, as far as is known."""
        if isinstance(item, Frame) and not self.problem and self._landmark is not None:
            try:
                self._landmark.check(item)
            except ZfuseError as error:
                self.problem = reason(error)
                _log.error("%s", error)
        if self.problem and isinstance(item, Frame):
            self._budget.drop(item)
        return not self.problem

    def _take(self, stack: LiveStack, item: Frame | Lost | Ended) -> None:
        if isinstance(item, Lost):
            raise ZfuseError(item.why)
        if isinstance(item, Frame):
            self.frames += 1
            complete = stack.add(item, self._budget)
            if self._frames is not None:
                self._progress.advance(math.prod(self._frames[0]))
            self._fuse(stack, [] if complete is None else [complete])
        else:
            self._fuse(stack, stack.open_lanes(item.c))

    def _too_late(self, report: StackReport, item: Frame | Lost | Ended) -> None:
        """Take a frame of a stack that is done: one that came again, or was given up."""
        if not isinstance(item, Frame):
            return
        self._budget.drop(item)
        count = report.planes[item.c] if 0 <= item.c < len(report.planes) else 0
        if report.status != FAILED and item.z >= count:
            self._late[report.key] += 1

    def _stack(self, key: StackKey) -> LiveStack:
        series = self.series
        if key.p < 0 or (self._output is not None and key.p and not series.collection):
            raise ZfuseError(f"position {key.p} was not announced, and the output holds one image")
        if key.t < 0 or (self._output is not None and key.t >= 1 == series.times):
            raise ZfuseError(f"time {key.t} was not announced, and the output holds one time point")
        lanes = []
        for group in self._decisions.groups:
            channels = (0,) if series.rgb else tuple(range(group.start, group.stop))
            known = [series.planes.get((key, c)) for c in channels]
            expected = None if None in known else max(n for n in known if n is not None)
            if expected != 0:
                lanes.append(Lane(channels, expected, self._folds, self._budget, check=self._check))
        return LiveStack(key, lanes, self._channels, each=self._decisions.each)

    def _check(self, pixels: NDArray[Any]) -> None:
        """Refuse a frame that is not like the first one of the series."""
        shape, dtype = pixels.shape, pixels.dtype.newbyteorder("=")
        if self._frames is None:
            if len(shape) != (3 if self.series.rgb else 2) or dtype.kind not in "iuf":
                wanted = "three colours (3, Y, X)" if self.series.rgb else "one channel (Y, X)"
                raise ZfuseError(f"a frame is {dtype} {shape}; it must be numbers of {wanted}")
            if self._output is not None:
                self._output.settle(shape, dtype)
            self._frames = shape, dtype
            self._tell_voxels(shape)
        if (shape, dtype) != self._frames:
            raise ZfuseError(
                f"a frame is {dtype} {shape}, those of the series are {self._frames[1]} "
                f"{self._frames[0]}"
            )

    def _tell_voxels(self, shape: tuple[int, ...]) -> None:
        """Tell how much will come, where that was announced."""
        planes = self.series.planes.items()
        frames = sum(n for (key, _), n in planes if key not in self._reports)
        if frames:
            self._progress.start(frames * math.prod(shape))

    def _fuse(self, stack: LiveStack, lanes: list[int]) -> None:
        """Fuse lanes, and write the stack if they were the last ones."""
        for index in lanes:
            fused = stack.fuse(index, self._min_confidence)
            if fused is not None:
                self._tell(stack, stack.lanes[index].channels, fused)
        if not stack.finished:
            return
        joined, report = stack.joined(), stack.report()
        if self._output is not None:
            try:
                self._output.write(report, joined)
            except ZfuseError as error:
                self._unwritten[report.key] = reason(error)
                raise
        self._close(report)

    def _tell(self, stack: LiveStack, channels: tuple[int, ...], fused: Fused) -> None:
        if self._on_fused is None:
            return
        alone = len(channels) == 1 and not self.series.rgb
        try:
            self._on_fused(stack.key, channels[0] if alone else None, fused)
        except Exception as error:
            _log.exception("on_fused failed for %s", stack.key)
            stack.remarks.append(f"on_fused failed: {reason(error)}")

    def _fail(self, key: StackKey, error: Exception) -> None:
        if isinstance(error, ZfuseError):
            _log.error("%s failed: %s", key, error)
        else:
            _log.error("%s failed", key, exc_info=error)
        stack = self._open.get(key)
        if stack is None:
            stack = LiveStack(key, [], self._channels, each=False)
        self._close(stack.report(FAILED, reason(error)))

    def _close(self, report: StackReport) -> None:
        stack = self._open.pop(report.key, None)
        if stack is not None:
            stack.drop()
        self._reports[report.key] = report
        if report.status == FAILED:
            self._progress.warn(str(report))
