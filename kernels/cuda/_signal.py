"""One integer signal a plane, from channels or from floating-point pixels (CUDA).

Duty: the channels' weighted sum as int32, so that focus sums stay exact integers whatever the
input's dtype. Must not know: why a channel weighs what it weighs.
"""

from __future__ import annotations

import math
from typing import Any

from numba import cuda, float64, int32

from zfuse.kernels.cpu import INVALID
from zfuse.kernels.cuda._device import given, launch, product64

__all__ = ["mix_signal"]

_MAXIMUM = 2**18 - 1  # as on the CPU
_INVALID = int(INVALID)


@cuda.jit
def _clear(invalid):
    p, _ = cuda.grid(2)
    if p < invalid.size:
        invalid[p] = False


@cuda.jit
def _mix(pixels, weights, offset, signal, invalid):
    x, y, p = cuda.grid(3)
    if y >= signal.shape[1] or x >= signal.shape[2]:
        return
    total = float64(offset)
    for c in range(weights.size):
        if weights[c] != 0.0:
            total += product64(weights[c], float64(pixels[p, c, y, x]))
    if abs(total) < math.inf:
        signal[p, y, x] = int32(min(max(total, 0.0), float64(_MAXIMUM)) + 0.5)
    else:
        signal[p, y, x] = int32(_INVALID)
        invalid[p] = True


def mix_signal(
    pixels: Any, weights: Any, offset: float, total: Any, signal: Any, invalid: Any
) -> None:
    """Mix channels into one integer signal.

    See `zfuse.kernels.cpu.mix_signal`; all arrays lie on the device.

    Parameters
    ----------
    pixels : (n, C, Y, X), any real dtype
    weights : (C,) float64
    offset : float
    total
        Not used: a thread a pixel needs no scratch.
    signal : (n, Y, X) int32
    invalid : (n,) bool
    """
    signal, invalid = given(signal), given(invalid)
    launch(_clear, (1, invalid.size), invalid)
    launch(_mix, signal.shape, given(pixels), given(weights), float(offset), signal, invalid)
