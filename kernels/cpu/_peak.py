"""The running focus peak: of each pixel the best plane so far, and the scores on both sides (CPU).

Duty: take one row of scores of one plane; turn the finished peak into depth and confidence. Must
not know: how scores come about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import float32, int32, uint16

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._rows import copy_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RunningPeak", "finish_focus", "fit_ends", "update_peak"]

_LEAST_LEFT = 0.9  # of a score: no more than this is taken for the floor


class RunningPeak(NamedTuple):
    """What is kept of the planes seen so far; all (h, w), all start at 0 but `best`.

    With s_z the score of plane z, and i the plane of the highest score:

    Attributes
    ----------
    best : float32
        s_i. Starts at -2, below any score.
    previous : float32
        Score of the last plane.
    total : float32
        Σ_z s_z.
    before, after : uint16
        65535 s_{i-1} / s_i and 65535 s_{i+1} / s_i. Of the first and the last plane so far, where
        one of the two does not exist, it is the second plane's on the other side instead, or 0
        unless the first one's score leads that of all planes but the peak.
    plane : uint16
        i. Of equal scores the first wins.
    """

    best: NDArray[np.float32]
    previous: NDArray[np.float32]
    total: NDArray[np.float32]
    before: NDArray[np.uint16]
    after: NDArray[np.uint16]
    plane: NDArray[np.uint16]


@jit
def _update_best(score, best, total, won):
    for x in range(score.size):
        s = score[x]
        b = best[x]
        won[x] = s > b
        best[x] = s if s > b else b
        total[x] += max(s, float32(0))


@jit
def _update_before(score, won, previous, before, after):
    for x in range(score.size):
        s = max(score[x], float32(0))
        ratio = previous[x] * (float32(65535) / s) if s > float32(0) else float32(0)
        kept, follower = before[x], after[x]
        # Should no plane follow: what came before the last one, if that was the peak.
        second = ratio * (float32(kept) * float32(1 / 65535))
        before[x] = uint16(int32(ratio)) if won[x] else kept
        after[x] = uint16(int32(second)) if won[x] else follower
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
        unchanged = follows if won[x] else not follows
        value = uint16(0) if won[x] else uint16(int32(ratio))
        after[x] = kept if unchanged else value
        index[x] = uint16(z) if won[x] else i


@jit
def _update_second(score, best, after, index, before, z):
    """Keep the third plane's score where the first one leads, until a plane beats the second."""
    third = z == 2
    for x in range(score.size):
        s = max(score[x], float32(0))
        b = best[x]
        ratio = uint16(int32(s * (float32(65535) / b))) if b > float32(0) else uint16(0)
        kept = ratio if third else before[x]
        value = uint16(0) if ratio >= after[x] else kept
        before[x] = value if index[x] == uint16(0) else before[x]


@jit
def update_peak(peak, z, y, x0, score, won):
    """Take the scores of plane `z` in row `y` from column `x0` on; write into `won` where it leads.

    Three loops, not one: see `_focus`. Planes come in ascending z without gaps.
    """
    x1 = x0 + score.size
    best, before, after = peak.best[y, x0:x1], peak.before[y, x0:x1], peak.after[y, x0:x1]
    index = peak.plane[y, x0:x1]
    _update_best(score, best, peak.total[y, x0:x1], won)
    _update_before(score, won, peak.previous[y, x0:x1], before, after)
    _update_after(score, best, won, after, index, z)
    if z >= 2:
        _update_second(score, best, after, index, before, z)


@jit
def _stand_out_row(best, planes, least, share):
    """Turn the total into the peak's share above the mean of all other planes; see below."""
    count = float32(max(planes - 1, 1))
    several = planes > 1
    for x in range(share.size):
        b = best[x]
        others = max((share[x] - b) / count, least)
        above = float32(1) - others / b if b > float32(0) else float32(0)
        share[x] = max(above, float32(0)) if several else float32(0)


@jit
def _depth_row(plane, before, after, planes, depth):
    """Write the vertex of the parabola; see below."""
    last = int32(planes - 1)
    for x in range(depth.size):
        i = int32(plane[x])
        # Scores as fractions of the best: best = 1.
        p = float32(before[x]) * float32(1 / 65535)
        q = float32(after[x]) * float32(1 / 65535)
        bend = p + q - float32(2)
        bent = (bend < float32(-1e-6)) & (i > int32(0)) & (i < last)
        offset = float32(0.5) * (p - q) / (bend if bent else float32(-1))
        depth[x] = float32(i) + (offset if bent else float32(0))


