"""Frames that wait, bounded by bytes.

Duty: take frames from the acquiring thread at once, whatever the fusing thread is doing; when the
budget is full, let go of pixels that can be read again. Must not know: what is done with frames.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from threading import Condition, Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zfuse.pipeline.live._frame import Frame

__all__ = ["Budget", "FrameQueue", "Lost"]


class Budget:
    """Bytes that all frames together may hold, queued or kept.

    Parameters
    ----------
    limit
        Bytes.

    Attributes
    ----------
    used, most
        Bytes that are held, and that were held at most.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.most = 0
        self._lock = Lock()

    def take(self, n_bytes: int) -> bool:
        """Count bytes that are held from now on; False when they are too many."""
        with self._lock:
            if self.used + n_bytes > self.limit:
                return False
            self.used += n_bytes
            self.most = max(self.most, self.used)
            return True

    def give_back(self, n_bytes: int) -> None:
        """Count bytes that are held no more."""
        with self._lock:
            self.used -= n_bytes


class Lost:
    """A frame that came when the budget was full, and that nobody can read again."""

    def __init__(self, frame: Frame, limit: int) -> None:
        self.key, self.c, self.z, self.limit = frame.key, frame.c, frame.z, limit


class FrameQueue:
    """From the acquiring thread to the fusing one.

    Parameters
    ----------
    budget
        Taken for each frame's pixels; whoever gets the frame gives back.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._items: deque[Any] = deque()
        self._changed = Condition(Lock())

    def __len__(self) -> int:
        return len(self._items)

    def put_frame(self, frame: Frame) -> None:
        """Append a frame, without its pixels when there is no room for them. Never blocks."""
        item: Any = frame
        if frame.pixels is not None and not self._budget.take(frame.pixels.nbytes):
            item = Lost(frame, self._budget.limit)
            if frame.read is not None:
                item = replace(frame, pixels=None)
        self.put(item)

    def put(self, item: Any) -> None:
        """Append anything else; it is taken in its turn."""
        with self._changed:
            self._items.append(item)
            self._changed.notify()

    def take(self) -> Any:
        """Return the first item; wait for one."""
        with self._changed:
            while not self._items:
                self._changed.wait()
            return self._items.popleft()
