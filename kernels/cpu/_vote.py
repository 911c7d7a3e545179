"""Depth with its neighbours: each pixel takes what most of what is known nearby says (CPU).

Duty: choose among scales; weigh the depths round a pixel by how surely they are known and how far
away they are, choose among candidates, and average what agrees. Must not know: how depths were
found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import float32

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._rows import copy_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["ScaleVariance", "choose_scale", "vote_depth"]

_RUN = 64
"""Columns that are passed over together where a voter says nothing."""


class ScaleVariance(NamedTuple):
    """How the variance of a depth, in planes², follows from its significance s; `choose_scale`.

    Attributes
    ----------
    sure : float
        Significance from which a peak is believed.
    window : (K,) float32
        Of each scale: what its window alone spreads.
    noise, chance : float
        The rest: (noise² + chance / s²) / s².
    unknown, silent : float
        Least significance that is reckoned with, of what was chosen and of a faint voter.
    """

    sure: float
    window: NDArray[np.float32]
    noise: float
    chance: float
    unknown: float
    silent: float


@jit
def _take_row(depth, significance, sure, chosen, known, trust):
    for x in range(chosen.size):
        s = significance[x]
        better = s > sure
        chosen[x] = depth[x] if better else chosen[x]
        known[x] = s if better else known[x]
        trust[x] = max(s, trust[x]) if better else trust[x]


@jit
def _window_row(significance, sure, own, window):
    for x in range(window.size):
        window[x] = own if significance[x] > sure else window[x]


@jit
def _scale_row(share, row):
    for x in range(row.size):
        row[x] *= share[x]


@jit
def _variance_row(significance, window, least, noise, chance, out):
    for x in range(out.size):
        s = max(significance[x], least)
        square = s * s
        out[x] = window[x] + (noise + chance / square) / square


@jit
def _silence_row(significance, sure, out):
    for x in range(out.size):
        out[x] = float32(np.inf) if significance[x] > sure else out[x]


@jit_allocating
def choose_scale(
    depths: tuple[Plane, ...], significance: tuple[Plane, ...], known: Plane, rule: ScaleVariance,
    voters: Plane, variances: Plane, candidates: Plane, trust: Plane,
) -> None:  # fmt: skip
    """Let the finest scale that is sure speak for a pixel, and write who votes on it.

    Parameters
    ----------
    depths, significance : K arrays (Y, X) float32
        Of each scale, from fine to wide, in planes and in standard deviations of noise.
    known : (Y, X) float32, or (0, 0) where all is known
        How much of the chosen depth's significance counts, 0 … 1.
    rule : ScaleVariance
    voters, variances : (V, Y, X) float32
        Result, see `vote_depth`: first the depth that was chosen, that of the widest scale where
        none is sure; then the finest scales, which say nothing where they, or finer ones, are sure.
    candidates : (3, Y, X) float32
        Result: the chosen depth, those of the second and of the widest scale.
    trust : (Y, X) float32
        Result: the largest significance of the widest scale and of those that are sure.
    """
    height, width = trust.shape
    widest = len(depths) - 1
    sure, noise = np.float32(rule.sure), np.float32(rule.noise * rule.noise)
    chance = np.float32(rule.chance)
    most, window = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(height):
        chosen = voters[0, y]
        # Row by row: numba takes seconds to compile an assignment that might broadcast.
        copy_row(depths[widest][y], chosen)
        copy_row(significance[widest][y], most)
        copy_row(most, trust[y])
        window[:] = rule.window[widest]
        for k in range(widest - 1, -1, -1):
            _take_row(depths[k][y], significance[k][y], sure, chosen, most, trust[y])
            _window_row(significance[k][y], sure, rule.window[k], window)
        if known.shape[0] > 0:
            _scale_row(known[y], most)
        _variance_row(most, window, np.float32(rule.unknown), noise, chance, variances[0, y])
        for v in range(1, voters.shape[0]):
            window[:] = rule.window[v - 1]
            row = significance[v - 1][y]
            _variance_row(row, window, np.float32(rule.silent), noise, chance, variances[v, y])
            for k in range(v):
                _silence_row(significance[k][y], sure, variances[v, y])
            copy_row(depths[v - 1][y], voters[v, y])
        copy_row(chosen, candidates[0, y])
        copy_row(depths[1][y], candidates[1, y])
        copy_row(depths[widest][y], candidates[2, y])


@jit
def _speaks(variance):
    """Whether anything is said, of a row's columns."""
    found = 0
    for x in range(variance.size):
        found += variance[x] < float32(np.inf)
    return found > 0


