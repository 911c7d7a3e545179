"""Soft choice between planes: how active a pixel is, and a running weighted mean of planes (CPU).

Duty: log activity of one plane; a mean of planes with weights 2^exponent that can neither overflow
nor depend on how many planes follow. Must not know: what is weighed, pyramids, tiles.

Logarithm and power are short polynomials on the bits of a float: they vectorise, which libm's do
not, and they give the same bits wherever a pixel lies in a row. Their error, below 0.002 in log2
and below 0.2 % of a weight, is far below what noise does to an activity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import float32, int32

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._rows import add_square_sum

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["ACTIVITY_GAIN", "NO_WEIGHT", "add_weighted", "log_activity", "log_energy"]

ACTIVITY_GAIN = 104 / 256
"""Energy that `log_activity` finds in white noise of variance 1: the sum of its squared taps."""

NO_WEIGHT = np.float32(-1e30)
"""Exponent of a pixel that must not count at all."""

_ONE = np.int32(127 << 23)  # bits of 1.0
_MANTISSA = np.int32((1 << 23) - 1)
_STEP = np.float32(2.0**-23)


@jit
def _smooth_column(up, row, down, out):
    for x in range(out.size):
        out[x] = up[x] + down[x] + float32(2) * row[x]


@jit
def _smooth_row(column, out):
    last = column.size - 1
    for x in range(1, last):
        out[x] = (column[x - 1] + column[x + 1] + float32(2) * column[x]) * float32(1 / 16)
    for x in (0, last):
        out[x] = (
            column[max(x - 1, 0)] + column[min(x + 1, last)] + float32(2) * column[x]
        ) * float32(1 / 16)


@jit
def _square_laplacian(up, row, down, out):
    last = row.size - 1
    for x in range(1, last):
        d = up[x] + down[x] + (row[x - 1] + row[x + 1]) - float32(4) * row[x]
        out[x] = d * d
    for x in (0, last):
        d = up[x] + down[x] + (row[max(x - 1, 0)] + row[min(x + 1, last)]) - float32(4) * row[x]
        out[x] = d * d


@jit
def _add_three(a, b, c, out):
    for x in range(out.size):
        out[x] = a[x] + b[x] + c[x]


@jit
def _ratio_row(column, scale, out):
    """Write 1 + scale · (sum of three neighbours)."""
    last = column.size - 1
    for x in range(1, last):
        out[x] = float32(1) + scale * (column[x - 1] + column[x] + column[x + 1])
    for x in (0, last):
        total = column[max(x - 1, 0)] + column[x] + column[min(x + 1, last)]
        out[x] = float32(1) + scale * total


@jit
def _log2_row(bits, out):
    """Logarithm of floats above 0 given by their bits."""
    for x in range(out.size):
        b = bits[x]
        f = float32(b & _MANTISSA) * _STEP
        whole = float32(int32(b - _ONE)) * _STEP
        out[x] = whole + f * (float32(1) - f) * (float32(0.42086) - float32(0.15639) * f)


@jit
def _log_activity(plane, scale, smooth, energy, column, ratio, bits, out):
    height = plane.shape[0]
    last = height - 1
    for t in range(height + 2):
        if t <= last:
            _smooth_column(plane[max(t - 1, 0)], plane[t], plane[min(t + 1, last)], column)
            _smooth_row(column, smooth[t % 3])
        y = t - 1
        if 0 <= y <= last:
            above, below = smooth[max(y - 1, 0) % 3], smooth[min(y + 1, last) % 3]
            _square_laplacian(above, smooth[y % 3], below, energy[y % 3])
        y = t - 2
        if y >= 0:
            _add_three(
                energy[max(y - 1, 0) % 3], energy[y % 3], energy[min(y + 1, last) % 3], column
            )
            _ratio_row(column, scale, ratio)
            _log2_row(bits, out[y])


@jit_allocating
def log_activity(plane: Plane, floor: float, out: Plane) -> None:
    """Write how much more fine detail than noise a plane holds, on a logarithmic scale.

    With s the plane smoothed by [1 2 1]/4 in both directions and ∇² the 4-neighbour Laplacian, the
    energy is that of a Laplacian of Gaussian (Marr & Hildreth 1980)::

        out = log2(1 + E / floor),    E = mean of (∇²s)² over 3 x 3 pixels

    Without the smoothing the noise of single pixels, not focus, decides in dark places. Reach: 3
    pixels; at the edge pixels replicate.

    Parameters
    ----------
    plane : (Y, X) float32
    floor : float
        Energy that counts as nothing, above 0, in the plane's units squared: of the order of the
        noise's, `ACTIVITY_GAIN` · σ².
    out : (Y, X) float32
        Result; its error is below 0.002.
    """
    width = plane.shape[1]
    ratio = np.empty(width, np.float32)
    _log_activity(
        plane, np.float32(1 / (9 * floor)), np.empty((3, width), np.float32),
        np.empty((3, width), np.float32), np.empty(width, np.float32), ratio, ratio.view(np.int32),
        out,
    )  # fmt: skip


@jit
def _log_energy(bands, scale, column, ratio, bits, out):
    count, height, _ = bands.shape
    for y in range(height):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        column[:] = 0
        for b in range(count):
            add_square_sum(bands[b, above], bands[b, y], bands[b, below], column)
        _ratio_row(column, scale, ratio)
        _log2_row(bits, out[y])


@jit_allocating
def log_energy(bands: Plane, floor: float, out: Plane) -> None:
    """Write how much more energy than noise B bands hold together, on a logarithmic scale.

    out = log2(1 + E / floor) with E the mean of b² over the bands b and over 3 x 3 pixels, which
    replicate at the edge.

    Parameters
    ----------
    bands : (B, Y, X) float32
    floor : float
        Energy that counts as nothing, above 0, in the bands' units squared: that of noise.
    out : (Y, X) float32
        Result; its error is below 0.002.
    """
    count, _, width = bands.shape
    ratio = np.empty(width, np.float32)
    _log_energy(
        bands, np.float32(1 / (9 * count * floor)), np.empty(width, np.float32), ratio,
        ratio.view(np.int32), out,
    )  # fmt: skip


@jit
def _power_row(exponent, peak, bits):
    """Write the bits of 2^-|exponent - peak|."""
    for x in range(bits.size):
        d = max(-abs(exponent[x] - peak[x]), float32(-126))
        f = d - np.floor(d)
        curve = f * (float32(1) - f) * (float32(0.30407) + float32(0.07913) * f)
        bits[x] = int32((d - curve + float32(127)) * float32(2.0**23))


@jit
def _share_row(exponent, peak, power, old, new):
    for x in range(power.size):
        e = exponent[x]
        p = peak[x]
        w = power[x]
        old[x] = w if e > p else float32(1)
        new[x] = float32(1) if e > p else w


@jit
def _raise_peak(exponent, peak, new):
    for x in range(new.size):
        e = exponent[x]
        p = peak[x]
        new[x] = float32(0) if e <= NO_WEIGHT else new[x]
        peak[x] = e if e > p else p


@jit
def _add_share(old, new, total):
    for x in range(total.size):
        total[x] = total[x] * old[x] + new[x]


@jit
def _add_band(old, new, band, total):
    for x in range(total.size):
        total[x] = total[x] * old[x] + new[x] * band[x]


@jit
def _add_rows(exponent, bands, peak, total, sums, power, bits, old, new):
    for y in range(total.shape[0]):
        _power_row(exponent[y], peak[y], bits)
        _share_row(exponent[y], peak[y], power, old, new)
        _raise_peak(exponent[y], peak[y], new)
        _add_share(old, new, total[y])
        for c in range(bands.shape[0]):
            _add_band(old, new, bands[c, y], sums[c, y])


@jit_allocating
def add_weighted(exponent: Plane, bands: Plane, peak: Plane, total: Plane, sums: Plane) -> None:
    """Add one plane to a running mean with weight 2^exponent, in place.

    The mean is sums / total. Both are kept relative to 2^p, the largest weight so far, so that any
    exponent e is fine (the running soft-max of Milakov & Gimelshein 2018, arXiv:1805.02867)::

        p' = max(p, e)
        total ← total 2^(p - p') + 2^(e - p')
        sums ← sums 2^(p - p') + bands 2^(e - p')
        p ← p'

    Parameters
    ----------
    exponent : (Y, X) float32
        log2 of the weight; `NO_WEIGHT` keeps a pixel out.
    bands : (C, Y, X) float32
        What is averaged.
    peak : (Y, X) float32
        Largest exponent so far; starts at `NO_WEIGHT`.
    total : (Y, X) float32
        Sum of weights; starts at 0.
    sums : (C, Y, X) float32
        Weighted sums; start at 0.
    """
    width = total.shape[1]
    power = np.empty(width, np.float32)
    _add_rows(
        exponent, bands, peak, total, sums, power, power.view(np.int32),
        np.empty(width, np.float32), np.empty(width, np.float32),
    )  # fmt: skip
