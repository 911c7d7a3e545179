"""One fold of one stack: planes of a channel that decides alone, or of all that decide together.

Duty: which planes came, twice or beyond what was expected; hand them to a fold in ascending z, and
hold the pixels of those that come early or are needed again, or read them. Must not know: threads,
other stacks, where results go.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Fused
    from zfuse.pipeline.live._folds import Folds, LentFold
    from zfuse.pipeline.live._frame import Frame
    from zfuse.pipeline.live._queue import Budget

__all__ = ["Lane"]

_ROWS = 16  # rows of a plane by which it is known again


class Lane:
    """The planes of one fold.

    Parameters
    ----------
    channels
        Indices of the channels whose frames make a plane; one, for colours, too.
    expected
        Number of planes, where it is known.
    folds
        Where folds come from.
    budget
        Told what is held no more.
    check
        Raises where pixels are not those of the series.

    Attributes
    ----------
    remarks
        What was left out.
    short
        Planes are known to be missing.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        expected: int | None,
        folds: Folds,
        budget: Budget,
        *,
        check: Callable[[NDArray[Any]], None],
    ) -> None:
        self.channels = channels
        self.expected = expected
        self.remarks: list[str] = []
        self.short = False
        self._folds, self._budget, self._check = folds, budget, check
        self._marks: dict[tuple[int, int], bytes | None] = {}
        self._frames: dict[int, dict[int, Frame | None]] = {}  # by plane and channel
        self._fold: LentFold | None = None
        self._folded: list[int] = []  # planes, in the order of the fold

    @property
    def complete(self) -> bool:
        """All planes that were expected are there."""
        return self.expected is not None and len(self._whole()) >= self.expected

    def add(self, frame: Frame, *, ended: bool = False) -> None:
        """Take a frame; its bytes are this lane's from now on. One that came `ended` is left out.

        Raises
        ------
        ZfuseError
            It is not of the series' size or dtype, or cannot be read.
        """
        pixels, z = frame.pixels, frame.z
        taken = False
        try:
            if pixels is not None:
                self._check(pixels)
            mark = None if pixels is None else _mark(pixels)
            known = self._marks.get((z, frame.c))
            if (z, frame.c) in self._marks:
                if mark is not None and known is not None and mark != known:
                    self._say(f"plane {z} came twice, with other pixels: the first counts")
            elif z < 0 or (self.expected is not None and z >= self.expected):
                self._say(f"plane {z} came, {self.expected} were expected: it is left out")
            elif ended:
                self._say(f"plane {z} came too late: it is left out")
            else:
                self._marks[z, frame.c] = mark
                self._frames.setdefault(z, {})[frame.c] = frame
                taken = True
        finally:
            if not taken:
                self._budget.drop(frame)
        while taken and (z := len(self._folded)) in self._frames and self._is_whole(z):
            if not self._add(z):
                break

    def finish(self) -> tuple[Fused | None, int]:
        """Fuse what came; return it with its number of planes, or None and 0.

        Planes that are missing between others leave the depth of the others where it was.

        Raises
        ------
        ZfuseError
            A plane cannot be read any more, or the method refuses them.
        """
        planes = self._whole()
        missing = sorted(set(range(planes[-1])) - set(planes)) if planes else []
        self.short |= bool(missing) or len(planes) < (self.expected or 0)
        if not planes:
            if self._frames:
                self._say("no plane has all its channels")
            self.drop()
            return None, 0
        for z in planes[len(self._folded) :]:
            self._add(z, must=True)
        assert self._fold is not None
        fused = self._fold.finish()
        self._folds.give_back(self._fold)
        self._fold = None
        self.drop()
        if missing:
            self._say(f"missing planes: {', '.join(map(str, missing))}")
            fused = replace(fused, depth=_at(fused.depth, planes))
        return fused, len(planes)

    def again(self, first: int) -> Iterator[NDArray[Any]]:
        """Give planes once more that were given to the fold, from the `first` of these on."""
        for z in self._folded[first:]:
            yield self._pixels(z)

    def drop(self) -> None:
        """Let go of everything."""
        if self._fold is not None:  # nobody knows what it holds
            self._folds.give_back(self._fold, spoilt=True)
            self._fold = None
        for z in self._frames:
            self._forget(z)
        self._frames.clear()

    def _whole(self) -> list[int]:
        """Return the planes that have all channels, ascending."""
        return sorted(filter(self._is_whole, self._frames))

    def _is_whole(self, z: int) -> bool:
        return len(self._frames[z]) == len(self.channels)

    def _add(self, z: int, *, must: bool = False) -> bool:
        """Give a plane to the fold; False if there is none at hand."""
        pixels = self._pixels(z)
        if self._fold is None:
            self._fold = self._folds.take(pixels, self, must=must)
            if self._fold is None:
                return False
        again = self._fold.add(pixels, len(self._folded))
        self._folded.append(z)
        if not again or self._can_be_read(z):
            self._forget(z)
        return True

    def _can_be_read(self, z: int) -> bool:
        """Whether a plane is better read again than held: others may want the memory more."""
        readable = all(frame and frame.read for frame in self._frames[z].values())
        return readable and self._budget.used > self._budget.limit / 2

    def _forget(self, z: int) -> None:
        """Let go of a plane's pixels, but not of how they can be read."""
        for c, frame in self._frames[z].items():
            if frame is not None and frame.pixels is not None:
                self._budget.drop(frame)
                self._frames[z][c] = replace(frame, pixels=None) if frame.read else None

    def _pixels(self, z: int) -> NDArray[Any]:
        planes = [self._read(z, c) for c in self.channels]
        return planes[0] if len(planes) == 1 else np.stack(planes)

    def _read(self, z: int, c: int) -> NDArray[Any]:
        frame = self._frames[z][c]
        if frame is not None and frame.pixels is not None:
            return frame.pixels
        if frame is None or frame.read is None:
            raise ZfuseError(f"plane {z} of channel {c} is needed again and cannot be read")
        try:
            pixels = np.asarray(frame.read())
        except Exception as error:
            raise ZfuseError(f"plane {z} of channel {c} cannot be read: {reason(error)}") from error
        self._check(pixels)
        return pixels

    def _say(self, line: str) -> None:
        if line not in self.remarks:
            self.remarks.append(line)


def _mark(pixels: NDArray[Any]) -> bytes:
    """Return what tells a plane from another: some of its rows."""
    import google_crc32c

    rows = np.ascontiguousarray(pixels[..., :: max(1, pixels.shape[-2] // _ROWS), :])
    return int(google_crc32c.value(rows.tobytes())).to_bytes(4, "little")


def _at(depth: NDArray[np.float32], planes: list[int]) -> NDArray[np.float32]:
    """Return depth, which counts the planes that came, in planes of the whole stack."""
    known = np.interp(depth.ravel(), np.arange(len(planes)), planes)
    return np.where(np.isnan(depth), depth, known.reshape(depth.shape).astype(np.float32))
