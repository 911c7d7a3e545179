"""Depth with its neighbours: each pixel takes what most of what is known nearby says (CUDA).

Duty: choose among scales; weigh the depths round a pixel by how surely they are known and how far
away they are, choose among candidates, and average what agrees. Must not know: how depths were
found.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda, float32, float64

from zfuse.kernels.cpu import ScaleVariance
from zfuse.kernels.cuda._device import device_function, given, launch, product, scratch

__all__ = ["ScaleVariance", "choose_scale", "vote_depth"]


@cuda.jit
def _begin(depth, significance, windows, k, chosen, most, trust, window):
    x, y = cuda.grid(2)
    if y >= chosen.shape[0] or x >= chosen.shape[1]:
        return
    s = significance[y, x]
    chosen[y, x], most[y, x], trust[y, x], window[y, x] = depth[y, x], s, s, windows[k]


@cuda.jit
def _take(depth, significance, sure, windows, k, chosen, most, trust, window):
    x, y = cuda.grid(2)
    if y >= chosen.shape[0] or x >= chosen.shape[1]:
        return
    s = significance[y, x]
    if s > sure:
        chosen[y, x], most[y, x], window[y, x] = depth[y, x], s, windows[k]
        trust[y, x] = max(s, trust[y, x])


@device_function
def _variance(significance, window, least, noise, chance):
    s = max(significance, least)
    square = s * s
    return window + (noise + chance / square) / square


@cuda.jit
def _vary(most, known, window, least, noise, chance, variance):
    x, y = cuda.grid(2)
    if y >= variance.shape[0] or x >= variance.shape[1]:
        return
    s = most[y, x]
    if known.shape[0] > 0:
        s *= known[y, x]
    variance[y, x] = _variance(s, window[y, x], least, noise, chance)


@cuda.jit
def _faint(depth, significance, windows, k, least, noise, chance, voter, variance):
    x, y = cuda.grid(2)
    if y >= variance.shape[0] or x >= variance.shape[1]:
        return
    variance[y, x] = _variance(significance[y, x], windows[k], least, noise, chance)
    voter[y, x] = depth[y, x]


@cuda.jit
def _silence(significance, sure, variance):
    x, y = cuda.grid(2)
    if y < variance.shape[0] and x < variance.shape[1] and significance[y, x] > sure:
        variance[y, x] = math.inf


@cuda.jit
def _propose(chosen, second, widest, candidates):
    x, y = cuda.grid(2)
    if y >= chosen.shape[0] or x >= chosen.shape[1]:
        return
    candidates[0, y, x] = chosen[y, x]
    candidates[1, y, x] = second[y, x]
    candidates[2, y, x] = widest[y, x]


def choose_scale(
    depths: tuple[Any, ...], significance: tuple[Any, ...], known: Any, rule: ScaleVariance,
    voters: Any, variances: Any, candidates: Any, trust: Any,
) -> None:  # fmt: skip
    """Let the finest scale that is sure speak for a pixel, and write who votes on it.

    See `zfuse.kernels.cpu.choose_scale`; all arrays lie on the device.

    Parameters
    ----------
    depths, significance : K arrays (Y, X) float32
    known : (Y, X) float32, or (0, 0) where all is known
    rule : ScaleVariance
    voters, variances : (V, Y, X) float32
    candidates : (3, Y, X) float32
    trust : (Y, X) float32
    """
    depths, significance = tuple(map(given, depths)), tuple(map(given, significance))
    voters, variances, trust = given(voters), given(variances), given(trust)
    windows, widest, shape = given(rule.window), len(depths) - 1, trust.shape
    most, window = scratch("scale-most", shape), scratch("scale-window", shape)
    sure, noise = np.float32(rule.sure), np.float32(rule.noise * rule.noise)
    chance, chosen = np.float32(rule.chance), voters[0]
    running = (chosen, most, trust, window)
    launch(_begin, shape, depths[widest], significance[widest], windows, widest, *running)
    for k in range(widest - 1, -1, -1):
        launch(_take, shape, depths[k], significance[k], sure, windows, k, *running)
    least = np.float32(rule.unknown)
    launch(_vary, shape, most, given(known), window, least, noise, chance, variances[0])
    for v in range(1, voters.shape[0]):
        launch(
            _faint, shape, depths[v - 1], significance[v - 1], windows, v - 1,
            np.float32(rule.silent), noise, chance, voters[v], variances[v],
        )  # fmt: skip
        for k in range(v):
            launch(_silence, shape, significance[k], sure, variances[v])
    launch(_propose, shape, chosen, depths[1], depths[widest], given(candidates))


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
