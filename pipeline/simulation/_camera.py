"""The camera: from the light that falls on it to counts, with noise.

Duty: photon noise, read noise, gain, offset, bit depth. Must not know: optics, specimens, files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from zfuse.pipeline.core import Settings

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Camera"]

_HEAD_ROOM = 0.62  # of the range is full scale: noise and highlights have room above it


class Camera(Settings):
    """Noise and scale of a camera."""

    photons: float = Field(2000.0, gt=0, description="detected photons in a pixel at full scale")
    read_noise: float = Field(1.6, ge=0, description="standard deviation in electrons")
    offset: float = Field(200.0, ge=0, description="counts that the camera adds")
    bits: Literal[12, 16] = Field(16, description="bit depth; 12 bits are stored in 16")

    @property
    def full_scale(self) -> float:
        """Counts, above the offset, of a pixel that gets all `photons`."""
        return float(round(_HEAD_ROOM * 2**self.bits))

    def counts(self, light: ArrayLike) -> NDArray[np.float32]:
        """Scale light (1 is full scale) to counts, without noise."""
        light = np.asarray(light, np.float32)
        return np.asarray(self.offset + self.full_scale * light, np.float32)

    def expose(self, light: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint16]:
        """Take a picture.

        Parameters
        ----------
        light
            Expected light, 1 is full scale; less than none counts as none.
        rng
            Source of the noise.

        Returns
        -------
        NDArray
            Counts: mean `counts(light)`, variance gain² (photons · light + read noise²) with a
            gain of ``full_scale / photons`` counts an electron, rounded and clipped to the range.
        """
        electrons = rng.poisson(self.photons * light.clip(0)).astype(np.float32)
        electrons += self.read_noise * rng.standard_normal(electrons.shape, np.float32)
        counts = self.offset + self.full_scale / self.photons * electrons
        return np.asarray(np.rint(counts).clip(0, 2**self.bits - 1), np.uint16)
