"""One integer signal a plane, from channels or from floating-point pixels (CPU).

Duty: the channels' weighted sum as int32, so that focus sums stay exact integers whatever the
input's dtype. Must not know: why a channel weighs what it weighs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import float64

from zfuse.kernels.cpu._jit import jit
from zfuse.kernels.cpu._measures import INVALID

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["mix_signal"]

_MAXIMUM = 2**18 - 1  # SML of 18-bit signals over 45 x 45 px still fits int32


@jit
def _add_weighted(row, weight, total):
    for x in range(total.size):
        total[x] += weight * float64(row[x])


@jit
def _round_row(total, out):
    bad = 0
    for x in range(total.size):
        value = total[x]
        finite = abs(value) < np.inf  # False for NaN
        inside = min(max(value, 0.0), float64(_MAXIMUM)) if finite else 0.0
        out[x] = np.int32(inside + 0.5) if finite else INVALID
        bad += not finite
    return bad


@jit
def mix_signal(
    pixels: NDArray[Any],
    weights: NDArray[np.float64],
    offset: float,
    total: NDArray[np.float64],
    signal: NDArray[np.int32],
    invalid: NDArray[np.bool_],
) -> None:
    """Mix channels into one integer signal.

    signal = ⌊min(max(offset + Σ_c weights[c] · pixels[:, c], 0), 2^18 - 1) + 1/2⌋, in float64.

    Parameters
    ----------
    pixels : (n, C, Y, X), any real dtype, C-contiguous
        A pixel that is NaN or infinite in a channel of non-zero weight becomes `INVALID`.
    weights : (C,) float64
        In steps of the signal a unit of the pixels.
        Channels of weight 0 are not read.
    offset : float
        In steps of the signal.
    total : (X,) float64
        Scratch.
    signal : (n, Y, X) int32
        Result.
    invalid : (n,) bool
        Set where a plane holds `INVALID`.
    """
    n, channels, height, _ = pixels.shape
    for p in range(n):
        bad = 0
        for y in range(height):
            total[:] = offset
            for c in range(channels):
                if weights[c] != 0.0:
                    _add_weighted(pixels[p, c, y], weights[c], total)
            bad += _round_row(total, signal[p, y])
        invalid[p] = bad > 0
