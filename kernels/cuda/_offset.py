"""How far the best focus lies from a depth that is nearly right (CUDA).

Duty: two sums over the planes for each pixel, and the offset that they say together with those of
the neighbours. Must not know: where the depth comes from, what its planes were made of.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda, float32, int32

from zfuse.kernels.cpu import RunningOffset
from zfuse.kernels.cuda._device import device_function, given, launch, product, scratch

__all__ = ["RunningOffset", "add_offset", "settle_offset"]

_MOST = 0.7  # planes, as on the CPU
_REACH = float(np.float32(np.sqrt(6.0)))


@device_function
def _left(t, scale):
    """Return max(1 - t² scale, 0), of which a cube is what is left of the energy."""
    return max(float32(1) - product(t * t, scale), float32(0))


@cuda.jit
def _add(plane, top, left, z, scale, depth, level, slope):
    k, i = cuda.grid(2)
    if i >= depth.shape[0] or k >= depth.shape[1]:
        return
    y, x = top + i, left + k
    rows, columns = plane.shape
    beside = plane[y, max(x - 1, 0)] + plane[y, min(x + 1, columns - 1)]
    over = plane[max(y - 1, 0), x] + plane[min(y + 1, rows - 1), x]
    g = product(float32(4), plane[y, x]) - beside - over
    t = z - depth[i, k]
    u = _left(t, scale)
    e = g * g * u * u
    level[i, k] += product(e, u)
    slope[i, k] += product(e * t, float32(6) * scale)


def add_offset(plane: Any, top: int, left: int, z: int, width: float, sums: RunningOffset) -> None:
    """Add one plane to the sums, in place; its focus energy is (4 c - l - r - u - d)².

    See `zfuse.kernels.cpu.add_offset`; all arrays lie on the device.

    Parameters
    ----------
    plane : (Y, X) float32
    top, left : int
    z : int
    width : float
    sums : RunningOffset, (h, w)
    """
    depth, level, slope = (given(a) for a in sums)
    scale = np.float32(1 / (6 * width * width))
    launch(_add, depth.shape, given(plane), top, left, np.float32(z), scale, depth, level, slope)


@cuda.jit
def _solve(depth, level, slope, floor, planes, width, pull, gain):
    x, y = cuda.grid(2)
    if y >= depth.shape[0] or x >= depth.shape[1]:
        return
    scale = float32(1) / (float32(6) * width * width)
    reach = width * float32(_REACH)
    p = depth[y, x]
    s0 = s1 = h00 = h01 = h11 = float32(0)
    for z in range(max(int32(math.ceil(p - reach)), 0), min(int(p + reach), planes - 1) + 1):
        t = float32(z) - p
        u = _left(t, scale)
        h = product(u * u, u)
        g = product(float32(6) * scale * t * u, u)
        s0 += h
        s1 += g
        h00 += product(h, h)
        h01 += product(h, g)
        h11 += product(g, g)
    f = floor[y, x]
    y0, y1 = level[y, x] - product(f, s0), slope[y, x] - product(f, s1)
    h0 = max(h00, float32(1e-6))
    a = y0 / h0
    spread = max(h11 - h01 * h01 / h0, float32(0))
    pull[y, x] = y1 - product(h01, a)
    gain[y, x] = a * spread


@cuda.jit
def _settle(depth, pull, gain, turn, radii, priors, scale, step):
    """Solve each pixel's disc; beyond the edge nothing pulls."""
    x, y = cuda.grid(2)
    height, width = depth.shape
    if y >= height or x >= width:
        return
    radius, here = int(radii[turn]), depth[y, x]
    force = weight = spread = float32(0)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            i, j = y + dy, x + dx
            near = dy * dy + dx * dx <= radius * radius + radius
            if near and 0 <= i < height and 0 <= j < width:
                u = _left(depth[i, j] - here, scale)
                agreement = u * u * u
                pulled = product(agreement, pull[i, j])
                force += pulled
                weight += product(agreement, gain[i, j])
                spread += product(pulled, pulled)
    w = max(weight, float32(0))
    precision = product(spread / max(w, float32(1e-20)), float32(1) / priors[turn])
    found = force / max(w + precision, float32(1e-20))
    step[y, x] = min(max(found, float32(-_MOST)), float32(_MOST))


@cuda.jit
def _take(gain, step, first, pull, out):
    x, y = cuda.grid(2)
    if y >= out.shape[0] or x >= out.shape[1]:
        return
    out[y, x] = step[y, x] if first else out[y, x] + step[y, x]
    pull[y, x] -= product(gain[y, x], step[y, x])


def settle_offset(
    sums: RunningOffset, floor: Any, planes: int, width: float, tolerance: float, radii: Any,
    priors: Any, out: Any,
) -> None:  # fmt: skip
    """Solve the sums for the offset of the depth, together with neighbours of like depth.

    See `zfuse.kernels.cpu.settle_offset`; all arrays lie on the device.

    Parameters
    ----------
    sums : RunningOffset, (h, w)
    floor : (h, w) float32
    planes : int
    width : float
    tolerance : float
    radii, priors : (n,) int, float32
    out : (h, w) float32
    """
    depth, level, slope = (given(a) for a in sums)
    out, radii, priors = given(out), given(radii), given(priors)
    pull, gain, step = (scratch(f"offset-{use}", out.shape) for use in ("pull", "gain", "step"))
    scale = np.float32(1 / (6 * tolerance * tolerance))
    launch(
        _solve, out.shape, depth, level, slope, given(floor), planes, np.float32(width), pull, gain
    )
    for turn in range(radii.size):
        launch(_settle, out.shape, depth, pull, gain, turn, radii, priors, scale, step)
        launch(_take, out.shape, gain, step, turn == 0, pull, out)
