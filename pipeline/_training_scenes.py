"""Scenes that networks are trained on, from pairs, sharp images and the simulator.

Duty: read, crop, turn, defocus, add noise. Any sharp image is training data: laid on a random
relief and rendered by the simulator it becomes a focal stack whose truth and depth are known.
Must not know: networks, losses.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy import fft, ndimage

from zfuse.engines.training._scenes import Scene
from zfuse.pipeline._errors import ZfuseError
from zfuse.pipeline.simulation._layers import (
    PER_PLANE,
    layer_count,
    render_surface,
    render_surface_fast,
)
from zfuse.pipeline.simulation._relief import make_relief, make_texture

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from zfuse.engines.training._scenes import SceneSource
    from zfuse.pipeline.simulation._relief import ReliefKind, TextureKind

__all__ = ["SourceConfig"]

_IMAGES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
_RELIEFS: tuple[ReliefKind, ...] = ("mixed", "slope", "steps", "fractal", "spheres")
_TEXTURES: tuple[TextureKind, ...] = ("rough", "fine", "sparse", "weak", "spots")
_POOL = 48  # rendered stacks that are kept: rendering costs 50 to 500 ms, cropping and noise 3 ms
_REUSE = 24  # draws between two renderings


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(1.0, gt=0, description="how often this source is drawn from")


class Pairs(_Config):
    """Pairs with their truth: ``first/N.jpg``, ``second/N.jpg``, ``truth/N.jpg`` of a folder."""

    kind: Literal["pairs"] = "pairs"
    folder: Path
    first: str = "source_1"
    second: str = "source_2"
    truth: str = "full_clear"
    numbers: tuple[int, int] = Field(description="first and last N that are used, e.g. 1, 70")

    def open(self, crop: int, planes: int, root: Path = Path()) -> SceneSource:
        """Read all pairs."""
        wanted = range(self.numbers[0], self.numbers[1] + 1)
        folders = [root / self.folder / part for part in (self.truth, self.first, self.second)]
        stems = sorted(
            p.stem for p in _images_in(folders[0]) if p.stem.isdigit() and int(p.stem) in wanted
        )
        found = [[_read(f / f"{stem}.jpg") for f in folders] for stem in stems]
        return _PairSource([np.stack(images) for images in found], crop)


class Recomposed(_Config):
    """Sharp images made into pairs: a random outline parts what is in focus from what is not."""

    kind: Literal["recomposed"] = "recomposed"
    folders: tuple[Path, ...]
    numbers: tuple[int, int] | None = None
    sigma: tuple[float, float] = (0.8, 4.0)
    jpeg: float = Field(0.7, ge=0, le=1, description="part of the pairs that go through JPEG")

    def open(self, crop: int, planes: int, root: Path = Path()) -> SceneSource:
        """Read all images."""
        return _RecomposedSource(self, _sharp_images(self.folders, root, self.numbers), crop)


class _Stacks(_Config):
    blur: tuple[float, float] = Field((0.5, 1.6), description="px of defocus a plane")
    photons: tuple[float, float] = (300.0, 30000.0)
    clean: float = Field(0.2, ge=0, le=1, description="part of the stacks that have no noise")


class Sharp(_Stacks):
    """Focal stacks of sharp images that lie on random reliefs."""

    kind: Literal["sharp"] = "sharp"
    folders: tuple[Path, ...]
    numbers: tuple[int, int] | None = None

    def open(self, crop: int, planes: int, root: Path = Path()) -> SceneSource:
        """Read all images."""
        images = _sharp_images(self.folders, root, self.numbers)
        return _StackSource(self, crop, planes, lambda field, rng: _photo(images, field, rng))


class Simulated(_Stacks):
    """Focal stacks of the simulator's textures on its reliefs."""

    kind: Literal["simulated"] = "simulated"

    def open(self, crop: int, planes: int, root: Path = Path()) -> SceneSource:
        """Nothing to read."""
        return _StackSource(self, crop, planes, None)


SourceConfig = Annotated[Pairs | Recomposed | Sharp | Simulated, Field(discriminator="kind")]


class _PairSource:
    def __init__(self, pairs: list[NDArray[np.uint8]], crop: int) -> None:
        self._pairs = pairs  # (truth and two planes, Y, X, 3)
        self._crop = crop

    def draw(self, rng: np.random.Generator) -> Scene:
        pair = self._pairs[rng.integers(len(self._pairs))]
        images = _turned(_cropped(pair, self._crop, rng, edges=0.4), rng)
        values = np.ascontiguousarray(np.moveaxis(images, -1, -3), np.float32) / 255
        planes = values[1:] if rng.random() < 0.5 else values[:0:-1]
        return Scene(values[0], np.ascontiguousarray(planes), None, (0.0, 0.0))


