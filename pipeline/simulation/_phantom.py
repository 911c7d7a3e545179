"""A phantom: a quickly rendered focal stack with known truth, for demo, tests, figures.

Duty: a specimen, defocus that grows with the distance from the focal plane, photon and read noise.
Everything follows from the seed. Must not know: files, methods, optics: a Gaussian stands in for
the point spread function, unlike in `simulate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from zfuse.pipeline.simulation._camera import Camera
from zfuse.pipeline.simulation._diatoms import make_diatoms
from zfuse.pipeline.simulation._layers import PER_PLANE, layer_count, render_surface_fast
from zfuse.pipeline.simulation._relief import make_relief, make_texture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.simulation._relief import ReliefKind, TextureKind

__all__ = ["Phantom", "render_phantom"]

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
    relief: ReliefKind | Literal["diatoms"] = "mixed",
    texture: TextureKind = "rough",
    blur: float = 1.0,
    read_noise: float = 2.0,
    z_step: float = 2.0,
    pixel_size: float = 0.5,
) -> Phantom:
    """Render a focal stack of a relief: slopes, steps, spheres, fractals, or all of them.

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
    relief, texture
        Kinds of surface and of detail on it, see `make_relief` and `make_texture`; ``"diatoms"``
        have a texture of their own.
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
    if relief == "diatoms":
        depth, surface = make_diatoms(field, margin, planes, rng)
    else:
        depth = make_relief(relief, field, margin, planes, rng)
        surface = make_texture(texture, depth, rng)
    camera = Camera(photons=photons, read_noise=read_noise, offset=_OFFSET)
    sharp = camera.counts(surface)

    inner = slice(margin, margin + size)
    transfer = _gaussians(blur, planes, field)
    rendered = render_surface_fast(surface, depth, transfer, planes)
    stack = np.stack([camera.expose(plane[inner, inner], rng) for plane in rendered])
    return Phantom(
        planes=stack,
        image=np.ascontiguousarray(sharp[inner, inner]),
        depth=np.ascontiguousarray(depth[inner, inner]),
        z_step=z_step,
        pixel_size=pixel_size,
    )


def _gaussians(blur: float, planes: int, field: int) -> NDArray[np.float32]:
    """Transfer functions of a blur that grows by `blur` px a plane, for the layers' distances."""
    from scipy import fft

    squared = fft.fftfreq(field)[:, None] ** 2 + fft.rfftfreq(field)[None, :] ** 2
    sigma = blur * np.arange(layer_count(planes))[:, None, None] / PER_PLANE
    return np.asarray(np.exp(-2 * (np.pi * sigma) ** 2 * squared), np.float32)
