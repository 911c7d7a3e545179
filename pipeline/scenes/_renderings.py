"""Noise-free focal stacks of surfaces on random reliefs, rendered and kept while they serve.

Any sharp image is training data: laid on a random relief and rendered by the simulator's optics it
becomes a focal stack whose truth and depth are known. Must not know: cameras, networks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import fft, special

from zfuse.pipeline.scenes._images import cropped, turned
from zfuse.pipeline.simulation import (
    PER_PLANE,
    layer_count,
    make_relief,
    make_texture,
    render_surface,
    render_surface_fast,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from zfuse.pipeline.simulation import ReliefKind, TextureKind

    Maps = NDArray[np.float32]
    Surface = Callable[[int, Maps, np.random.Generator], Maps]

__all__ = ["Rendering", "Renderings", "photos", "texture"]

_RELIEFS: tuple[ReliefKind, ...] = ("mixed", "slope", "steps", "fractal", "spheres")
_TEXTURES: tuple[TextureKind, ...] = ("rough", "fine", "sparse", "weak", "spots")
_POOL = 48  # rendered stacks that are kept: rendering costs 50 to 500 ms, cropping and noise 3 ms
_RENEW = 6  # steps of the training after which the oldest of them gives way to a new one


class Rendering(NamedTuple):
    clean: Maps  # (N, Y, X)
    truth: Maps  # (Y, X)
    depth: Maps  # (Y, X) in planes


class Renderings:
    """Rendered stacks by number, the latest kept; every number is always the same stack."""

    def __init__(self, blur: tuple[float, float], crop: int, planes: int, surface: Surface) -> None:
        self._blur = blur
        self._crop = crop
        self._planes = planes
        self._surface = surface
        self._kept: dict[int, Rendering] = {}

    def draw(self, rng: np.random.Generator, step: int) -> Rendering:
        """Cut a turned crop from one of the stacks that are at hand at this step."""
        oldest = step // _RENEW
        number = oldest + int(rng.integers(_POOL))
        if number not in self._kept:
            self._kept[number] = self._render(np.random.default_rng(number))
        for old in [n for n in list(self._kept) if n < oldest - 2]:  # threads may be steps apart
            self._kept.pop(old, None)
        clean, truth, depth = self._kept[number]
        maps = np.stack([truth, depth, *clean])[..., None]
        maps = turned(cropped(maps, self._crop, rng), rng)[..., 0]
        return Rendering(maps[2:], maps[0], np.ascontiguousarray(maps[1]))

    def _render(self, rng: np.random.Generator) -> Rendering:
        blur = float(np.exp(rng.uniform(*np.log(self._blur))))
        margin = int(np.ceil(blur * self._planes)) + 4
        field = fft.next_fast_len(int(1.5 * self._crop) + 2 * margin)
        relief = _RELIEFS[int(rng.integers(len(_RELIEFS)))]
        depth = make_relief(relief, field, margin, self._planes, rng)
        surface = self._surface(field, depth, rng)
        render = render_surface if rng.random() < 0.25 else render_surface_fast
        transfer = defocus(blur, rng.random(), self._planes, field)
        rendered = render(surface, depth, transfer, self._planes)
        inner = (slice(margin, -margin),) * 2
        clean = np.stack([plane[inner] for plane in rendered])
        return Rendering(clean.clip(0), surface[inner], depth[inner])


def defocus(blur: float, disc: float, planes: int, field: int) -> Maps:
    """Return transfer functions by distance in layers, of a blur that grows by `blur` px a plane.

    `disc` is the part of its variance that is a disc's (geometrical optics: radius two standard
    deviations); the rest is a Gaussian's. Microscopes lie between the two.
    """
    squared = fft.fftfreq(field)[:, None] ** 2 + fft.rfftfreq(field)[None, :] ** 2
    sigma = blur * np.arange(layer_count(planes))[:, None, None] / PER_PLANE
    gaussian = np.exp(-2 * (1 - disc) * (np.pi * sigma) ** 2 * squared)
    radius = 2 * np.pi * 2 * np.sqrt(disc) * sigma * np.sqrt(squared)
    jinc = np.divide(2 * special.j1(radius), radius, out=np.ones_like(radius), where=radius > 0)
    return np.asarray(gaussian * jinc, np.float32)


def texture(field: int, depth: Maps, rng: np.random.Generator) -> Maps:
    return make_texture(_TEXTURES[int(rng.integers(len(_TEXTURES)))], depth, rng)


def photos(images: list[NDArray[np.uint8]]) -> Surface:
    """Return what cuts a square of a random image as one grey surface."""

    def photo(field: int, depth: Maps, rng: np.random.Generator) -> Maps:
        image = images[rng.integers(len(images))]
        if min(image.shape[:2]) < field:
            room = [(0, max(0, field - n)) for n in image.shape[:2]]
            image = np.pad(image, [*room, (0, 0)], "wrap")
        cut = turned(cropped(image[None], field, rng), rng)[0].astype(np.float32) / 255
        weights = rng.dirichlet((1.0, 1.0, 1.0)).astype(np.float32)
        return np.ascontiguousarray(cut @ weights)

    return photo
