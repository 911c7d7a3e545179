"""A small rendered focal stack with known truth, for the demo and for tests.

Duty: a relief with a microscope-like texture, defocus that grows with the distance from the focal
plane, photon and read noise. Everything follows from the seed.
Must not know: files, methods, real optics (a Gaussian stands in for the point spread function).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Phantom", "render_phantom"]

_LAYERS_PER_PLANE = 2  # a surface half-way between planes must be half a plane out of focus in both
_FULL_SCALE = 40_000.0  # counts of a fully lit pixel: leaves a 16-bit camera head room for noise
_OFFSET = 400.0  # counts that the camera adds, so that read noise is not clipped at zero


@dataclass(frozen=True)
class Phantom:
    """A focal stack and the truth behind it.

    Attributes
    ----------
    planes
        (Z, Y, X) uint16 counts, with noise.
    image
        (Y, X) float32 counts: every pixel in focus, without noise.
    depth
        (Y, X) float32, in planes from 0.
    z_step
        Distance between planes in µm.
    pixel_size
        Size of a pixel in µm.
    """

    planes: NDArray[np.uint16]
    image: NDArray[np.float32]
    depth: NDArray[np.float32]
    z_step: float
    pixel_size: float


def render_phantom(
    planes: int = 24,
    size: int = 512,
    photons: float = 2000.0,
    seed: int = 0,
    *,
    blur: float = 1.0,
    read_noise: float = 2.0,
    z_step: float = 2.0,
    pixel_size: float = 0.5,
) -> Phantom:
    """Render a focal stack of a rough relief: slopes, a step, spheres, fractal roughness.

    The relief is cut into layers half a plane thick; each layer is blurred by its distance from
    the focal plane, and the plane is the sum of the layers divided by the sum of their blurred
    outlines (normalised convolution). Occlusion is therefore only rough: out-of-focus light mixes
    across a step, but a near edge does not hide what lies behind it.

    Parameters
    ----------
    planes
        Number of planes, at least 4.
    size
        Height and width in pixels, at least 32.
    photons
        Photons in a fully lit pixel; fewer means more noise.
    seed
        Seed of texture, relief and noise.
    blur
        Standard deviation of the defocus in pixels, for each plane out of focus.
    read_noise
        Standard deviation of the camera's noise in electrons.
    z_step, pixel_size
        Calibration in µm, handed through.

    Returns
    -------
    Phantom
        The stack and its truth.

    Raises
    ------
    ValueError
        Too few planes or pixels, or no light.
    """
    if planes < 4 or size < 32 or photons <= 0:
        raise ValueError(
            f"a phantom of {planes} planes of {size} px with {photons} photons cannot be rendered: "
            "use at least 4 planes, 32 px and more than 0 photons"
        )
    rng = np.random.default_rng(seed)
    margin = int(np.ceil(blur * planes)) + 4  # what is blurred round the FFT's edge is cut off
    field = size + 2 * margin
    relief = _relief(field, margin, planes, rng)
    surface = _surface(relief, rng)
    sharp = _OFFSET + _FULL_SCALE * surface

    inner = slice(margin, margin + size)
    gain = _FULL_SCALE / photons  # counts a photon
    stack = np.empty((planes, size, size), np.uint16)
    for index, plane in enumerate(_defocus(surface, relief, planes, blur)):
        electrons = rng.poisson(photons * plane[inner, inner].clip(0)).astype(np.float32)
        electrons += read_noise * rng.standard_normal(electrons.shape, np.float32)
        stack[index] = np.rint(_OFFSET + gain * electrons).clip(0, 65535)
    return Phantom(
        planes=stack,
        image=np.ascontiguousarray(sharp[inner, inner]),
        depth=np.ascontiguousarray(relief[inner, inner]),
        z_step=z_step,
        pixel_size=pixel_size,
    )


def _relief(field: int, margin: int, planes: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Surface depth in planes, inside the stack by one and a half planes at both ends."""
    size = field - 2 * margin
    y, x = (np.mgrid[:field, :field].astype(np.float32) - margin) / size  # 0..1 inside the picture
    height = 0.25 * x + 0.12 * y
    # A terrace with a straight and a curved edge: the step.
    height += 0.28 * ((x > 0.62) & (y < 0.42 + 0.06 * np.sin(9 * x)))
    for cx, cy, radius, top in (
        (0.28, 0.30, 0.17, 0.42),
        (0.66, 0.72, 0.20, 0.50),
        (0.20, 0.78, 0.10, 0.30),
        (0.43, 0.55, 0.06, 0.22),
        (0.84, 0.20, 0.09, 0.26),
    ):
        cap = 1 - ((x - cx) ** 2 + (y - cy) ** 2) / radius**2
        height += top * np.sqrt(cap.clip(0)) * (0.9 + 0.2 * rng.random())
    height += 0.022 * _fractal(field, 2.0, rng)
    visible = height[margin:-margin, margin:-margin]
    low, high = visible.min(), visible.max()
    depth = 1.5 + (planes - 4) * (height - low) / (high - low)
    return np.asarray(depth.clip(0, planes - 1), np.float32)


