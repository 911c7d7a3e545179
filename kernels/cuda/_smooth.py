"""Smooth an integer signal by [1 2 1]/4 in both directions (CUDA).

Duty: take the noise of single pixels out of a decision signal before focus is measured. Must not
know: how often, which measure follows.
"""

from __future__ import annotations

from typing import Any

from numba import cuda, int32

from zfuse.kernels.cpu import INVALID
from zfuse.kernels.cuda._device import given, launch

__all__ = ["smooth_signal"]

_INVALID = int(INVALID)


@cuda.jit
def _smooth(plane, first, stop, half, shift, invalid, out):
    x, row = cuda.grid(2)
    y = first + row
    height, width = plane.shape
    if y >= stop or x >= width:
        return
    centre = int32(plane[y, x])
    total = int32(0)
    for m in range(-1, 2):
        for n in range(-1, 2):
            value = int32(plane[min(max(y + m, 0), height - 1), min(max(x + n, 0), width - 1)])
            if invalid and value == int32(_INVALID):
                value = centre
            total = int32(total + int32(int32((2 - abs(m)) * (2 - abs(n))) * value))
    if invalid and centre == int32(_INVALID):
        out[y, x] = int32(_INVALID)
    else:
        out[y, x] = int32(total + int32(half)) >> int32(shift)


def smooth_signal(plane: Any, first: int, stop: int, shift: int, invalid: bool, out: Any) -> None:
    """Write the plane smoothed by the nine weights w = [1 2 1] x [1 2 1], in exact integers.

    See `zfuse.kernels.cpu.smooth_signal`; all arrays lie on the device.

    Parameters
    ----------
    plane : (Y, X) uint8, uint16 or int32
    first, stop : int
    shift : int
    invalid : bool
    out : (Y, X) int32
    """
    plane = given(plane)
    shape = (stop - first, plane.shape[1])
    half = (1 << shift) >> 1
    launch(_smooth, shape, plane, first, stop, half, shift, invalid, given(out))
