"""Take the noise out of a band of averaged coefficients by local Wiener filters (CPU).

Duty: from the sums of one band, two passes of shrinkage, to the image of its level. Must not know:
how coefficients were weighed, where the noise's variance comes from.

Windows are summed directly, in one order, so that a pixel has the same bits in any tile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import float32

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._pyramid import expand_run
from zfuse.kernels.cpu._rows import add_row, copy_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["settle_band"]

_LEAST_NORM = 1e-6

_LEAST = np.float32(1.2e-38)  # the least that float32 holds with all digits: 0 / 0 is 0


@jit
def _shrink_row(energy, noise, row, out):
    for x in range(row.size):
        e = energy[x]
        out[x] = row[x] * max(e - noise[x], float32(0)) / max(e, _LEAST)


@jit
def _wiener_row(energy, noise, share, row, out):
    for x in range(row.size):
        e = energy[x]
        out[x] = row[x] * e / max(e + share * noise[x], _LEAST)


@jit
def _add_shifted_row(values, shift, out):
    last = values.size - 1
    n = out.size
    for x in range(abs(shift), n - abs(shift)):
        out[x] += values[x + shift]
    for x in range(min(abs(shift), n)):
        out[x] += values[min(max(x + shift, 0), last)]
    for x in range(max(n - abs(shift), min(abs(shift), n)), n):
        out[x] += values[min(max(x + shift, 0), last)]


@jit
def _add_rows(one, other, out):
    for x in range(out.size):
        out[x] = one[x] + other[x]


@jit
def _square_row(row, out):
    for x in range(row.size):
        out[x] = row[x] * row[x]


@jit
def _mean_row(total, norm, out):
    for x in range(out.size):
        out[x] = total[x] / max(norm[x], float32(_LEAST_NORM))


@jit
def _noise_row(low, norm, square, gain, floor, variance, out):
    for x in range(out.size):
        n = max(norm[x], float32(_LEAST_NORM))
        share = variance * square[x] / (n * n)
        out[x] = max(gain * low[x] + floor, float32(0)) * share


@jit
def _sum_across(row, radius, squares, out):
    """Write the sums of squares over 2 radius + 1 pixels of a row."""
    _square_row(row, squares)
    out[:] = float32(0)
    for shift in range(-radius, radius + 1):
        _add_shifted_row(squares, shift, out)


@jit
def _mean_energy(across, y, height, radius, energy):
    """Write the mean of squares round row `y`; sums across row i lie in slot i % slots."""
    energy[:] = float32(0)
    for shift in range(-radius, radius + 1):
        add_row(across[min(max(y + shift, 0), height - 1) % across.shape[0]], energy)
    area = float32((2 * radius + 1) * (2 * radius + 1))
    for x in range(energy.size):
        energy[x] /= area


@jit_allocating
def settle_band(
    norm: Plane, square: Plane, coarse: Plane, gain: float, floor: float, variance: float,
    radius: int, share: float, band: Plane,
) -> None:  # fmt: skip
    """Turn weighted sums of a band into the image of its level, in place.

    The mean's coefficients c are shrunk by the share of noise in their neighbourhood, and the next
    coarser level is added. It is an empirical Wiener filter (Ghael, Sayeed & Baraniuk, Proc. SPIE
    3169, 1997) whose pilot is the local linear estimate of Lee (IEEE PAMI 2, 1980)::

        low = EXPAND(coarse)
        c = band / norm
        noise = max(gain low + floor, 0) variance square / norm²
        E = mean of c² over (2 radius + 1)² pixels
        pilot = c max(E - noise, 0) / E
        P = mean of pilot² over 3 x 3 pixels
        band ← low + c P / (P + share noise)

    Pixels replicate at the edge. Reach of a result: radius + 1.

    Parameters
    ----------
    norm, square : (Y, X) float32
        See `add_focused_norms`; the former counts for at least 1e-6.
    coarse : (⌈Y/2⌉, ⌈X/2⌉) float32
        Image of the next coarser level.
    gain, floor : float
        Of a pixel's variance over its mean, in the image's unit and its square.
    variance : float
        Of the band's noise, where that of a pixel is 1.
    radius : int
        Of the pilot's window, in pixels.
    share : float
        Of the noise that the second filter reckons with: the pilot has lost some signal already.
    band : (Y, X) float32
        Σ of weighted coefficients; changed.
    """
    height, width = band.shape
    # Rows on their way: what is not needed any more is overwritten, all stays in the cache.
    slots = 2 * radius + 4
    mean, low = np.empty((slots, width), np.float32), np.empty((slots, width), np.float32)
    noise, across = np.empty((slots, width), np.float32), np.empty((slots, width), np.float32)
    pilot, pilots = np.empty(width, np.float32), np.empty((3, width), np.float32)
    squares, energy = np.empty(width, np.float32), np.empty(width, np.float32)
    column, wide = np.empty(width + 8, np.float32), np.empty(width + 8, np.float32)
    for step in range(height + radius + 1):
        y = step
        if y < height:
            at = y % slots
            _mean_row(band[y], norm[y], mean[at])
            expand_run(coarse, y, 0, width, width, column, wide)
            copy_row(wide[:width], low[at])
            _noise_row(
                low[at], norm[y], square[y], np.float32(gain), np.float32(floor),
                np.float32(variance), noise[at],
            )  # fmt: skip
            _sum_across(mean[at], radius, squares, across[at])
        y = step - radius
        if 0 <= y < height:
            _mean_energy(across, y, height, radius, energy)
            _shrink_row(energy, noise[y % slots], mean[y % slots], pilot)
            _sum_across(pilot, 1, squares, pilots[y % 3])
        y = step - radius - 1
        if 0 <= y < height:
            at = y % slots
            _mean_energy(pilots, y, height, 1, energy)
            _wiener_row(energy, noise[at], np.float32(share), mean[at], squares)
            _add_rows(squares, low[at], band[y])
