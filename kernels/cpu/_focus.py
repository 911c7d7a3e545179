"""Fold planes into the running focus peak, in one pass over the voxels (CPU).

Duty: measure, window, peak, row by row. Must not know: files, tiles, channels, methods.

How it is fast (2 cores of a Zen 5, 16 planes of 2048 x 2048 uint16, SML 9 x 9; see
docs/performance.md):

* rows are the unit, see `_sliding_window`: the cost does not depend on the window;
* all planes of a block go through a row before the next row, so the peak's row stays in L1;
* every loop touches at most five arrays: LLVM gives up on vectorising when it must prove more pairs
  of arrays apart (one loop over all nine took 0.94 ns a voxel, these four together 0.19 ns).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import float32, int64

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._measures import (
    GIVEN,
    INVALID,
    VARIANCE,
    measure_row,
    new_measure_scratch,
)
from zfuse.kernels.cpu._peak import update_peak
from zfuse.kernels.cpu._rows import take_where
from zfuse.kernels.cpu._sliding_window import (
    clear_window,
    new_sliding_window,
    push_row,
    sum_row,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.kernels.cpu._peak import RunningPeak

__all__ = ["NO_FRAME", "fold_focus", "push_measure", "to_float"]

NO_FRAME = (0, 0, 0, 0)
"""No rows or columns that mirror others, see `fold_focus`."""

BLOCK_WIDTH = 2048
"""Columns worked on at a time: the peak's row (20 bytes a pixel) stays in the L1 cache."""


@jit
def push_measure(measure, signal, p, y, left, right, frame, invalid, scratch, sums):
    """Let the windows of plane `p` gain the measure of row `y`, or zeros below the last row.

    The windows hold columns left … right - 1; those outside the plane are 0.
    """
    row = scratch.row
    plane = signal[p]
    if y < plane.shape[0]:
        x0, x1 = max(left, 0), min(right, plane.shape[1])
        out = row[x0 - left : x1 - left + 2]
        measure_row(measure, plane, y, x0, x1, frame, invalid, scratch, out)
    else:
        row[:] = 0
    push_row(sums, p, y, row)


@jit
def to_float(total, score):
    """Write score = total in float32."""
    for x in range(score.size):
        score[x] = float32(total[x])


@jit
def _to_inverse(score):
    """Turn most into least: a decreasing function whose sums and ratios stay well in float32."""
    for x in range(score.size):
        score[x] = float32(1e6) / (score[x] + float32(1))


@jit
def _to_variance(sum_of_squares, total, rows, x0, width, radius, score):
    for x in range(score.size):
        columns = min(x0 + x + radius + 1, width) - max(x0 + x - radius, 0)
        score[x] = float32(rows * columns * sum_of_squares[x] - total[x] * total[x])


@jit
def _reject_invalid(row, score):
    for x in range(score.size):
        if row[x] == INVALID:
            score[x] = float32(-1)


@jit
def _fold_rows(
    signal, invalid, pixels, top, left, z, measure, least, window, peak, image, frame, scratch,
    sums, plain_sums, all_scores, all_won,
):  # fmt: skip
    """Do the work of `fold_focus` in the scratch that it allocated."""
    n, height, width = signal.shape
    core_height, core_width = peak.best.shape
    radius = window // 2
    for x0 in range(left, left + core_width, BLOCK_WIDTH):
        x1 = min(left + core_width, x0 + BLOCK_WIDTH)
        m = x1 - x0
        score, won = all_scores[:m], all_won[:m]
        total, plain_total = sums.total[:m], plain_sums.total[:m]
        scratch.row[:] = 0
        clear_window(sums)
        clear_window(plain_sums)
        for y_in in range(max(top - radius, 0), top + core_height + radius):
            for p in range(n):
                push_measure(
                    measure, signal, p, y_in, x0 - radius, x1 + radius, frame, invalid[p], scratch,
                    sums,
                )  # fmt: skip
                if measure == VARIANCE:
                    # Of the type of `measure`: a constant would compile all of it a second time.
                    push_measure(
                        int64(GIVEN), signal, p, y_in, x0 - radius, x1 + radius, frame, invalid[p],
                        scratch, plain_sums,
                    )  # fmt: skip
            y = y_in - radius
            if y < top:
                continue
            for p in range(n):
                sum_row(sums, p, total)
                if measure == VARIANCE:
                    sum_row(plain_sums, p, plain_total)
                    rows = min(y + radius + 1, height) - max(y - radius, 0)
                    _to_variance(total, plain_total, rows, x0, width, radius, score)
                else:
                    to_float(total, score)
                if least:
                    _to_inverse(score)
                if invalid[p]:
                    _reject_invalid(signal[p, y, x0:x1], score)
                update_peak(peak, z + p, y - top, x0 - left, score, won)
                for c in range(pixels.shape[1]):
                    kept = image[c, y - top, x0 - left : x1 - left]
                    take_where(won, pixels[p, c, y, x0:x1], kept)


