"""Weighted sums of planes round a depth that is known (CPU).

Duty: add one plane to a sum of coefficients, with a weight that falls with its distance from the
depth, or to a sum of pixels, where it is the chosen one. Must not know: where depth and weights
come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import float32

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._rows import add_product, add_row, binomial_5, clear_where

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["add_focused", "add_masked"]

_REACH = float(np.sqrt(6.0))
"""Distance from focus at which a response has vanished, in units of its width."""


@jit
def _respond(depth, z, width, distrust, least, weight, norm):
    """Write the weights a of one row, and add a · max(g, least); see `add_focused`.

    The response is a Gaussian that ends: no exponential to compute, and far planes cost nothing.
    """
    scale = float32(1) / (float32(6) * width * width)
    for x in range(weight.size):
        d = depth[x] - z
        u = max(float32(1) - d * d * scale, float32(0))
        g = u * u * u
        lost = float32(1) - g
        a = g / (float32(1) + distrust * lost * lost)
        weight[x] = a
        norm[x] += a * max(g, least)


@jit
def _add_square(weight, total):
    for x in range(total.size):
        total[x] += weight[x] * weight[x]


@jit_allocating
def add_focused(
    bands: Plane,
    invalid: Plane,
    depth: Plane,
    lowest: Plane,
    highest: Plane,
    z: float,
    width: float,
    distrust: float,
    least: float,
    total: Plane,
    norm: Plane,
    square: Plane,
) -> None:
    """Add one plane's coefficients, weighted by the plane's distance from the depth, in place.

    Where the plane lies d from focus, a band of width w keeps the share g of a coefficient c, and
    the plane shows g c + noise. The least-squares estimate of c from all planes is total / norm::

        g = max(1 - d² / (6 w²), 0)³        close to exp(-d² / (2 w²)), and 0 beyond √6 w
        a = g / (1 + distrust (1 - g)²)     the plane's weight
        total = Σ a (g c + noise)
        norm = Σ a max(g, least)
        square = Σ a²                       variance of total, in units of the noise's

    Parameters
    ----------
    bands : (C, Y, X) float32
        Coefficients of the plane, g c + noise, of C channels.
    invalid : (Y, X) float32, or (0, 0) where all pixels are valid
        Above 0 where the plane is unknown: weight 0.
    depth : (Y, X) float32
        In planes.
    lowest, highest : (Y,) float32
        Extremes of the depth in each row, in planes: rows that the plane cannot reach are skipped.
    z : float
        Index of the plane; d = depth - z.
    width : float
        w, in planes: the distance from focus at which the band has lost 40 % of its contrast.
    distrust : float
        How much less a plane counts for what it lost: 0 weighs planes as white noise would have it,
        large values as if noise were nothing beside what a model of defocus gets wrong.
    least : float
        The response that is reckoned with is at least this, which bounds how much a coefficient is
        raised to make up for defocus: 1 raises nothing.
    total : (C, Y, X) float32
    norm, square : (Y, X) float32
        Updated; all start at 0.
    """
    height, columns = depth.shape
    a = np.empty(columns, np.float32)
    b = np.empty(columns, np.float32)
    here, reach = np.float32(z), np.float32(_REACH * width)
    for y in range(height):
        if here < lowest[y] - reach or here > highest[y] + reach:
            continue
        b[:] = np.float32(0)
        _respond(depth[y], here, np.float32(width), np.float32(distrust), np.float32(least), a, b)
        if invalid.shape[0] > 0:
            clear_where(invalid[y], a)
            clear_where(invalid[y], b)
        for c in range(bands.shape[0]):
            add_product(a, bands[c, y], total[c, y])
        add_row(b, norm[y])
        _add_square(a, square[y])


@jit
def _is_plane(index, z, out):
    for x in range(out.size):
        out[x] = float32(1) if index[x] == z else float32(0)


@jit
def _binomial_row(row, out):
    last = row.size - 1
    for x in range(out.size):
        out[x] = (
            row[max(x - 2, 0)]
            + row[min(x + 2, last)]
            + float32(4) * (row[max(x - 1, 0)] + row[min(x + 1, last)])
            + float32(6) * row[x]
        ) * float32(1 / 16)


@jit_allocating
def add_masked(
    planes: Plane, invalid: Plane, index: NDArray[np.int32], quiet: Plane, share: float, z: int,
    total: Plane, norm: Plane,
) -> None:  # fmt: skip
    """Add one plane where it is the chosen one, with edges softened over two pixels, in place.

    With b the [1 4 6 4 1]/16 kernel in both directions, the mean of the planes is total / norm::

        a = (1 - quiet) (b * [index = z]) + quiet share     the plane's weight
        total = Σ a planes
        norm = Σ a

    Parameters
    ----------
    planes : (C, Y, X) float32
        Pixels of plane `z`.
    invalid : (Y, X) float32, or (0, 0) where all pixels are valid
        Above 0 where the plane is unknown: weight 0.
    index : (Y, X) int32
        The chosen plane; replicated at the edge.
    quiet : (Y, X) float32
        1 where nothing is ever in focus: there every plane counts `share`.
    share : float
        1 / number of planes.
    z : int
        Index of the plane.
    total : (C, Y, X) float32
    norm : (Y, X) float32
        Updated; both start at 0.
    """
    height, width = index.shape
    mask = np.empty((5, width), np.float32)
    column = np.empty(width, np.float32)
    weight = np.empty(width, np.float32)
    for y in range(height):
        for i in range(5):
            _is_plane(index[min(max(y - 2 + i, 0), height - 1)], z, mask[i])
        binomial_5(mask[0], mask[1], mask[2], mask[3], mask[4], column)
        _binomial_row(column, weight)
        for x in range(width):
            weight[x] += quiet[y, x] * (np.float32(share) - weight[x])
        if invalid.shape[0] > 0:
            clear_where(invalid[y], weight)
        for c in range(planes.shape[0]):
            add_product(weight, planes[c, y], total[c, y])
        add_row(weight, norm[y])
