"""Focus measures and the running focus peak, in one pass over the voxels (CPU).

Duty: plain arrays in, plain arrays out. Must not know: files, tiles, channels, methods.

How it is fast (2 cores of a Zen 5, 16 planes of 2048 x 2048 uint16, SML 9 x 9; see
docs/performance.md):

* rows are the unit: a row of the measure goes into a ring of `window` rows, a running column sum
  gains the new row and loses the oldest, and four running sums side by side close the window along
  x: the cost does not depend on the window;
* all sums are integers (int32 or int64), so a running sum has no drift and tiles agree to the last
  bit;
* all planes of a block go through a row before the next row, so the peak's row stays in L1;
* every loop touches at most five arrays: LLVM gives up on vectorising when it must prove more pairs
  of arrays apart (one loop over all nine took 0.94 ns a voxel, these four together 0.19 ns).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import float32, int32, int64, uint16

from zfuse.kernels.cpu._jit import jit, jit_allocating

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "BLOCK_WIDTH",
    "GIVEN",
    "INVALID",
    "MEASURES",
    "accumulator",
    "finish_focus",
    "fold_focus",
]

MEASURES = {
    "sml": 0,
    "laplacian-energy": 1,
    "tenengrad": 2,
    "brenner": 3,
    "variance": 4,
    "spatial-frequency": 5,
}
"""Focus measures by name; the numbers are what the kernels take.

With c the pixel, l r u d its neighbours (replicated at the edge), summed over the window:

=================  ====================================  ==============================
sml                abs(2c - l - r) + abs(2c - u - d)     Nayar & Nakagawa 1994
laplacian-energy   (4c - l - r - u - d)²                 Subbarao, Choi & Nikzad 1993
tenengrad          Sobel_x² + Sobel_y²                   Tenenbaum 1970, Krotkov 1988
brenner            (r - l)² + (d - u)²                   Brenner et al. 1976, both axes
variance           n Σc² - (Σc)², n pixels in the window  Groen, Young & Ligthart 1985
spatial-frequency  (c - l)² + (c - u)²                   Eskicioglu & Fisher 1995
=================  ====================================  ==============================
"""

GIVEN = -1
"""In the place of a measure: the signal is one already, and only its window is summed."""

INVALID = np.int32(-(2**31))
"""Value that marks a NaN or infinite pixel in an int32 signal."""

BLOCK_WIDTH = 2048
"""Columns worked on at a time: the peak's row (20 bytes a pixel) stays in the L1 cache."""

_SML, _LAPLACIAN_ENERGY, _TENENGRAD, _BRENNER, _VARIANCE = 0, 1, 2, 3, 4


def accumulator(measure: str) -> np.dtype[np.signedinteger]:
    """Return the integer dtype that holds the window sum of a measure.

    SML of 18-bit signals stays below 2^20 a pixel, so int32 holds windows up to 45 x 45; squares of
    16-bit differences need int64.
    """
    return np.dtype(np.int32) if measure == "sml" else np.dtype(np.int64)


@jit
def _sml_row(up, row, down, out):
    for x in range(1, row.size - 1):
        c = int32(int32(2) * int32(row[x]))
        a = int32(c - int32(int32(row[x - 1]) + int32(row[x + 1])))
        b = int32(c - int32(int32(up[x]) + int32(down[x])))
        a = max(a, int32(-a))
        b = max(b, int32(-b))
        out[x] = int32(a + b)


@jit
def _laplacian_energy_row(up, row, down, out):
    for x in range(1, row.size - 1):
        a = int32(int32(row[x - 1]) + int32(row[x + 1]))
        b = int32(int32(up[x]) + int32(down[x]))
        g = int64(int32(int32(int32(4) * int32(row[x])) - int32(a + b)))
        out[x] = g * g


@jit
def _tenengrad_row(up, row, down, smooth, slope, out):
    for x in range(row.size):
        u, d = int32(up[x]), int32(down[x])
        smooth[x] = int32(int32(u + d) + int32(int32(2) * int32(row[x])))
        slope[x] = int32(d - u)
    for x in range(1, row.size - 1):
        gx = int64(int32(smooth[x + 1] - smooth[x - 1]))
        gy = int64(int32(int32(slope[x - 1] + slope[x + 1]) + int32(int32(2) * slope[x])))
        out[x] = gx * gx + gy * gy


@jit
def _brenner_row(up, row, down, out):
    for x in range(1, row.size - 1):
        a = int64(int32(int32(row[x + 1]) - int32(row[x - 1])))
        b = int64(int32(int32(down[x]) - int32(up[x])))
        out[x] = a * a + b * b


