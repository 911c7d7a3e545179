"""Estimates of a stack's noise, from what second differences leave of it.

A second difference in both directions is blind to slopes and edges along the axes, and has 36 times
the variance of white noise (Immerkær, Fast noise variance estimation, CVIU 64, 1996). Texture is
left in it, so each estimate looks where there is least. Must not know: what noise is needed for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["NOISE_GAIN", "CameraNoise", "camera_noise", "plain_variance", "quiet_deviation"]

NOISE_GAIN = (0.8898, 0.05275, 0.009917, 0.002407)
"""Variance of white noise of variance 1 in the bands of a Laplacian pyramid (measured)."""

_GAIN = 36  # of second differences in both directions
_BLOCK = 8
_QUIET_SHARE = 0.25  # of the blocks: those with least texture show the noise
_QUIET = 0.1  # of blocks of equal brightness: the least textured ones show the noise
_QUIET_BIAS = 1.3  # the quietest tenth is quieter than the mean of noise (measured)


@dataclass(frozen=True)
class CameraNoise:
    """Variance = gain · mean + floor, in the pixels' own unit; photon noise and read noise.

    The floor is below 0 where black lies above 0.
    """

    gain: float
    floor: float


def camera_noise(
    columns: list[NDArray[Any]], channel: int, black: float | None = None
) -> CameraNoise:
    """Estimate the noise of one channel.

    Parameters
    ----------
    columns
        Patches (n, C, h, w).
    channel
        Which one.
    black
        Pixel value at which noise is never below 0. Unless it is known, that of the darkest pixels.

    Notes
    -----
    The second difference in both directions of white noise has 36 times its variance and is blind
    to slopes. Its variance in 8 x 8 blocks is sorted by brightness; the quietest tenth of each of
    16 classes gives a point, a line through the points gives gain and floor.
    """
    means, variances = [], []
    for patch in columns:
        pixels = patch[:, channel].astype(np.float64)
        pixels = np.where(np.isfinite(pixels), pixels, np.nan)
        twice = _second_differences(pixels)
        if min(twice.shape[1:]) < _BLOCK:
            continue
        variances.append((_block_means(twice**2) / _GAIN).ravel())
        means.append(_block_means(pixels[:, 1:-1, 1:-1]).ravel())
    if not means:
        return CameraNoise(0.0, 0.0)
    mean, variance = np.concatenate(means), np.concatenate(variances)
    known = np.isfinite(mean) & np.isfinite(variance)
    mean, variance = mean[known], variance[known]
    if mean.size < 16:
        return CameraNoise(0.0, 0.0)
    order = np.argsort(mean, kind="stable")
    points = [
        (mean[part].mean(), np.quantile(variance[part], _QUIET) * _QUIET_BIAS)
        for part in np.array_split(order, 16)
    ]
    x, y = np.array(points).T
    slope = float(np.polyfit(x, y, 1)[0]) if np.ptp(x) > 0 else 0.0
    slope = max(slope, 0.0)
    floor = float(np.mean(y - slope * x))
    black = float(x[0]) if black is None else black
    if slope * black + floor < 0:  # through black: no camera has negative read noise
        away = x - black
        slope = max(float((away * y).sum() / (away * away).sum()), 0.0)
        floor = -slope * black
    return CameraNoise(slope, floor)


def quiet_deviation(stacks: list[NDArray[np.float64]]) -> float:
    """Return the noise's standard deviation in (n, Y, X), from the quietest quarter of all blocks.

    The mean magnitude of the second differences of white noise is 6 σ √(2/π).
    """
    levels = [_block_means(np.abs(_second_differences(stack))).ravel() for stack in stacks]
    level = np.concatenate(levels) if levels else np.zeros(0)
    level = level[np.isfinite(level)]
    if level.size == 0:
        return 0.0
    return float(np.quantile(level, _QUIET_SHARE) * np.sqrt(np.pi / 2) / 6)


def plain_variance(stack: Plane) -> float:
    """Return the noise's variance in a small stack (n, Y, X): the median over a few planes."""
    found = []
    for plane in stack[:: max(1, len(stack) // 4)]:
        twice = _second_differences(plane.T.astype(np.float64))
        if twice.size:
            found.append((1.4826 * float(np.median(np.abs(twice)))) ** 2 / _GAIN)
    return float(np.median(found)) if found else 0.0


def _second_differences(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.diff(np.diff(planes, 2, axis=-1), 2, axis=-2)


def _block_means(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of whole blocks of planes (n, Y, X)."""
    n, height, width = planes.shape
    rows, columns = height // _BLOCK, width // _BLOCK
    cut = planes[:, : rows * _BLOCK, : columns * _BLOCK]
    means: NDArray[np.float64] = cut.reshape(n, rows, _BLOCK, columns, _BLOCK).mean((2, 4))
    return means
