"""Second look at a stack whose depth is known: weighted sums, centroids, shrinkage (CPU).

Duty: plain arrays in, plain arrays out, float32. Must not know: where the depth, the weights and
the noise come from. Windows are summed directly in one order, so that a pixel has the same bits in
any tile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import float32

from zfuse.kernels.cpu._focus import _measure_row, _slide, _to_float, _window_row
from zfuse.kernels.cpu._jit import jit, jit_allocating

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = [
    "REACH",
    "add_focused",
    "add_masked",
    "fold_centroid",
    "median_3x3",
    "reduce_by_strength",
    "shrink_band",
]

REACH = float(np.sqrt(6.0))
"""Distance from focus at which a response has vanished, in units of its width."""


@jit
def _respond(depth, z, width, distrust, least, weight, norm):
    """Weights of one row.

    The response g of a band to defocus is (1 - d²/6w²)³, a Gaussian of standard deviation w that
    ends: no exponential to compute, and far planes cost nothing.
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
def _clear_invalid(invalid, out):
    for x in range(out.size):
        out[x] = float32(0) if invalid[x] > float32(0) else out[x]


@jit
def _add_product(weight, values, total):
    for x in range(total.size):
        total[x] += weight[x] * values[x]


@jit
def _add_square(weight, total):
    for x in range(total.size):
        total[x] += weight[x] * weight[x]


@jit
def _add(values, total):
    for x in range(total.size):
        total[x] += values[x]


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
    """Add one plane's coefficients, weighted by their distance from the depth.

    Parameters
    ----------
    bands : (C, Y, X) float32
        Coefficients of the plane.
    invalid : (Y, X) float32, or (0, 0)
        Above 0 where the plane is unknown: weight 0.
    depth : (Y, X) float32
        In planes.
    lowest, highest : (Y,) float32
        Extremes of the depth in each row: rows that the plane cannot reach are skipped.
    z : float
        Index of the plane.
    width : float
        Distance from focus at which this band has lost 40 % of its contrast, in planes.
    distrust : float
        How much less a plane counts for what it lost: 0 weighs planes as white noise would have it
        (g / g²), large values as if noise were nothing beside what a model of defocus gets wrong.
    least : float
        The response that is reckoned with is at least this, which bounds how much a coefficient is
        raised to make up for defocus: 1 raises nothing.
    total : (C, Y, X) float32
        Gains weight · bands.
    norm, square : (Y, X) float32
        Gain weight · response, and weight².

    Notes
    -----
    With g the band's response at the plane's distance from focus, a coefficient is g c + noise. The
    least-squares estimate of c is Σ a c / Σ a g with a = g / (1 + distrust (1 - g)²).
    """
    height, columns = depth.shape
    a = np.empty(columns, np.float32)
    b = np.empty(columns, np.float32)
    here, reach = np.float32(z), np.float32(REACH * width)
    for y in range(height):
        if here < lowest[y] - reach or here > highest[y] + reach:
            continue
        b[:] = np.float32(0)
        _respond(depth[y], here, np.float32(width), np.float32(distrust), np.float32(least), a, b)
        if invalid.shape[0] > 0:
            _clear_invalid(invalid[y], a)
            _clear_invalid(invalid[y], b)
        for c in range(bands.shape[0]):
            _add_product(a, bands[c, y], total[c, y])
        _add(b, norm[y])
        _add_square(a, square[y])


@jit
def _is_plane(index, z, out):
    for x in range(out.size):
        out[x] = float32(1) if index[x] == z else float32(0)


@jit
def _binomial_rows(a, b, c, d, e, out):
    for x in range(out.size):
        out[x] = (a[x] + e[x] + float32(4) * (b[x] + d[x]) + float32(6) * c[x]) * float32(1 / 16)


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
    """Add one plane where it is the chosen one, with edges softened over two pixels.

    Parameters
    ----------
    planes : (C, Y, X) float32
        Pixels of plane `z`.
    invalid : (Y, X) float32, or (0, 0)
        Above 0 where the plane is unknown: weight 0.
    index : (Y, X) int32
        The chosen plane.
    quiet : (Y, X) float32
        1 where nothing is ever in focus: there every plane counts `share`.
    share : float
        1 / number of planes.
    total, norm : (C, Y, X) and (Y, X) float32
        Gain weight · planes, and weight.
    """
    height, width = index.shape
    mask = np.empty((5, width), np.float32)
    column = np.empty(width, np.float32)
    weight = np.empty(width, np.float32)
    for y in range(height):
        for i in range(5):
            _is_plane(index[min(max(y - 2 + i, 0), height - 1)], z, mask[i])
        _binomial_rows(mask[0], mask[1], mask[2], mask[3], mask[4], column)
        _binomial_row(column, weight)
        for x in range(width):
            weight[x] += quiet[y, x] * (np.float32(share) - weight[x])
        if invalid.shape[0] > 0:
            _clear_invalid(invalid[y], weight)
        for c in range(planes.shape[0]):
            _add_product(weight, planes[c, y], total[c, y])
        _add(weight, norm[y])


@jit
def _centroid_row(score, peak, reach, z, mass, moment):
    for x in range(score.size):
        away = z - peak[x]
        value = score[x] if abs(away) <= reach[x] else float32(0)
        mass[x] += value
        moment[x] += value * away


@jit
def _floor_row(score, peak, reach, z, floor):
    for x in range(score.size):
        value = score[x] if abs(z - peak[x]) <= reach[x] else floor[x]
        floor[x] = min(floor[x], value)


