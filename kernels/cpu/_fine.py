"""Put the depth that fine detail tells on top of a smoother one (CPU).

Duty: one map of two, cleaned of single pixels. Must not know: how they were found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import float32

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._pyramid import expand_run
from zfuse.kernels.cpu._rows import copy_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["FineLimits", "place_fine"]


class FineLimits(NamedTuple):
    """From where on fine detail counts; see `place_fine`.

    Attributes
    ----------
    same, sure : (2,) float
        Where ramps from 0 to 1 begin and end: of how far apart the depths are, in planes, and of
        how significant the fine one is.
    near, refined : float
        Planes apart from which on the ramps do not hold, and the significance that is asked there.
    """

    same: tuple[float, float]
    sure: tuple[float, float]
    near: float
    refined: float


@jit
def _sort3(a, b, c):
    low, high = min(a, b), max(a, b)
    return min(low, c), max(low, min(high, c)), max(high, c)


@jit
def _median(above, row, below, i, x, j):
    a, b, c = _sort3(above[i], row[i], below[i])
    d, e, f = _sort3(above[x], row[x], below[x])
    g, h, k = _sort3(above[j], row[j], below[j])
    low = max(max(a, d), g)
    middle = _sort3(b, e, h)[1]
    high = min(min(c, f), k)
    return _sort3(low, middle, high)[1]


@jit
def _median_row(above, row, below, out):
    """Write the medians of 3 x 3 pixels round one row.

    Sorts the three columns, as Smith does (Implementing median filters in XC4000E FPGAs, Xcell 23,
    1996): the median of nine is that of the largest minimum, the median median and the smallest
    maximum.
    """
    last = row.size - 1
    for x in range(1, last):
        out[x] = _median(above, row, below, x - 1, x, x + 1)
    for x in (0, last):
        out[x] = _median(above, row, below, max(x - 1, 0), x, min(x + 1, last))


@jit
def _ramp(value, low, gain):
    return min(max((value - low) * gain, float32(0)), float32(1))


@jit
def _place_row(depth, fine, significance, limits, placed, better):
    same, sure = float32(limits.same[0]), float32(limits.sure[0])
    apart_gain = float32(1) / (float32(limits.same[1]) - same)
    sure_gain = float32(1) / (float32(limits.sure[1]) - sure)
    near, refined = float32(limits.near), float32(limits.refined)
    for x in range(placed.size):
        s = significance[x]
        apart = abs(fine[x] - depth[x])
        passing = _ramp(apart, same, apart_gain) * _ramp(s, sure, sure_gain)
        strict = float32(1) if s > refined else float32(0)
        share = strict if apart >= near else passing
        placed[x] = depth[x] + share * (fine[x] - depth[x])
        better[x] = share > float32(0.5)


@jit_allocating
def place_fine(
    depth: Plane, fine: Plane, significance: Plane, limits: FineLimits, out: Plane,
    better: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Put a fine depth on top of a smoother one where it knows better, and take the median.

    With a = abs(fine - depth), s the significance, and r a ramp from 0 to 1::

        share = r_same(a) r_sure(s) if a < near else (s > refined)
        out = median of depth + share (fine - depth) over 3 x 3 pixels
        better = share > 1/2

    Parameters
    ----------
    depth : (Y, X) or (⌈Y/2⌉, ⌈X/2⌉) float32
        In planes. Of half size it is interpolated, as `add_expanded` does.
    fine, significance : (Y, X) float32
        In planes, and in standard deviations of noise.
    limits : FineLimits
    out : (Y, X) float32
        Result, in planes.
    better : (Y, X) bool
        Result.
    """
    height, width = fine.shape
    placed = np.empty((3, width), np.float32)
    column, smooth = np.empty(width + 8, np.float32), np.empty(width + 8, np.float32)
    for step in range(height + 1):
        y = step
        if y < height:
            if depth.shape[0] == height and depth.shape[1] == width:
                copy_row(depth[y], smooth[:width])
            else:
                expand_run(depth, y, 0, width, width, column, smooth)
            _place_row(smooth, fine[y], significance[y], limits, placed[y % 3], better[y])
        y = step - 1
        if y >= 0:
            above, below = max(y - 1, 0), min(y + 1, height - 1)
            _median_row(placed[above % 3], placed[y % 3], placed[below % 3], out[y])
