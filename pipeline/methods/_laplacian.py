"""Laplacian pyramid: in every band the strongest detail wins, the coarsest level is averaged.

Burt & Kolczynski (Enhanced image capture through fusion, ICCV 1993): band-pass levels of Burt &
Adelson's pyramid (1983), the plane with most energy in 3 x 3 coefficients wins each coefficient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from zfuse.kernels import add_expanded, reduce_plane, subtract_expanded
from zfuse.pipeline.methods.parts import BandMethod, Transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["Laplacian", "LaplacianTransform"]


class Laplacian(BandMethod):
    """Merge planes band by band in a Laplacian pyramid."""

    name: Literal["laplacian"] = "laplacian"
    levels: int = Field(4, ge=1, le=8, description="levels; each doubles the scale")

    def transform(self) -> Transform:
        """Return the pyramid."""
        return LaplacianTransform()


class LaplacianTransform(Transform):
    """Burt & Adelson's pyramid: one band a level, as fine as the level itself."""

    bands = 1
    gain = 0.16  # from level 1 on; measured
    fading = 0.25
    reach = 5.5  # down 2, up 1 again, energy of 3 x 3 pixels reduced, up 2

    def split(self, level: int, planes: Plane) -> tuple[Plane, Plane]:
        """Subtract what the next level knows."""
        _, channels, height, width = planes.shape
        coarse = np.empty((1, channels, (height + 1) // 2, (width + 1) // 2), np.float32)
        for plane, reduced in zip(planes[0], coarse[0], strict=True):
            reduce_plane(plane, reduced)
            subtract_expanded(plane, reduced, plane)
        return planes, coarse

    def join(self, level: int, bands: Plane, coarse: Plane) -> Plane:
        """Add it again."""
        for band, reduced in zip(bands[0], coarse[0], strict=True):
            add_expanded(band, reduced, band)
        return bands
