"""Weighted sums of planes round a depth that is known (CPU).

Duty: add one plane to a sum of coefficients, with a weight that falls with its distance from the
depth. Must not know: where depth and weights come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import float32

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._rows import add_product, clear_where

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["FocusWeights", "add_focused", "add_focused_norms", "hold_within"]

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
    lowest, highest : (Y,) float32
        Extremes of the depth in each row, in planes: rows that a plane cannot reach are skipped.
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


@jit_allocating
def add_focused(bands: Plane, invalid: Plane, focus: FocusWeights, z: float, total: Plane) -> None:
    """Add one plane's coefficients, weighted by the plane's distance from the depth, in place.

    Where the plane lies d from focus, a band of width w keeps the share g of a coefficient c, and
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
    bands : (C, Y, X) float32
        Coefficients of the plane, g c + noise, of C channels.
    invalid : (Y, X) float32, or (0, 0) where all pixels are valid
        Above 0 where the plane is unknown: weight 0.
    focus : FocusWeights
        Of the band.
    z : float
        Index of the plane; d = depth - z.
    total : (C, Y, X) float32
        Updated; starts at 0.
    """
    height, columns = focus.depth.shape
    g, a = np.empty(columns, np.float32), np.empty(columns, np.float32)
    trust = np.empty(columns, np.float32)
    width = np.float32(focus.width)
    here, reach = np.float32(z), np.float32(_REACH) * width
    scale = np.float32(1) / (np.float32(6) * width * width)
    for y in range(height):
        if here < focus.lowest[y] - reach or here > focus.highest[y] + reach:
            continue
        _distrust_row(focus.strength, y, np.float32(focus.distrust), trust)
        _weigh(focus.depth[y], trust, here, scale, g, a)
        if invalid.shape[0] > 0:
            clear_where(invalid[y], a)
        for c in range(bands.shape[0]):
            add_product(a, bands[c, y], total[c, y])


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
            if here < focus.lowest[y] - reach or here > focus.highest[y] + reach:
                continue
            _weigh(focus.depth[y], trust, here, scale, g, a)
            if invalid.shape[0] > 0:
                clear_where(invalid[y], a)
            _add_norms_row(a, g, bound, raised, norm[y], square[y])


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
