"""Wavelets: the plane with the strongest coefficients wins, band by band; the low-pass is averaged.

Li, Manjunath & Mitra (Multisensor image fusion using the wavelet transform, Graph. Models Image
Process. 57, 1995) on Mallat's discrete transform (A theory for multiresolution signal
decomposition, IEEE PAMI 11, 1989). Their consistency check, a majority vote among the winners of 3
x 3 neighbours, needs the planes twice; here the *energies* of 3 x 3 neighbours, and of the three
orientations of a level, are summed before planes are compared, so that neighbours agree from the
start.

The transform keeps every second coefficient and is not shift-invariant: where coefficients of
different planes meet, faint ringing remains. `complex-wavelet` has less of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from zfuse.kernels import analyse_plane, synthesise_plane
from zfuse.pipeline.methods.parts import BandMethod, BandTransform, WaveletName, wavelet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["Wavelet"]


class Wavelet(BandMethod):
    """Merge planes in the bands of a discrete wavelet transform."""

    name: Literal["wavelet"] = "wavelet"
    wavelet: WaveletName = Field(
        "sym4", description="shape of detail; haar is quick and blocky, large numbers ripple more"
    )
    levels: int = Field(3, ge=1, le=7, description="sizes of detail, each twice as coarse")

    def transform(self) -> BandTransform:
        """Return the transform."""
        return _Wavelets(self.wavelet)


class _Wavelets(BandTransform):
    """Mallat's transform: three bands a level, half as fine as the level."""

    bands = 3

    def __init__(self, name: WaveletName) -> None:
        self._bank = wavelet(name)
        self.reach = self._bank.reach
        self.mirror = self._bank.mirror

    def split(self, level: int, planes: Plane) -> tuple[Plane, Plane]:
        """Filter and keep every second sample."""
        _, channels, height, width = planes.shape
        shape = (channels, height // 2, width // 2)
        bands, coarse = np.empty((3, *shape), np.float32), np.empty((1, *shape), np.float32)
        taps, origin = self._bank.down, self._bank.origin
        for c, plane in enumerate(planes[0]):
            analyse_plane(
                plane, taps, taps, origin, origin,
                coarse[0, c], bands[0, c], bands[1, c], bands[2, c],
            )  # fmt: skip
        return bands, coarse

    def join(self, level: int, bands: Plane, coarse: Plane) -> Plane:
        """Put samples between and filter."""
        _, channels, height, width = coarse.shape
        planes = np.zeros((1, channels, 2 * height, 2 * width), np.float32)
        taps, origin = self._bank.up, self._bank.origin
        for c, plane in enumerate(planes[0]):
            synthesise_plane(
                coarse[0, c], bands[0, c], bands[1, c], bands[2, c],
                taps, taps, origin, origin, 1, plane,
            )  # fmt: skip
        return planes