@jit
def finish_focus(
    peak: RunningPeak,
    planes: int,
    depth: NDArray[np.float32],
    confidence: NDArray[np.float32],
    least: float = 0.0,
) -> None:
    """Turn the running peak into depth and confidence.

    The depth is the vertex of the parabola through the peak and its two neighbours, with scores as
    fractions p = s_{i-1} / s_i and q = s_{i+1} / s_i::

        depth = (i + (p - q) / (2(p + q - 2)),)

    at most half a plane off i. At the first and the last plane (see `fit_ends`), and where the
    three are level (p + q - 2 > -1e-6), it is i. The confidence is the peak's share above the mean
    of all other planes, and 0 where the peak is::

        confidence = max(1 - max((Σ_z s_z - s_i) / (planes - 1), least) / s_i, 0).

    Parameters
    ----------
    peak : RunningPeak
        After the last plane.
    planes : int
        Number of planes.
    depth : (h, w) float32
        Result, in planes. May be `peak.best`.
    confidence : (h, w) float32
        Result, 0 … 1; 0 throughout when there is one plane. May be `peak.total`.
    least : float
        A score that noise alone reaches.
    """
    for y in range(peak.best.shape[0]):
        copy_row(peak.total[y], confidence[y])
        _stand_out_row(peak.best[y], planes, float32(least), confidence[y])
        _depth_row(peak.plane[y], peak.before[y], peak.after[y], planes, depth[y])


@jit
def _end_offset(q, r, floor):
    """Return how far a peak lies inside the first or last plane, see `fit_ends`."""
    floor = min(max(floor, float32(0)), r * float32(_LEAST_LEFT))
    a = np.log((q - floor) / (float32(1) - floor))
    b = np.log((r - floor) / (float32(1) - floor))
    if a > float32(-1e-6):
        return float32(0.5)
    rho = b / a
    if rho <= float32(4):
        return float32(0)
    return min((rho - float32(4)) / (float32(2) * rho - float32(4)), float32(0.5))


@jit
def _count_ends(index, last):
    count = 0
    for x in range(index.size):
        count += int32((index[x] == uint16(0)) | (index[x] == uint16(last)))
    return count


@jit
def _find_ends(index, last, ends):
    """Write where the peak is the first or the last plane, and return how often."""
    if _count_ends(index, last) == 0:  # in most rows of most stacks, and this loop vectorises
        return 0
    count = 0
    for x in range(index.size):
        ends[count] = x
        count += int32((index[x] == uint16(0)) | (index[x] == uint16(last)))
    return count


@jit_allocating
def fit_ends(
    index: NDArray[np.uint16],
    before: NDArray[np.uint16],
    after: NDArray[np.uint16],
    stands_out: NDArray[np.float32],
    planes: int,
    depth: NDArray[np.float32],
) -> None:
    """Put the depth of peaks at the first and the last plane between planes, in place.

    It is the vertex of the Gaussian through the end's score and those of the next two planes, q and
    r of it, above the mean f of all others, and within 0 … 1/2 from the end::

        ρ = log((r - f) / (1 - f)) / log((q - f) / (1 - f))
        offset = (ρ - 4) / (2ρ - 4),

    1/2 where q = 1, and 0 where ρ ≤ 4, the next plane does not lead all that follow, or there are
    but two planes. f is held below 0.9 r.

    Parameters
    ----------
    index, before, after : (h, w) uint16
        See `RunningPeak`.
    stands_out : (h, w) float32
        The confidence of `finish_focus`.
    planes : int
        Number of planes.
    depth : (h, w) float32
        In planes; changed where `index` is the first or the last plane.
    """
    if planes < 3:
        return
    ends = np.empty(depth.shape[1], np.int32)
    for y in range(depth.shape[0]):
        count = _find_ends(index[y], planes - 1, ends)
        for n in range(count):
            x = ends[n]
            i = int32(index[y, x])
            near, far = (after[y, x], before[y, x]) if i == 0 else (before[y, x], after[y, x])
            if far == 0:
                continue
            q, r = float32(near) * float32(1 / 65535), float32(far) * float32(1 / 65535)
            others = (float32(1) - stands_out[y, x]) * float32(planes - 1) - q - r
            offset = _end_offset(q, r, others / float32(planes - 3) if planes > 3 else float32(0))
            depth[y, x] = float32(i) + (offset if i == 0 else -offset)
