"""Take the noise out of a band of coefficients by local Wiener filters (CPU).

Duty: two passes of shrinkage over one band. Must not know: where the noise's variance comes from.

Windows are summed directly, in one order, so that a pixel has the same bits in any tile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import float32

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._rows import add_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["shrink_band"]

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
def _square_row(row, out):
    for x in range(row.size):
        out[x] = row[x] * row[x]


@jit
def _square_sums(values, radius, squares, across):
    """Write the sums of squares over 2 radius + 1 pixels of each row."""
    for y in range(values.shape[0]):
        _square_row(values[y], squares)
        across[y] = float32(0)
        for shift in range(-radius, radius + 1):
            _add_shifted_row(squares, shift, across[y])


@jit
def _mean_energy(across, y, radius, energy):
    energy[:] = float32(0)
    last = across.shape[0] - 1
    for shift in range(-radius, radius + 1):
        add_row(across[min(max(y + shift, 0), last)], energy)
    area = float32((2 * radius + 1) * (2 * radius + 1))
    for x in range(energy.size):
        energy[x] /= area


@jit_allocating
def shrink_band(band: Plane, noise: Plane, radius: int, share: float) -> None:
    """Shrink coefficients by the share of noise in their neighbourhood, in place.

    An empirical Wiener filter (Ghael, Sayeed & Baraniuk, Proc. SPIE 3169, 1997) whose pilot is the
    local linear estimate of Lee (IEEE PAMI 2, 1980)::

        E = mean of c² over (2 radius + 1)² pixels
        pilot = c max(E - noise, 0) / E
        P = mean of pilot² over 3 x 3 pixels
        c ← c P / (P + share noise)

    Pixels replicate at the edge. Reach of a result: radius + 1.

    Parameters
    ----------
    band : (Y, X) float32
        Coefficients c; changed.
    noise : (Y, X) float32
        Variance of their noise, in the band's units squared.
    radius : int
        Of the pilot's window, in pixels.
    share : float
        Of the noise that the second filter reckons with: the pilot has lost some signal already.
    """
    height, width = band.shape
    across = np.empty((height, width), np.float32)
    pilot = np.empty((height, width), np.float32)
    squares = np.empty(width, np.float32)
    energy = np.empty(width, np.float32)
    _square_sums(band, radius, squares, across)
    for y in range(height):
        _mean_energy(across, y, radius, energy)
        _shrink_row(energy, noise[y], band[y], pilot[y])
    _square_sums(pilot, 1, squares, across)
    for y in range(height):
        _mean_energy(across, y, 1, energy)
        _wiener_row(energy, noise[y], np.float32(share), band[y], squares)
        band[y] = squares
