"""Weighted sums of planes round a depth that is known (CUDA).

Duty: add one plane to a sum of coefficients, with a weight that falls with its distance from the
depth. Must not know: where depth and weights come from.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda, float32

from zfuse.kernels.cpu import FocusWeights
from zfuse.kernels.cuda._device import device_function, given, launch, nearest, product

__all__ = ["FocusWeights", "add_focused", "add_focused_norms", "hold_within"]

_REACH = float(np.float32(np.sqrt(6.0)))


@device_function
def _left(d, scale):
    """Return the response g at a distance d from focus."""
    u = max(float32(1) - product(d * d, scale), float32(0))
    return product(u * u, u)


@device_function
def _weight(g, distrust):
    lost = float32(1) - g
    return g / (float32(1) + product(distrust * lost, lost))


@device_function
def _distrust(strength, y, x, columns, scale):
    """Return D, from strengths of its size or of half its size."""
    if strength.shape[1] == columns:
        return product(scale, strength[y, x])
    return product(scale, strength[y // 2, x // 2])


@device_function
def _scale_of(width):
    return float32(1) / (float32(6) * width * width)


@device_function
def _out_of_reach(lowest, highest, y, z, width):
    reach = float32(_REACH) * width
    return z < lowest[y] - reach or z > highest[y] + reach


def _focus(focus: FocusWeights) -> tuple[Any, ...]:
    arrays = (focus.depth, focus.strength, focus.lowest, focus.highest)
    return (*map(given, arrays), np.float32(focus.width), np.float32(focus.distrust))


@cuda.jit
def _add(bands, invalid, depth, strength, lowest, highest, width, distrust, z, total):
    x, y = cuda.grid(2)
    if y >= depth.shape[0] or x >= depth.shape[1]:
        return
    if _out_of_reach(lowest, highest, y, z, width):
        return
    g = _left(depth[y, x] - z, _scale_of(width))
    a = _weight(g, _distrust(strength, y, x, depth.shape[1], distrust))
    if invalid.shape[0] > 0 and invalid[y, x] > float32(0):
        a = float32(0)
    for c in range(bands.shape[0]):
        total[c, y, x] += product(a, bands[c, y, x])


def add_focused(bands: Any, invalid: Any, focus: FocusWeights, z: float, total: Any) -> None:
    """Add one plane's coefficients, weighted by the plane's distance from the depth, in place.

    See `zfuse.kernels.cpu.add_focused`; all arrays lie on the device.

    Parameters
    ----------
    bands : (C, Y, X) float32
    invalid : (Y, X) float32, or (0, 0) where all pixels are valid
    focus : FocusWeights
    z : float
    total : (C, Y, X) float32
    """
    weights = _focus(focus)
    launch(
        _add, weights[0].shape, given(bands), given(invalid), *weights, np.float32(z), given(total)
    )


@cuda.jit
def _add_norms(
    invalid, depth, strength, lowest, highest, width, distrust, first, stop, least, plain, held,
    norm, square,
):  # fmt: skip
    x, y = cuda.grid(2)
    if y >= depth.shape[0] or x >= depth.shape[1]:
        return
    scale = _scale_of(width)
    trust = _distrust(strength, y, x, depth.shape[1], distrust)
    bound = float32(1) - (float32(1) - least) * plain / (plain + trust)
    p = depth[y, x]
    lost = float32(1) - max(_left(p - nearest(p), scale), least)
    raised = float32(1) / (float32(1) - lost * trust / (held + trust))
    known = not (invalid.shape[0] > 0 and invalid[y, x] > float32(0))
    total, squares = norm[y, x], square[y, x]
    for plane in range(first, stop):
        z = float32(plane)
        if not _out_of_reach(lowest, highest, y, z, width):
            g = _left(p - z, scale)
            a = _weight(g, trust) if known else float32(0)
            total += product(a, max(g * raised, bound))
            squares += product(a, a)
    norm[y, x], square[y, x] = total, squares


def add_focused_norms(
    invalid: Any, focus: FocusWeights, first: int, stop: int, least: float, plain: float,
    held: float, norm: Any, square: Any,
) -> None:  # fmt: skip
    """Add what `add_focused` divides by, for planes from `first` to before `stop`, in place.

    See `zfuse.kernels.cpu.add_focused_norms`; all arrays lie on the device.

    Parameters
    ----------
    invalid : (Y, X) float32, or (0, 0) where all pixels are valid
    focus : FocusWeights
    first, stop : int
    least : float
    plain : float
    held : float
    norm, square : (Y, X) float32
    """
    weights = _focus(focus)
    launch(
        _add_norms, weights[0].shape, given(invalid), *weights, first, stop, np.float32(least),
        np.float32(plain), np.float32(held), given(norm), given(square),
    )  # fmt: skip


@cuda.jit
def _hold(low, high, gain, floor, strength, distrust, plain, image):
    x, y = cuda.grid(2)
    if y >= image.shape[0] or x >= image.shape[1]:
        return
    share = plain / (plain + _distrust(strength, y, x, image.shape[1], distrust))
    below, above = low[y, x], high[y, x]
    if below <= above:
        spread = float32(math.sqrt(max(product(gain, below) + floor, float32(0))))
        lowest = below - product(share, spread)
        spread = float32(math.sqrt(max(product(gain, above) + floor, float32(0))))
        highest = above + product(share, spread)
        image[y, x] = min(max(image[y, x], lowest), highest)


def hold_within(
    low: Any, high: Any, gain: float, floor: float, focus: FocusWeights, plain: float, image: Any
) -> None:
    """Hold an image within the range of the planes at each pixel, give or take noise, in place.

    See `zfuse.kernels.cpu.hold_within`; all arrays lie on the device.

    Parameters
    ----------
    low, high : (Y, X) float32
    gain, floor : float
    focus : FocusWeights
    plain : float
    image : (Y, X) float32
    """
    image = given(image)
    launch(
        _hold, image.shape, given(low), given(high), np.float32(gain), np.float32(floor),
        given(focus.strength), np.float32(focus.distrust), np.float32(plain), image,
    )  # fmt: skip
