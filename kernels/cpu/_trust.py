"""What tells a depth that is right from one that is wrong, and the probability made of it (CPU).

Duty: how rough a depth map is, how a scale's peak stands to the depth, a small network of
rectified sums. Must not know: which methods there are, where the weights come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import float32

from zfuse.kernels.cpu._jit import jit, jit_allocating

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["peak_evidence", "probability", "roughness"]

_MOST = 4.0  # planes: a pixel that is further off is as wrong as one that is so far off


@jit
def _pair_row(a, here, b, bent, apart):
    most = float32(_MOST)
    for x in range(here.size):
        before = here[x] - a[x]
        after = b[x] - here[x]
        bent[x] += min(abs(after - before), float32(2) * most)
        apart[x] += min(abs(before), most) + min(abs(after), most)


@jit
def _saturate_row(row, scale, half):
    for x in range(row.size):
        value = row[x] * scale
        row[x] = value / (value + half)


@jit
def roughness(padded: Plane, margin: int, radii: NDArray[np.int64], out: Plane) -> None:
    """Write how far each pixel's depth is from what its neighbours say, at several distances.

    With d the depth of a pixel, d_v and d_{-v} those of the neighbours on opposite sides at a
    distance r along rows, columns and both diagonals (four pairs)::

        bent  = mean over pairs of min(abs(d_v + d_{-v} - 2 d) / 2, 4)
        apart = mean over neighbours of min(abs(d_v - d), 4)

    and written is value / (value + 1/2). A slope is not bent.

    Parameters
    ----------
    padded : (h + 2 margin, w + 2 margin) float32
        Depth in planes, with a margin of at least the largest radius.
    margin : int
        In pixels.
    radii : (K,) int64
        The distances r in pixels.
    out : (2 K, h, w) float32
        Result: bent and apart of the first radius, then of the next; 0 … 8/9.
    """
    height, width = out.shape[1:]
    for k in range(radii.size):
        r = radii[k]
        for y in range(height):
            bent, apart = out[2 * k, y], out[2 * k + 1, y]
            bent[:] = float32(0)
            apart[:] = float32(0)
            here = padded[y + margin, margin : margin + width]
            for pair in range(4):
                dy = 0 if pair == 0 else r
                dx = (r, 0, r, -r)[pair]
                a = padded[y + margin - dy, margin - dx : margin - dx + width]
                b = padded[y + margin + dy, margin + dx : margin + dx + width]
                _pair_row(a, here, b, bent, apart)
            _saturate_row(bent, float32(1 / 8), float32(0.5))
            _saturate_row(apart, float32(1 / 8), float32(0.5))


@jit
def _evidence_row(depth, stands_out, final, gain, off, sure):
    for x in range(final.size):
        away = abs(depth[x] - final[x])
        off[x] = away / (away + float32(1))
        ratio = gain * stands_out[x]
        sure[x] = ratio / (ratio + float32(1) - stands_out[x])


@jit
def peak_evidence(
    depth: Plane, stands_out: Plane, final: Plane, gain: float, off: Plane, sure: Plane
) -> None:
    """Write how far one scale's peak lies from the depth that was settled on, and how sure it is.

    off = a / (a + 1) with a = abs(depth - final), and sure = s / (s + 1) with the significance
    s = gain · stands_out / (1 - stands_out).

    Parameters
    ----------
    depth, stands_out : (h, w) float32
        What `finish_focus` makes of the scale's peak: planes, and 0 … 1.
    final : (h, w) float32
        In planes.
    gain : float32
        What turns the peak's height over the other planes into what counts as one.
    off, sure : (h, w) float32
        Results, 0 … 1.
    """
    for y in range(final.shape[0]):
        _evidence_row(depth[y], stands_out[y], final[y], float32(gain), off[y], sure[y])


@jit
def _add_four(a, b, c, d, weights, total):
    p, q, r, s = weights[0], weights[1], weights[2], weights[3]
    for x in range(total.size):
        total[x] += p * a[x] + q * b[x] + r * c[x] + s * d[x]


@jit
def _add_rectified(row, weight, total):
    for x in range(total.size):
        total[x] += weight * max(row[x], float32(0))


@jit
def _link_row(score, out):
    for x in range(out.size):
        t = score[x]
        out[x] = float32(0.5) + float32(0.5) * t / np.sqrt(float32(1) + t * t)


@jit_allocating
def probability(
    evidence: Plane, hidden: Plane, bias: Plane, weights: Plane, last: float, out: Plane
) -> None:
    """Write the probability that a small network gives to the evidence of each pixel.

    With f the evidence of a pixel::

        t = last + Σ_j weights_j max(bias_j + Σ_k hidden_jk f_k, 0)
        out = (1 + t / sqrt(1 + t²)) / 2

    Parameters
    ----------
    evidence : (4 K, h, w) float32
        Finite.
    hidden : (J, 4 K) float32
    bias, weights : (J,) float32
    last : float32
    out : (h, w) float32
        Result, 0 … 1.
    """
    height, width = out.shape
    row, score = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(height):
        score[:] = float32(last)
        for j in range(weights.size):
            row[:] = bias[j]
            for k in range(0, evidence.shape[0], 4):
                _add_four(
                    evidence[k, y], evidence[k + 1, y], evidence[k + 2, y], evidence[k + 3, y],
                    hidden[j, k : k + 4], row,
                )  # fmt: skip
            _add_rectified(row, weights[j], score)
        _link_row(score, out[y])
