"""The strongest speaks: the running choice of coefficients, and a depth map halved (CPU).

Duty: of several candidates for a pixel keep the one with the most energy. Must not know: how many
levels or planes there are, what a channel is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import float32

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._rows import add_square_sum, take_where

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["keep_strongest", "reduce_by_strength"]


@jit
def _square_sum(above, row, below, out):
    for x in range(out.size):
        out[x] = above[x] * above[x] + row[x] * row[x] + below[x] * below[x]


@jit
def _energy_row(column, energy):
    last = column.size - 1
    for x in range(1, last):
        energy[x] = column[x - 1] + column[x] + column[x + 1]
    energy[0] = column[0] + column[0] + column[min(1, last)]
    energy[last] = column[max(last - 1, 0)] + column[last] + column[last]


@jit
def _strongest(energy, best, won):
    for x in range(energy.size):
        e = energy[x]
        b = best[x]
        won[x] = e > b
        best[x] = e if e > b else b


@jit_allocating
def keep_strongest(decision: Plane, bands: Plane, best: Plane, kept: Plane) -> None:
    """Keep, per pixel, the coefficients of the plane whose bands have the most energy there.

    The energy is Σ_b Σ_W d_b², the squares of the decision bands d_b summed over the 3 x 3 pixels W
    round the pixel (Burt & Kolczynski, Enhanced image capture through fusion, ICCV 1993); at the
    edge pixels replicate. Of equal energies the first plane's wins.

    Parameters
    ----------
    decision : (B, Y, X) float32
        The bands d_b that decide together. NaN never wins.
    bands : (K, Y, X) float32
        Coefficients of this plane that follow the decision.
    best : (Y, X) float32
        Energy of the winner so far, -1 before the first plane; updated.
    kept : (K, Y, X) float32
        Coefficients of the winner so far; updated.
    """
    count, height, width = decision.shape
    column = np.empty(width, np.float32)
    energy = np.empty(width, np.float32)
    won = np.empty(width, np.bool_)
    for y in range(height):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        _square_sum(decision[0, above], decision[0, y], decision[0, below], column)
        for b in range(1, count):
            add_square_sum(decision[b, above], decision[b, y], decision[b, below], column)
        _energy_row(column, energy)
        _strongest(energy, best[y], won)
        for k in range(bands.shape[0]):
            take_where(won, bands[k, y], kept[k, y])


@jit
def reduce_by_strength(
    depth: Plane, strength: Plane, coarse_depth: Plane, coarse_strength: Plane
) -> None:
    """Halve a depth map: of 5 x 5 pixels the one with the strongest detail speaks for all.

    coarse_depth[i, j] = depth[y, x] with (y, x) = argmax strength over abs(y - 2i) ≤ 2 and
    abs(x - 2j) ≤ 2, and coarse_strength[i, j] = strength[y, x].

    A mean would lie between the depths on either side of a step, where nothing is. And next to a
    bright spot its own plane decides about the coarse bands, not the plane of the ground round it,
    which holds the spot's halo: 1 % of a disc's height instead of 5.

    Parameters
    ----------
    depth, strength : (Y, X) float32
        Fine level: depth in planes, and the energy of the detail there, 0 or more.
    coarse_depth, coarse_strength : (⌈Y/2⌉, ⌈X/2⌉) float32
        Result. Of equal strengths the first in reading order counts.
    """
    height, width = depth.shape
    for i in range(coarse_depth.shape[0]):
        for j in range(coarse_depth.shape[1]):
            best = float32(-1)
            here = depth[2 * i, 2 * j]
            for y in range(max(2 * i - 2, 0), min(2 * i + 3, height)):
                for x in range(max(2 * j - 2, 0), min(2 * j + 3, width)):
                    if strength[y, x] > best:
                        best = strength[y, x]
                        here = depth[y, x]
            coarse_depth[i, j] = here
            coarse_strength[i, j] = best
