"""The picture of a depth map: planes averaged band by band, each as far as it is in focus.

Duty: with the depth known, weighted sums of a pyramid's bands and the image that they make. Must
not know: how the depth was found, where widths and noise come from. The weights are explained in
`_adaptive.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import (
    RUN,
    FocusWeights,
    add_focused,
    add_focused_norms,
    extend_range,
    hold_within,
    reduce_by_strength,
    reduce_planes,
    settle_band,
)
from zfuse.pipeline.methods.parts._noise import NOISE_GAIN
from zfuse.pipeline.methods.parts._pyramid import level_shapes, reduced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from zfuse.pipeline.methods.parts._noise import CameraNoise

    Plane = NDArray[np.float32]

__all__ = ["BandAverage", "band_reach", "focus_weights"]

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
_NO_LEVEL = np.empty((0, 0, 0, 0), np.float32)
_ALL_VALID = np.empty((0, 0, 0), np.float32)


def focus_weights(depth: Plane, strength: Plane, width: float, distrust: float) -> FocusWeights:
    """Return them with the depth's extremes."""
    runs = np.arange(0, depth.shape[1], RUN)
    lowest, highest = np.minimum.reduceat(depth, runs, 1), np.maximum.reduceat(depth, runs, 1)
    return FocusWeights(depth, strength, lowest, highest, width, distrust)


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

    def add(
        self, planes: NDArray[Any], at: tuple[int, int], coarse: Plane, invalid: Plane, z: int
    ) -> None:
        """Add planes, see `kernels.add_focused`; only one if some of its pixels are invalid."""
        add_focused(planes, *at, coarse, invalid, self.focus, z, self._total)
        if len(invalid):
            self.count(z)
            self.count(z + 1, invalid[0])

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

    def image(
        self, coarse: Plane, noise: Sequence[CameraNoise], variance: np.float32, radius: int
    ) -> Plane:
        """Return the image (C, h, w) of this level, see `kernels.settle_band`; uses up the sums."""
        for total, low, camera in zip(self._total, coarse, noise, strict=True):
            settle_band(
                self._norm, self._square, low, camera.gain, camera.floor, float(variance), radius,
                _SHRINK_SHARE, total,
            )  # fmt: skip
        return self._total


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
            weights = focus_weights(depth, strengths[level], width, distrust[level])
            self._bands.append(Band(len(noise), weights, least))
        self._low, self._high = np.empty((2, len(noise), *depths[0].shape), np.float32)
        self._low[...], self._high[...] = np.inf, -np.inf
        self._planes = 0

    def add(self, planes: NDArray[Any], at: tuple[int, int], invalid: Plane | None, z: int) -> None:
        """Add planes.

        Parameters
        ----------
        planes
            (n, C, Y, X), of any dtype; one if some of its pixels are invalid.
        at
            Row and column where the picture begins in them.
        invalid
            (h, w): above 0 where the plane is not known; None: all pixels are.
        z
            Index of the first one.
        """
        unknown = _ALL_VALID if invalid is None else invalid[None]
        extend_range(planes, *at, unknown, self._low, self._high)
        for band in self._bands[:-1]:
            height, width = size = band.focus.depth.shape
            shape = (*planes.shape[:2], (height + 1) // 2, (width + 1) // 2)
            coarse = np.empty(shape, np.float32)
            reduce_planes(planes, *at, size, coarse)
            band.add(planes, at, coarse, unknown, z)
            planes, at = coarse, (0, 0)
            unknown = reduced(unknown) if len(unknown) else unknown
        self._bands[-1].add(planes, at, _NO_LEVEL, unknown, z)
        self._planes = z + len(planes)

    def image(self) -> Plane:
        """Return the picture (C, h, w)."""
        for band in self._bands:
            band.count(self._planes)
        image = self._bands[-1].mean()
        bands = list(zip(self._bands[:-1], NOISE_GAIN, _SHRINK_RADII, strict=False))
        for band, gain, radius in reversed(bands):
            image = band.image(image, self._noise, self._denoise * np.float32(gain), radius)
        self._hold_within_planes(image)
        return image

    def _hold_within_planes(self, image: Plane) -> None:
        """Hold each value within the planes' range at its pixel.

        Bands of different planes can add up to what no plane shows: a dark ring, a black patch.
        Noise may exceed it by a standard deviation; beads may not, or be 3 % too bright.
        """
        for plane, low, high, noise in zip(image, self._low, self._high, self._noise, strict=True):
            hold_within(low, high, noise.gain, noise.floor, self._bands[0].focus, _PLAIN, plane)
