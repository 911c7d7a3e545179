"""What methods that blend planes share: a calibration, and for those of one pass a focus peak.

Duty: what is global to the stack (decision signal, noise, a value for invalid pixels), and the
depth beside the sums. Must not know: how planes are blended.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from zfuse.pipeline.core import Fused, Signal, value_step
from zfuse.pipeline.methods._method import Method
from zfuse.pipeline.methods.parts._noise import quiet_deviation
from zfuse.pipeline.methods.parts._peak import PEAK_BYTES, signal_bytes
from zfuse.pipeline.methods.parts._trusted_peak import depth_peak

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Region, Sample
    from zfuse.pipeline.methods.parts._floats import FloatPlanes

    Plane = NDArray[np.float32]

__all__ = ["Blend", "BlendingMethod", "BlendingState", "mix"]


# No number here is in counts: pixels may be volts, or counts divided by 65535. What depends on
# counts is in steps of the pixels' own values, see `Blend.step`.
_LEAST_NOISE = 0.3  # steps: rounding to whole ones


@dataclass(frozen=True)
class Blend:
    """What a blending method settles for the whole stack.

    Attributes
    ----------
    signal
        How channels become the decision signal.
    noise
        Standard deviation of the decision signal's noise, in its own steps.
    step
        What pixels are rounded to, in steps of the decision signal; at least 1, which it is rounded
        to itself.
    fill
        Median of each channel: what stands in for pixels far inside invalid ones.
    """

    signal: Signal
    noise: float
    step: float
    fill: tuple[float, ...]

    @classmethod
    def calibrate(cls, sample: Sample) -> Blend:
        """Estimate from the sample."""
        signal = Signal.calibrate(sample)
        noise = quiet_deviation([_decision(p, np.array(signal.weights)) for p in sample.patches])
        step = 1.0
        if len(signal.weights) == 1:  # mixed channels have no step
            pixels = np.concatenate([p.ravel() for p in sample.patches])
            step = max(step, value_step(pixels) * signal.weights[0])
        fill = []
        for c in range(sample.stack.shape[1]):
            values = np.concatenate([p[:, c].ravel() for p in sample.patches])
            values = values[np.isfinite(values)]
            fill.append(float(np.median(values)) if values.size else 0.0)
        return cls(signal, max(noise, _LEAST_NOISE * step), step, tuple(fill))

    @property
    def weights(self) -> NDArray[np.float32]:
        """Weights of the channels in the decision signal."""
        return np.array(self.signal.weights, np.float32)


def _decision(patch: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mix a patch (n, C, Y, X) into the decision signal; NaN where it is not finite."""
    used = weights != 0
    values = np.moveaxis(patch, 1, -1)[..., used].astype(np.float64)
    mixed: NDArray[np.float64] = np.where(np.isfinite(values), values, np.nan) @ weights[used]
    return mixed


def mix(bands: Plane, weights: NDArray[np.float32]) -> Plane:
    """Mix bands (C, Y, X) as the decision signal mixes pixels: the filters are linear."""
    if len(bands) == 1 and weights[0] == 1:
        single: Plane = bands[0]
        return single
    mixed = weights[0] * bands[0]
    for weight, band in zip(weights[1:], bands[1:], strict=True):
        mixed += weight * band
    return np.asarray(mixed, np.float32)


class BlendingState(ABC):
    """Sums of one region over planes, and its focus peak."""

    def __init__(
        self, region: Region, floats: FloatPlanes, dtype: np.dtype[Any], blend: Blend
    ) -> None:
        self._peak = depth_peak(region, blend.signal, dtype)
        self._floats = floats
        self._weights = blend.weights

    def add(self, planes: NDArray[Any], z: int) -> None:
        """Fold a block of planes (n, C, Y, X) of what the region is shown."""
        self._peak.add(planes, z)
        for plane in planes:
            self.add_plane(plane)

    def finish(self) -> Fused:
        """Make the image of the sums."""
        depth, confidence = self._peak.finish()
        return Fused(self._floats.to_dtype(self.image()), depth, confidence)

    @abstractmethod
    def add_plane(self, pixels: NDArray[Any]) -> None:
        """Add one plane (C, Y, X) to the sums."""

    @abstractmethod
    def image(self) -> Plane:
        """Return the image (C, Y, X) of what `floats` makes of planes."""


class BlendingMethod(Method):
    """A method whose picture comes from sums over planes, its depth from the focus peak."""

    family: ClassVar[str] = "transform"
    copies_pixels: ClassVar[bool] = False
    knows_depth: ClassVar[bool] = False

    @abstractmethod
    def sums_bytes(self, channels: int) -> tuple[float, float]:
        """Memory a pixel of core needs for sums, and for scratch while a plane is added."""

    def state_bytes(self, channels: int, itemsize: int) -> float:
        """Count sums, scratch of one plane, peak, result."""
        kept, scratch = self.sums_bytes(channels)
        scratch = max(scratch, signal_bytes(channels, itemsize))
        return kept + scratch + PEAK_BYTES + channels * itemsize

    def calibrate(self, sample: Sample) -> Any:
        """Choose the decision signal, estimate its noise."""
        return Blend.calibrate(sample)
