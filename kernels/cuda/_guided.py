"""Guided filter: smooth one plane along the edges of another (CUDA).

Duty: He, Sun & Tang (Guided image filtering, IEEE PAMI 35, 2013), for one grey guide. Must not
know: what is smoothed.

Windows are summed from the middle outwards, first along x and then along y, as on the CPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda, float32

from zfuse.kernels.cuda._device import device_function, given, launch, product, scratch

__all__ = ["guided_filter"]


@device_function
def _in_row(row, x):
    return row[x] if 0 <= x < row.size else float32(0)


@device_function
def _products(plane, guide, y, x):
    if not 0 <= x < guide.shape[1]:
        return float32(0), float32(0), float32(0), float32(0)
    a, b = guide[y, x], plane[y, x]
    return a, b, product(a, a), product(a, b)


@cuda.jit
def _across(plane, guide, radius, sums):
    x, y = cuda.grid(2)
    if y >= guide.shape[0] or x >= guide.shape[1]:
        return
    g, p, gg, gp = _products(plane, guide, y, x)
    for r in range(1, radius + 1):
        a, b, aa, ab = _products(plane, guide, y, x - r)
        c, d, cc, cd = _products(plane, guide, y, x + r)
        g += a + c
        p += b + d
        gg += aa + cc
        gp += ab + cd
    sums[0, y, x], sums[1, y, x], sums[2, y, x], sums[3, y, x] = g, p, gg, gp


@device_function
def _mean(sums, y, x, radius):
    """Return the mean over a window of which each row is summed."""
    last = sums.shape[0] - 1
    total = sums[y, x]
    for r in range(1, radius + 1):
        if y - r >= 0 and y + r <= last:
            total += sums[y - r, x] + sums[y + r, x]
        elif y - r >= 0:
            total += sums[y - r, x]
        elif y + r <= last:
            total += sums[y + r, x]
    rows = min(y + radius, last) - max(y - radius, 0) + 1
    columns = min(x + radius, sums.shape[1] - 1) - max(x - radius, 0) + 1
    return product(total, float32(1) / (float32(columns) * float32(rows)))


@cuda.jit
def _fit(sums, radius, softness, lines):
    x, y = cuda.grid(2)
    if y >= lines.shape[1] or x >= lines.shape[2]:
        return
    g, p = _mean(sums[0], y, x, radius), _mean(sums[1], y, x, radius)
    gg, gp = _mean(sums[2], y, x, radius), _mean(sums[3], y, x, radius)
    spread = max(gg - product(g, g), float32(0))
    slope = (gp - product(g, p)) / (spread + softness)
    lines[0, y, x] = slope
    lines[1, y, x] = p - product(slope, g)


@cuda.jit
def _lines_across(lines, radius, sums):
    x, y = cuda.grid(2)
    if y >= lines.shape[1] or x >= lines.shape[2]:
        return
    slope, offset = lines[0, y, x], lines[1, y, x]
    for r in range(1, radius + 1):
        slope += _in_row(lines[0, y], x - r) + _in_row(lines[0, y], x + r)
        offset += _in_row(lines[1, y], x - r) + _in_row(lines[1, y], x + r)
    sums[0, y, x], sums[1, y, x] = slope, offset


@cuda.jit
def _apply(sums, guide, radius, out):
    x, y = cuda.grid(2)
    if y >= out.shape[0] or x >= out.shape[1]:
        return
    slope = _mean(sums[0], y, x, radius)
    out[y, x] = product(slope, guide[y, x]) + _mean(sums[1], y, x, radius)


def guided_filter(plane: Any, guide: Any, radius: int, softness: float, out: Any) -> None:
    """Smooth a plane in windows, following the edges of the guide.

    See `zfuse.kernels.cpu.guided_filter`; all arrays lie on the device.

    Parameters
    ----------
    plane : (Y, X) float32
    guide : (Y, X) float32
    radius : int
    softness : float
    out : (Y, X) float32
    """
    guide, out = given(guide), given(out)
    height, width = out.shape
    sums = scratch("guided-sums", (4, height, width))
    lines = scratch("guided-lines", (2, height, width))
    launch(_across, out.shape, given(plane), guide, radius, sums)
    launch(_fit, out.shape, sums, radius, np.float32(softness), lines)
    launch(_lines_across, out.shape, lines, radius, sums)
    launch(_apply, out.shape, sums, guide, radius, out)
