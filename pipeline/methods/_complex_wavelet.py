"""Dual-tree complex wavelets: the plane with the largest magnitudes wins, the low-pass is averaged.

Forster, Van De Ville, Berent, Sage & Unser (Complex wavelets for extended depth-of-field: a new
method for the fusion of multichannel microscopy images, Microsc. Res. Tech. 65, 2004), here on
Kingsbury's dual tree (2001) instead of complex Daubechies wavelets: four wavelet transforms whose
filters lie half a sample apart in x, y or both. Together they are nearly shift-invariant, so
coefficients of different planes meet with little ringing, and their mean rebuilds the image.

The real and imaginary parts of a level's six orientations are sums and differences of the four
trees' bands, so the sum of all squares *is* the sum of the six squared magnitudes, and is all that
the decision needs. Forster's two checks, a vote among orientations and a majority among 3 x 3
neighbours, correct winners afterwards and need the planes twice; here magnitudes are pooled over
the orientations and 3 x 3 neighbours before planes are compared, which makes both agree from the
start and keeps the method a fold. His last step, giving pixels values of the stack, is `limit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from zfuse.kernels import analyse_plane, synthesise_plane
from zfuse.pipeline.methods.parts import BandMethod, BandTransform, dual_tree

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["ComplexWavelet"]

_TREES = ((0, 0), (0, 1), (1, 0), (1, 1))  # tree along y, along x


class ComplexWavelet(BandMethod):
    """Merge planes in the bands of a dual-tree complex wavelet transform."""

    name: Literal["complex-wavelet"] = "complex-wavelet"
    levels: int = Field(3, ge=1, le=7, description="sizes of detail, each twice as coarse")

    def transform(self) -> BandTransform:
        """Return the transform."""
        return _DualTree()


class _DualTree(BandTransform):
    """Four wavelet transforms side by side: twelve real bands a level, half as fine as it."""

    trees = len(_TREES)
    bands = 3 * len(_TREES)

    def __init__(self) -> None:
        self._banks = (dual_tree(first=True), dual_tree(first=False))
        self.mirror = max(bank.mirror for level in self._banks for bank in level)
        self.reach = max(bank.reach for level in self._banks for bank in level)

    def split(self, level: int, planes: Plane) -> tuple[Plane, Plane]:
        """Filter every tree; all four start from the one plane of level 0."""
        _, channels, height, width = planes.shape
        shape = (channels, height // 2, width // 2)
        bands, coarse = np.empty((12, *shape), np.float32), np.empty((4, *shape), np.float32)
        banks = self._banks[min(level, 1)]
        for t, (y, x) in enumerate(_TREES):
            for c, plane in enumerate(planes[t if level else 0]):
                analyse_plane(
                    plane, banks[y].down, banks[x].down, banks[y].origin, banks[x].origin,
                    coarse[t, c], bands[3 * t, c], bands[3 * t + 1, c], bands[3 * t + 2, c],
                )  # fmt: skip
        return bands, coarse

    def join(self, level: int, bands: Plane, coarse: Plane) -> Plane:
        """Rebuild every tree; level 0 is the mean of all four."""
        _, channels, height, width = coarse.shape
        planes = np.zeros((4 if level else 1, channels, 2 * height, 2 * width), np.float32)
        banks, scale = self._banks[min(level, 1)], 1 if level else 1 / len(_TREES)
        for t, (y, x) in enumerate(_TREES):
            for c, plane in enumerate(planes[t if level else 0]):
                synthesise_plane(
                    coarse[t, c], bands[3 * t, c], bands[3 * t + 1, c], bands[3 * t + 2, c],
                    banks[y].up, banks[x].up, banks[y].origin, banks[x].origin, scale, plane,
                )  # fmt: skip
        return planes
