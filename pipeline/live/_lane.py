"""One fold of one stack: planes of a channel that decides alone, or of all that decide together.

Duty: which planes came, twice or beyond what was expected; hold or read their pixels; say when all
are there, and fuse what is. Must not know: threads, other stacks, where results go.
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
    check
        Raises where pixels are not those of the series.
    fuse
        Fuses (C, Z, Y, X) or (Z, Y, X).
    budget
        Told what is held no more.

    Attributes
    ----------
    remarks
        What was left out.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        expected: int | None,
        *,
        check: Callable[[NDArray[Any]], None],
        fuse: Callable[[NDArray[Any]], Fused],
        budget: Budget,
    ) -> None:
        self.channels = channels
        self.expected = expected
        self.remarks: list[str] = []
        self._check = check
        self._fuse = fuse
        self._budget = budget
        self._known: dict[tuple[int, int], bytes | None] = {}
        self._held: dict[tuple[int, int], Frame] = {}

    @property
    def complete(self) -> bool:
        """All planes that were expected are there."""
        return self.expected is not None and len(self._planes()) >= self.expected

    def add(self, frame: Frame, *, ended: bool = False) -> None:
        """Take a frame; its bytes are this lane's from now on. One that came `ended` is left out.

        Raises
        ------
        ZfuseError
            It is not of the series' size or dtype.
        """
        at = (frame.z, frame.c)
        pixels = frame.pixels
        try:
            if pixels is not None:
                self._check(pixels)
            mark = None if pixels is None else _mark(pixels)
            if at in self._known:
                if None not in (mark, self._known[at]) and mark != self._known[at]:
                    self._say(f"plane {frame.z} came twice, with other pixels: the first counts")
                return
            if frame.z < 0 or (self.expected is not None and frame.z >= self.expected):
                self._say(f"plane {frame.z} came, {self.expected} were expected: it is left out")
                return
            if ended:
                self._say(f"plane {frame.z} came too late: it is left out")
                return
            self._known[at] = mark
            self._held[at] = frame
            pixels = None
        finally:
            if pixels is not None:
                self._budget.give_back(pixels.nbytes)

    def finish(self) -> tuple[Fused | None, int]:
        """Fuse what came; return it with its number of planes, or None and 0.

        Planes that are missing between others leave the depth of the others where it was.

        Raises
        ------
        ZfuseError
            A plane cannot be read any more, or the method refuses them.
        """
        planes = self._planes()
        if not planes:
            if self._held:
                self._say("no plane has all its channels")
            self.drop()
            return None, 0
        array = np.stack([self._pixels(z) for z in planes], axis=-3)
        self.drop()
        fused = self._fuse(array)
        if planes != list(range(len(planes))):
            missing = sorted(set(range(planes[-1])) - set(planes))
            self._say(f"planes {', '.join(map(str, missing))} are missing")
            fused = replace(fused, depth=_at(fused.depth, planes))
        return fused, len(planes)

    def drop(self) -> None:
        """Let go of all pixels."""
        for frame in self._held.values():
            if frame.pixels is not None:
                self._budget.give_back(frame.pixels.nbytes)
        self._held.clear()

    def _planes(self) -> list[int]:
        """Return the planes that have all channels, ascending."""
        count: dict[int, int] = {}
        for z, _ in self._held:
            count[z] = count.get(z, 0) + 1
        return sorted(z for z, n in count.items() if n == len(self.channels))

    def _pixels(self, z: int) -> NDArray[Any]:
        frames = list(self._read(z))
        return frames[0] if len(frames) == 1 else np.stack(frames)

    def _read(self, z: int) -> Iterator[NDArray[Any]]:
        for c in self.channels:
            frame = self._held[z, c]
            pixels = frame.pixels
            if pixels is None:
                assert frame.read is not None
                try:
                    pixels = np.asarray(frame.read())
                except Exception as error:
                    raise ZfuseError(
                        f"plane {z} of channel {c} cannot be read: {reason(error)}"
                    ) from error
                self._check(pixels)
            yield pixels

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
