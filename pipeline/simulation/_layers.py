"""Rendering by layers: slices of a specimen, each blurred by its distance from the focal plane.

Duty: noise-free planes from slices and a transfer function a distance. Layers lie at fractions of a
plane (`PER_PLANE`), so that what is half-way between planes is half a plane out of focus in both.
Must not know: where transfer functions come from, what is rendered, noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["PER_PLANE", "layer_count", "render_surface", "render_surface_fast", "render_volume"]

PER_PLANE = 2


def layer_count(planes: int) -> int:
    """Layers of a stack: the first and the last lie on the first and the last plane."""
    return (planes - 1) * PER_PLANE + 1


def render_volume(
    layers: NDArray[np.float32], transfer: NDArray[np.float32], planes: int
) -> Iterator[NDArray[np.float32]]:
    """Render something transparent: every layer adds to every plane.

    Parameters
    ----------
    layers
        (layers, N, N) brightness or absorbance.
    transfer
        (layers, N, N // 2 + 1) what is left of each frequency, by distance in layers.
    planes
        Planes of the stack.

    Yields
    ------
    NDArray
        (N, N) float32, one a plane.
    """
    from scipy import fft

    field = layers.shape[-1]
    spectra = {n: fft.rfft2(layer) for n, layer in enumerate(layers) if layer.any()}
    for plane in range(planes):
        total = np.zeros(transfer.shape[1:], np.complex64)
        for layer, spectrum in spectra.items():
            total += transfer[abs(layer - plane * PER_PLANE)] * spectrum
        yield fft.irfft2(total, (field, field)).astype(np.float32)


def render_surface(
    surface: NDArray[np.float32],
    depth: NDArray[np.float32],
    transfer: NDArray[np.float32],
    planes: int,
) -> Iterator[NDArray[np.float32]]:
    """Render something opaque, seen from above: what is nearer (higher) hides what is behind it.

    From the nearest layer to the farthest, each covers as much of a pixel as its blurred outline
    says and as the nearer ones have left. So an edge in focus hides the blurred ground behind it,
    and an edge out of focus lets it shine through.

    Parameters
    ----------
    surface
        (N, N) brightness in focus.
    depth
        (N, N) in planes.
    transfer
        (layers, N, N // 2 + 1) what is left of each frequency, by distance in layers.
    planes
        Planes of the stack.

    Yields
    ------
    NDArray
        (N, N) float32, one a plane.
    """
    from scipy import fft

    spectra = _spectra(surface, depth, planes)
    whole = _both_halves(transfer)
    for plane in range(planes):
        left = np.ones_like(surface)
        total = np.zeros_like(surface)
        for layer in sorted(spectra, reverse=True):
            both = whole[abs(layer - plane * PER_PLANE)] * spectra[layer]
            blurred = fft.ifft2(both, overwrite_x=True)
            cover = blurred.imag
            taken = np.minimum(cover, left).clip(0)
            total += blurred.real * (taken / np.maximum(cover, 1e-4))
            left -= taken
        yield total / (1 - left).clip(1e-3)


def render_surface_fast(
    surface: NDArray[np.float32],
    depth: NDArray[np.float32],
    transfer: NDArray[np.float32],
    planes: int,
) -> Iterator[NDArray[np.float32]]:
    """Render something opaque, roughly: the sum of the blurred layers over that of their outlines.

    One inverse transform a plane instead of one a layer (normalised convolution). Light mixes
    across a step whatever is in focus; the near edge hides nothing.

    Parameters
    ----------
    surface, depth, transfer, planes
        See `render_surface`.

    Yields
    ------
    NDArray
        (N, N) float32, one a plane.
    """
    from scipy import fft

    spectra = _spectra(surface, depth, planes)
    whole = _both_halves(transfer)
    for plane in range(planes):
        total = np.zeros(surface.shape, np.complex64)
        for layer, spectrum in spectra.items():
            total += whole[abs(layer - plane * PER_PLANE)] * spectrum
        mixed = fft.ifft2(total, overwrite_x=True)
        yield mixed.real / mixed.imag.clip(1e-3)


def _spectra(
    surface: NDArray[np.float32], depth: NDArray[np.float32], planes: int
) -> dict[int, NDArray[np.complex64]]:
    """Spectra of the layers that hold something, by their number."""
    from scipy import fft

    # Brightness and outline travel as real and imaginary part: one transform blurs both.
    packed = (surface + 1j).astype(np.complex64)
    position = depth * PER_PLANE
    spectra = {}
    for layer in range(layer_count(planes)):
        weight = (1 - np.abs(position - layer)).clip(0)  # linear between neighbouring layers
        if weight.any():
            spectra[layer] = fft.fft2(weight * packed)
    return spectra


def _both_halves(transfer: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill up what ``rfft2`` leaves out: transfer functions are symmetric."""
    field = transfer.shape[1]
    mirrored = transfer[:, :, 1 : (field + 1) // 2][:, :, ::-1]
    return np.concatenate([transfer, mirrored], axis=2)