@jit_allocating
def fold_centroid(
    signal: NDArray[Any],
    top: int,
    left: int,
    z: int,
    measure: int,
    window: int,
    accumulate: NDArray[Any],
    peak: Plane,
    reach: Plane,
    mass: Plane,
    moment: Plane,
    floor: Plane,
) -> None:
    """Add a block of planes to the centroid of the focus score round a peak.

    The arguments are those of `fold_focus`; besides:

    Parameters
    ----------
    peak, reach : (h, w) float32
        Where the peak is, and how far planes count on either side; whole planes.
    mass, moment : (h, w) float32
        Gain the score, and the score times the distance from the peak, of planes that count.
    floor : (h, w) float32
        Lowest score among them. Starts at infinity. The centroid above the floor lies moment /
        (mass - (2 reach + 1) floor) from the peak.
    """
    n, height, width = signal.shape
    rows, columns = peak.shape
    radius = window // 2
    # Columns that the measure needs, a margin of the window round the core.
    a, b = max(left - radius, 0), min(left + columns + radius, width)
    k = a - (left - radius)
    ring = np.empty((n, window, columns + 2 * radius), accumulate.dtype)
    column_sum = np.zeros((n, columns + 2 * radius), accumulate.dtype)
    row = np.zeros(columns + 2 * radius + 2, accumulate.dtype)
    step = np.empty(columns, accumulate.dtype)
    sums = np.empty(columns, accumulate.dtype)
    score = np.empty(columns, np.float32)
    edge = np.empty((3, 3), signal.dtype)
    parts = np.empty((2, columns + 2 * radius + 2), np.int32)
    ring[:] = 0
    for y_in in range(max(top - radius, 0), top + rows + radius):
        y = y_in - radius
        for p in range(n):
            row[:] = 0
            if y_in < height:
                inside = row[k : k + b - a + 2]
                _measure_row(measure, signal[p], y_in, a, b, edge, parts, inside)
                row[k] = 0
                row[k + b - a + 1] = 0
            _slide(column_sum[p], row[1:-1], ring[p, y_in % window])
            if y >= top:
                _window_row(column_sum[p], window, step, sums)
                _to_float(sums, score)
                i = y - top
                here = np.float32(z + p)
                _centroid_row(score, peak[i], reach[i], here, mass[i], moment[i])
                _floor_row(score, peak[i], reach[i], here, floor[i])


@jit
def _sort3(a, b, c):
    low, high = min(a, b), max(a, b)
    return min(low, c), max(low, min(high, c)), max(high, c)


@jit
def _median_row(above, row, below, out):
    last = row.size - 1
    for x in range(out.size):
        i, j = max(x - 1, 0), min(x + 1, last)
        a, b, c = _sort3(above[i], row[i], below[i])
        d, e, f = _sort3(above[x], row[x], below[x])
        g, h, k = _sort3(above[j], row[j], below[j])
        # Median of nine: of the largest minimum, the median median and the smallest maximum.
        low = max(max(a, d), g)
        middle = _sort3(b, e, h)[1]
        high = min(min(c, f), k)
        out[x] = _sort3(low, middle, high)[1]


@jit
def median_3x3(values: Plane, out: Plane) -> None:
    """Write the median of 3 x 3 pixels, replicated at the edge; arrays (Y, X) float32."""
    last = values.shape[0] - 1
    for y in range(values.shape[0]):
        _median_row(values[max(y - 1, 0)], values[y], values[min(y + 1, last)], out[y])


@jit
def reduce_by_strength(
    depth: Plane, strength: Plane, coarse_depth: Plane, coarse_strength: Plane
) -> None:
    """Halve a depth map: of 5 x 5 pixels the one with the strongest detail speaks for all.

    A mean would lie between the depths on either side of a step, where nothing is. And next to a
    bright spot its own plane decides about the coarse bands, not the plane of the ground round it,
    which holds the spot's halo: 1 % of a disc's height instead of 5.

    Parameters
    ----------
    depth, strength : (Y, X) float32
        Fine level.
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


@jit
def _shrink_row(energy, noise, row, out):
    for x in range(row.size):
        e = energy[x]
        out[x] = row[x] * max(e - noise[x], float32(0)) / max(e, float32(1e-30))


@jit
def _wiener_row(energy, noise, share, row, out):
    for x in range(row.size):
        e = energy[x]
        out[x] = row[x] * e / max(e + share * noise[x], float32(1e-30))


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
        _add(across[min(max(y + shift, 0), last)], energy)
    area = float32((2 * radius + 1) * (2 * radius + 1))
    for x in range(energy.size):
        energy[x] /= area


@jit_allocating
def shrink_band(band: Plane, noise: Plane, radius: int, share: float) -> None:
    """Shrink coefficients by the share of noise in their neighbourhood, in place.

    The local Wiener estimate (Lee, IEEE PAMI 2, 1980), c · max(E - noise, 0) / E with E the mean of
    c² over (2 radius + 1)² pixels, serves as pilot of an empirical Wiener filter (Ghael, Sayeed &
    Baraniuk 1997): c · P / (P + share · noise) with P the pilot's mean square over 3 x 3 pixels.

    Parameters
    ----------
    band, noise : (Y, X) float32
        Coefficients, and the variance of their noise.
    radius : int
        Of the pilot's window. Reach of a result: radius + 1.
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
