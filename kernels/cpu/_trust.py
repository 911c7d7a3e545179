"""What tells a depth that is right from one that is wrong, and the probability made of it (CPU).

Duty: how rough a depth map is, how peaks stand to the depth, a small network of rectified sums; row
by row, so that what a pixel's probability goes by stays in the cache. Must not know: which methods
there are, where the weights come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import float32, int32, uint64

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._rows import copy_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = [
    "DepthClues",
    "collect_evidence",
    "compare_sides",
    "interpolate_doubled",
    "interpolate_where",
    "probability",
]

_MOST = 4.0  # planes: a pixel that is further off is as wrong as one that is so far off
_NEAR_END = 2.0  # planes
_LEAST = 1e-3  # of evidence that anything stands out: equal planes, but for rounding


class DepthClues(NamedTuple):
    """What there is to see of a depth map (h, w).

    Attributes
    ----------
    padded : (h + 2 margin, w + 2 margin) float32
        The depth in planes, with a margin of at least the largest radius.
    radii : (K,) int64
        Distances in pixels at which its roughness is measured.
    depths, heights : P arrays (h, w) float32
        Of each peak that it was chosen from the depth in planes, and 0 … 1, its height over the
        mean of the other planes (`finish_focus`).
    gains : (P,) float32
        What turns height / (1 - height) into what counts as one.
    shape : (E, h, w) float32
        Further evidence in 0 … 1.
    last : float
        Index of the last plane.
    """

    padded: Plane
    radii: NDArray[np.int64]
    depths: tuple[Plane, ...]
    heights: tuple[Plane, ...]
    gains: NDArray[np.float32]
    shape: Plane
    last: float


@jit
def _pair(before, after, bent, apart):
    """Add what the neighbours on two sides say, given how much deeper a pixel is, and they are."""
    most = float32(_MOST)
    bent += min(abs(after - before), float32(2) * most)
    return bent, apart + (min(abs(before), most) + min(abs(after), most))


@jit
def _saturated(total):
    return total / (total + float32(4))  # of 4 or 8 summands twice or once 1/8: half at 1/2


@jit
def _rough_row(above, here, below, r, bent, apart):
    """Write how rough a row of depth is; it and those `r` above and below go on by `r` each side.

    All four pairs of neighbours at once: going through memory took half the time.
    """
    near, far = uint64(r), uint64(2 * r)
    for x in range(uint64(bent.size)):
        d = here[x + near]
        b, a = _pair(d - here[x], here[x + far] - d, float32(0), float32(0))
        b, a = _pair(d - above[x + near], below[x + near] - d, b, a)
        b, a = _pair(d - above[x], below[x + far] - d, b, a)
        b, a = _pair(d - above[x + far], below[x] - d, b, a)
        bent[x] = _saturated(b)
        apart[x] = _saturated(a)


@jit
def _peak_row(depth, height, here, gain, off, sure):
    for x in range(here.size):
        away = abs(depth[x] - here[x])
        off[x] = away / (away + float32(1))
        ratio = gain * height[x]
        sure[x] = ratio / (ratio + float32(1) - height[x])


@jit
def _end_row(here, last, out):
    most = float32(_NEAR_END)
    for x in range(out.size):
        end = min(here[x], last - here[x])
        out[x] = max(min(end, most), float32(0)) / most


@jit
def _evidence_row(clues, y, margin, rows):
    width = rows.shape[1]
    here = clues.padded[y + margin, margin : margin + width]
    peaks = len(clues.depths)
    for p in range(peaks):
        depth, height = clues.depths[p][y], clues.heights[p][y]
        _peak_row(depth, height, here, clues.gains[p], rows[p], rows[peaks + p])
    at = 2 * peaks
    for k in range(clues.radii.size):
        r = clues.radii[k]
        wide = slice(margin - r, margin + width + r)
        _rough_row(
            clues.padded[y + margin - r, wide], clues.padded[y + margin, wide],
            clues.padded[y + margin + r, wide], r, rows[at], rows[at + 1],
        )  # fmt: skip
        at += 2
    _end_row(here, float32(clues.last), rows[at])
    for e in range(clues.shape.shape[0]):
        copy_row(clues.shape[e, y], rows[at + 1 + e])
    for rest in range(at + 1 + clues.shape.shape[0], rows.shape[0]):
        rows[rest][:] = float32(0)


@jit
def _sides_row(index, before, after, last, more, less):
    for x in range(more.size):
        i = int32(index[2 * x])
        # Nothing lies outside the stack.
        p = float32(before[2 * x]) * float32(1 / 65535) if i > int32(0) else float32(0)
        q = float32(after[2 * x]) * float32(1 / 65535) if i != last else float32(0)
        more[x] = max(p, q)
        less[x] = min(p, q)


@jit
def compare_sides(
    index: NDArray[np.uint16],
    before: NDArray[np.uint16],
    after: NDArray[np.uint16],
    planes: int,
    out: Plane,
) -> None:
    """Write the higher and the lower score beside a peak, of its own score, at half size.

    Parameters
    ----------
    index, before, after : (h, w) uint16
        See `zfuse.kernels.RunningPeak`.
    planes : int
        Number of planes.
    out : (2, ⌈h/2⌉, ⌈w/2⌉) float32
        Result, 0 … 1; 0 for what would lie outside the stack.
    """
    for y in range(out.shape[1]):
        _sides_row(
            index[2 * y], before[2 * y], after[2 * y], int32(planes - 1), out[0, y], out[1, y]
        )


@jit
def collect_evidence(clues: DepthClues, out: Plane) -> None:
    """Write the evidence for and against a depth map, one plane a kind.

    With d the depth of a pixel, d_v and d_{-v} those of its neighbours on opposite sides at a
    distance r along rows, columns and both diagonals (four pairs), and p, h, g a peak's depth,
    height and gain:

    ====================  ========================================================================
    kind                  evidence
    ====================  ========================================================================
    P times               a / (a + 1) with a = abs(p - d): how far the peak lies from the depth
    P times               s / (s + 1) with s = g h / (1 - h): how significant the peak is
    K times: bent,        v / (v + 1/2) with v the mean over pairs of min(abs(d_v + d_{-v} - 2 d)/2,
                          4): a slope is not bent
    apart                 v / (v + 1/2) with v the mean over neighbours of min(abs(d_v - d), 4)
    1                     min(d, last - d, 2) / 2: how far the ends of the stack are
    E times               `clues.shape`
    ====================  ========================================================================

    Parameters
    ----------
    clues : DepthClues
    out : (4 n, h, w) float32
        Result, 0 … 1; planes beyond the table's 2 P + 2 K + 1 + E are 0.
    """
    margin = (clues.padded.shape[0] - out.shape[1]) // 2
    for y in range(out.shape[1]):
        _evidence_row(clues, y, margin, out[:, y])


@jit
def _four(rows, k, weights, x):
    return (
        weights[k] * rows[k, x]
        + weights[k + 1] * rows[k + 1, x]
        + weights[k + 2] * rows[k + 2, x]
        + weights[k + 3] * rows[k + 3, x]
    )


@jit
def _add_four(rows, k, weights, total):
    for x in range(total.size):
        total[x] += _four(rows, k, weights, x)


@jit
def _add_twelve(rows, k, weights, total):
    for x in range(total.size):
        row = total[x] + _four(rows, k, weights, x)
        row += _four(rows, k + 4, weights, x)
        total[x] = row + _four(rows, k + 8, weights, x)


@jit
def _add_rectified(row, weight, total):
    for x in range(total.size):
        total[x] += weight * max(row[x], float32(0))


@jit
def _max_row(row, most):
    for x in range(most.size):
        most[x] = max(most[x], row[x])


@jit
def _link_row(score, most, out):
    for x in range(out.size):
        t = score[x]
        value = float32(0.5) + float32(0.5) * t / np.sqrt(float32(1) + t * t)
        out[x] = value if most[x] >= float32(_LEAST) else float32(0)


@jit_allocating
def probability(
    clues: DepthClues, hidden: Plane, bias: Plane, weights: Plane, last: float, out: Plane
) -> None:
    """Write the probability that a small network gives to the evidence f of each pixel.

    With the evidence f of `collect_evidence`::

        t = last + Σ_j weights_j max(bias_j + Σ_k hidden_jk f_k, 0)
        out = (1 + t / sqrt(1 + t²)) / 2

    and 0 where no peak is significant at all: all planes are equal.

    Parameters
    ----------
    clues : DepthClues
    hidden : (J, 4 n) float32
    bias, weights : (J,) float32
    last : float
    out : (h, w) float32
        Result, 0 … 1.
    """
    height, width = out.shape
    margin = (clues.padded.shape[0] - height) // 2
    peaks = len(clues.depths)
    rows = np.empty((hidden.shape[1], width), np.float32)
    row, score = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(height):
        _evidence_row(clues, y, margin, rows)
        score[:] = float32(last)
        for j in range(weights.size):
            row[:] = bias[j]
            k = 0
            while k + 12 <= hidden.shape[1]:
                _add_twelve(rows, k, hidden[j], row)
                k += 12
            while k < hidden.shape[1]:
                _add_four(rows, k, hidden[j], row)
                k += 4
            _add_rectified(row, weights[j], score)
        row[:] = float32(0)
        for p in range(peaks):
            _max_row(rows[peaks + p], row)
        _link_row(score, row, out[y])


@jit
def _double_row(a, b, out):
    half = float32(0.5)
    n = a.size
    for i in range(out.size // 2):
        out[2 * i] = half * (a[i] + b[i])
    for i in range(min(n - 1, out.size // 2)):
        out[2 * i + 1] = half * (half * (a[i] + b[i]) + half * (a[i + 1] + b[i + 1]))
    if out.size % 2:
        out[out.size - 1] = half * (a[n - 1] + b[n - 1])
    else:
        out[out.size - 1] = out[out.size - 2]


@jit
def interpolate_doubled(half: Plane, out: Plane) -> None:
    """Write a map at twice its size: out[2 i, 2 j] = half[i, j], means of neighbours between them.

    Beyond the last pixel the last one counts.

    Parameters
    ----------
    half : (⌈h/2⌉, ⌈w/2⌉) float32
    out : (h, w) float32
        Result.
    """
    for y in range(out.shape[0]):
        _double_row(half[y // 2], half[min((y + 1) // 2, half.shape[0] - 1)], out[y])


@jit
def _clear_unless(chosen, row):
    for x in range(row.size):
        row[x] = row[x] if chosen[x] > float32(0) else float32(0)


@jit
def interpolate_where(half: Plane, chosen: Plane, out: Plane) -> None:
    """Write what `interpolate_doubled` does where a map is above 0, else 0.

    Parameters
    ----------
    half : (⌈h/2⌉, ⌈w/2⌉) float32
    chosen : (h, w) float32
    out : (h, w) float32
        Result.
    """
    for y in range(out.shape[0]):
        _double_row(half[y // 2], half[min((y + 1) // 2, half.shape[0] - 1)], out[y])
        _clear_unless(chosen[y], out[y])
