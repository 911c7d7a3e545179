"""What a stack tells of its own camera and optics: noise, and how fast bands lose contrast.

Duty: from columns of pixels through all planes, the noise model and the widths that the adaptive
method weighs planes with. Must not know: tiles, how planes are weighed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import reduce_plane, subtract_expanded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["NOISE_GAIN", "CameraNoise", "FocusResponse", "estimate_noise", "estimate_response"]

NOISE_GAIN = (0.8898, 0.05275, 0.009917, 0.002407)
"""Variance of white noise of variance 1 in the bands of a Laplacian pyramid (measured)."""

_BLOCK = 8
_QUIET = 0.1  # of blocks of equal brightness: the least textured ones show the noise
_LEAST_VARIANCE = 0.05  # step²: about that of rounding, 1/12. Never in counts: see `Blend.step`
_QUIET_BIAS = 1.3  # the quietest tenth is quieter than the mean of noise (measured)


@dataclass(frozen=True)
class CameraNoise:
    """Variance = gain · mean + floor, in the pixels' own unit; photon noise and read noise.

    The floor is below 0 where black lies above 0.
    """

    gain: float
    floor: float

    def variance(self, mean: Plane) -> Plane:
        """Return the variance of pixels whose mean is known, at least 0."""
        variance = np.float32(self.gain) * mean + np.float32(self.floor)
        return np.asarray(np.maximum(variance, 0), np.float32)


@dataclass(frozen=True)
class FocusResponse:
    """How a stack's contrast depends on distance from focus.

    Attributes
    ----------
    width
        Distance, in planes, at which the second finest band (period of about 6 px) has lost 40 %
        of its contrast.
    signal_to_noise
        Of each band in focus, as a ratio of variances, averaged over the sample.
    """

    width: float
    signal_to_noise: tuple[float, ...]


def estimate_noise(
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
        twice = np.diff(np.diff(pixels, 2, axis=-1), 2, axis=-2)
        n, height, width = twice.shape
        rows, cols = height // _BLOCK * _BLOCK, width // _BLOCK * _BLOCK
        if rows == 0 or cols == 0:
            continue
        shape = (n, rows // _BLOCK, _BLOCK, cols // _BLOCK, _BLOCK)
        variances.append(((twice**2)[:, :rows, :cols].reshape(shape).mean((2, 4)) / 36).ravel())
        means.append(pixels[:, 1 : rows + 1, 1 : cols + 1].reshape(shape).mean((2, 4)).ravel())
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


def estimate_response(
    stacks: list[Plane], depths: list[Plane], levels: int, step: float
) -> FocusResponse | None:
    """Estimate how contrast falls off, from small stacks whose depth is known.

    Parameters
    ----------
    stacks
        Decision signal (n, h, w) float32.
    depths
        (h, w) in planes.
    levels
        Bands of the pyramid.
    step
        What pixels are rounded to, in the unit of the stacks.

    Returns
    -------
    FocusResponse or None
        None when nothing in the sample stands out of the noise.

    Notes
    -----
    Noise of two planes is independent: the mean product of a coefficient in focus and the same one
    a plane further is the response at that distance times the signal's variance, free of noise.
    """
    together = np.zeros(4)
    alone = 0.0
    signal, noise = np.zeros(levels), 0.0
    for stack, depth in zip(stacks, depths, strict=True):
        variance = _plain_noise(stack)
        n = len(stack)
        index = np.clip(np.rint(depth), 0, n - 1).astype(np.intp)
        sharp = np.take_along_axis(stack, index[None], 0)[0]
        for level, band in enumerate(_bands(sharp, levels)):
            excess = float((band**2).mean()) - variance * NOISE_GAIN[level]
            signal[level] += max(excess, 0.0) / len(stacks)
        noise += variance / len(stacks)
        second = np.stack([_bands(plane, 2)[1] for plane in stack])
        near = np.clip(np.rint(_shrunk(depth)), 0, n - 1).astype(np.intp)
        here = np.take_along_axis(second, near[None], 0)[0]
        excess = float((here**2).sum()) - variance * NOISE_GAIN[1] * here.size
        alone += max(excess, 0.0)
        for lag in (1, 2, 3):
            for other in (near - lag, near + lag):
                inside = (other >= 0) & (other < n)
                there = np.take_along_axis(second, np.clip(other, 0, n - 1)[None], 0)[0]
                together[lag] += float((here * there * inside).sum()) / 2
    if alone <= 0:
        return None
    response = together / alone
    usable = [lag for lag in (1, 2, 3) if 0.05 < response[lag] < 0.97]
    if usable:
        lag = min(usable, key=lambda k: abs(response[k] - 0.5))
        width = lag / float(np.sqrt(-2 * np.log(response[lag])))
    else:
        width = 4.0 if response[1] >= 0.97 else 0.4
    floor = max(noise, _LEAST_VARIANCE * step**2)
    ratios = (signal / (floor * np.array(NOISE_GAIN[:levels]))).tolist()
    return FocusResponse(width, tuple(ratios))


def _plain_noise(stack: Plane) -> float:
    """Return the noise variance of a small stack: median of |second difference|, per plane."""
    step = max(1, len(stack) // 4)
    found = []
    for plane in stack[::step]:
        twice = np.diff(np.diff(plane.astype(np.float64), 2, axis=0), 2, axis=1)
        if twice.size:
            found.append((1.4826 * float(np.median(np.abs(twice)))) ** 2 / 36)
    return float(np.median(found)) if found else 0.0


def _bands(plane: Plane, levels: int) -> list[Plane]:
    bands = []
    fine = np.array(plane, np.float32)
    for _ in range(levels):
        coarse = np.empty(((fine.shape[0] + 1) // 2, (fine.shape[1] + 1) // 2), np.float32)
        reduce_plane(fine, coarse)
        subtract_expanded(fine, coarse, fine)
        bands.append(fine)
        fine = coarse
    return bands


def _shrunk(depth: Plane) -> Plane:
    coarse = np.empty(((depth.shape[0] + 1) // 2, (depth.shape[1] + 1) // 2), np.float32)
    reduce_plane(depth, coarse)
    return coarse
