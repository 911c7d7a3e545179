"""Guided filter: smooth one plane along the edges of another (CPU).

Duty: He, Sun & Tang (Guided image filtering, IEEE PAMI 35, 2013), for one grey guide. Must not
know: what is smoothed.

Windows are summed directly, in one order, so that a pixel has the same bits in any tile; running
sums of floats would drift from tile to tile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import float32

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._rows import add_row, copy_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["guided_filter"]


@jit
def _products(plane, guide, g, p, gg, gp):
    copy_row(guide, g)
    copy_row(plane, p)
    for x in range(guide.size):
        a = guide[x]
        b = plane[x]
        gg[x] = a * a
        gp[x] = a * b


@jit
def _add_pair(a, b, out):
    for x in range(out.size):
        out[x] += a[x] + b[x]


@jit
def _window_sum(padded, radius, out):
    """Write out[x] = padded[x] + … + padded[x + 2 radius]."""
    n = out.size
    copy_row(padded[radius : radius + n], out)
    for r in range(1, radius + 1):
        _add_pair(padded[radius - r : radius - r + n], padded[radius + r : radius + r + n], out)


@jit
def _column_sum(ring, y, last, radius, out):
    """Sum the rows y - radius … y + radius that exist; row i lies in slot i % len(ring)."""
    slots = ring.shape[0]
    copy_row(ring[y % slots], out)
    for r in range(1, radius + 1):
        if y - r >= 0 and y + r <= last:
            _add_pair(ring[(y - r) % slots], ring[(y + r) % slots], out)
        elif y - r >= 0:
            add_row(ring[(y - r) % slots], out)
        elif y + r <= last:
            add_row(ring[(y + r) % slots], out)


@jit
def _scale(share, row):
    for x in range(row.size):
        row[x] *= share[x]


@jit
def _slope_row(g, p, gg, gp, softness, slope):
    for x in range(slope.size):
        spread = max(gg[x] - g[x] * g[x], float32(0))
        slope[x] = (gp[x] - g[x] * p[x]) / (spread + softness)


@jit
def _offset_row(g, p, slope, offset):
    for x in range(offset.size):
        offset[x] = p[x] - slope[x] * g[x]


@jit
def _line_row(slope, guide, offset, out):
    for x in range(out.size):
        out[x] = slope[x] * guide[x] + offset[x]


@jit
def _share_row(count_x, rows, share):
    for x in range(share.size):
        share[x] = float32(1) / (count_x[x] * rows)


@jit
def _guided_rows(plane, guide, radius, softness, padded, sums, lines, means, share, count_x, out):
    height, width = guide.shape
    last = height - 1
    slots = 2 * radius + 1
    inside = slice(radius, radius + width)
    for t in range(height + 2 * radius):
        if t <= last:
            _products(
                plane[t], guide[t], padded[0, inside], padded[1, inside], padded[2, inside],
                padded[3, inside],
            )  # fmt: skip
            for i in range(4):
                _window_sum(padded[i], radius, sums[i, t % slots])
        y = t - radius
        if 0 <= y <= last:
            rows = float32(min(y + radius, last) - max(y - radius, 0) + 1)
            _share_row(count_x, rows, share)
            for i in range(4):
                _column_sum(sums[i], y, last, radius, means[i])
                _scale(share, means[i])
            _slope_row(means[0], means[1], means[2], means[3], softness, padded[4, inside])
            _offset_row(means[0], means[1], padded[4, inside], padded[5, inside])
            for i in range(2):
                _window_sum(padded[4 + i], radius, lines[i, y % slots])
        y = t - 2 * radius
        if y >= 0:
            rows = float32(min(y + radius, last) - max(y - radius, 0) + 1)
            _share_row(count_x, rows, share)
            for i in range(2):
                _column_sum(lines[i], y, last, radius, means[i])
                _scale(share, means[i])
            _line_row(means[0], guide[y], means[1], out[y])


@jit_allocating
def guided_filter(plane: Plane, guide: Plane, radius: int, softness: float, out: Plane) -> None:
    """Smooth a plane in windows, following the edges of the guide.

    In every window the result is a line of the guide, out = a · guide + b, with the least squares
    a = cov(guide, plane) / (var(guide) + softness) and b = mean(plane) - a · mean(guide); both are
    then averaged over all windows that hold the pixel. Windows end at the plane's edge. Reach:
    2 · radius.

    Parameters
    ----------
    plane : (Y, X) float32
    guide : (Y, X) float32
        Its mean should be near 0, as that of a detail band is: variances are differences of
        squares.
    radius : int
        Windows are 2 · radius + 1 pixels wide.
    softness : float
        Variance of the guide that does not count as an edge yet, above 0.
    out : (Y, X) float32
        May not be `plane` or `guide`.
    """
    width = guide.shape[1]
    slots = 2 * radius + 1
    count_x = np.empty(width, np.float32)
    for x in range(width):
        count_x[x] = min(x + radius, width - 1) - max(x - radius, 0) + 1
    _guided_rows(
        plane, guide, radius, np.float32(softness),
        np.zeros((6, width + 2 * radius), np.float32), np.empty((4, slots, width), np.float32),
        np.empty((2, slots, width), np.float32), np.empty((4, width), np.float32),
        np.empty(width, np.float32), count_x, out,
    )  # fmt: skip
