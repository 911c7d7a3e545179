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

from zfuse.kernels import ACTIVITY_GAIN, add_expanded, log_activity, reduce_plane
from zfuse.pipeline.methods._laplacian import LaplacianTransform
from zfuse.pipeline.methods.parts import (
    DEPTH_REACH,
    FILL_ALIGN,
    FILL_REACH,
    PEAK_BYTES,
    Blend,
    BlendingMethod,
    FloatPlanes,
    WeightedMean,
    depth_peak,
    mix,
    near,
    signal_bytes,
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
    levels: int = Field(4, ge=1, le=8, description="levels; each doubles the scale")
    strength: float = Field(
        4.0, gt=0, le=64, description="how hard the sharpest plane wins: power of the activity"
    )

    @property
    def grid_step(self) -> int:
        """A pixel of the coarsest level."""
        return max(1 << self.levels, FILL_ALIGN)

    @property
    def halo(self) -> int:
        """Reach of the weights and bands, of filled holes, and of the depth's window where wider.

        With s = 2^levels: a coarsest pixel and its weight see 2(s - 1), rebuilding adds 2(s - 1);
        one level finer the weight is smoothed by s more, but rebuilding adds s less.
        """
        s = 1 << self.levels
        reach = max(4 * s + _ACTIVITY_REACH + FILL_REACH, DEPTH_REACH)
        return -(-reach // self.grid_step) * self.grid_step

    def state_bytes(self, channels: int, itemsize: int) -> float:
        """Count sums and weights of all levels, scratch of one plane, peak, result."""
        kept, scratch = 4 / 3 * (channels + 2), 2 * channels + 4
        return (
            4 * kept
            + max(4 * scratch, signal_bytes(channels, itemsize))
            + PEAK_BYTES
            + channels * itemsize
        )

    def start(
        self, region: Region, channels: int, dtype: np.dtype[Any], calibration: Blend
    ) -> _State:
        """Allocate sums and peak."""
        return _State(self, region, channels, dtype, calibration)


class _State:
    """Weighted sums of every level of one region, halo included."""

    def __init__(
        self,
        method: Gaussian,
        region: Region,
        channels: int,
        dtype: np.dtype[Any],
        blend: Blend,
    ) -> None:
        self.peak = depth_peak(region, blend.signal, dtype)
        self._weights = blend.weights
        self._floor = ACTIVITY_GAIN * blend.noise**2
        self._strength = np.float32(method.strength)
        self._pyramid = LaplacianTransform()
        self._floats = FloatPlanes(region, method.halo, dtype, blend.fill)
        self._means = []
        shape = self._floats.shape
        for _ in range(method.levels + 1):
            self._means.append(WeightedMean(channels, shape))
            shape = tuple((n + 1) // 2 for n in shape)

    def add_plane(self, pixels: NDArray[Any]) -> None:
        """Fold one plane (C, Y, X)."""
        planes, holes = self._floats.of(pixels)
        decision = mix(planes, self._weights)
        activity = np.empty_like(decision)
        log_activity(decision, self._floor, activity)
        if holes is not None:
            activity[near(holes, _ACTIVITY_REACH)] = 0  # a hole's rim is not in focus
        low = planes[None]
        for level, mean in enumerate(self._means):
            coarsest = level == len(self._means) - 1
            exponent = activity if coarsest else np.zeros_like(activity)
            if not coarsest:
                activity = _reduce(activity)
                add_expanded(exponent, activity, exponent)
            exponent *= self._strength
            bands, low = (low, low) if coarsest else self._pyramid.split(level, low)
            mean.add(exponent, bands[0], holes)
            if holes is not None and not coarsest:
                holes = _reduce(holes)

    def rebuild(self) -> NDArray[Any]:
        """Return the image (C, h, w) of the core in the input's dtype."""
        low = self._means.pop().finish()[None]
        for level in range(len(self._means) - 1, -1, -1):
            low = self._pyramid.join(level, self._means.pop().finish()[None], low)
        return self._floats.to_dtype(low[0])


def _reduce(plane: Plane) -> Plane:
    height, width = plane.shape
    coarse = np.empty(((height + 1) // 2, (width + 1) // 2), np.float32)
    reduce_plane(plane, coarse)
    return coarse