@jit_allocating
def fold_focus(
    signal: NDArray[Any],
    invalid: NDArray[np.bool_],
    pixels: NDArray[Any],
    top: int,
    left: int,
    z: int,
    measure: int,
    least: bool,
    window: int,
    sum_dtype: np.dtype[np.signedinteger],
    peak: RunningPeak,
    image: NDArray[Any],
    frame: tuple[int, int, int, int] = NO_FRAME,
) -> None:
    """Fold a block of planes into the running focus peak, in place.

    The score of a pixel is the sum of a focus measure m (`MEASURES`) over the square window W of
    `window` pixels round it, Σ_W m; the peak keeps its maximum over the planes (shape from focus,
    Nayar & Nakagawa, IEEE PAMI 16, 1994), or with `least` that of 10⁶ / (1 + Σ_W m).

    Parameters
    ----------
    signal : (n, Y, X) uint8, uint16 or int32, C-contiguous
        What the focus is measured on. int32 signals lie in 0 … 2^18 - 1, or are `INVALID`.
    invalid : (n,) bool
        Planes that hold `INVALID` pixels; those pixels never win over a valid one.
    pixels : (n, C, Y, X), any dtype, C-contiguous
        What is copied from the winning plane, bit for bit. C may be 0: nothing is copied.
    top, left : int
        Where the core, the (h, w) pixels of `peak`, lies in the planes; around it the planes hold
        the halo, window // 2 + 1 pixels, except at the image's own edge.
    z : int
        Index of the block's first plane; blocks come in ascending z without gaps.
    measure : int
        A value of `MEASURES`, or `GIVEN`.
    least : bool
        Look for the plane of least contrast instead of most.
    window : int
        Odd side of the square window in pixels. The window ends at the image's edge.
    sum_dtype : dtype
        int32 or int64, of the window sums; see `accumulator`.
    peak : RunningPeak, (h, w)
        Updated.
    image : (C, h, w), dtype of `pixels`
        The winner's pixels; updated.
    frame : (4,) int, at most 13
        So many rows at the planes' top and bottom, and columns left and right, mirror what lies
        inside of them when focus is measured. Such planes must not hold `INVALID`.

    Notes
    -----
    Scratch of about n · window · 2 kB times the sums' 4 or 8 bytes is allocated in each call.
    """
    n = signal.shape[0]
    padded = BLOCK_WIDTH + 2 * (window // 2)
    _fold_rows(
        signal, invalid, pixels, top, left, z, measure, least, window, peak, image,
        frame, new_measure_scratch(padded, signal.dtype, sum_dtype),
        new_sliding_window(n, window, BLOCK_WIDTH, sum_dtype),
        new_sliding_window(n if measure == VARIANCE else 0, window, BLOCK_WIDTH, sum_dtype),
        np.empty(BLOCK_WIDTH, np.float32), np.empty(BLOCK_WIDTH, np.bool_),
    )  # fmt: skip