@jit
def _weigh(variance, away, weight):
    for x in range(weight.size):
        weight[x] = float32(1) / (variance[x] + away)


@jit
def _count(depth, weight, candidate, scale, votes, moment):
    """Add how much each neighbour supports a candidate, and how far it lies from it."""
    for x in range(candidate.size):
        t = depth[x] - candidate[x]
        u = max(float32(1) - t * t * scale, float32(0))
        agreement = weight[x] * u * u * u
        votes[x] += agreement
        moment[x] += agreement * t


@jit
def _take_winner(votes, moment, candidate, most, out):
    for x in range(out.size):
        v = votes[x]
        mean = candidate[x] + moment[x] / max(v, float32(1e-30))
        out[x] = mean if v > most[x] else out[x]
        most[x] = max(v, most[x])


@jit
def _vote_row(
    depths, variances, spoken, candidates, y, radius, roughness, scale, scratch, votes, out
):  # fmt: skip
    width = out.size
    weight, most = scratch[0], scratch[1]
    votes[:] = float32(0)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            away = dy * dy + dx * dx
            if away > radius * radius + radius:
                continue
            i, x0 = y + radius + dy, radius + dx
            for v in range(depths.shape[0]):
                a = 0
                while a < spoken.shape[2]:
                    b = a
                    while b < spoken.shape[2] and spoken[v, i, b]:
                        b += 1
                    first, stop = max(a * _RUN - x0, 0), min(b * _RUN - x0, width)
                    a = b + 1
                    if first >= stop:
                        continue
                    there = slice(x0 + first, x0 + stop)
                    here = weight[: stop - first]
                    _weigh(variances[v, i, there], float32(roughness * away), here)
                    for k in range(candidates.shape[0]):
                        _count(
                            depths[v, i, there], here, candidates[k, y, first:stop], scale,
                            votes[k, 0, first:stop], votes[k, 1, first:stop],
                        )  # fmt: skip
    most[:] = float32(-1)
    for k in range(candidates.shape[0]):
        _take_winner(votes[k, 0], votes[k, 1], candidates[k, y], most, out)


@jit_allocating
def vote_depth(
    depths: Plane,
    variances: Plane,
    candidates: Plane,
    radius: int,
    roughness: float,
    tolerance: float,
    out: Plane,
) -> None:
    """Give each pixel the candidate that its neighbourhood supports most, averaged with it.

    With d_vj and σ²_vj the depths and variances that voter v has at the pixels of the disc
    r_j² ≤ radius² + radius round a pixel, and c_k its candidates::

        w_vj = 1 / (σ²_vj + roughness r_j²)
        a_vjk = w_vj max(1 - (d_vj - c_k)² / (6 tolerance²), 0)³
        k = argmax Σ_vj a_vjk
        out = c_k + Σ_vj a_vjk (d_vj - c_k) / Σ_vj a_vjk

    which is a step of mean shift (Comaniciu & Meer, IEEE PAMI 24, 2002) from the best start, with
    the weights that kriging gives to a surface whose height wanders (Matheron, 1963).

    Parameters
    ----------
    depths : (V, Y, X) float32
        In planes. Beyond the edge there is nothing.
    variances : (V, Y, X) float32
        In planes², above 0; infinite where a voter says nothing.
    candidates : (K, Y, X) float32
        In planes. Of equal support the first wins.
    radius : int
        In pixels.
    roughness : float
        Variance of the depth a pixel away, in planes².
    tolerance : float
        Depths so far apart, in planes, still agree by 58 %.
    out : (Y, X) float32
        Result, in planes; may not be an argument.
    """
    voters, height, width = depths.shape
    padded = np.zeros((voters, height + 2 * radius, width + 2 * radius), np.float32)
    unsure = np.full(padded.shape, np.inf, np.float32)
    spoken = np.zeros((voters, height + 2 * radius, padded.shape[2] // _RUN + 1), np.bool_)
    for v in range(voters):
        for y in range(radius, radius + height):
            copy_row(depths[v, y - radius], padded[v, y, radius : radius + width])
            copy_row(variances[v, y - radius], unsure[v, y, radius : radius + width])
            for a in range(spoken.shape[2]):
                spoken[v, y, a] = _speaks(unsure[v, y, a * _RUN : (a + 1) * _RUN])
    scratch = np.empty((2, width), np.float32)
    votes = np.empty((candidates.shape[0], 2, width), np.float32)
    scale = np.float32(1) / np.float32(6 * tolerance * tolerance)
    for y in range(height):
        _vote_row(
            padded, unsure, spoken, candidates, y, radius, np.float32(roughness), scale, scratch,
            votes, out[y],
        )  # fmt: skip
