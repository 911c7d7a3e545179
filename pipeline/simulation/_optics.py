"""The microscope's point spread function, and what it does to spatial frequencies.

Duty: scalar diffraction from NA, wavelength, refractive index, pixel size and defocus. Must not
know: specimens, noise, files.

The amplitude at distance r from the axis and z from the focal plane is the Debye integral over the
cone of light that the objective takes in (Born & Wolf, Principles of Optics, 7th ed., 8.8; with the
sine condition's apodisation as in Gu, Advanced Optical Imaging Theory, 2000, 6.2):

    A(r, z) = ∫ sqrt(cos θ) J0(k n r sin θ) exp(i k n z cos θ) sin θ dθ,   0 <= sin θ <= NA / n

It is what Gibson & Lanni (1992) reduces to when specimen, cover slip and immersion are as designed:
spherical aberration from a mismatch of refractive indices is not modelled, nor is polarisation.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field, model_validator

from zfuse.pipeline.core import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Optics", "psf", "transfer_functions"]


class Optics(Settings):
    """Objective, light and sampling."""

    na: float = Field(0.4, gt=0, description="numerical aperture")
    wavelength: float = Field(0.55, gt=0, description="µm, in vacuum")
    index: float = Field(1.0, ge=1, description="refractive index of immersion and specimen")
    pixel_size: float = Field(0.5, gt=0, description="µm in the specimen")
    z_step: float = Field(2.5, gt=0, description="µm between planes")

    @model_validator(mode="after")
    def _light_enters(self) -> Self:
        if self.na > 0.99 * self.index:
            raise ValueError(
                f"an NA of {self.na} cannot be had at a refractive index of {self.index}: the NA "
                f"is at most {0.99 * self.index:.4g} there; lower the NA or raise the index"
            )
        return self

    @cached_property
    def half_angle(self) -> float:
        """Half of the cone's opening angle in radian."""
        return float(np.arcsin(self.na / self.index))

    def blur_radius(self, z: float) -> float:
        """Radius in µm of what a point becomes `z` µm out of focus: geometry plus diffraction."""
        return abs(z) * float(np.tan(self.half_angle)) + 5 * self.wavelength / self.na


def psf(optics: Optics, r: ArrayLike, z: ArrayLike) -> NDArray[np.float64]:
    """Intensity of the image of a point.

    Parameters
    ----------
    optics
        NA, wavelength and index.
    r
        Distances from the axis in µm, 1-D.
    z
        Distances from the focal plane in µm, 1-D.

    Returns
    -------
    NDArray
        (z, r) in 1/µm²; the integral over each plane is 1, at every defocus.
    """
    from scipy.special import j0

    r, z = np.atleast_1d(np.asarray(r, float)), np.atleast_1d(np.asarray(z, float))
    k = 2 * np.pi * optics.index / optics.wavelength
    # Gauss-Legendre panels of 16 nodes, one for every two oscillations of the integrand.
    waves = k * (np.max(np.abs(r)) + np.max(np.abs(z))) * optics.half_angle / (2 * np.pi)
    panels = int(2 + waves / 2)
    nodes, weights = np.polynomial.legendre.leggauss(16)
    width = optics.half_angle / panels
    theta = (width * (np.arange(panels)[:, None] + (nodes + 1) / 2)).ravel()
    pupil = np.tile(weights * width / 2, panels) * np.sqrt(np.cos(theta)) * np.sin(theta)
    phase = np.exp(1j * k * np.outer(z, np.cos(theta) - 1))
    bessel = j0(k * np.outer(np.sin(theta), r))
    amplitude = (pupil * phase) @ bessel
    # Parseval: the power through any plane is that through the pupil.
    power = 2 * np.pi * (1 - np.cos(optics.half_angle)) / k**2
    return np.asarray((amplitude.real**2 + amplitude.imag**2) / power)


def transfer_functions(
    optics: Optics, distances: Sequence[float], field: int
) -> NDArray[np.float32]:
    """Compute how much of each spatial frequency is left after defocus and on the camera's pixels.

    Parameters
    ----------
    optics
        NA, wavelength, index and pixel size.
    distances
        Defocus in µm.
    field
        Height and width of the picture in pixels.

    Returns
    -------
    NDArray
        (distances, field, field // 2 + 1) for the frequencies of ``rfft2``; 1 at frequency 0.
    """
    from scipy import fft
    from scipy.special import j0

    # 0.3 % of the light in focus falls beyond 30 λ/NA (Airy's 2 / (π v)), and that is smooth.
    radius = max(optics.blur_radius(z) for z in distances) + 25 * optics.wavelength / optics.na
    step = optics.wavelength / (8 * optics.na)  # twice what the band limit 2 NA / λ asks for
    r = np.arange(0, radius + step, step)
    weights = 2 * np.pi * r * step
    weights[0] = np.pi * step**2 / 6  # the trapezoid rule's end correction (Euler-Maclaurin)
    cutoff = 2 * optics.na / optics.wavelength
    nyquist = np.sqrt(0.5) / optics.pixel_size  # along the diagonal
    # A disc of this radius makes rings in frequency; eight samples a ring.
    f = np.linspace(0, min(cutoff, nyquist), int(32 + 8 * radius * min(cutoff, nyquist)))
    radial = (psf(optics, r, distances) * weights) @ j0(2 * np.pi * np.outer(r, f))
    radial[:, 0] = 1  # with the light beyond the radius

    fy, fx = fft.fftfreq(field), fft.rfftfreq(field)
    frequency = np.hypot(fy[:, None], fx[None, :]) / optics.pixel_size
    pixel = np.sinc(fy)[:, None] * np.sinc(fx)[None, :]
    return np.stack(
        [(np.interp(frequency, f, row, right=0) * pixel).astype(np.float32) for row in radial]
    )
