"""Put the depth that fine detail tells on top of a smoother one (CUDA).

Duty: one map of two, cleaned of single pixels. Must not know: how they were found.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda, float32

from zfuse.kernels.cpu import FineLimits
from zfuse.kernels.cuda._device import device_function, given, launch, product, scratch
from zfuse.kernels.cuda._pyramid import expanded

__all__ = ["FineLimits", "place_fine"]


@device_function
def _sort3(a, b, c):
    low, high = min(a, b), max(a, b)
    return min(low, c), max(low, min(high, c)), max(high, c)


@cuda.jit
def _median(values, out):
    x, y = cuda.grid(2)
    height, width = out.shape
    if y >= height or x >= width:
        return
    u, d = max(y - 1, 0), min(y + 1, height - 1)
    i, j = max(x - 1, 0), min(x + 1, width - 1)
    a, b, c = _sort3(values[u, i], values[y, i], values[d, i])
    e, f, g = _sort3(values[u, x], values[y, x], values[d, x])
    h, k, m = _sort3(values[u, j], values[y, j], values[d, j])
    low = max(max(a, e), h)
    middle = _sort3(b, f, k)[1]
    high = min(min(c, g), m)
    out[y, x] = _sort3(low, middle, high)[1]


@device_function
def _ramp(value, low, gain):
    return min(max((value - low) * gain, float32(0)), float32(1))


@cuda.jit
def _place(depth, fine, significance, same, sure, near, refined, placed, better):
    x, y = cuda.grid(2)
    if y >= fine.shape[0] or x >= fine.shape[1]:
        return
    here = depth[y, x] if depth.shape[0] == fine.shape[0] else expanded(depth, y, x)
    s, away = significance[y, x], fine[y, x] - here
    apart = abs(away)
    share = _ramp(apart, same[0], float32(1) / (same[1] - same[0]))
    share *= _ramp(s, sure[0], float32(1) / (sure[1] - sure[0]))
    if apart >= near:
        share = float32(1) if s > refined else float32(0)
    placed[y, x] = here + product(share, away)
    better[y, x] = share > float32(0.5)


def place_fine(
    depth: Any, fine: Any, significance: Any, limits: FineLimits, out: Any, better: Any
) -> None:
    """Put a fine depth on top of a smoother one where it knows better, and take the median.

    See `zfuse.kernels.cpu.place_fine`; all arrays lie on the device.

    Parameters
    ----------
    depth : (Y, X) or (⌈Y/2⌉, ⌈X/2⌉) float32
    fine, significance : (Y, X) float32
    limits : FineLimits
    out : (Y, X) float32
    better : (Y, X) bool
    """
    out = given(out)
    placed = scratch("fine", out.shape)
    same, sure = (tuple(map(np.float32, pair)) for pair in (limits.same, limits.sure))
    launch(
        _place, out.shape, given(depth), given(fine), given(significance), same, sure,
        np.float32(limits.near), np.float32(limits.refined), placed, given(better),
    )  # fmt: skip
    launch(_median, out.shape, placed, out)
