"""Laplacian pyramid: in every band the strongest detail wins, the coarsest level is averaged.

Burt & Kolczynski (Enhanced image capture through fusion, ICCV 1993): band-pass levels of Burt &
Adelson's pyramid (1983), the plane with most energy in 3 x 3 coefficients wins each coefficient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from zfuse.pipeline.methods.parts import BandMethod, BandTransform, join_band, split_band

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["Laplacian"]


class Laplacian(BandMethod):
    """Merge planes band by band in a Laplacian pyramid."""

    name: Literal["laplacian"] = "laplacian"
    levels: int = Field(4, ge=1, le=8, description="sizes of detail, each twice as coarse")

    def transform(self) -> BandTransform:
        """Return the pyramid."""
        return _LaplacianPyramid()


class _LaplacianPyramid(BandTransform):
    """Burt & Adelson's pyramid: one band a level, as fine as the level itself."""

    bands = 1
    gain = 0.16  # from level 1 on; measured
    fading = 0.25
    reach = 5.5  # down 2, up 1 again, energy of 3 x 3 pixels reduced, up 2

    def split(self, level: int, planes: Plane) -> tuple[Plane, Plane]:
        """Subtract what the next level knows."""
        coarse = split_band(planes)
        return planes, coarse

    def join(self, level: int, bands: Plane, coarse: Plane) -> Plane:
        """Add it again."""
        join_band(bands, coarse)
        return bands
