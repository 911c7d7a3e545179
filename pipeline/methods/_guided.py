"""Guided filter blend: planes are averaged with weights that follow the edges of the picture.

After Li, Kang & Hu (Image fusion with guided filtering, IEEE Trans. Image Process. 22, 2013):
every plane is split into a base and a detail part, each is averaged over planes with weights from
a focus measure, and the weights are smoothed by a guided filter with the plane itself as guide, so
that they end where objects end.

Their weights start from the arg max over all planes, which a fold does not have before the last
one. Here the *logarithm* of the activity is what the guided filter smooths, and 2^(strength ·
that) is the weight: each plane is looked at once and alone. With a large strength this is the arg
max again. Activity counts from the noise upwards, so where no plane is in focus all planes weigh
the same and their mean is the result; where several are about in focus their mean has less noise
than any of them. That, and not sharper choice, is what wins on noisy stacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from zfuse.kernels import (
    ACTIVITY_GAIN,
    guided_filter,
    log_activity,
    subtract_expanded,
)
from zfuse.pipeline.methods.parts import (
    DEPTH_REACH,
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
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Region

    Plane = NDArray[np.float32]

__all__ = ["Guided"]

_LEVELS = 3  # between detail and base: the base is smooth over 2^3 pixels
_ACTIVITY_REACH = 3
_BASE_RADIUS = 2  # in pixels of the base


class Guided(BlendingMethod):
    """Average planes with guided-filtered weights, detail and base apart."""

    name: Literal["guided"] = "guided"
    strength: float = Field(
        5.0, gt=0, le=64, description="how strongly the sharpest plane wins; 64: nearly a choice"
    )
    radius: int = Field(3, ge=1, le=8, description="pixels over which weights are smoothed")
    edge: float = Field(
        2.0,
        gt=0,
        description="contrast of outlines, in multiples of the noise",
    )

    @property
    def grid_step(self) -> int:
        """A pixel of the base."""
        return int(2**_LEVELS)

    @property
    def halo(self) -> int:
        """Reach of the base's weights, which is the longest chain.

        With s = 2^levels: filling pixels, the detail (2(s - 1) down, s up), its activity, down
        again, two windows of the guided filter on the base, and s to rebuild.
        """
        s = self.grid_step
        detail = FILL_REACH + 2 * (s - 1) + s + _ACTIVITY_REACH
        base = 2 * (s - 1) + 2 * _BASE_RADIUS * s + s
        reach = max(detail + base, detail + 2 * self.radius + s, DEPTH_REACH)
        return -(-reach // s) * s

    def sums_bytes(self, channels: int) -> tuple[float, float]:
        """Count sums and weights of detail and base."""
        return 4.1 * (channels + 2), 4 * (1.4 * channels + 6)

    def start(
        self, region: Region, channels: int, dtype: np.dtype[Any], calibration: Blend
    ) -> _State:
        """Allocate sums and peak."""
        return _State(self, region, channels, dtype, calibration)


class _State(BlendingState):
    """Weighted sums of one region, halo included."""

    def __init__(
        self,
        method: Guided,
        region: Region,
        channels: int,
        dtype: np.dtype[Any],
        blend: Blend,
    ) -> None:
        floats = FloatPlanes(region, method.halo, dtype, blend.fill)
        super().__init__(region, floats, dtype, blend)
        self._method = method
        self._centre = np.float32(np.dot(blend.weights, np.array(blend.fill, np.float32)))
        self._floor = ACTIVITY_GAIN * blend.noise**2
        self._softness = (method.edge * blend.noise) ** 2
        self._shapes = level_shapes(floats.shape, _LEVELS)
        self._detail = WeightedMean(channels, self._shapes[0])
        self._base = WeightedMean(channels, self._shapes[-1])

    def add_plane(self, pixels: NDArray[Any]) -> None:
        """Fold one plane (C, Y, X)."""
        planes, invalid = self._floats.to_float(pixels)
        base = reduced(planes, _LEVELS)
        for plane, coarse in zip(planes, self._to_half(base), strict=True):
            subtract_expanded(plane, coarse, plane)
        guide = mix(planes, self._weights)
        activity, exponent = np.empty_like(guide), np.empty_like(guide)
        log_activity(guide, self._floor, activity)
        if invalid is not None:
            activity[near(invalid, _ACTIVITY_REACH)] = 0  # their rim is not in focus
        guided_filter(activity, guide, self._method.radius, self._softness, exponent)
        self._detail.add(self._weight(exponent), planes, invalid)

        guide = mix(base, self._weights) - self._centre
        activity, exponent = reduced(activity, _LEVELS), np.empty_like(guide)
        guided_filter(activity, guide, _BASE_RADIUS, self._softness, exponent)
        rim = None if invalid is None else reduced(invalid, _LEVELS)
        self._base.add(self._weight(exponent), base, rim)

    def image(self) -> Plane:
        """Add detail and base."""
        image, base = self._detail.finish(), self._base.finish()
        join_band(image, self._to_half(base))
        return image

    def _weight(self, activity: Plane) -> Plane:
        """Turn smoothed activity into the exponent of the weight, in place."""
        np.maximum(activity, 0, out=activity)  # the filter may overshoot below the least, 0
        activity *= np.float32(self._method.strength)
        return activity

    def _to_half(self, base: Plane) -> Plane:
        """Interpolate the base to half size: the last step belongs to the sum it goes into."""
        for shape in self._shapes[-2:0:-1]:
            base = expanded(base, shape)
        return base
