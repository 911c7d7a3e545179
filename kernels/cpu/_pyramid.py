"""Laplacian pyramid steps (CPU).

Duty: one level down, one level up. Must not know: how many levels there are, what a channel is, how
tiles lie.

The generating kernel is [1 4 6 4 1]/16 in both directions (Burt & Adelson, The Laplacian pyramid as
a compact image code, IEEE Trans. COM 31, 1983). Pixel i of the coarse level lies on pixel 2i of the
fine one; beyond the edge the pixels replicate. Every pixel is computed by the same operations in
the same order wherever it lies, so tiles whose origin is a multiple of 2^levels agree with the
whole image to the last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import float32

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._rows import binomial_5

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["add_expanded", "reduce_plane", "subtract_expanded"]


@jit
def _row_reduce(row, out):
    last = row.size - 1
    for i in range(out.size):
        x = 2 * i
        if 2 <= x <= last - 2:
            out[i] = (
                row[x - 2]
                + row[x + 2]
                + float32(4) * (row[x - 1] + row[x + 1])
                + float32(6) * row[x]
            ) * float32(1 / 16)
        else:
            out[i] = (
                row[max(x - 2, 0)] + row[min(x + 2, last)]
                + float32(4) * (row[max(x - 1, 0)] + row[min(x + 1, last)]) + float32(6) * row[x]
            ) * float32(1 / 16)  # fmt: skip


@jit_allocating
def reduce_plane(fine: Plane, coarse: Plane) -> None:
    """Smooth and keep every second pixel, Burt & Adelson's REDUCE.

    coarse[i, j] = Σ_mn w_m w_n fine[2i + m, 2j + n] with w = [1 4 6 4 1]/16 and m, n = -2 … 2.

    Parameters
    ----------
    fine : (Y, X) float32
    coarse : (⌈Y/2⌉, ⌈X/2⌉) float32
        Result.
    """
    last = fine.shape[0] - 1
    smooth = np.empty(fine.shape[1], np.float32)
    for i in range(coarse.shape[0]):
        y = 2 * i
        binomial_5(
            fine[max(y - 2, 0)], fine[max(y - 1, 0)], fine[y], fine[min(y + 1, last)],
            fine[min(y + 2, last)], smooth,
        )  # fmt: skip
        _row_reduce(smooth, coarse[i])


@jit
def _expand_column(above, row, below, even, out):
    if even:
        for x in range(out.size):
            out[x] = (above[x] + below[x] + float32(6) * row[x]) * float32(1 / 8)
    else:
        for x in range(out.size):
            out[x] = (row[x] + below[x]) * float32(0.5)


@jit
def _expand_row(coarse, out):
    last = coarse.size - 1
    n = out.size
    for i in range(1, last):
        out[2 * i] = (coarse[i - 1] + coarse[i + 1] + float32(6) * coarse[i]) * float32(1 / 8)
        out[2 * i + 1] = (coarse[i] + coarse[i + 1]) * float32(0.5)
    for i in (0, last):
        before, after = coarse[max(i - 1, 0)], coarse[min(i + 1, last)]
        out[2 * i] = (before + after + float32(6) * coarse[i]) * float32(1 / 8)
        if 2 * i + 1 < n:
            out[2 * i + 1] = (coarse[i] + after) * float32(0.5)


@jit
def _combine_row(row, expanded, sign, out):
    for x in range(out.size):
        out[x] = row[x] + sign * expanded[x]


@jit
def _combine_expanded(fine, coarse, sign, column, expanded, out):
    last = coarse.shape[0] - 1
    for y in range(fine.shape[0]):
        i = y // 2
        _expand_column(
            coarse[max(i - 1, 0)], coarse[i], coarse[min(i + 1, last)], y % 2 == 0, column
        )
        _expand_row(column, expanded)
        _combine_row(fine[y], expanded, sign, out[y])


@jit_allocating
def subtract_expanded(fine: Plane, coarse: Plane, band: Plane) -> None:
    """Write what a plane has that its coarse level lacks: band = fine - EXPAND(coarse).

    EXPAND(coarse)[y, x] = 4 Σ_mn w_m w_n coarse[(y - m)/2, (x - n)/2] over whole indices, w
    as in `reduce_plane`.

    Parameters
    ----------
    fine : (Y, X) float32
    coarse : (⌈Y/2⌉, ⌈X/2⌉) float32
    band : (Y, X) float32
        Result; may be `fine`.
    """
    column = np.empty(coarse.shape[1], np.float32)
    expanded = np.empty(fine.shape[1], np.float32)
    _combine_expanded(fine, coarse, float32(-1), column, expanded, band)


@jit_allocating
def add_expanded(band: Plane, coarse: Plane, fine: Plane) -> None:
    """Undo `subtract_expanded`: fine = band + EXPAND(coarse).

    Parameters
    ----------
    band : (Y, X) float32
    coarse : (⌈Y/2⌉, ⌈X/2⌉) float32
    fine : (Y, X) float32
        Result; may be `band`.
    """
    column = np.empty(coarse.shape[1], np.float32)
    expanded = np.empty(band.shape[1], np.float32)
    _combine_expanded(band, coarse, float32(1), column, expanded, fine)
