"""What a live stack is calibrated on: cut out of its planes while they pass.

Duty: the pixels that a `Sample` takes, kept of all planes (which of them it takes is known when the
last one has come), and a stack that serves just them. Must not know: what is measured on them.

82 kB of a plane of 16 bits, whatever its size.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.pipeline.core import BaseReader, sample_windows, within

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Stack

    Window = tuple[slice, slice]
    Whole = Callable[[int], NDArray[Any]]

__all__ = ["Gathered"]


class Gathered:
    """Parts of the planes of one live stack.

    Parameters
    ----------
    like
        A stack of the same size, dtype and channels.

    Attributes
    ----------
    planes
        How many came.
    read
        Whether anything of them was ever asked for.
    """

    def __init__(self, like: Stack) -> None:
        self._like = like
        self._windows = sample_windows(*like.shape[3:])
        self._parts: list[list[NDArray[Any]]] = [[] for _ in self._windows]
        self.planes = 0
        self.read = False

    def take(self, block: NDArray[Any]) -> None:
        """Cut the parts out of the next planes (n, C, Y, X), or only count them: see `release`."""
        for parts, (y, x) in zip(self._parts, self._windows, strict=True):
            parts.append(block[:, :, y, x].copy())
        self.planes += len(block)

    def stack(self, whole: Whole) -> Stack:
        """Return the stack of all planes so far, of which only the parts are at hand.

        `whole` gives a plane (C, Y, X), for what is needed of it beyond the parts. It may raise.
        """
        _, channels, _, height, width = self._like.shape
        shape = (1, channels, self.planes, height, width)
        parts = [np.concatenate(parts) for parts in self._parts]
        return replace(self._like, reader=_PartsReader(self, shape, parts, whole))

    @property
    def windows(self) -> list[Window]:
        """Where the parts lie."""
        return self._windows

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the planes."""
        return self._like.dtype

    def release(self) -> None:
        """Keep no parts any more: nobody asks for them."""
        self._windows, self._parts = [], []

    def clear(self) -> None:
        """Begin with the next stack."""
        self.planes = 0
        for parts in self._parts:
            parts.clear()


class _PartsReader(BaseReader):
    """Reads parts of planes."""

    def __init__(
        self,
        gathered: Gathered,
        shape: tuple[int, int, int, int, int],
        parts: list[NDArray[Any]],
        whole: Whole,
    ) -> None:
        super().__init__(shape, gathered.dtype, (1, 1, 1))
        self._gathered, self._parts, self._whole = gathered, parts, whole

    def fill(self, t: int, z: slice, y: slice, x: slice, out: NDArray[Any]) -> None:
        """Fill `out`, (planes, C, Y, X), with the window."""
        self._gathered.read = True
        for part, window in zip(self._parts, self._gathered.windows, strict=True):
            rows, columns = within((y, x), window)
            if min(rows.start, columns.start) >= 0 and (
                rows.stop <= part.shape[2] and columns.stop <= part.shape[3]
            ):
                out[...] = part[z, :, rows, columns]
                return
        for target, i in zip(out, range(z.start, z.stop), strict=True):
            target[...] = self._whole(i)[:, y, x]
