"""One stack of a series while its planes come: its lanes, and what becomes of them.

Duty: which frame belongs to which lane, when the stack is complete, and the joined result of all
its channels. Must not know: threads, queues, where results go.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Fused
from zfuse.pipeline.live._report import COMPLETE, PARTIAL, StackReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zfuse.pipeline.live._frame import Frame, StackKey
    from zfuse.pipeline.live._lane import Lane
    from zfuse.pipeline.live._queue import Budget

__all__ = ["LiveStack"]


class LiveStack:
    """One stack.

    Parameters
    ----------
    key
        Which.
    lanes
        One a fold; channels that get no planes have none.
    n_channels
        Channels of the image.
    each
        Depth and confidence have channels.

    Attributes
    ----------
    remarks
        What is to be said of it.
    """

    def __init__(
        self, key: StackKey, lanes: Sequence[Lane], n_channels: int, *, each: bool
    ) -> None:
        self.key = key
        self.lanes = list(lanes)
        self.remarks: list[str] = []
        self._n_channels = n_channels
        self._each = each
        self._begun = time.perf_counter()
        self._results: dict[int, tuple[Fused | None, int]] = {}

    @property
    def finished(self) -> bool:
        """All lanes are fused."""
        return len(self._results) == len(self.lanes)

    def cut(self) -> None:
        """Know that the acquisition was cancelled: lanes of unknown length are short."""
        for index in self.open_lanes():
            self.lanes[index].short |= self.lanes[index].expected is None

    def open_lanes(self, c: int | None = None) -> list[int]:
        """Return the lanes that are not fused yet: all, or that of a channel."""
        return [
            i
            for i, lane in enumerate(self.lanes)
            if i not in self._results and c in (None, *lane.channels)
        ]

    def add(self, frame: Frame, budget: Budget) -> int | None:
        """Take a frame; return the lane that is complete by it.

        Raises
        ------
        ZfuseError
            The frame is not of the series' size or dtype.
        """
        for index, lane in enumerate(self.lanes):
            if frame.c in lane.channels:
                lane.add(frame, ended=index in self._results)
                return index if index not in self._results and lane.complete else None
        budget.drop(frame)
        line = f"channel {frame.c} was not announced: it is left out"
        if line not in self.remarks:
            self.remarks.append(line)
        return None

    def fuse(self, index: int, min_confidence: float | None) -> Fused | None:
        """Fuse one lane; None if nothing of it came. Depth is blank where it is too doubtful.

        Raises
        ------
        ZfuseError
            As `Lane.finish`.
        """
        fused, planes = self.lanes[index].finish()
        if fused is not None and min_confidence is not None:
            fused = fused.blanked(min_confidence)
        self._results[index] = fused, planes
        return fused

    def joined(self) -> Fused:
        """Return image, depth and confidence of all channels; blank those that got no planes.

        Raises
        ------
        ZfuseError
            None of them got any.
        """
        results = {
            self.lanes[i].channels: fused for i, (fused, _) in self._results.items() if fused
        }
        if not results:
            raise ZfuseError("no plane came")
        if not self._each:
            ((_, fused),) = results.items()
            return fused
        first = next(iter(results.values()))
        shape = (self._n_channels, *first.depth.shape[-2:])
        image = np.zeros(shape, first.image.dtype)
        depth, confidence = np.full(shape, np.nan, np.float32), np.zeros(shape, np.float32)
        for (c,), fused in results.items():
            image[c], depth[c], confidence[c] = fused.image, fused.depth, fused.confidence
        return Fused(image, depth, confidence)

    def report(self, status: str = "", why: str = "") -> StackReport:
        """Return what became of it; by default complete or partial."""
        planes = [0] * self._n_channels
        short = not self.lanes
        for index, lane in enumerate(self.lanes):
            count = self._results[index][1] if index in self._results else 0
            short |= lane.short
            for c in lane.channels:
                planes[c] = count
        remarks = [
            f"channel {lane.channels[0]}: {line}" if len(self.lanes) > 1 else line
            for lane in self.lanes
            for line in lane.remarks
        ]
        return StackReport(
            self.key,
            tuple(planes),
            status or (PARTIAL if short else COMPLETE),
            why,
            (*remarks, *self.remarks),
            time.perf_counter() - self._begun,
        )

    def drop(self) -> None:
        """Let go of all pixels."""
        for lane in self.lanes:
            lane.drop()
        self._results.clear()
