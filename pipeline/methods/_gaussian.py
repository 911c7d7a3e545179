"""Gaussian pyramid blend: every scale of the planes is averaged with weights of that scale.

The multiresolution spline of Burt & Adelson (A multiresolution spline with application to image
mosaics, ACM Trans. Graph. 2, 1983) as Mertens, Kautz & Van Reeth use it for stacks (Exposure
fusion, Pacific Graphics 2007): planes in Laplacian pyramids, weights in Gaussian pyramids, the
weighted mean level by level. So planes pass into each other softly, over a distance that suits
each scale.

The weight is a power of the activity, the energy of a Laplacian of Gaussian in units of the noise.
The *logarithm* of the activity goes into the Gaussian pyramid and weighs 2^(strength · that): a
mean of the activity itself would let strong texture outvote the weak texture beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from zfuse.kernels import ACTIVITY_GAIN, log_activity
from zfuse.pipeline.methods.parts import (
    DEPTH_REACH,
    FILL_ALIGN,
    FILL_REACH,
    Blend,
    BlendingMethod,
    BlendingState,
    FloatPlanes,
    WeightedMean,
    expanded,
    join_band,
    level_shapes,
    mix,
    near,
    reduced,
    split_band,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Region

    Plane = NDArray[np.float32]

__all__ = ["Gaussian"]

_ACTIVITY_REACH = 3


class Gaussian(BlendingMethod):
    """Average planes scale by scale, weights from a Gaussian pyramid of the activity."""

    name: Literal["gaussian"] = "gaussian"
    levels: int = Field(4, ge=1, le=8, description="sizes of detail, each twice as coarse")
    strength: float = Field(
        4.0, gt=0, le=64, description="how strongly the sharpest plane wins; 64: nearly a choice"
    )

    @property
    def grid_step(self) -> int:
        """A pixel of the coarsest level."""
        return max(1 << self.levels, FILL_ALIGN)

    @property
    def halo(self) -> int:
        """Reach of the weights and bands, of filled pixels, and of the depth's window where wider.

        With s = 2^levels: a coarsest pixel and its weight see 2(s - 1), rebuilding adds 2(s - 1);
        one level finer the weight is smoothed by s more, but rebuilding adds s less.
        """
        s = 1 << self.levels
        reach = max(4 * s + _ACTIVITY_REACH + FILL_REACH, DEPTH_REACH)
        return -(-reach // self.grid_step) * self.grid_step

    def sums_bytes(self, channels: int) -> tuple[float, float]:
        """Count sums and weights of all levels."""
        return 4 * 4 / 3 * (channels + 2), 4 * (2 * channels + 4)

    def start(
        self, region: Region, channels: int, dtype: np.dtype[Any], calibration: Blend
    ) -> _State:
        """Allocate sums and peak."""
        return _State(self, region, channels, dtype, calibration)


class _State(BlendingState):
    """Weighted sums of every level of one region, halo included."""

    def __init__(
        self,
        method: Gaussian,
        region: Region,
        channels: int,
        dtype: np.dtype[Any],
        blend: Blend,
    ) -> None:
        floats = FloatPlanes(region, method.halo, dtype, blend.fill)
        super().__init__(region, floats, dtype, blend)
        self._floor = ACTIVITY_GAIN * blend.noise**2
        self._strength = np.float32(method.strength)
        shapes = level_shapes(floats.shape, method.levels)
        self._means = [WeightedMean(channels, shape) for shape in shapes]

    def add_plane(self, pixels: NDArray[Any]) -> None:
        """Fold one plane (C, Y, X)."""
        planes, invalid = self._floats.to_float(pixels)
        decision = mix(planes, self._weights)
        activity = np.empty_like(decision)
        log_activity(decision, self._floor, activity)
        if invalid is not None:
            activity[near(invalid, _ACTIVITY_REACH)] = 0  # their rim is not in focus
        for mean in self._means[:-1]:
            coarse = reduced(activity)
            exponent = expanded(coarse, activity.shape)
            exponent *= self._strength
            rest = split_band(planes)
            mean.add(exponent, planes, invalid)
            planes, activity = rest, coarse
            invalid = None if invalid is None else reduced(invalid)
        activity *= self._strength
        self._means[-1].add(activity, planes, invalid)

    def image(self) -> Plane:
        """Add up the bands."""
        image = self._means.pop().finish()
        while self._means:
            band = self._means.pop().finish()
            join_band(band, image)
            image = band
        return image
