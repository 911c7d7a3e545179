"""Depth with its neighbours: each pixel takes what most of what is known nearby says (CPU).

Duty: weigh the depths round a pixel by how surely they are known and how far away they are, choose
among candidates, and average what agrees. Must not know: who votes, how depths and variances were
found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import float32

from zfuse.kernels.cpu._jit import jit, jit_allocating

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["vote_depth"]


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
def _vote_row(depths, variances, candidates, y, radius, roughness, scale, scratch, votes, out):
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
                there = depths[v, i, x0 : x0 + width]
                _weigh(variances[v, i, x0 : x0 + width], float32(roughness * away), weight)
                for k in range(candidates.shape[0]):
                    _count(there, weight, candidates[k, y], scale, votes[k, 0], votes[k, 1])
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
    padded[:, radius : radius + height, radius : radius + width] = depths
    unsure[:, radius : radius + height, radius : radius + width] = variances
    scratch = np.empty((2, width), np.float32)
    votes = np.empty((candidates.shape[0], 2, width), np.float32)
    scale = np.float32(1) / np.float32(6 * tolerance * tolerance)
    for y in range(height):
        _vote_row(
            padded, unsure, candidates, y, radius, np.float32(roughness), scale, scratch, votes,
            out[y],
        )  # fmt: skip
