"""The running focus peak: of each pixel the best plane so far, and the scores on both sides (CPU).

Duty: take one row of scores of one plane; turn the finished peak into depth and confidence. Must
not know: how scores come about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from numba import float32, int32, uint16

from zfuse.kernels.cpu._jit import jit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["RunningPeak", "finish_focus", "update_peak"]


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
        65535 s_{i-1} / s_i and 65535 s_{i+1} / s_i.
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
def update_peak(peak, z, y, x0, score, won):
    """Take the scores of plane `z` in row `y` from column `x0` on; write into `won` where it leads.

    Three loops, not one: see `_focus`. Planes come in ascending z without gaps.
    """
    x1 = x0 + score.size
    best = peak.best[y, x0:x1]
    _update_best(score, best, peak.total[y, x0:x1], won)
    _update_before(score, won, peak.previous[y, x0:x1], peak.before[y, x0:x1])
    _update_after(score, best, won, peak.after[y, x0:x1], peak.plane[y, x0:x1], z)


@jit
def finish_focus(
    peak: RunningPeak,
    planes: int,
    depth: NDArray[np.float32],
    confidence: NDArray[np.float32],
) -> None:
    """Turn the running peak into depth and confidence.

    The depth is the vertex of the parabola through the peak and its two neighbours, with scores as
    fractions p = s_{i-1} / s_i and q = s_{i+1} / s_i::

        depth = (i + (p - q) / (2(p + q - 2)),)

    at most half a plane off i. At the first and the last plane, and where the three are level
    (p + q - 2 > -1e-6), it is i. The confidence is the peak's share above the mean of all other
    planes, and 0 where the peak is::

        confidence = max(1 - (Σ_z s_z - s_i) / ((planes - 1) s_i), 0).

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
    """
    height, width = peak.best.shape
    for y in range(height):
        for x in range(width):
            i = peak.plane[y, x]
            best = peak.best[y, x]
            offset = float32(0)
            if 0 < i < planes - 1:
                # Scores as fractions of the best: best = 1.
                p = float32(peak.before[y, x]) * float32(1 / 65535)
                q = float32(peak.after[y, x]) * float32(1 / 65535)
                bend = p + q - float32(2)
                if bend < float32(-1e-6):
                    offset = float32(0.5) * (p - q) / bend
            others = (peak.total[y, x] - best) / float32(max(planes - 1, 1))
            share = float32(1) - others / best if best > float32(0) else float32(0)
            depth[y, x] = float32(i) + offset
            confidence[y, x] = max(share, float32(0)) if planes > 1 else float32(0)