def _surface(relief: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Brightness 0..1 of the surface in focus: texture, specks and pits, lit from one side."""
    from scipy import ndimage

    field = len(relief)
    grain = 0.2 * _fractal(field, 1.3, rng) + 0.5 * _fractal(field, 0.5, rng)
    veins = np.exp(-np.abs(_fractal(field, 1.5, rng)) / 0.06)  # thin lines where noise crosses 0
    texture = 0.78 + 0.22 * np.tanh(_fractal(field, 2.4, rng))  # some areas show less texture
    log_brightness = texture * (grain - 0.8 * veins)
    # Light from the upper left; the relief is smoothed so that roughness does not turn into noise.
    shade_y, shade_x = np.gradient(ndimage.gaussian_filter(relief, 2.0))
    log_brightness += 0.7 * np.tanh(2.5 * (shade_x + shade_y))
    specks = ndimage.gaussian_filter((rng.random((field, field)) < 5e-4).astype(np.float32), 1.2)
    pits = ndimage.gaussian_filter((rng.random((field, field)) < 5e-4).astype(np.float32), 2.2)
    brightness = 0.34 * np.exp(log_brightness) + 2.5 * specks - 3.0 * pits
    # The optics' own blur in focus, without which single-pixel detail would alias.
    brightness = ndimage.gaussian_filter(brightness, 0.7)
    return np.asarray(brightness.clip(0.02, 1.0), np.float32)


def _defocus(
    surface: NDArray[np.float32], relief: NDArray[np.float32], planes: int, blur: float
) -> list[NDArray[np.float32]]:
    """Noise-free planes by layered rendering, one array (Y, X) a plane."""
    from scipy import fft

    position = relief * _LAYERS_PER_PLANE
    frequency = fft.fftfreq(len(surface)).astype(np.float32)
    radius = frequency[:, None] ** 2 + frequency[None, :] ** 2
    # Brightness and outline travel as real and imaginary part: one FFT blurs both.
    packed = surface + 1j
    layers = {}
    for layer in range((planes - 1) * _LAYERS_PER_PLANE + 1):
        weight = (1 - np.abs(position - layer)).clip(0)  # linear between neighbouring layers
        if weight.any():
            layers[layer] = fft.fft2((weight * packed).astype(np.complex64), workers=2)
    rendered = []
    for plane in range(planes):
        total = np.zeros_like(packed, dtype=np.complex64)
        for layer, spectrum in layers.items():
            sigma = blur * abs(layer / _LAYERS_PER_PLANE - plane)
            total += np.exp(-2 * (np.pi * sigma) ** 2 * radius) * spectrum
        mixed = fft.ifft2(total, workers=2, overwrite_x=True)
        rendered.append(np.asarray(mixed.real / mixed.imag.clip(1e-3), np.float32))
    return rendered


def _fractal(size: int, exponent: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise (size, size) with amplitude spectrum 1/f**exponent, mean 0, standard deviation 1."""
    from scipy import fft

    frequency = np.hypot(fft.fftfreq(size)[:, None], fft.rfftfreq(size)[None, :])
    frequency[0, 0] = np.inf
    spectrum = fft.rfft2(rng.standard_normal((size, size), np.float32)) / frequency**exponent
    noise = fft.irfft2(spectrum, (size, size))
    return np.asarray(noise / noise.std(), np.float32)
