"""What tells a depth that is right from one that is wrong, and the probability of it (CUDA).

Duty: how rough a depth map is, how peaks stand to the depth, a small network of rectified sums.
Must not know: which methods there are, where the weights come from.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda, float32, int32

from zfuse.kernels.cpu import DepthClues
from zfuse.kernels.cuda._device import device_function, given, launch, product, scratch

__all__ = [
    "DepthClues",
    "collect_evidence",
    "compare_sides",
    "interpolate_doubled",
    "interpolate_where",
    "probability",
]

# As on the CPU.
_MOST = 4.0  # planes
_NEAR_END = 2.0  # planes
_LEAST = float(np.float32(1e-3))  # of evidence that anything stands out
_SHARE = float(np.float32(1 / 65535))


@cuda.jit
def _peak_evidence(padded, margin, depth, height, gains, p, peaks, out):
    x, y = cuda.grid(2)
    if y >= depth.shape[0] or x >= depth.shape[1]:
        return
    away = abs(depth[y, x] - padded[y + margin, x + margin])
    out[p, y, x] = away / (away + float32(1))
    ratio = product(gains[p], height[y, x])
    out[peaks + p, y, x] = ratio / (ratio + float32(1) - height[y, x])


@device_function
def _pair(before, after, bent, apart):
    most = float32(_MOST)
    bent += min(abs(after - before), float32(2) * most)
    return bent, apart + (min(abs(before), most) + min(abs(after), most))


@cuda.jit
def _roughness(padded, margin, radii, k, at, out):
    x, y = cuda.grid(2)
    if y >= out.shape[1] or x >= out.shape[2]:
        return
    r, i, j = int(radii[k]), y + margin, x + margin
    d = padded[i, j]
    b, a = _pair(d - padded[i, j - r], padded[i, j + r] - d, float32(0), float32(0))
    b, a = _pair(d - padded[i - r, j], padded[i + r, j] - d, b, a)
    b, a = _pair(d - padded[i - r, j - r], padded[i + r, j + r] - d, b, a)
    b, a = _pair(d - padded[i - r, j + r], padded[i + r, j - r] - d, b, a)
    out[at, y, x] = b / (b + float32(4))
    out[at + 1, y, x] = a / (a + float32(4))


@cuda.jit
def _rest(padded, margin, last, shape, at, out):
    """Write how far the ends are, further evidence, and zeros."""
    x, y = cuda.grid(2)
    if y >= out.shape[1] or x >= out.shape[2]:
        return
    here = padded[y + margin, x + margin]
    end = min(here, last - here)
    out[at, y, x] = max(min(end, float32(_NEAR_END)), float32(0)) / float32(_NEAR_END)
    for e in range(at + 1, out.shape[0]):
        kind = e - at - 1
        out[e, y, x] = shape[kind, y, x] if kind < shape.shape[0] else float32(0)


def collect_evidence(clues: DepthClues, out: Any) -> None:
    """Write the evidence for and against a depth map, one plane a kind.

    See `zfuse.kernels.cpu.collect_evidence`; all arrays lie on the device.

    Parameters
    ----------
    clues : DepthClues
    out : (4 n, h, w) float32
    """
    out, padded, gains = given(out), given(clues.padded), given(clues.gains)
    radii, shape = given(clues.radii), out.shape[1:]
    margin, peaks = (padded.shape[0] - out.shape[1]) // 2, len(clues.depths)
    for p in range(peaks):
        depth, height = given(clues.depths[p]), given(clues.heights[p])
        launch(_peak_evidence, shape, padded, margin, depth, height, gains, p, peaks, out)
    for k in range(radii.size):
        launch(_roughness, shape, padded, margin, radii, k, 2 * peaks + 2 * k, out)
    at = 2 * peaks + 2 * radii.size
    launch(_rest, shape, padded, margin, np.float32(clues.last), given(clues.shape), at, out)


@cuda.jit
def _network(evidence, peaks, hidden, bias, weights, last, out):
    x, y = cuda.grid(2)
    if y >= out.shape[0] or x >= out.shape[1]:
        return
    score = last
    for j in range(weights.size):
        row = bias[j]
        for k in range(0, hidden.shape[1], 4):
            four = product(hidden[j, k], evidence[k, y, x])
            four += product(hidden[j, k + 1], evidence[k + 1, y, x])
            four += product(hidden[j, k + 2], evidence[k + 2, y, x])
            four += product(hidden[j, k + 3], evidence[k + 3, y, x])
            row += four
        score += product(weights[j], max(row, float32(0)))
    most = float32(0)
    for p in range(peaks):
        most = max(most, evidence[peaks + p, y, x])
    root = float32(math.sqrt(float32(1) + product(score, score)))
    value = float32(0.5) + float32(0.5) * score / root
    out[y, x] = value if most >= float32(_LEAST) else float32(0)


def probability(
    clues: DepthClues, hidden: Any, bias: Any, weights: Any, last: float, out: Any
) -> None:
    """Write the probability that a small network gives to the evidence f of each pixel.

    See `zfuse.kernels.cpu.probability`; all arrays lie on the device.

    Parameters
    ----------
    clues : DepthClues
    hidden : (J, 4 n) float32
    bias, weights : (J,) float32
    last : float
    out : (h, w) float32
    """
    out, hidden = given(out), given(hidden)
    evidence = scratch("evidence", (hidden.shape[1], *out.shape))
    collect_evidence(clues, evidence)
    launch(
        _network, out.shape, evidence, len(clues.depths), hidden, given(bias), given(weights),
        np.float32(last), out,
    )  # fmt: skip


@cuda.jit
def _sides(index, before, after, last, out):
    x, y = cuda.grid(2)
    if y >= out.shape[1] or x >= out.shape[2]:
        return
    i = int32(index[2 * y, 2 * x])
    # Nothing lies outside the stack.
    p = float32(before[2 * y, 2 * x]) * float32(_SHARE) if i > 0 else float32(0)
    q = float32(after[2 * y, 2 * x]) * float32(_SHARE) if i != last else float32(0)
    out[0, y, x] = max(p, q)
    out[1, y, x] = min(p, q)


def compare_sides(index: Any, before: Any, after: Any, planes: int, out: Any) -> None:
    """Write the higher and the lower score beside a peak, of its own score, at half size.

    See `zfuse.kernels.cpu.compare_sides`; all arrays lie on the device.

    Parameters
    ----------
    index, before, after : (h, w) uint16
    planes : int
    out : (2, ⌈h/2⌉, ⌈w/2⌉) float32
    """
    out = given(out)
    launch(
        _sides, out.shape[1:], given(index), given(before), given(after), np.int32(planes - 1), out
    )


@device_function
def _doubled(half, y, x, columns):
    above, below = half[y // 2], half[min((y + 1) // 2, half.shape[0] - 1)]
    i = x // 2
    here = product(float32(0.5), above[i] + below[i])
    if x % 2 == 1 and i + 1 < half.shape[1] and x < columns - 1:
        return product(float32(0.5), here + product(float32(0.5), above[i + 1] + below[i + 1]))
    return here


@cuda.jit
def _interpolate(half, chosen, out):
    x, y = cuda.grid(2)
    if y >= out.shape[0] or x >= out.shape[1]:
        return
    value = _doubled(half, y, x, out.shape[1])
    out[y, x] = value if chosen.shape[0] == 0 or chosen[y, x] > float32(0) else float32(0)


def interpolate_doubled(half: Any, out: Any) -> None:
    """Write a map at twice its size: out[2 i, 2 j] = half[i, j], means of neighbours between them.

    See `zfuse.kernels.cpu.interpolate_doubled`; all arrays lie on the device.

    Parameters
    ----------
    half : (⌈h/2⌉, ⌈w/2⌉) float32
    out : (h, w) float32
    """
    out = given(out)
    launch(_interpolate, out.shape, given(half), out[:0], out)


def interpolate_where(half: Any, chosen: Any, out: Any) -> None:
    """Write what `interpolate_doubled` does where a map is above 0, else 0.

    See `zfuse.kernels.cpu.interpolate_where`; all arrays lie on the device.

    Parameters
    ----------
    half : (⌈h/2⌉, ⌈w/2⌉) float32
    chosen : (h, w) float32
    out : (h, w) float32
    """
    out = given(out)
    launch(_interpolate, out.shape, given(half), given(chosen), out)
