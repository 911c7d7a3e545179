"""Weighted sums of planes round a depth that is known (CPU).

Duty: add planes to a sum of coefficients, with weights that fall with their distance from the
depth. Must not know: where depth and weights come from.

Of most planes most pixels have no weight: a band is made only of runs of columns where the plane
counts, in a row's scratch. All planes of a block go through a row before the next, so that sums,
depth and strength stay in the cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import float32

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._pyramid import expand_run
from zfuse.kernels.cpu._rows import clear_where

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = [
    "RUN",
    "FocusWeights",
    "add_focused",
    "add_focused_norms",
    "extend_range",
    "hold_within",
]

RUN = 128
"""Columns of which `FocusWeights` knows the extremes of the depth; even."""

_REACH = float(np.sqrt(6.0))
"""Distance from focus at which a response has vanished, in units of its width."""


class FocusWeights(NamedTuple):
    """What the weight of a plane in one band depends on; see `add_focused`.

    Attributes
    ----------
    depth : (Y, X) float32
        In planes.
    strength : (Y, X) or (⌈Y/2⌉, ⌈X/2⌉) float32
        S, 0 or more: energy of the detail there. Of half size, it holds for 2 x 2 pixels.
    lowest, highest : (Y, ⌈X/128⌉) float32
        Extremes of the depth in each `RUN` columns of a row, in planes: where a plane cannot reach
        them it is skipped.
    width : float
        w, in planes: the distance from focus at which the band has lost 40 % of its contrast.
    distrust : float
        How much less a plane counts for what it lost, for a strength of 1.
    """

    depth: Plane
    strength: Plane
    lowest: Plane
    highest: Plane
    width: float
    distrust: float


@jit
def _weigh(depth, distrust, z, scale, response, weight):
    """Write the responses g and the weights a of one row; see `add_focused`.

    The response is a Gaussian that ends: no exponential to compute, and far planes cost nothing.
    """
    for x in range(weight.size):
        d = depth[x] - z
        u = max(float32(1) - d * d * scale, float32(0))
        g = u * u * u
        lost = float32(1) - g
        response[x] = g
        weight[x] = g / (float32(1) + distrust[x] * lost * lost)


@jit
def _distrust_row(strength, y, scale, out):
    """Write D of one row, from strengths of its size or of half its size."""
    if strength.shape[1] == out.size:
        row = strength[y]
        for x in range(out.size):
            out[x] = scale * row[x]
    else:
        row = strength[y // 2]
        for x in range(out.size // 2):
            out[2 * x] = scale * row[x]
            out[2 * x + 1] = scale * row[x]
        if out.size % 2:
            out[out.size - 1] = scale * row[out.size // 2]


@jit
def _least_row(distrust, least, plain, out):
    for x in range(out.size):
        out[x] = float32(1) - (float32(1) - least) * plain / (plain + distrust[x])


@jit
def _raised_row(depth, distrust, scale, least, held, out):
    """Write 1 / h of one row; see `add_focused_norms`."""
    for x in range(out.size):
        d = depth[x] - np.rint(depth[x])
        u = max(float32(1) - d * d * scale, float32(0))
        lost = float32(1) - max(u * u * u, least)
        out[x] = float32(1) / (float32(1) - lost * distrust[x] / (held + distrust[x]))


@jit
def _add_norms_row(weight, response, least, raised, norm, square):
    for x in range(norm.size):
        a = weight[x]
        norm[x] += a * max(response[x] * raised[x], least[x])
        square[x] += a * a


@jit
def _next_run(lowest, highest, here, reach, start):
    """Return the next columns [first, stop) from `start` on, in units of `RUN`, that count."""
    first = start
    while first < lowest.size and (here < lowest[first] - reach or here > highest[first] + reach):
        first += 1
    stop = first
    while stop < lowest.size and lowest[stop] - reach <= here <= highest[stop] + reach:
        stop += 1
    return first, stop


@jit
def _add_row(weight, row, total):
    for x in range(total.size):
        total[x] += weight[x] * float32(row[x])


@jit
def _add_band_row(weight, row, smooth, total):
    for x in range(total.size):
        total[x] += weight[x] * (float32(row[x]) - smooth[x])


@jit
def _add_run(
    planes, top, left, coarse, invalid, focus, z, p, y, a, b, distrust, scratch, total
):  # fmt: skip
    """Add columns a … b - 1 of row `y` of plane `p`."""
    width = np.float32(focus.width)
    scale = np.float32(1) / (np.float32(6) * width * width)
    response, weight = scratch[0, : b - a], scratch[1, : b - a]
    _weigh(focus.depth[y, a:b], distrust[a:b], np.float32(z + p), scale, response, weight)
    if invalid.shape[0] > 0:
        clear_where(invalid[p, y, a:b], weight)
    for c in range(planes.shape[1]):
        row = planes[p, c, top + y, left + a : left + b]
        if coarse.shape[0] > 0:
            at = expand_run(coarse[p, c], y, a, b, total.shape[2], scratch[2], scratch[3])
            _add_band_row(weight, row, scratch[3, at : at + b - a], total[c, y, a:b])
        else:
            _add_row(weight, row, total[c, y, a:b])


@jit_allocating
def add_focused(
    planes: NDArray[Any], top: int, left: int, coarse: Plane, invalid: Plane, focus: FocusWeights,
    z: int, total: Plane,
) -> None:  # fmt: skip
    """Add a block of planes' coefficients, weighted by their distance from the depth, in place.

    Where a plane lies d from focus, a band of width w keeps the share g of a coefficient c, and
    the plane shows g c + noise. The least-squares estimate of c from all planes is total / norm::

        g = max(1 - d² / (6 w²), 0)³        close to exp(-d² / (2 w²)), and 0 beyond √6 w
        D = distrust S
        a = g / (1 + D (1 - g)²)            the plane's weight
        total = Σ a (g c + noise)
        norm = Σ a max(g, l)                see `add_focused_norms`

    D compares what a model of defocus gets wrong with the noise, there: 0 weighs planes as white
    noise would have it, large values leave the nearest plane alone.

    Parameters
    ----------
    planes : (n, C, rows, columns), any real dtype, C-contiguous
        Of C channels; what is added are their coefficients g c + noise: planes - EXPAND(coarse).
    top, left : int
        Where the (Y, X) pixels of the sums lie in them.
    coarse : (n, C, ⌈Y/2⌉, ⌈X/2⌉) float32, or (0, 0, 0, 0): the planes are coefficients themselves
        The planes' next coarser level, see `subtract_expanded`.
    invalid : (n, Y, X) float32, or (0, 0, 0) where all pixels are valid
        Above 0 where a plane is unknown: weight 0.
    focus : FocusWeights
        Of the band.
    z : int
        Index of the block's first plane; d = depth - z.
    total : (C, Y, X) float32
        Updated; starts at 0.
    """
    height, columns = focus.depth.shape
    reach = np.float32(_REACH) * np.float32(focus.width)
    distrust, scratch = np.empty(columns, np.float32), np.empty((4, columns + 8), np.float32)
    for y in range(height):
        lowest, highest, known = focus.lowest[y], focus.highest[y], False
        for p in range(planes.shape[0]):
            here = np.float32(z + p)
            first, stop = _next_run(lowest, highest, here, reach, 0)
            while first < lowest.size:
                if not known:
                    _distrust_row(focus.strength, y, np.float32(focus.distrust), distrust)
                    known = True
                _add_run(
                    planes, top, left, coarse, invalid, focus, z, p, y, first * RUN,
                    min(stop * RUN, columns), distrust, scratch, total,
                )  # fmt: skip
                first, stop = _next_run(lowest, highest, here, reach, stop)


@jit_allocating
def add_focused_norms(
    invalid: Plane, focus: FocusWeights, first: int, stop: int, least: float, plain: float,
    held: float, norm: Plane, square: Plane,
) -> None:  # fmt: skip
    """Add what `add_focused` divides by, for planes from `first` to before `stop`, in place.

    With a, g and D as in `add_focused`::

        l = 1 - (1 - least) plain / (plain + D)
        h = 1 - (1 - max(g(e), least)) D / (held + D)
        norm = Σ a max(g / h, l)
        square = Σ a²           variance of total, in units of the noise's

    e is the distance from the depth to the nearest plane: h = g(e) is what that plane shows of a
    coefficient in focus, h = 1 all of it. Depth is needed only, no plane: one pass over memory
    instead of one a plane.

    Parameters
    ----------
    invalid : (Y, X) float32, or (0, 0) where all pixels are valid
        Above 0 where these planes are unknown: weight 0.
    focus : FocusWeights
        Of the band.
    first, stop : int
        Planes.
    least : float
        The response that is reckoned with is at least this in noise, which bounds how much a
        coefficient is raised to make up for defocus: 1 raises nothing.
    plain : float
        D at which half of that is left: what stands far out of the noise is not raised.
    held : float
        D at which the mean restores half of what the nearest plane has lost itself.
    norm, square : (Y, X) float32
        Updated; both start at 0.
    """
    height, columns = focus.depth.shape
    g, a = np.empty(columns, np.float32), np.empty(columns, np.float32)
    trust, bound = np.empty(columns, np.float32), np.empty(columns, np.float32)
    raised = np.empty(columns, np.float32)
    width = np.float32(focus.width)
    reach = np.float32(_REACH) * width
    scale = np.float32(1) / (np.float32(6) * width * width)
    for y in range(height):
        _distrust_row(focus.strength, y, np.float32(focus.distrust), trust)
        _least_row(trust, np.float32(least), np.float32(plain), bound)
        _raised_row(focus.depth[y], trust, scale, np.float32(least), np.float32(held), raised)
        for z in range(first, stop):
            here = np.float32(z)
            x0, x1 = _next_run(focus.lowest[y], focus.highest[y], here, reach, 0)
            while x0 < focus.lowest.shape[1]:
                run = slice(x0 * RUN, min(x1 * RUN, columns))
                _weigh(focus.depth[y, run], trust[run], here, scale, g[run], a[run])
                if invalid.shape[0] > 0:
                    clear_where(invalid[y, run], a[run])
                _add_norms_row(
                    a[run], g[run], bound[run], raised[run], norm[y, run], square[y, run]
                )
                x0, x1 = _next_run(focus.lowest[y], focus.highest[y], here, reach, x1)


@jit
def _hold_row(low, high, gain, floor, distrust, plain, row):
    for x in range(row.size):
        value = row[x]
        share = plain / (plain + distrust[x])
        lowest = low[x] - share * np.sqrt(max(gain * low[x] + floor, float32(0)))
        highest = high[x] + share * np.sqrt(max(gain * high[x] + floor, float32(0)))
        held = min(max(value, lowest), highest)
        row[x] = held if low[x] <= high[x] else value


@jit_allocating
def hold_within(
    low: Plane, high: Plane, gain: float, floor: float, focus: FocusWeights, plain: float,
    image: Plane,
) -> None:  # fmt: skip
    """Hold an image within the range of the planes at each pixel, give or take noise, in place.

    With D as in `add_focused`::

        share = plain / (plain + D)
        image ← min(max(image, low - share σ(low)), high + share σ(high)), σ(v)² = gain v + floor

    Parameters
    ----------
    low, high : (Y, X) float32
        Least and largest value over the planes. Where low > high none is known, and nothing held.
    gain, floor : float
        Of the noise's variance, in the pixels' unit and its square.
    focus : FocusWeights
        Of the finest band.
    plain : float
        D at which half a standard deviation is given: what stands far out of the noise gets none.
    image : (Y, X) float32
        Changed.
    """
    trust = np.empty(image.shape[1], np.float32)
    for y in range(image.shape[0]):
        _distrust_row(focus.strength, y, np.float32(focus.distrust), trust)
        _hold_row(
            low[y], high[y], np.float32(gain), np.float32(floor), trust, np.float32(plain), image[y]
        )


@jit
def _extend_row(row, low, high):
    for x in range(row.size):
        value = float32(row[x])
        low[x] = min(low[x], value)
        high[x] = max(high[x], value)


@jit
def _extend_row_where_valid(row, invalid, low, high):
    for x in range(row.size):
        value, known = float32(row[x]), invalid[x] <= float32(0)
        low[x] = min(low[x], value) if known else low[x]
        high[x] = max(high[x], value) if known else high[x]


@jit
def extend_range(
    planes: NDArray[Any], top: int, left: int, invalid: Plane, low: Plane, high: Plane
) -> None:
    """Extend the range of values of each pixel by those of a block of planes, in place.

    Parameters
    ----------
    planes : (n, C, rows, columns), any real dtype, C-contiguous
        Without NaN.
    top, left : int
        Where the (Y, X) pixels of the range lie in them.
    invalid : (n, Y, X) float32, or (0, 0, 0) where all pixels are valid
        Above 0 where a plane does not count.
    low, high : (C, Y, X) float32
        Least and largest value; updated. Start at infinity and minus infinity.
    """
    for c in range(low.shape[0]):
        for y in range(low.shape[1]):
            for p in range(planes.shape[0]):
                row = planes[p, c, top + y, left : left + low.shape[2]]
                if invalid.shape[0] > 0:
                    _extend_row_where_valid(row, invalid[p, y], low[c, y], high[c, y])
                else:
                    _extend_row(row, low[c, y], high[c, y])
