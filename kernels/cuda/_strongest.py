"""The strongest speaks: the running choice of coefficients, and a depth map halved (CUDA).

Duty: of several candidates for a pixel keep the one with the most energy. Must not know: how many
levels or planes there are, what a channel is.
"""

from __future__ import annotations

from typing import Any

from numba import cuda, float32

from zfuse.kernels.cuda._device import device_function, given, launch, product

__all__ = ["keep_strongest", "reduce_by_strength"]


@device_function
def _column_energy(decision, above, y, below, x):
    total = float32(0)
    for b in range(decision.shape[0]):
        u, c, d = decision[b, above, x], decision[b, y, x], decision[b, below, x]
        squares = product(u, u) + product(c, c) + product(d, d)
        total = squares if b == 0 else total + squares
    return total


@cuda.jit
def _keep(decision, bands, best, kept):
    x, y = cuda.grid(2)
    height, width = best.shape
    if y >= height or x >= width:
        return
    above, below = max(y - 1, 0), min(y + 1, height - 1)
    energy = _column_energy(decision, above, y, below, max(x - 1, 0))
    energy += _column_energy(decision, above, y, below, x)
    energy += _column_energy(decision, above, y, below, min(x + 1, width - 1))
    if energy > best[y, x]:
        best[y, x] = energy
        for k in range(bands.shape[0]):
            kept[k, y, x] = bands[k, y, x]


def keep_strongest(decision: Any, bands: Any, best: Any, kept: Any) -> None:
    """Keep, per pixel, the coefficients of the plane whose bands have the most energy there.

    See `zfuse.kernels.cpu.keep_strongest`; all arrays lie on the device.

    Parameters
    ----------
    decision : (B, Y, X) float32
    bands : (K, Y, X) float32
    best : (Y, X) float32
    kept : (K, Y, X) float32
    """
    best = given(best)
    launch(_keep, best.shape, given(decision), given(bands), best, given(kept))


@cuda.jit
def _reduce(depth, strength, coarse_depth, coarse_strength):
    j, i = cuda.grid(2)
    if i >= coarse_depth.shape[0] or j >= coarse_depth.shape[1]:
        return
    height, width = depth.shape
    best = float32(-1)
    here = depth[2 * i, 2 * j]
    for y in range(max(2 * i - 2, 0), min(2 * i + 3, height)):
        for x in range(max(2 * j - 2, 0), min(2 * j + 3, width)):
            if strength[y, x] > best:
                best = strength[y, x]
                here = depth[y, x]
    coarse_depth[i, j] = here
    coarse_strength[i, j] = best


def reduce_by_strength(depth: Any, strength: Any, coarse_depth: Any, coarse_strength: Any) -> None:
    """Halve a depth map: of 5 x 5 pixels the one with the strongest detail speaks for all.

    See `zfuse.kernels.cpu.reduce_by_strength`; all arrays lie on the device.

    Parameters
    ----------
    depth, strength : (Y, X) float32
    coarse_depth, coarse_strength : (⌈Y/2⌉, ⌈X/2⌉) float32
    """
    coarse = given(coarse_depth)
    launch(_reduce, coarse.shape, given(depth), given(strength), coarse, given(coarse_strength))
