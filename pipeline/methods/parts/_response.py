"""How fast a stack's bands lose contrast with the distance from focus, told by the stack itself.

Duty: from columns of pixels through all planes, the widths that the adaptive method weighs planes
with. Must not know: tiles, how planes are weighed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zfuse.pipeline.methods.parts._noise import NOISE_GAIN, plain_variance
from zfuse.pipeline.methods.parts._pyramid import reduced, split_band

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["FocusResponse", "estimate_response"]

_LEAST_VARIANCE = 0.05  # step²: about that of rounding, 1/12. Never in counts: see `Blend.step`


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
        variance = plain_variance(stack)
        n = len(stack)
        index = np.clip(np.rint(depth), 0, n - 1).astype(np.intp)
        sharp = np.take_along_axis(stack, index[None], 0)[0]
        for level, band in enumerate(_bands(sharp, levels)):
            excess = float((band**2).mean()) - variance * NOISE_GAIN[level]
            signal[level] += max(excess, 0.0) / len(stacks)
        noise += variance / len(stacks)
        second = np.stack([_bands(plane, 2)[1] for plane in stack])
        near = np.clip(np.rint(reduced(depth)), 0, n - 1).astype(np.intp)
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


def _bands(plane: Plane, levels: int) -> list[Plane]:
    bands = []
    fine = np.array(plane, np.float32)
    for _ in range(levels):
        coarse = split_band(fine)
        bands.append(fine)
        fine = coarse
    return bands
