"""The running focus peak, one pixel at a time (CUDA).

Duty: take one score of one plane; turn the finished peak into depth and confidence. Must not know:
how scores come about.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import cuda, float32, int32, uint16

from zfuse.kernels.cpu import RunningPeak
from zfuse.kernels.cuda._device import device_function, given, launch, product

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["RunningPeak", "advance", "finish_focus", "fit_ends", "load_peak", "store_peak"]

_LEAST_LEFT = 0.9  # as on the CPU
_SHARE = float(np.float32(1 / 65535))


@device_function
def _share_of(score, best):
    return int32(score * (float32(65535) / best)) if best > float32(0) else int32(0)


@device_function
def advance(state, score, z):
    """Return the peak (best, previous, total, sides, plane) after one more plane.

    `sides` holds before and after, 16 bits each: four peaks a thread cost 20 registers. The steps
    are the CPU's, less those that would leave things as they are: most pixels do not divide.
    """
    best, previous, total, sides, plane = state
    s = max(score, float32(0))
    total = total + s
    led = plane == int32(z - int32(1))
    if score > best:
        best = score
        ratio = previous * (float32(65535) / s) if s > float32(0) else float32(0)
        second = ratio * (float32(sides & int32(0xFFFF)) * float32(_SHARE))
        sides = int32(ratio) | int32(int32(second) << int32(16)) if led else int32(ratio)
        plane = int32(z)
    elif led:
        sides = (sides & int32(0xFFFF)) | int32(_share_of(s, best) << int32(16))
    if z >= int32(2) and plane == int32(0):
        # The third plane's score where the first one leads, until a plane beats the second.
        ratio = _share_of(s, best)
        if ratio >= ((sides >> int32(16)) & int32(0xFFFF)):
            sides = sides & int32(-65536)
        elif z == int32(2):
            sides = (sides & int32(-65536)) | ratio
    return best, s, total, sides, plane


@device_function
def load_peak(best, previous, total, before, after, plane, y, x):
    """Return the peak of one pixel; of one outside, any."""
    if 0 <= y < best.shape[0] and 0 <= x < best.shape[1]:
        sides = int32(before[y, x]) | int32(int32(after[y, x]) << int32(16))
        return best[y, x], previous[y, x], total[y, x], int32(sides), int32(plane[y, x])
    return float32(0), float32(0), float32(0), int32(0), int32(0)


@device_function
def store_peak(state, best, previous, total, before, after, plane, y, x):
    """Write the peak of one pixel; of one outside, nothing."""
    if 0 <= y < best.shape[0] and 0 <= x < best.shape[1]:
        best[y, x], previous[y, x], total[y, x] = state[0], state[1], state[2]
        before[y, x] = state[3] & int32(0xFFFF)
        after[y, x] = (state[3] >> int32(16)) & int32(0xFFFF)
        plane[y, x] = state[4]


@cuda.jit
def _finish(best, total, before, after, plane, planes, least, depth, confidence):
    x, y = cuda.grid(2)
    if y >= depth.shape[0] or x >= depth.shape[1]:
        return
    b = best[y, x]
    count = float32(max(planes - 1, 1))
    others = max((total[y, x] - b) / count, float32(least))
    above = float32(1) - others / b if b > float32(0) else float32(0)
    i = int32(plane[y, x])
    p = product(float32(before[y, x]), float32(_SHARE))
    q = product(float32(after[y, x]), float32(_SHARE))
    depth[y, x] = _vertex(i, p, q, int32(planes - 1))
    confidence[y, x] = max(above, float32(0)) if planes > 1 else float32(0)


@device_function
def _vertex(i, p, q, last):
    bend = p + q - float32(2)
    if bend < float32(-1e-6) and i > 0 and i < last:
        return float32(i) + float32(0.5) * (p - q) / bend
    return float32(i)


def finish_focus(
    peak: RunningPeak, planes: int, depth: Any, confidence: Any, least: float = 0.0
) -> None:
    """Turn the running peak into depth and confidence.

    See `zfuse.kernels.cpu.finish_focus`; all arrays lie on the device.

    Parameters
    ----------
    peak : RunningPeak
    planes : int
    depth : (h, w) float32
    confidence : (h, w) float32
    least : float
    """
    best, _, total, before, after, plane = (given(kept) for kept in peak)
    launch(
        _finish, best.shape, best, total, before, after, plane, planes, np.float32(least),
        given(depth), given(confidence),
    )  # fmt: skip


@device_function
def _end_offset(q, r, floor):
    floor = min(max(floor, float32(0)), r * float32(_LEAST_LEFT))
    a = float32(math.log((q - floor) / (float32(1) - floor)))
    b = float32(math.log((r - floor) / (float32(1) - floor)))
    if a > float32(-1e-6):
        return float32(0.5)
    rho = b / a
    if rho <= float32(4):
        return float32(0)
    return min((rho - float32(4)) / (product(float32(2), rho) - float32(4)), float32(0.5))


@cuda.jit
def _fit(index, before, after, stands_out, planes, depth):
    x, y = cuda.grid(2)
    if y >= depth.shape[0] or x >= depth.shape[1]:
        return
    i = int32(index[y, x])
    if i != 0 and i != planes - 1:
        return
    near, far = (after[y, x], before[y, x]) if i == 0 else (before[y, x], after[y, x])
    if far == uint16(0):
        return
    q, r = product(float32(near), float32(_SHARE)), product(float32(far), float32(_SHARE))
    floor = float32(0)
    if planes > 3:
        all_others = product(float32(1) - stands_out[y, x], float32(planes - 1))
        floor = (all_others - q - r) / float32(planes - 3)
    offset = _end_offset(q, r, floor)
    depth[y, x] = float32(i) + (offset if i == 0 else -offset)


def fit_ends(index: Any, before: Any, after: Any, stands_out: Any, planes: int, depth: Any) -> None:
    """Put the depth of peaks at the first and the last plane between planes, in place.

    See `zfuse.kernels.cpu.fit_ends`; all arrays lie on the device.

    Parameters
    ----------
    index, before, after : (h, w) uint16
    stands_out : (h, w) float32
    planes : int
    depth : (h, w) float32
    """
    if planes < 3:
        return
    arrays: Sequence[Any] = [given(a) for a in (index, before, after, stands_out)]
    launch(_fit, arrays[0].shape, *arrays, planes, given(depth))
