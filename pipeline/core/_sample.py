"""A small sample of a stack, from which a method takes what is global to it.

Must not know: what methods estimate from it.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core._stack import Stack

__all__ = ["Sample", "sample_windows"]

Window = tuple[slice, slice]

_PLANES = 5
_EDGE = 64
_COLUMN_EDGE = 96
_FIELD, _FIELD_EDGE = 4, 256


def sample_windows(height: int, width: int) -> list[Window]:
    """Return where `Sample.columns` and `Sample.patches` lie, but none inside another.

    Who sees planes only once cuts these out of all of them: then the sample can be taken later,
    when it is known which planes it is of. `Sample.field` is not among them: it is needed where
    these hold nothing, and is as large as a plane.
    """
    found: list[Window] = []
    for window in (*_columns(height, width), *_patches(height, width)):
        if not any(_inside(window, other) for other in found):
            found.append(window)
    return found


class Sample:
    """Lazily read patches: a method that needs none costs no reading.

    Attributes
    ----------
    stack
        The stack; dtype, channels and rgb are free to use.
    channel
        Index of the channel that decides, or None: all of them do.
    t
        Time point the patches come from.
    """

    def __init__(self, stack: Stack, channel: int | None = None, t: int = 0) -> None:
        self.stack = stack
        self.channel = channel
        self.t = t

    def only(self, channel: int) -> Sample:
        """Return what a stack of one channel alone would give; what is read serves all of them."""
        return _ChannelSample(self, channel)

    @cached_property
    def patches(self) -> list[NDArray[Any]]:
        """Patches (planes, C, ≤64, ≤64): the middle and the quarters of up to five planes."""
        _, _, planes, height, width = self.stack.shape
        zs = sorted({round(i) for i in np.linspace(0, planes - 1, min(planes, _PLANES))})
        return [
            np.concatenate([self.stack.reader.read(self.t, slice(z, z + 1), ys, xs) for z in zs])
            for ys, xs in _patches(height, width)
        ]

    @cached_property
    def field(self) -> list[NDArray[Any]]:
        """Patches (1, C, ≤256, ≤256) of the middle plane, 16 all over it: for blank `patches`."""
        _, _, planes, height, width = self.stack.shape
        ys, xs = (
            {round(start) for start in np.linspace(0, max(size - _FIELD_EDGE, 0), _FIELD)}
            for size in (height, width)
        )
        z = slice(planes // 2, planes // 2 + 1)
        return [
            self.stack.reader.read(
                self.t, z,
                slice(y, min(y + _FIELD_EDGE, height)), slice(x, min(x + _FIELD_EDGE, width)),
            )
            for y in sorted(ys)
            for x in sorted(xs)
        ]  # fmt: skip

    @cached_property
    def columns(self) -> list[NDArray[Any]]:
        """Patches (n, C, ≤96, ≤96) of all planes, at the four quarters of the image.

        A source that decodes whole planes is read once for all patches.
        """
        _, channels, planes, height, width = self.stack.shape
        cuts = _columns(height, width)
        shapes = [(y.stop - y.start, x.stop - x.start) for y, x in cuts]
        columns = [np.empty((planes, channels, *s), self.stack.dtype) for s in shapes]
        _, chunk_rows, chunk_columns = self.stack.reader.chunk
        whole = 2 * chunk_rows > height and 2 * chunk_columns > width
        if not whole:  # one read a patch: its chunks are decoded side by side
            for column, (y, x) in zip(columns, cuts, strict=True):
                self.stack.reader.read(self.t, slice(0, planes), y, x, out=column)
            return columns
        for z in range(planes):
            plane = self.stack.reader.read(
                self.t, slice(z, z + 1), slice(0, height), slice(0, width)
            )
            for column, (y, x) in zip(columns, cuts, strict=True):
                column[z] = plane[0, :, y, x]
        return columns


class _ChannelSample(Sample):
    """One channel of a sample."""

    def __init__(self, whole: Sample, channel: int) -> None:
        super().__init__(whole.stack.only(channel), None, whole.t)
        self._whole, self._channel = whole, channel

    @cached_property
    def patches(self) -> list[NDArray[Any]]:
        """Patches of `Sample.patches`."""
        return self._cut(self._whole.patches)

    @cached_property
    def field(self) -> list[NDArray[Any]]:
        """Patches of `Sample.field`."""
        return self._cut(self._whole.field)

    @cached_property
    def columns(self) -> list[NDArray[Any]]:
        """Patches of `Sample.columns`."""
        return self._cut(self._whole.columns)

    def _cut(self, patches: list[NDArray[Any]]) -> list[NDArray[Any]]:
        # In the order in memory that a channel alone has: sums round in one way.
        c = self._channel
        return [np.ascontiguousarray(patch[:, c : c + 1]) for patch in patches]


def _patches(height: int, width: int) -> list[Window]:
    corners = {
        (max(0, int(height * fy) - _EDGE // 2), max(0, int(width * fx) - _EDGE // 2))
        for fy, fx in ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))
    }
    return _windows(corners, _EDGE, height, width)


def _columns(height: int, width: int) -> list[Window]:
    rows, across = (_quarters(size) for size in (height, width))
    return _windows({(y, x) for y in rows for x in across}, _COLUMN_EDGE, height, width)


def _windows(corners: set[tuple[int, int]], edge: int, height: int, width: int) -> list[Window]:
    return [
        (slice(y, min(y + edge, height)), slice(x, min(x + edge, width)))
        for y, x in sorted(corners)
    ]


def _inside(window: Window, other: Window) -> bool:
    cuts = zip(window, other, strict=True)
    return all(b.start <= a.start and a.stop <= b.stop for a, b in cuts)


def _quarters(size: int) -> list[int]:
    """Return where columns begin: as far from the first row as the last one ends from the last."""
    first = max(0, size // 4 - _COLUMN_EDGE // 2)
    return [first, max(0, size - _COLUMN_EDGE - first)]
