"""What a follower told, gathered as a session would: pixels are read later, by `read`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.pipeline.live import Frame, Series, StackKey
from zfuse.pipeline.live._follower import Ended, Remark, StackEnded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.live._follower import Follower


class Followed:
    """Polls a follower and keeps its news."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.series: Series | None = None
        self.frames: dict[tuple[StackKey, int, int], Frame] = {}
        self.ended: list[StackKey] = []
        self.over = ""
        self.remarks: list[str] = []

    def poll(self, times: int = 1) -> Followed:
        for _ in range(times):
            self._take(self.follower.poll())
        return self

    def finish(self) -> Followed:
        self._take(self.follower.finish())
        return self

    def _take(self, news: Any) -> None:
        for item in news:
            match item:
                case Series():
                    assert self.series is None, "a series begins once"
                    self.series = item
                case Frame():
                    assert self.series is not None, "a frame before its series"
                    assert item.key not in self.ended, "a frame after its stack's end"
                    assert (item.key, item.c, item.z) not in self.frames, "a frame told twice"
                    self.frames[item.key, item.c, item.z] = item
                case StackEnded():
                    assert item.key not in self.ended
                    self.ended.append(item.key)
                case Ended():
                    self.over = item.why
                case Remark():
                    assert "\n" not in item.line
                    self.remarks.append(item.line)

    def stack(self, p: int = 0, t: int = 0, c: int = 0) -> NDArray[Any]:
        """Read one channel of a stack, which must have no gap."""
        found = {
            z: f for (key, channel, z), f in self.frames.items() if (key, channel) == ((p, t), c)
        }
        assert sorted(found) == list(range(len(found))), sorted(found)
        return np.stack([found[z].read() for z in sorted(found)])  # type: ignore[misc]
