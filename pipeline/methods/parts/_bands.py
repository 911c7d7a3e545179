"""Merging planes band by band: what the Laplacian pyramid and the wavelets share.

Duty: take a plane through a transform level by level, keep in every band the coefficients of the
plane with most energy, average the low-pass rest, rebuild the image. Must not know: which
transform it is.

The low-pass rest changes with focus only where the coarsest bands still do. It is a mean of the
planes weighted with the energy of the coarsest bands, squared: the mean of all planes, the quietest
estimate, where nothing stands out from the noise. That saves levels: three with the weights are as
good as five with the plain mean (docs/methods.md), and their halo is a quarter. All channels follow
one decision, made on the decision signal's bands.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from zfuse.kernels import keep_strongest, log_energy
from zfuse.pipeline.methods.parts._blending import Blend, BlendingMethod, BlendingState, mix
from zfuse.pipeline.methods.parts._floats import FILL_ALIGN, FILL_REACH, FloatPlanes
from zfuse.pipeline.methods.parts._pyramid import level_shapes, reduced
from zfuse.pipeline.methods.parts._running import PixelRange, WeightedMean
from zfuse.pipeline.methods.parts._trusted_peak import DEPTH_REACH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Region

    Plane = NDArray[np.float32]

__all__ = ["BandMethod", "BandTransform"]

_BASE_POWER = np.float32(2)


class BandTransform(ABC):
    """One plane to bands and back. Arrays are (trees, C, Y, X) and (bands, C, Y, X), float32."""

    trees: int = 1
    """Low-pass planes below the first level."""
    bands: int
    """Bands of a level. One band is as fine as its level, several are half as fine."""
    gain: float = 1
    """Variance of a coefficient in white noise of variance 1, on level 0."""
    fading: float = 1
    """Factor of that variance from a level to the next."""
    reach: float
    """Pixels that a level sees to one side, in its own pixels, down and up together."""
    mirror: int | None = None
    """Pixels mirrored at the image's edge, in a level's own pixels. None: the steps know edges."""

    @abstractmethod
    def split(self, level: int, planes: Plane) -> tuple[Plane, Plane]:
        """Return the bands of a level (0 is the finest) and the low-pass rest; may use `planes`."""

    @abstractmethod
    def join(self, level: int, bands: Plane, coarse: Plane) -> Plane:
        """Undo `split`; may use `bands`."""


class BandMethod(BlendingMethod):
    """A method that keeps the strongest coefficients of a transform."""

    together: ClassVar[bool] = True
    """Whether all bands of a level decide together, or each for itself."""

    levels: int
    limit: bool = Field(
        False, description="keep each pixel between the lowest and the highest of the planes"
    )

    @abstractmethod
    def transform(self) -> BandTransform:
        """Return the transform."""

    @property
    def grid_step(self) -> int:
        """A pixel of the coarsest level."""
        return max(1 << self.levels, FILL_ALIGN)

    @property
    def halo(self) -> int:
        """Reach of the coarsest band, of filled pixels, and of the depth's window where wider.

        Reaches of the levels add up to (2^levels - 1) times one level's; choosing among 3 x 3
        neighbours adds a coarsest pixel.
        """
        s = 1 << self.levels
        reach = self.transform().reach * (s - 1) + s + FILL_REACH
        reach = max(reach, DEPTH_REACH, self._mirror + self.grid_step)
        return int(-(-reach // self.grid_step)) * self.grid_step

    @property
    def _mirror(self) -> int:
        mirror = (self.transform().mirror or 0) * ((1 << self.levels) - 1)
        return -(-mirror // self.grid_step) * self.grid_step

    def sums_bytes(self, channels: int) -> tuple[float, float]:
        """Count kept bands and energies."""
        transform = self.transform()
        area = 4 / 3 if transform.bands == 1 else 1 / 3  # of one band over all levels
        energies = area if self.together else area * transform.bands
        kept = area * transform.bands * channels + energies
        limits = 12 * channels if self.limit else 0
        return 4 * kept + limits, 4 * (channels * (2 + transform.trees) + 1)

    def start(
        self, region: Region, channels: int, dtype: np.dtype[Any], calibration: Blend
    ) -> _State:
        """Allocate bands and peak."""
        mirror = None if self.transform().mirror is None else self._mirror
        floats = FloatPlanes(region, self.halo, dtype, calibration.fill, mirror, self.grid_step)
        return _State(self, region, floats, channels, dtype, calibration)


class _State(BlendingState):
    """Kept coefficients of one region, halo included."""

    def __init__(
        self,
        method: BandMethod,
        region: Region,
        floats: FloatPlanes,
        channels: int,
        dtype: np.dtype[Any],
        blend: Blend,
    ) -> None:
        super().__init__(region, floats, dtype, blend)
        self._transform = transform = method.transform()
        self._floor = blend.noise**2 * transform.gain * transform.fading ** (method.levels - 1)
        self._fine_bands = transform.bands == 1
        shapes = level_shapes(floats.shape, method.levels)
        of_bands = shapes[:-1] if self._fine_bands else shapes[1:]
        groups = 1 if method.together else transform.bands
        self._best = [np.full((groups, *s), -1, np.float32) for s in of_bands]
        self._kept = [np.zeros((transform.bands, channels, *s), np.float32) for s in of_bands]
        self._base = WeightedMean(transform.trees * channels, shapes[-1])
        self._base_shape = (transform.trees, channels, *shapes[-1])
        self._range = PixelRange(channels, floats.shape) if method.limit else None

    def add_plane(self, pixels: NDArray[Any]) -> None:
        """Fold one plane (C, Y, X)."""
        planes, invalid = self._floats.to_float(pixels)
        if self._range:
            self._range.add(planes, invalid)
        low = planes[None]
        for level, (best, kept) in enumerate(zip(self._best, self._kept, strict=True)):
            bands, low = self._transform.split(level, low)
            unknown = invalid
            if invalid is not None:
                invalid = reduced(invalid)
                unknown = unknown if self._fine_bands else invalid
            decision = mix(bands.swapaxes(0, 1), self._weights)
            self._keep(decision, bands, unknown, best, kept)
        exponent = np.empty(decision.shape[1:], np.float32)
        log_energy(decision, self._floor, exponent)
        if self._fine_bands:
            exponent = reduced(exponent)
        exponent *= _BASE_POWER
        self._base.add(exponent, low.reshape(-1, *low.shape[2:]), invalid)

    def _keep(
        self, decision: Plane, bands: Plane, invalid: Plane | None, best: Plane, kept: Plane
    ) -> None:
        if invalid is not None:  # NaN energy never wins
            decision = np.where(invalid > 0, np.float32(np.nan), decision)
        groups = len(best)
        for g in range(groups):
            own = slice(None) if groups == 1 else slice(g, g + 1)
            shape = (-1, *best.shape[1:])
            keep_strongest(
                decision[own], bands[own].reshape(shape), best[g], kept[own].reshape(shape)
            )

    def image(self) -> Plane:
        """Join the bands that were kept."""
        low = self._base.finish().reshape(self._base_shape)
        for level in range(len(self._kept) - 1, -1, -1):
            low = self._transform.join(level, self._kept.pop(), low)
        image: Plane = low[0]
        return np.clip(image, self._range.low, self._range.high) if self._range else image
