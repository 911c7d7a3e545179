"""Focal stacks that networks are trained on: surfaces on random reliefs, rendered and exposed.

Any sharp image is training data: laid on a random relief and rendered by the simulator's optics it
becomes a focal stack whose truth and depth are known. Must not know: networks, losses.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from pydantic import Field
from scipy import fft, ndimage, special

from zfuse.engines.training import Scene
from zfuse.pipeline.scenes._images import Source, cropped, sharp_images, turned
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

    from zfuse.engines.training import SceneSource
    from zfuse.pipeline.simulation import ReliefKind, TextureKind

    Maps = NDArray[np.float32]
    Surface = Callable[[int, Maps, np.random.Generator], Maps]

__all__ = ["Merged", "Sharp", "Simulated"]

_RELIEFS: tuple[ReliefKind, ...] = ("mixed", "slope", "steps", "fractal", "spheres")
_TEXTURES: tuple[TextureKind, ...] = ("rough", "fine", "sparse", "weak", "spots")
_POOL = 48  # rendered stacks that are kept: rendering costs 50 to 500 ms, cropping and noise 3 ms
_RENEW = 6  # steps of the training after which the oldest of them gives way to a new one


class _Stacks(Source):
    blur: tuple[float, float] = Field((0.3, 1.6), description="px of defocus a plane")
    photons: tuple[float, float] = Field((300.0, 3e5), description="at full scale")
    clean: float = Field(0.35, ge=0, le=1, description="part of the stacks without noise to tell")
    grain: float = Field(
        0.004, ge=0, description="of those: the most there is untold, of the range"
    )


class Sharp(_Stacks):
    """Focal stacks of sharp images that lie on random reliefs."""

    kind: Literal["sharp"] = "sharp"
    folders: tuple[Path, ...]
    numbers: tuple[int, int] | None = None

    def open(self, crop: int, planes: int, root: Path = Path()) -> SceneSource:
        """Read all images."""
        photo = _photos(sharp_images(self.folders, root, self.numbers))
        return _StackSource(self, _Renderings(self.blur, crop, planes, photo))


class Simulated(_Stacks):
    """Focal stacks of the simulator's textures on its reliefs."""

    kind: Literal["simulated"] = "simulated"

    def open(self, crop: int, planes: int, root: Path = Path()) -> SceneSource:
        """Nothing to read."""
        return _StackSource(self, _Renderings(self.blur, crop, planes, _texture))


class Merged(_Stacks):
    """Two neighbouring runs of planes, each as if fused: what a pairwise network meets in a stack.

    Runs of 1, 2 or 4 planes: each pixel of a run's image is that of the plane nearest in focus; the
    truth is the same of both runs together, so nothing that is sharp in neither can be asked for.
    Noise is white in single planes, less and smoother in what stands for fused ones.
    """

    kind: Literal["merged"] = "merged"
    folders: tuple[Path, ...] = Field((), description="of sharp images; none: the simulator's")
    numbers: tuple[int, int] | None = None
    depth: int = Field(10, ge=8, description="planes of the stacks that runs are taken from")

    def open(self, crop: int, planes: int, root: Path = Path()) -> SceneSource:
        """Read all images."""
        folders = sharp_images(self.folders, root, self.numbers) if self.folders else []
        surface = _photos(folders) if folders else _texture
        return _MergedSource(self, _Renderings(self.blur, crop, self.depth, surface))


class _Rendering(NamedTuple):
    clean: Maps  # (N, Y, X)
    truth: Maps  # (Y, X)
    depth: Maps  # (Y, X) in planes


class _Renderings:
    """Rendered stacks by number, the latest kept; every number is always the same stack."""

    def __init__(self, blur: tuple[float, float], crop: int, planes: int, surface: Surface) -> None:
        self._blur = blur
        self._crop = crop
        self._planes = planes
        self._surface = surface
        self._kept: dict[int, _Rendering] = {}

    def draw(self, rng: np.random.Generator, step: int) -> _Rendering:
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
        return _Rendering(maps[2:], maps[0], np.ascontiguousarray(maps[1]))

    def _render(self, rng: np.random.Generator) -> _Rendering:
        blur = float(np.exp(rng.uniform(*np.log(self._blur))))
        margin = int(np.ceil(blur * self._planes)) + 4
        field = fft.next_fast_len(int(1.5 * self._crop) + 2 * margin)
        relief = _RELIEFS[int(rng.integers(len(_RELIEFS)))]
        depth = make_relief(relief, field, margin, self._planes, rng)
        surface = self._surface(field, depth, rng)
        render = render_surface if rng.random() < 0.25 else render_surface_fast
        transfer = _defocus(blur, rng.random(), self._planes, field)
        rendered = render(surface, depth, transfer, self._planes)
        inner = (slice(margin, -margin),) * 2
        clean = np.stack([plane[inner] for plane in rendered])
        return _Rendering(clean.clip(0), surface[inner], depth[inner])