@jit
def _square_row(row, out):
    for x in range(1, row.size - 1):
        g = int64(row[x])
        out[x] = g * g


@jit
def _spatial_frequency_row(up, row, out):
    for x in range(1, row.size - 1):
        a = int64(int32(int32(row[x]) - int32(row[x - 1])))
        b = int64(int32(int32(row[x]) - int32(up[x])))
        out[x] = a * a + b * b


@jit
def _copy_row(row, out):
    for x in range(1, row.size - 1):
        out[x] = row[x]


@jit
def _stencil_row(measure, up, row, down, parts, out):
    """Measure at row[1:-1] into out[1:-1]."""
    if measure == _SML:
        _sml_row(up, row, down, out)
    elif measure == _LAPLACIAN_ENERGY:
        _laplacian_energy_row(up, row, down, out)
    elif measure == _TENENGRAD:
        _tenengrad_row(up, row, down, parts[0, : row.size], parts[1, : row.size], out)
    elif measure == _BRENNER:
        _brenner_row(up, row, down, out)
    elif measure == _VARIANCE:
        _square_row(row, out)
    elif measure == GIVEN:
        _copy_row(row, out)
    else:
        _spatial_frequency_row(up, row, out)


@jit
def _measure_row(measure, plane, y, x0, x1, edge, parts, out):
    """Measure of row `y`, columns x0 … x1 - 1, into out[1:-1]; out has x1 - x0 + 2 values."""
    width = plane.shape[1]
    row, up, down = plane[y], plane[max(y - 1, 0)], plane[min(y + 1, plane.shape[0] - 1)]
    a, b = max(x0 - 1, 0), min(x1 + 1, width)
    _stencil_row(measure, up[a:b], row[a:b], down[a:b], parts, out[a - x0 + 1 : b - x0 + 1])
    for x in (0, width - 1):  # the image's own edge: neighbours beyond it replicate
        if x0 <= x < x1:
            for i in range(3):
                xx = min(max(x - 1 + i, 0), width - 1)
                edge[0, i], edge[1, i], edge[2, i] = up[xx], row[xx], down[xx]
            _stencil_row(measure, edge[0], edge[1], edge[2], parts, out[x - x0 : x - x0 + 3])


@jit
def _clear_invalid(plane, y, x0, x1, out):
    """Zero the measure wherever its 3 x 3 stencil touches a pixel that is not finite."""
    height, width = plane.shape
    for x in range(x0, x1):
        for yy in range(max(y - 1, 0), min(y + 2, height)):
            for xx in range(max(x - 1, 0), min(x + 2, width)):
                if plane[yy, xx] == INVALID:
                    out[x - x0 + 1] = 0


@jit
def _reject_invalid(row, score):
    for x in range(score.size):
        if row[x] == INVALID:
            score[x] = float32(-1)


@jit
def _slide(column_sum, new, oldest):
    for x in range(column_sum.size):
        value = new[x]
        column_sum[x] += value - oldest[x]
        oldest[x] = value


@jit
def _window_row(column_sum, window, step, total):
    """Sum of `window` neighbours: total[x] = column_sum[x] + … + column_sum[x + window - 1].

    A running sum whose differences are taken first, in a loop of their own that vectorises, and
    that is cut into four: 0.20 ns a pixel for any window, against 0.50 for the plain running sum.
    """
    n = total.size
    entering = column_sum[window:]
    for x in range(n - 1):
        step[x] = entering[x] - column_sum[x]
    quarter = n // 4
    s = _sum_of(column_sum[:window])
    if quarter == 0:
        total[0] = s
        for x in range(n - 1):
            s += step[x]
            total[x + 1] = s
        return
    # Four running sums side by side: one alone waits a cycle for each addition.
    s_1 = _sum_of(column_sum[quarter : quarter + window])
    s_2 = _sum_of(column_sum[2 * quarter : 2 * quarter + window])
    s_3 = _sum_of(column_sum[3 * quarter : 3 * quarter + window])
    total_1, step_1 = total[quarter:], step[quarter:]
    total_2, step_2 = total[2 * quarter :], step[2 * quarter :]
    total_3, step_3 = total[3 * quarter :], step[3 * quarter :]
    for x in range(quarter):
        total[x] = s
        s += step[x]
        total_1[x] = s_1
        s_1 += step_1[x]
        total_2[x] = s_2
        s_2 += step_2[x]
        total_3[x] = s_3
        s_3 += step_3[x]
    for x in range(4 * quarter, n):
        total[x] = s_3
        s_3 += step[x]


