"""Smooth an integer signal by [1 2 1]/4 in both directions (CPU).

Duty: take the noise of single pixels out of a decision signal before focus is measured. Must not
know: how often, which measure follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import int32

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._measures import INVALID

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["smooth_signal"]


@jit
def _column(up, row, down, out):
    for x in range(row.size):
        c = int32(int32(2) * int32(row[x]))
        out[x] = int32(int32(int32(up[x]) + int32(down[x])) + c)


@jit
def _row(column, half, shift, out):
    last = column.size - 1
    for x in range(1, last):
        c = int32(int32(2) * column[x])
        out[x] = int32(int32(int32(column[x - 1] + column[x + 1]) + c) + half) >> shift
    for x in (0, last):
        total = column[max(x - 1, 0)] + column[min(x + 1, last)] + 2 * column[x]
        out[x] = int32((total + half) >> shift)


@jit
def _keep_invalid(plane, first, stop, half, shift, out):
    """Smooth again round invalid pixels: an invalid neighbour counts as the pixel itself."""
    height, width = plane.shape
    for y in range(first, stop):
        for x in range(width):
            centre = plane[y, x]
            total, touched = 0, False
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    value = plane[min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)]
                    if value == INVALID:
                        touched = True
                        value = centre
                    total += (2 - abs(dy)) * (2 - abs(dx)) * value
            if centre == INVALID:
                out[y, x] = INVALID
            elif touched:
                out[y, x] = int32((total + half) >> shift)


@jit
def _smooth_rows(plane, first, stop, half, shift, column, out):
    last = plane.shape[0] - 1
    for y in range(first, stop):
        _column(plane[max(y - 1, 0)], plane[y], plane[min(y + 1, last)], column)
        _row(column, half, shift, out[y])


@jit_allocating
def smooth_signal(
    plane: NDArray[Any], first: int, stop: int, shift: int, invalid: bool, out: NDArray[np.int32]
) -> None:
    """Write the plane smoothed by the nine weights w = [1 2 1] x [1 2 1], in exact integers.

    out[y, x] = ⌊Σ_mn w_m w_n plane[y + m, x + n] / 2^shift + 1/2⌋ with m, n = -1 … 1.

    Parameters
    ----------
    plane : (Y, X) uint8, uint16 or int32
        Beyond its edge, pixels replicate.
    first, stop : int
        Rows to do.
    shift : int
        The weights add up to 2^4, so 4 keeps the scale, and less keeps that many bits more.
    invalid : bool
        Whether an int32 plane holds `INVALID`, which stays where it is.
    out : (Y, X) int32
    """
    half = np.int32((1 << shift) >> 1)
    _smooth_rows(plane, first, stop, half, np.int32(shift), np.empty(plane.shape[1], np.int32), out)
    if invalid:
        _keep_invalid(plane, first, stop, half, shift, out)
