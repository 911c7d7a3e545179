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
from zfuse.kernels.cpu._rows import binomial_5, inside_frame

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = [
    "add_expanded",
    "expand_run",
    "reduce_plane",
    "reduce_planes",
    "reduce_signal",
    "subtract_expanded",
]


@jit
def _row_reduce(row, out):
    last = row.size - 1
    inner = last // 2  # from there on the edge is seen
    for i in range(1, inner):
        x = 2 * i
        ends, beside = row[x - 2] + row[x + 2], row[x - 1] + row[x + 1]
        out[i] = (ends + float32(4) * beside + float32(6) * row[x]) * float32(1 / 16)
    _reduce_edge(row, 0, min(1, out.size), out)
    _reduce_edge(row, max(inner, 1), out.size, out)


@jit
def _reduce_edge(row, first, stop, out):
    last = row.size - 1
    for i in range(first, stop):
        x = 2 * i
        ends = row[max(x - 2, 0)] + row[min(x + 2, last)]
        beside = row[max(x - 1, 0)] + row[min(x + 1, last)]
        out[i] = (ends + float32(4) * beside + float32(6) * row[x]) * float32(1 / 16)


@jit
def _reduce_row(fine, columns, i, frame, smooth, out):
    """Write row `i` of the coarse level of some columns."""
    height, width = fine.shape[0], smooth.size
    top, bottom, left, right = frame
    binomial_5(
        fine[inside_frame(2 * i - 2, height, top, bottom), columns],
        fine[inside_frame(2 * i - 1, height, top, bottom), columns],
        fine[inside_frame(2 * i, height, top, bottom), columns],
        fine[inside_frame(2 * i + 1, height, top, bottom), columns],
        fine[inside_frame(2 * i + 2, height, top, bottom), columns],
        smooth,
    )
    for x in range(left):
        smooth[x] = smooth[2 * left - x]
    for x in range(width - right, width):
        smooth[x] = smooth[2 * (width - 1 - right) - x]
    _row_reduce(smooth, out)


@jit
def _scale_row(row, scale, out):
    for x in range(out.size):
        out[x] = np.int32(np.rint(row[x] * scale))


@jit_allocating
def reduce_plane(fine: NDArray[Any], coarse: Plane) -> None:
    """Smooth and keep every second pixel, Burt & Adelson's REDUCE.

    coarse[i, j] = Σ_mn w_m w_n fine[2i + m, 2j + n] with w = [1 4 6 4 1]/16 and m, n = -2 … 2.

    Parameters
    ----------
    fine : (Y, X), any real dtype
    coarse : (⌈Y/2⌉, ⌈X/2⌉) float32
        Result.
    """
    smooth = np.empty(fine.shape[1], np.float32)
    for i in range(coarse.shape[0]):
        _reduce_row(fine, slice(0, fine.shape[1]), i, (0, 0, 0, 0), smooth, coarse[i])


@jit_allocating
def reduce_planes(planes: NDArray[Any], top: int, left: int, size: tuple[int, int], coarse: Plane):
    """Do what `reduce_plane` does with a part of a block of planes.

    Parameters
    ----------
    planes : (n, C, rows, columns), any real dtype, C-contiguous
    top, left : int
        Where in them the part begins, of `size` (Y, X); beyond its edge the pixels replicate.
    coarse : (n, C, ⌈Y/2⌉, ⌈X/2⌉) float32
        Result.
    """
    rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
    smooth = np.empty(size[1], np.float32)
    for p in range(planes.shape[0]):
        for c in range(planes.shape[1]):
            for i in range(coarse.shape[2]):
                _reduce_row(planes[p, c, rows], columns, i, (0, 0, 0, 0), smooth, coarse[p, c, i])


@jit_allocating
def reduce_signal(
    fine: NDArray[Any],
    frame: tuple[int, int, int, int],
    scale: float,
    coarse: Plane,
    steps: NDArray[np.int32],
) -> None:
    """Reduce a decision signal as `reduce_plane` does, and round it: steps = rint(scale coarse).

    Parameters
    ----------
    fine : (Y, X), any real dtype
    frame : (4,) int
        So many rows at top and bottom, and columns left and right, mirror what lies inside of them.
    scale : float
        Steps a unit of the signal.
    coarse : (⌈Y/2⌉, ⌈X/2⌉) float32
        Result.
    steps : (⌈Y/2⌉, ⌈X/2⌉) int32
        Result, rounded half to even.
    """
    smooth = np.empty(fine.shape[1], np.float32)
    for i in range(coarse.shape[0]):
        _reduce_row(fine, slice(0, fine.shape[1]), i, frame, smooth, coarse[i])
        _scale_row(coarse[i], np.float32(scale), steps[i])


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
def expand_run(coarse, y, first, stop, width, column, expanded):
    """Write columns first … stop - 1, `first` even, of row `y` of EXPAND(coarse).

    `width`: of the fine level. `expanded` and `column` have room for 6 pixels more; returned is
    where in `expanded` the first one lies.
    """
    i, last = y // 2, coarse.shape[0] - 1
    a, b = max(first // 2 - 1, 0), min((stop + 1) // 2 + 1, coarse.shape[1])
    column, expanded = column[: b - a], expanded[: min(2 * b, width) - 2 * a]
    _expand_column(
        coarse[max(i - 1, 0), a:b], coarse[i, a:b], coarse[min(i + 1, last), a:b], y % 2 == 0,
        column,
    )  # fmt: skip
    _expand_row(column, expanded)
    return first - 2 * a


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