@jit
def _sum_of(values):
    s = values[0]
    for x in range(1, values.size):
        s += values[x]
    return s


@jit
def _to_float(total, score):
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
def _update_best(score, best, total, won):
    for x in range(score.size):
        s = score[x]
        b = best[x]
        won[x] = s > b
        best[x] = s if s > b else b
        total[x] += max(s, float32(0))


@jit
def _update_before(score, won, previous, before):
    for x in range(score.size):
        s = max(score[x], float32(0))
        ratio = previous[x] * (float32(65535) / s) if s > float32(0) else float32(0)
        kept = before[x]
        before[x] = uint16(int32(ratio)) if won[x] else kept
        previous[x] = s


@jit
def _update_after(score, best, won, after, index, z):
    for x in range(score.size):
        s = max(score[x], float32(0))
        b = best[x]
        ratio = s * (float32(65535) / b) if b > float32(0) else float32(0)
        kept = after[x]
        i = index[x]
        follows = int32(i) == int32(z - 1)
        value = uint16(int32(ratio)) if follows else kept
        after[x] = uint16(0) if won[x] else value
        index[x] = uint16(z) if won[x] else i


@jit
def _update_pixels(won, row, image):
    for x in range(won.size):
        new = row[x]
        kept = image[x]
        image[x] = new if won[x] else kept


@jit
def _fold_rows(
    signal, pixels, top, left, z, measure, least, window, invalid, best, previous, total, before,
    after, index, image, ring, column_sum, ring_2, column_sum_2, row, step, sums, sums_2, edge,
    parts, score, won,
):  # fmt: skip
    """Do the work of `fold_focus` in the scratch arrays that it allocated."""
    n, height, width = signal.shape
    core_height, core_width = best.shape
    radius = window // 2
    two = measure == _VARIANCE
    for x0 in range(left, left + core_width, BLOCK_WIDTH):
        x1 = min(left + core_width, x0 + BLOCK_WIDTH)
        m = x1 - x0
        at, to = x0 - left, x1 - left
        xa, xb = max(0, x0 - radius), min(width, x1 + radius)
        k = xa - (x0 - radius)
        ring[:] = 0
        column_sum[:] = 0
        ring_2[:] = 0
        column_sum_2[:] = 0
        row[:] = 0
        inside = row[k : k + xb - xa + 2]
        s, w = score[:m], won[:m]
        sum_1, sum_2 = sums[:m], sums_2[:m]
        for y_in in range(max(top - radius, 0), top + core_height + radius):
            y = y_in - radius
            slot = y_in % window
            for p in range(n):
                plane = signal[p]
                if y_in < height:
                    _measure_row(measure, plane, y_in, xa, xb, edge, parts, inside)
                    row[k] = 0
                    row[k + xb - xa + 1] = 0
                    if invalid[p]:
                        _clear_invalid(plane, y_in, xa, xb, inside)
                else:
                    row[:] = 0
                _slide(column_sum[p], row[1:-1], ring[p, slot])
                if two:
                    if y_in < height:
                        _measure_row(GIVEN, plane, y_in, xa, xb, edge, parts, inside)
                        row[k] = 0
                        row[k + xb - xa + 1] = 0
                        if invalid[p]:
                            _clear_invalid(plane, y_in, xa, xb, inside)
                    _slide(column_sum_2[p], row[1:-1], ring_2[p, slot])
            if y < top:
                continue
            i = y - top
            best_row, previous_row, total_row = best[i, at:to], previous[i, at:to], total[i, at:to]
            before_row, after_row, index_row = before[i, at:to], after[i, at:to], index[i, at:to]
            for p in range(n):
                _window_row(column_sum[p], window, step, sum_1)
                if two:
                    _window_row(column_sum_2[p], window, step, sum_2)
                    rows = min(y + radius + 1, height) - max(y - radius, 0)
                    _to_variance(sum_1, sum_2, rows, x0, width, radius, s)
                else:
                    _to_float(sum_1, s)
                if least:
                    _to_inverse(s)
                if invalid[p]:
                    _reject_invalid(signal[p, y, x0:x1], s)
                _update_best(s, best_row, total_row, w)
                _update_before(s, w, previous_row, before_row)
                _update_after(s, best_row, w, after_row, index_row, z + p)
                for c in range(pixels.shape[1]):
                    _update_pixels(w, pixels[p, c, y, x0:x1], image[c, i, at:to])


