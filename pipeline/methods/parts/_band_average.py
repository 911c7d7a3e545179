"""The picture of a depth map: planes averaged band by band, each as far as it is in focus.

Duty: with the depth known, weighted sums of a pyramid's bands and the image that they make. Must
not know: how the depth was found, where widths and noise come from. The weights are explained in
`_adaptive.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zfuse.kernels import (
    FocusWeights,
    add_focused,
    add_focused_norms,
    hold_within,
    reduce_by_strength,
    shrink_band,
)
from zfuse.pipeline.methods.parts._noise import NOISE_GAIN
from zfuse.pipeline.methods.parts._pyramid import expanded, level_shapes, reduced, split_band
from zfuse.pipeline.methods.parts._running import PixelRange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from zfuse.pipeline.methods.parts._noise import CameraNoise

    Plane = NDArray[np.float32]

__all__ = ["BandAverage", "band_reach"]

_LEAST_RESPONSE = 0.3  # a plane's coefficient is raised by a factor of 3 at most …
_LEAST_NARROW = 0.8  # … or of 1.25, where half a plane of defocus halves a band's contrast: there
_NARROW = 0.42  # planes of width; a wrong depth would sharpen what is sharp
# D at which half of that is left: signal 26 dB above the noise (.03 of `_DISTRUST`). It costs
# .02 dB on the simulated stacks; beads keep the brightness of their best plane.
_PLAIN = 12.0
# D at which half of what the nearest plane has lost is restored. Contrast that no plane has is an
# error of depth or model where noise does not ask for a mean: half of what edges are invented.
_HELD = 1.0
_LEAST_NORM = np.float32(1e-6)
# Coarse bands hold 1 % of the noise; wider windows there change nothing but how far is seen.
_SHRINK_RADII = (3, 3, 1, 1)
_SHRINK_SHARE = 0.5  # 0.6 / 1.2, best on the simulated stacks
_NONE = np.empty((0, 0), np.float32)


def band_reach(levels: int) -> int:
    """Return how far an image of so many bands sees, in px: a multiple of the coarsest pixel.

    Rebuilding sees a coarse pixel, shrinking its window and 3 x 3 more, reducing 2 fine pixels a
    level. Depths spoken for by a neighbour reach less.
    """
    step = 1 << levels
    rebuilt = sum((radius + 3) << level for level, radius in enumerate(_SHRINK_RADII[:levels]))
    return -(-(rebuilt + 2 * (step - 1)) // step) * step


class Band:
    """Weighted sums of one band over planes.

    Parameters
    ----------
    channels
        Of the planes.
    focus
        What a plane's weight depends on.
    least
        Response that is reckoned with at least where there is noise; 1 raises nothing.
    """

    def __init__(self, channels: int, focus: FocusWeights, least: float) -> None:
        self.focus, self._least = focus, least
        shape = focus.depth.shape
        # np.zeros asks for no huge pages.
        self._total = np.empty((channels, *shape), np.float32)
        self._total[...] = 0
        self._norm, self._square = np.empty((2, *shape), np.float32)
        self._counted = -1  # planes that are in the two above

    def add(self, coefficients: Plane, invalid: Plane | None, z: int) -> None:
        """Add a plane's coefficients (C, h, w); invalid (h, w): above 0 where it is unknown."""
        unknown = _NONE if invalid is None else invalid
        add_focused(coefficients, unknown, self.focus, z, self._total)
        if invalid is not None:
            self.count(z)
            self.count(z + 1, invalid)

    def count(self, stop: int, invalid: Plane = _NONE) -> None:
        """Let planes up to before `stop` count; of no more than one some pixels are unknown."""
        if self._counted < 0:
            self._norm[...], self._square[...], self._counted = 0, 0, 0
        add_focused_norms(
            invalid, self.focus, self._counted, stop, self._least, _PLAIN, _HELD, self._norm,
            self._square,
        )  # fmt: skip
        self._counted = stop

    def mean(self) -> Plane:
        """Return the coefficients (C, h, w)."""
        return np.asarray(self._total / np.maximum(self._norm, _LEAST_NORM), np.float32)

    def mean_variance(self, variance: np.float32) -> Plane:
        """Return the variance of the mean (h, w), of a single coefficient's."""
        norm = np.maximum(self._norm, _LEAST_NORM)
        return np.asarray(variance * self._square / (norm * norm), np.float32)


class BandAverage:
    """An image of bands.

    Parameters
    ----------
    depth, strength
        In planes, (h, w); and of every second pixel how much detail says so.
    widths, distrust
        Of each band, from the finest to the low-pass rest; distrust for a strength of 1.
    noise
        Of each channel.
    denoise
        Noise variance that is shrunk away, in units of the estimate.
    """

    def __init__(
        self,
        depth: Plane,
        strength: Plane,
        widths: Sequence[float],
        distrust: Sequence[float],
        noise: Sequence[CameraNoise],
        denoise: float,
    ) -> None:
        self._noise, self._denoise = noise, np.float32(denoise)
        last = len(widths) - 1
        depths, strengths = [depth], [strength, strength]
        if last:
            depths.append(np.ascontiguousarray(depth[::2, ::2]))
        for shape in level_shapes(depth.shape, last)[2:]:
            coarse, stronger = np.empty(shape, np.float32), np.empty(shape, np.float32)
            reduce_by_strength(depths[-1], strength, coarse, stronger)
            depths.append(coarse)
            strengths.append(stronger)
            strength = stronger
        self._bands = []
        for level, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            least = _LEAST_NARROW if width < _NARROW else _LEAST_RESPONSE
            if level == last:  # the low-pass rest is never raised
                least = 1.0
            weights = FocusWeights(
                depth, strengths[level], depth.min(1), depth.max(1), width, distrust[level]
            )
            self._bands.append(Band(len(noise), weights, least))
        self._range = PixelRange(len(noise), depths[0].shape)
        self._planes = 0

    def add(self, plane: Plane, invalid: Plane | None, z: int) -> None:
        """Add a plane (C, h, w), which is used up; invalid (h, w): above 0 where it is unknown."""
        self._range.add(plane, invalid)
        for band in self._bands[:-1]:
            coarse = split_band(plane)
            band.add(plane, invalid, z)
            plane, invalid = coarse, None if invalid is None else reduced(invalid)
        self._bands[-1].add(plane, invalid, z)
        self._planes = z + 1

    def image(self) -> Plane:
        """Return the picture (C, h, w)."""
        for band in self._bands:
            band.count(self._planes)
        image = self._bands[-1].mean()
        bands = list(zip(self._bands[:-1], NOISE_GAIN, _SHRINK_RADII, strict=False))
        for band, gain, radius in reversed(bands):
            share = band.mean_variance(self._denoise * np.float32(gain))  # of a pixel's variance
            fine = band.mean()
            for values, coarse, noise in zip(fine, image, self._noise, strict=True):
                low = expanded(coarse, values.shape)
                shrink_band(values, noise.variance(low) * share, radius, _SHRINK_SHARE)
                values += low
            image = fine
        self._hold_within_planes(image)
        return image

    def _hold_within_planes(self, image: Plane) -> None:
        """Hold each value within the planes' range at its pixel.

        Bands of different planes can add up to what no plane shows: a dark ring, a black patch.
        Noise may exceed it by a standard deviation; beads may not, or be 3 % too bright.
        """
        limits = self._range.low, self._range.high
        for plane, low, high, noise in zip(image, *limits, self._noise, strict=True):
            hold_within(low, high, noise.gain, noise.floor, self._bands[0].focus, _PLAIN, plane)
