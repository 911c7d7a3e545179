"""Frames that wait, bounded by bytes.

Duty: take frames from the acquiring thread at once, whatever the fusing thread is doing; when the
budget is full, let go of pixels that can be read again. Must not know: what is done with frames.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from threading import Condition, Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zfuse.pipeline.live._frame import Frame, StackKey

__all__ = ["Budget", "Ended", "FrameQueue", "Lost"]


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

    def drop(self, frame: Frame) -> None:
        """Count a frame's pixels as held no more."""
        if frame.pixels is not None:
            self.give_back(frame.pixels.nbytes)


@dataclass(frozen=True)
class Lost:
    """A frame that cannot be had any more."""

    key: StackKey
    why: str


@dataclass(frozen=True)
class Ended:
    """No more planes of a stack come, or of its channel `c`; without a key: of none at all."""

    key: StackKey | None = None
    c: int | None = None


class FrameQueue:
    """From the acquiring thread to the fusing one.

    Parameters
    ----------
    budget
        Taken for each frame's pixels; whoever gets the frame gives back.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._items: deque[Frame | Lost | Ended] = deque()
        self._changed = Condition(Lock())
        self._closed = False
        self._lost: set[StackKey] = set()

    def __len__(self) -> int:
        return len(self._items)

    def put_frame(self, frame: Frame) -> None:
        """Append a frame, without its pixels when there is no room for them. Never blocks."""
        if self._closed or frame.key in self._lost:
            return
        item: Frame | Lost = frame
        if frame.pixels is not None and not self._budget.take(frame.pixels.nbytes):
            if frame.read is not None:
                item = replace(frame, pixels=None)
            else:  # the rest of its stack serves nothing, and may not crowd out others
                self._lost.add(frame.key)
                item = Lost(
                    frame.key,
                    f"plane {frame.z} of channel {frame.c} came when "
                    f"{self._budget.limit / 1e6:,.0f} MB were waiting to be fused, and cannot be "
                    "read again; give more memory",
                )
        self.put(item)

    def put(self, item: Frame | Lost | Ended) -> None:
        """Append an item; it is taken in its turn."""
        with self._changed:
            if not self._closed:
                self._items.append(item)
                self._changed.notify()

    def take(self) -> Frame | Lost | Ended | None:
        """Return the first item; wait for one. None once the queue is closed."""
        with self._changed:
            while not (self._items or self._closed):
                self._changed.wait()
            return None if self._closed else self._items.popleft()

    def close(self) -> None:
        """Drop what waits, and take nothing any more."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
