"""Depth with its neighbours: each pixel takes what most of what is known nearby says (CUDA).

Duty: weigh the depths round a pixel by how surely they are known and how far away they are, choose
among candidates, and average what agrees. Must not know: who votes, how depths and variances were
found.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda, float32, float64

from zfuse.kernels.cuda._device import device_function, given, launch, product

__all__ = ["vote_depth"]


@device_function
def _support(depths, variances, candidate, y, x, radius, roughness, scale):
    """Return how much the neighbours support a candidate, and how far they lie from it."""
    voters, height, width = depths.shape
    votes, moment = float32(0), float32(0)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            away = dy * dy + dx * dx
            i, j = y + dy, x + dx
            if away > radius * radius + radius or not (0 <= i < height and 0 <= j < width):
                continue
            for v in range(voters):
                unsure = variances[v, i, j] + float32(float64(roughness) * float64(away))
                t = depths[v, i, j] - candidate
                u = max(float32(1) - product(t * t, scale), float32(0))
                agreement = product(float32(1) / unsure * u * u, u)
                votes += agreement
                moment += product(agreement, t)
    return votes, moment


@cuda.jit
def _vote(depths, variances, candidates, radius, roughness, scale, out):
    x, y = cuda.grid(2)
    if y >= out.shape[0] or x >= out.shape[1]:
        return
    most, chosen = float32(-1), float32(0)
    for k in range(candidates.shape[0]):
        candidate = candidates[k, y, x]
        votes, moment = _support(depths, variances, candidate, y, x, radius, roughness, scale)
        if votes > most:
            most = votes
            chosen = candidate + moment / max(votes, float32(1e-30))
    out[y, x] = chosen


def vote_depth(
    depths: Any, variances: Any, candidates: Any, radius: int, roughness: float, tolerance: float,
    out: Any,
) -> None:  # fmt: skip
    """Give each pixel the candidate that its neighbourhood supports most, averaged with it.

    See `zfuse.kernels.cpu.vote_depth`; all arrays lie on the device.

    Parameters
    ----------
    depths : (V, Y, X) float32
    variances : (V, Y, X) float32
    candidates : (K, Y, X) float32
    radius : int
    roughness : float
    tolerance : float
    out : (Y, X) float32
    """
    out = given(out)
    scale = np.float32(1) / np.float32(6 * tolerance * tolerance)
    launch(
        _vote, out.shape, given(depths), given(variances), given(candidates), radius,
        np.float32(roughness), scale, out,
    )  # fmt: skip