@jit_allocating
def fold_focus(
    signal: NDArray[Any],
    pixels: NDArray[Any],
    top: int,
    left: int,
    z: int,
    measure: int,
    least: bool,
    window: int,
    accumulate: NDArray[np.signedinteger],
    invalid: NDArray[np.bool_],
    best: NDArray[np.float32],
    previous: NDArray[np.float32],
    total: NDArray[np.float32],
    before: NDArray[np.uint16],
    after: NDArray[np.uint16],
    index: NDArray[np.uint16],
    image: NDArray[Any],
) -> None:
    """Fold a block of planes into the running focus peak, in place.

    Parameters
    ----------
    signal : (n, Y, X) uint8, uint16 or int32, C-contiguous
        What the focus is measured on. int32 signals lie in 0 … 2^18 - 1, or are `INVALID`.
    pixels : (n, C, Y, X), any dtype, C-contiguous
        What is copied from the winning plane, bit for bit. C may be 0: nothing is copied.
    top, left : int
        Where the core (the (h, w) arrays below) lies in the planes; around it the planes hold the
        halo, window // 2 + 1 pixels, except at the image's own edge.
    z : int
        Index of the block's first plane; blocks come in ascending z without gaps.
    measure : int
        A value of `MEASURES`, or `GIVEN`.
    least : bool
        Look for the plane of least contrast instead of most.
    window : int
        Odd side of the square window in pixels. The window ends at the image's edge.
    accumulate : (0,) int32 or int64
        Carries the dtype of the window sums, see `accumulator`.
    invalid : (n,) bool
        Planes that hold `INVALID` pixels; those pixels never win over a finite one.
    best, previous, total : (h, w) float32
        Score of the winner, of the last plane, and the sum over planes. `best` starts at -2.
    before, after : (h, w) uint16
        Score one plane before and after the winner, as a fraction of it times 65535.
    index : (h, w) uint16
        The winner. Of equal scores the first wins.
    image : (C, h, w), dtype of `pixels`
        The winner's pixels.

    Notes
    -----
    Scratch of about n · window · 2 kB is allocated in each call.
    """
    n = signal.shape[0]
    padded = BLOCK_WIDTH + 2 * (window // 2)
    n_2 = n if measure == _VARIANCE else 0
    ring = np.empty((n, window, padded), accumulate.dtype)
    column_sum = np.empty((n, padded), accumulate.dtype)
    ring_2 = np.empty((n_2, window, padded), accumulate.dtype)
    column_sum_2 = np.empty((n_2, padded), accumulate.dtype)
    row = np.empty(padded + 2, accumulate.dtype)
    step = np.empty(BLOCK_WIDTH, accumulate.dtype)
    sums, sums_2 = np.empty_like(step), np.empty_like(step)
    edge = np.empty((3, 3), signal.dtype)
    parts = np.empty((2, padded + 2), np.int32)
    score = np.empty(BLOCK_WIDTH, np.float32)
    won = np.empty(BLOCK_WIDTH, np.bool_)
    _fold_rows(
        signal, pixels, top, left, z, measure, least, window, invalid, best, previous, total,
        before, after, index, image, ring, column_sum, ring_2, column_sum_2, row, step, sums,
        sums_2, edge, parts, score, won,
    )  # fmt: skip


@jit
def finish_focus(
    best: NDArray[np.float32],
    total: NDArray[np.float32],
    before: NDArray[np.uint16],
    after: NDArray[np.uint16],
    index: NDArray[np.uint16],
    planes: int,
    depth: NDArray[np.float32],
    confidence: NDArray[np.float32],
) -> None:
    """Turn the running peak into depth (planes) and confidence (0..1), both (h, w) float32.

    `depth` and `confidence` may be `best` and `total` themselves.

    Depth is the vertex of a parabola through the peak and its two neighbours, at most half a plane
    off; at the first and last plane there is nothing to fit. Confidence is the peak's share above
    the mean of all other planes: 1 - mean/peak.
    """
    height, width = best.shape
    for y in range(height):
        for x in range(width):
            i = index[y, x]
            peak = best[y, x]
            offset = float32(0)
            if 0 < i < planes - 1:
                # Scores as fractions of the peak: peak = 1.
                p = float32(before[y, x]) * float32(1 / 65535)
                q = float32(after[y, x]) * float32(1 / 65535)
                bend = p + q - float32(2)
                if bend < float32(-1e-6):
                    offset = float32(0.5) * (p - q) / bend
            others = (total[y, x] - peak) / float32(max(planes - 1, 1))
            share = float32(1) - others / peak if peak > float32(0) else float32(0)
            depth[y, x] = float32(i) + offset
            confidence[y, x] = max(share, float32(0)) if planes > 1 else float32(0)
