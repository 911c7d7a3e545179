"""The canvas: results in memory that fill up tile by tile, with smaller levels to look at.

Duty: take tiles from any thread, remember what is new. Must not know: napari, Qt, who fuses.

A viewer that is handed a whole image of 4096 x 4096 px again and again stands still: it copies all
of it to the graphics card. So large images have levels, each the mean of 2 x 2 pixels of the one
before, of which a viewer takes one that fits its window.
"""

from __future__ import annotations

import itertools
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import downsample, downsampled_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Fused, Stack

__all__ = ["Canvas"]

_WHOLE = 1024  # px: larger images get levels


class Canvas:
    """Image, depth and confidence of one stack while they are made.

    Parameters
    ----------
    stack
        What is fused.
    each
        Every channel has its own depth and confidence.

    Attributes
    ----------
    image, depth, confidence
        Levels, the first of full size: (T, C, Y, X) of the stack's dtype, and float32
        (T, maps, Y, X); depth in µm where the z step is known, else in planes, NaN where nothing is
        known yet.
    unit
        Of depth: ``"micrometer"`` or ``"plane"``.
    """

    def __init__(self, stack: Stack, *, each: bool) -> None:
        times, channels, self.planes, height, width = stack.shape
        self.stack = stack
        self.step = abs(stack.z_step or 0.0) or 1.0
        self.unit = "micrometer" if stack.z_step else "plane"
        maps = channels if each else 1
        sizes = [(height, width)]
        while max(sizes[-1]) > _WHOLE:
            sizes.append(downsampled_shape(*sizes[-1]))
        self.image = [np.zeros((times, channels, *size), stack.dtype) for size in sizes]
        self.depth = [np.full((times, maps, *size), np.nan, np.float32) for size in sizes]
        self.confidence = [np.zeros((times, maps, *size), np.float32) for size in sizes]
        self._lock, self._new = Lock(), 0

    @property
    def depth_limits(self) -> tuple[float, float]:
        """Lowest and highest depth that there can be; never the same."""
        return 0.0, max(self.planes - 1, 1) * self.step

    def put(self, t: int, y: int, x: int, fused: Fused) -> None:
        """Take a tile: its image (C, h, w), its maps (h, w) or (C, h, w), depth in planes."""
        rows, columns = fused.image.shape[-2:]
        depth = np.multiply(fused.depth, np.float32(self.step))
        for levels, tile in (
            (self.image, fused.image),
            (self.depth, depth),
            (self.confidence, fused.confidence),
        ):
            levels[0][t, :, y : y + rows, x : x + columns] = tile
            _fill_levels([level[t] for level in levels], y, x, rows, columns)
        with self._lock:
            self._new += 1

    def take_new(self) -> int:
        """Return how many tiles came since the last call."""
        with self._lock:
            new, self._new = self._new, 0
        return new


def _fill_levels(levels: list[NDArray[Any]], y: int, x: int, rows: int, columns: int) -> None:
    """Halve what came at (y, x) of the first level, (planes, Y, X), into the others.

    Tiles begin at multiples of 64 px, so that neighbours share no pixel of up to six levels.
    """
    bottom, right = y + rows, x + columns
    for finer, coarser in itertools.pairwise(levels):
        for source, out in zip(finer, coarser, strict=True):
            part = source[y:bottom, x:right]
            halved = downsample(part)
            out[y // 2 : y // 2 + len(halved), x // 2 : x // 2 + halved.shape[1]] = halved
        y, x, bottom, right = y // 2, x // 2, (bottom + 1) // 2, (right + 1) // 2