class _RecomposedSource:
    def __init__(self, config: Recomposed, images: list[NDArray[np.uint8]], crop: int) -> None:
        self._config = config
        self._images = images
        self._crop = crop

    def draw(self, rng: np.random.Generator) -> Scene:
        config, crop = self._config, self._crop
        margin = int(3 * config.sigma[1])
        image = self._images[rng.integers(len(self._images))]
        if rng.random() < 0.5:
            truth, blurred, sigma = self._framed(image, rng)
        else:
            field = _turned(_cropped(image[None], crop + 2 * margin, rng), rng)[0]
            sigma = rng.uniform(*config.sigma)
            inner = (slice(margin, margin + crop),) * 2
            truth = field[inner].astype(np.float32)
            blurred = ndimage.gaussian_filter(field.astype(np.float32), (sigma, sigma, 0))[inner]
        mask = _outline(crop, rng)[..., None]
        if rng.random() < 0.3:  # an outline that is itself out of focus
            mask = ndimage.gaussian_filter(mask, (sigma, sigma, 0))
        planes = [mask * truth + (1 - mask) * blurred, (1 - mask) * truth + mask * blurred]
        planes = [np.clip(plane + 0.5, 0, 255).astype(np.uint8) for plane in planes]
        if rng.random() < config.jpeg:
            planes = [_through_jpeg(plane, int(rng.integers(85, 100))) for plane in planes]
        values = np.moveaxis(np.stack([truth, *planes]).astype(np.float32), -1, -3) / 255
        return Scene(
            np.ascontiguousarray(values[0]), np.ascontiguousarray(values[1:]), None, (0.0, 0.0)
        )

    def _framed(
        self, image: NDArray[np.uint8], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
        """Blur a crop as public pairs do: a 5 x 5 Gaussian that finds black outside the image."""
        cut = _turned(_cropped(image[None], self._crop, rng, edges=0.4), rng)[0]
        truth = cut.astype(np.float32)
        sigma = float(rng.uniform(1.0, 3.0))
        taps = np.exp(-(np.arange(-2.0, 3.0) ** 2) / (2 * sigma**2)).astype(np.float32)
        taps /= taps.sum()
        blurred = truth
        for axis in (0, 1):
            blurred = ndimage.correlate1d(blurred, taps, axis, mode="constant")
        return truth, blurred, sigma


class _StackSource:
    """Stacks from the simulator; rendered ones are used several times, with other noise."""

    def __init__(
        self,
        config: _Stacks,
        crop: int,
        planes: int,
        surface: Callable[[int, np.random.Generator], NDArray[np.float32]] | None,
    ) -> None:
        self._config = config
        self._crop = crop
        self._planes = planes
        self._surface = surface
        self._pool: list[tuple[NDArray[np.float32], ...]] = []
        self._uses = 0

    def draw(self, rng: np.random.Generator) -> Scene:
        self._uses += 1
        if len(self._pool) < 6 or self._uses % _REUSE == 0:
            if len(self._pool) == _POOL:
                self._pool.pop(int(rng.integers(_POOL)))
            self._pool.append(self._render(rng))
        clean, truth, depth = self._pool[int(rng.integers(len(self._pool)))]
        maps = _turned(_cropped(np.stack([truth, depth, *clean])[..., None], self._crop, rng), rng)
        truth, depth, clean = maps[0, ..., 0], maps[1, ..., 0], maps[2:, ..., 0]
        planes, truth, noise = self._expose(clean, truth, rng)
        return Scene(truth[None], planes[:, None], np.ascontiguousarray(depth), noise)

    def _render(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
        blur = rng.uniform(*self._config.blur)
        margin = int(np.ceil(blur * self._planes)) + 4
        field = fft.next_fast_len(int(1.5 * self._crop) + 2 * margin)
        relief = _RELIEFS[int(rng.integers(len(_RELIEFS)))]
        depth = make_relief(relief, field, margin, self._planes, rng)
        if self._surface is None:
            surface = make_texture(_TEXTURES[int(rng.integers(len(_TEXTURES)))], depth, rng)
        else:
            surface = self._surface(field, rng)
        render = render_surface if rng.random() < 0.25 else render_surface_fast
        rendered = render(surface, depth, _gaussians(blur, self._planes, field), self._planes)
        inner = (slice(margin, -margin),) * 2
        clean = np.stack([plane[inner] for plane in rendered])
        return clean, surface[inner], depth[inner]

    def _expose(
        self, clean: NDArray[np.float32], truth: NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[float, float]]:
        """Expose planes, then stretch them to 0..1 roughly, as the pipeline's calibration does."""
        clean = clean.clip(0)
        photons = float(np.exp(rng.uniform(*np.log(self._config.photons))))
        gain, floor = 1 / photons, (rng.uniform(0.5, 3) / photons) ** 2
        if rng.random() < self._config.clean:
            gain = floor = 0.0
            exposed = clean
        else:
            noise = rng.standard_normal(clean.shape, np.float32)
            exposed = clean + np.sqrt(gain * clean + floor) * noise
        low, high = (float(v) for v in np.quantile(clean, (0.002, 0.998)))
        low, scale = low - rng.uniform(0, 0.1), rng.uniform(0.6, 1.05) / max(high - low, 0.05)
        stretched = ((exposed - low) * scale).astype(np.float32)
        # variance = gain · clean + floor, with clean = value / scale + low
        after = (gain * scale, (floor + gain * low) * scale**2)
        if rng.random() < 0.3:
            stretched = np.round(stretched * 255) / np.float32(255)
        return stretched, ((truth - low) * scale).astype(np.float32), after


def _gaussians(blur: float, planes: int, field: int) -> NDArray[np.float32]:
    squared = fft.fftfreq(field)[:, None] ** 2 + fft.rfftfreq(field)[None, :] ** 2
    sigma = blur * np.arange(layer_count(planes))[:, None, None] / PER_PLANE
    return np.asarray(np.exp(-2 * (np.pi * sigma) ** 2 * squared), np.float32)


def _photo(
    images: list[NDArray[np.uint8]], field: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Cut a square of a sharp image as one grey surface."""
    image = images[rng.integers(len(images))]
    short = min(image.shape[:2])
    if short < field:
        image = np.pad(image, [(0, max(0, field - n)) for n in image.shape[:2]] + [(0, 0)], "wrap")
    cut = _turned(_cropped(image[None], field, rng), rng)[0].astype(np.float32) / 255
    weights = rng.dirichlet((1.0, 1.0, 1.0)).astype(np.float32)
    return np.ascontiguousarray(cut @ weights)


def _outline(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Make a random region: blobs of a random coarseness, 1 inside."""
    noise = rng.standard_normal((size, size)).astype(np.float32)
    field = ndimage.gaussian_filter(noise, float(np.exp(rng.uniform(np.log(3), np.log(size / 4)))))
    inside = field > np.quantile(field, rng.uniform(0.2, 0.8))
    return np.asarray(inside, np.float32)


def _through_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    from PIL import Image

    stored = io.BytesIO()
    Image.fromarray(image).save(stored, "JPEG", quality=quality)
    return np.asarray(Image.open(stored))


def _cropped(
    images: NDArray[Any], crop: int, rng: np.random.Generator, edges: float = 0.0
) -> NDArray[Any]:
    """Cut the same random square out of images (n, Y, X, C); small ones are mirrored first.

    With the probability `edges` (in rows and in columns) it is moved to the image's edge. A network
    pads every crop with zeros, so it takes each crop's border for the image's; where real borders
    are rare it never learns what happens there.
    """
    short = [max(0, crop - n) for n in images.shape[1:3]]
    if any(short):
        images = np.pad(images, [(0, 0), (0, short[0]), (0, short[1]), (0, 0)], "symmetric")
    y, x = (_place(n - crop, rng, edges) for n in images.shape[1:3])
    return images[:, y : y + crop, x : x + crop]


def _place(room: int, rng: np.random.Generator, edges: float) -> int:
    if rng.random() < edges:
        return room if rng.random() < 0.5 else 0
    return int(rng.integers(room + 1))


def _turned(images: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Turn by a random right angle and mirror at random."""
    images = np.rot90(images, int(rng.integers(4)), axes=(1, 2))
    return images[:, ::-1] if rng.random() < 0.5 else images


def _images_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ZfuseError(f"no training images: {folder} is not a folder; see --data")
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in _IMAGES)
    if not found:
        raise ZfuseError(f"no training images in {folder}: expected {', '.join(_IMAGES)}")
    return found


def _sharp_images(
    folders: tuple[Path, ...], root: Path, numbers: tuple[int, int] | None
) -> list[NDArray[np.uint8]]:
    paths = [path for folder in folders for path in _images_in(root / folder)]
    if numbers is not None:
        wanted = range(numbers[0], numbers[1] + 1)
        paths = [p for p in paths if not p.stem.isdigit() or int(p.stem) in wanted]
    return [_read(path) for path in paths]


def _read(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
