"""What a follower of a growing data set tells, and what all followers share.

Duty: the news, the protocol, the patience with files that are still being written. Must not know:
any format, who fuses.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import google_crc32c
import numpy as np

from zfuse.errors import ZfuseError, reason
from zfuse.pipeline.live._frame import Frame, StackKey
from zfuse.pipeline.live._series import Series

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Set as AbstractSet
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "Ended", "Follower", "News", "Patience", "Remark", "StackEnded", "Steady", "SteadyRead",
    "sidecar",
]  # fmt: skip

_PATIENCE = 5.0  # seconds for a plane that was whole and is being written anew
_ABSENCE = 600.0  # seconds for a share that dropped out


@dataclass(frozen=True)
class StackEnded:
    """No more planes of this stack come, or of this channel of it."""

    key: StackKey
    c: int | None = None


@dataclass(frozen=True)
class Ended:
    """Nothing comes any more: the writer said so."""

    why: str


@dataclass(frozen=True)
class Remark:
    """One line for people: what was assumed, what never became readable."""

    line: str


News = Series | Frame | StackEnded | Ended | Remark


class Follower(Protocol):
    """Looks at a growing data set again and again; reads only.

    Attributes
    ----------
    done
        Stacks that were fused before: they need not be looked at any more.
    patience
        Of all readers that it hands out.
    """

    done: AbstractSet[StackKey]
    patience: Patience

    @property
    def activity(self) -> int:
        """A number that grows whenever something on disk has changed, whole or not."""
        ...

    def poll(self) -> Iterator[News]:
        """Look once. The series comes before its frames, once; a frame when its plane is whole.

        Frames come without pixels, with `read`.
        """
        ...

    def finish(self) -> Iterator[News]:
        """Look a last time, nothing more will come: give what was held back, say what is missing.

        Every stack is ended.
        """
        ...


class Steady:
    """Tells which things on disk have stopped changing.

    Parameters
    ----------
    polls
        Polls in a row in which a thing must be seen alike.
    """

    def __init__(self, polls: int = 2) -> None:
        self._polls = polls
        self._seen: dict[Hashable, tuple[Hashable, int]] = {}
        self.changes = 0

    def look(self, name: Hashable, stamp: Hashable) -> bool:
        """Note what a thing looks like in this poll; true when it was like that long enough.

        Parameters
        ----------
        name
            The thing.
        stamp
            Its size, time, …; None when it can't be seen.
        """
        former, count = self._seen.get(name, (None, 0))
        if former != stamp or count == 0:
            self.changes += 1
            count = 0
        self._seen[name] = stamp, count + 1
        return stamp is not None and count + 1 >= self._polls

    def forget(self, name: Hashable) -> None:
        """Look at a thing no more."""
        self._seen.pop(name, None)


class Patience:
    """How long readers wait for a plane that was whole and cannot be read now.

    Parameters
    ----------
    place
        The data set. While it is not there at all, a share has dropped out: that takes longer.

    Attributes
    ----------
    stop
        Set: nobody wants the pixels any more.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self.stop = threading.Event()

    def is_over(self, since: float) -> bool:
        """Whether to give up what was begun at a time of `time.monotonic`; else waits a little."""
        waited = time.monotonic() - since
        limit = _PATIENCE if self._place.exists() else _ABSENCE
        return self.stop.wait(0.05) or waited > limit


class SteadyRead:
    """Reads a plane from files that someone may rewrite meanwhile.

    What comes back was read from files that were the same before and after, and the second read
    (of a method of two passes) gives what the first gave. The files themselves may change between
    the two: a shard grows.

    Parameters
    ----------
    stamp
        What the files look like; None or OSError when they are not there.
    read
        Reads and decodes.
    name
        For the refusal.
    patience
        For what cannot be read at the moment.

    Attributes
    ----------
    taken
        What the files looked like at the first read; None before it.
    """

    def __init__(
        self,
        stamp: Callable[[], Hashable],
        read: Callable[[], NDArray[Any]],
        name: str,
        patience: Patience,
    ) -> None:
        self._stamp, self._read, self._name, self._patience = stamp, read, name, patience
        self.taken: Hashable = None
        self._sum = 0

    def __call__(self) -> NDArray[Any]:
        """Read, with patience.

        Raises
        ------
        ZfuseError
            The plane cannot be had any more, or has changed between two reads.
        """
        since = time.monotonic()
        while True:
            why = ""
            try:
                before = self._stamp()
                pixels = self._read()
                if before is not None and self._stamp() == before:
                    found = google_crc32c.value(np.ascontiguousarray(pixels).view(np.uint8))
                    if self.taken is None or found == self._sum:
                        self.taken, self._sum = self.taken or before, found
                        return pixels
                    why = "it was rewritten while its stack was being fused"
            except (OSError, ZfuseError) as error:
                why = reason(error)
            if self._patience.is_over(since):
                raise ZfuseError(f"{self._name} cannot be read any more ({why or 'it changes'})")


def sidecar(place: Path) -> str:
    """Return the end mark that lies beside or in a data set, empty when there is none."""
    for mark in (place.with_name(f"{place.name}.done"), place / ".done", place / "_SUCCESS"):
        try:
            if mark.exists():
                return f"{mark} is there"
        except OSError:
            continue
    return ""