class _Exposure(NamedTuple):
    """Photon and read noise, and the stretch to 0..1 that the pipeline's calibration does."""

    gain: float
    floor: float
    low: float
    scale: float
    rounded: bool
    grain: float = 0.0  # deviation after the stretch, of what counts as clean

    @classmethod
    def of(cls, clean: Maps, config: _Stacks, rng: np.random.Generator) -> _Exposure:
        photons = float(np.exp(rng.uniform(*np.log(config.photons))))
        gain, floor = 1 / photons, (rng.uniform(0.5, 3) / photons) ** 2
        grain = float(rng.uniform(0, config.grain))
        if rng.random() < config.clean:
            gain = floor = 0.0
        else:
            grain = 0.0
        low, high = (float(v) for v in np.quantile(clean, (0.002, 0.998)))
        scale = rng.uniform(0.6, 1.05) / max(high - low, 0.05)
        return cls(gain, floor, low - rng.uniform(0, 0.1), scale, bool(rng.random() < 0.3), grain)

    def expose(self, clean: Maps, white: Maps | float) -> Maps:
        """Add noise of unit deviation, made as strong as it is, and stretch."""
        exposed = clean + np.sqrt(self.gain * clean + self.floor) * white
        stretched = np.asarray(self.stretch(exposed) + self.grain * white, np.float32)
        return np.round(stretched * 255) / np.float32(255) if self.rounded else stretched

    def stretch(self, values: Maps) -> Maps:
        return np.asarray((values - self.low) * self.scale, np.float32)

    @property
    def noise(self) -> tuple[float, float]:
        """Gain and floor after the stretch, where value = (clean - low) · scale."""
        return self.gain * self.scale, (self.floor + self.gain * self.low) * self.scale**2


class _StackSource:
    def __init__(self, config: _Stacks, renderings: _Renderings) -> None:
        self._config = config
        self._renderings = renderings

    def draw(self, rng: np.random.Generator, step: int) -> Scene:
        clean, truth, depth = self._renderings.draw(rng, step)
        exposure = _Exposure.of(clean, self._config, rng)
        planes = exposure.expose(clean, rng.standard_normal(clean.shape, np.float32))
        return Scene(exposure.stretch(truth)[None], planes[:, None], depth, exposure.noise)


class _MergedSource:
    def __init__(self, config: Merged, renderings: _Renderings) -> None:
        self._config = config
        self._renderings = renderings

    def draw(self, rng: np.random.Generator, step: int) -> Scene:
        clean, _, depth = self._renderings.draw(rng, step)
        length = int(rng.choice([1, 1, 2, 4]))
        start = int(rng.integers(len(clean) - 2 * length + 1))
        exposure = _Exposure.of(clean, self._config, rng)
        planes = [
            exposure.expose(
                _in_focus(clean, depth, first, length), _noise(depth.shape, length, rng)
            )
            for first in (start, start + length)
        ]
        truth = exposure.stretch(_in_focus(clean, depth, start, 2 * length))
        return Scene(truth[None], np.stack(planes)[:, None], None, exposure.noise)


def _in_focus(clean: Maps, depth: Maps, first: int, count: int) -> Maps:
    """Copy each pixel from the nearest in focus of some planes."""
    nearest = np.clip(np.rint(depth), first, first + count - 1).astype(np.intp)
    return np.asarray(np.take_along_axis(clean, nearest[None], 0)[0])


def _noise(shape: tuple[int, ...], length: int, rng: np.random.Generator) -> Maps:
    """Draw noise: white in a single plane, less and smoother in images fused of several."""
    white = rng.standard_normal(shape, np.float32)
    if length == 1:
        return white
    smooth = ndimage.gaussian_filter(white, rng.uniform(0, 1))
    return np.asarray(rng.uniform(0.5, 1) * smooth, np.float32)


def _defocus(blur: float, disc: float, planes: int, field: int) -> Maps:
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


def _texture(field: int, depth: Maps, rng: np.random.Generator) -> Maps:
    return make_texture(_TEXTURES[int(rng.integers(len(_TEXTURES)))], depth, rng)


def _photos(images: list[NDArray[np.uint8]]) -> Surface:
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
