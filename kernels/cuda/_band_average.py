"""Weighted sums of planes round a depth that is known (CUDA).

Duty: add planes to a sum of coefficients, with weights that fall with their distance from the
depth. Must not know: where depth and weights come from.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda, float32

from zfuse.kernels.cpu import RUN, FocusWeights
from zfuse.kernels.cuda._device import device_function, given, launch, nearest, product
from zfuse.kernels.cuda._pyramid import expanded

__all__ = ["FocusWeights", "add_focused", "add_focused_norms", "extend_range", "hold_within"]

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
def _out_of_reach(lowest, highest, y, x, z, width):
    reach = float32(_REACH) * width
    run = x // RUN
    return z < lowest[y, run] - reach or z > highest[y, run] + reach


def _focus(focus: FocusWeights) -> tuple[Any, ...]:
    arrays = (focus.depth, focus.strength, focus.lowest, focus.highest)
    return (*map(given, arrays), np.float32(focus.width), np.float32(focus.distrust))


@cuda.jit
def _add(
    planes, top, left, coarse, invalid, depth, strength, lowest, highest, width, distrust, z, total
):
    x, y, c = cuda.grid(3)
    if y >= depth.shape[0] or x >= depth.shape[1]:
        return
    scale, here = _scale_of(width), depth[y, x]
    trust = _distrust(strength, y, x, depth.shape[1], distrust)
    sum_ = total[c, y, x]
    for p in range(planes.shape[0]):
        at = float32(z + p)
        if _out_of_reach(lowest, highest, y, x, at, width):
            continue
        a = _weight(_left(here - at, scale), trust)
        if invalid.shape[0] > 0 and invalid[p, y, x] > float32(0):
            a = float32(0)
        value = float32(planes[p, c, top + y, left + x])
        if coarse.shape[0] > 0:
            value -= expanded(coarse[p, c], y, x)
        sum_ += product(a, value)
    total[c, y, x] = sum_


def add_focused(
    planes: Any, top: int, left: int, coarse: Any, invalid: Any, focus: FocusWeights, z: int,
    total: Any,
) -> None:  # fmt: skip
    """Add a block of planes' coefficients, weighted by their distance from the depth, in place.

    See `zfuse.kernels.cpu.add_focused`; all arrays lie on the device.

    Parameters
    ----------
    planes : (n, C, rows, columns), any real dtype
    top, left : int
    coarse : (n, C, ⌈Y/2⌉, ⌈X/2⌉) float32, or (0, 0, 0, 0): the planes are coefficients themselves
    invalid : (n, Y, X) float32, or (0, 0, 0) where all pixels are valid
    focus : FocusWeights
    z : int
    total : (C, Y, X) float32
    """
    total = given(total)
    launch(
        _add, total.shape, given(planes), top, left, given(coarse), given(invalid), *_focus(focus),
        z, total,
    )  # fmt: skip


@cuda.jit
def _extend(planes, top, left, invalid, low, high):
    x, y, c = cuda.grid(3)
    if y >= low.shape[1] or x >= low.shape[2]:
        return
    least, most = low[c, y, x], high[c, y, x]
    for p in range(planes.shape[0]):
        if invalid.shape[0] == 0 or invalid[p, y, x] <= float32(0):
            value = float32(planes[p, c, top + y, left + x])
            least, most = min(least, value), max(most, value)
    low[c, y, x], high[c, y, x] = least, most


def extend_range(planes: Any, top: int, left: int, invalid: Any, low: Any, high: Any) -> None:
    """Extend the range of values of each pixel by those of a block of planes, in place.

    See `zfuse.kernels.cpu.extend_range`; all arrays lie on the device.

    Parameters
    ----------
    planes : (n, C, rows, columns), any real dtype
    top, left : int
    invalid : (n, Y, X) float32, or (0, 0, 0) where all pixels are valid
    low, high : (C, Y, X) float32
    """
    low = given(low)
    launch(_extend, low.shape, given(planes), top, left, given(invalid), low, given(high))


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
        if not _out_of_reach(lowest, highest, y, x, z, width):
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
