"""Pairs with their truth: photographed, or recomposed of sharp images.

Must not know: stacks, networks, losses.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field
from scipy import ndimage

from zfuse.engines.training import Scene
from zfuse.pipeline.scenes._images import (
    ScenesConfig,
    cropped,
    images_in,
    read,
    sharp_images,
    turned,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.engines.training import SceneSource

__all__ = ["PairScenes", "RecomposedScenes"]


class PairScenes(ScenesConfig):
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
            p.stem for p in images_in(folders[0]) if p.stem.isdigit() and int(p.stem) in wanted
        )
        found = [[read(f / f"{stem}.jpg") for f in folders] for stem in stems]
        return _PairSource([np.stack(images) for images in found], crop)


class RecomposedScenes(ScenesConfig):
    """Sharp images made into pairs: an outline parts what is in focus from what is not.

    Half of the outlines are random blobs, half follow what is in the image: unions of its segments
    (Felzenszwalb & Huttenlocher 2004), a little wider, as objects in focus have them.
    """

    kind: Literal["recomposed"] = "recomposed"
    folders: tuple[Path, ...]
    numbers: tuple[int, int] | None = None
    sigma: tuple[float, float] = (0.8, 4.0)
    jpeg: float = Field(0.7, ge=0, le=1, description="part of the pairs that go through JPEG")

    def open(self, crop: int, planes: int, root: Path = Path()) -> SceneSource:
        """Read all images."""
        return _RecomposedSource(self, sharp_images(self.folders, root, self.numbers), crop)


class _PairSource:
    def __init__(self, pairs: list[NDArray[np.uint8]], crop: int) -> None:
        self._pairs = pairs  # (truth and two planes, Y, X, 3)
        self._crop = crop

    def draw(self, rng: np.random.Generator, step: int) -> Scene:
        pair = self._pairs[rng.integers(len(self._pairs))]
        images = turned(cropped(pair, self._crop, rng, edges=0.4), rng)
        values = np.ascontiguousarray(np.moveaxis(images, -1, -3), np.float32) / 255
        planes = values[1:] if rng.random() < 0.5 else values[:0:-1]
        return Scene(values[0], np.ascontiguousarray(planes), None, (0.0, 0.0))


class _RecomposedSource:
    def __init__(
        self, config: RecomposedScenes, images: list[NDArray[np.uint8]], crop: int
    ) -> None:
        self._config = config
        self._images = images
        self._segments: dict[int, NDArray[np.int32]] = {}
        self._crop = crop

    def draw(self, rng: np.random.Generator, step: int) -> Scene:
        config, crop = self._config, self._crop
        margin = int(3 * config.sigma[1])
        number = int(rng.integers(len(self._images)))
        image = np.dstack([self._images[number], self._segments_of(number)])
        if rng.random() < 0.5:
            truth, blurred, segments, sigma = self._framed(image, rng)
        else:
            field = turned(cropped(image[None], crop + 2 * margin, rng), rng)[0]
            sigma = rng.uniform(*config.sigma)
            inner = (slice(margin, margin + crop),) * 2
            colours = field[..., :3].astype(np.float32)
            truth, segments = colours[inner], field[inner][..., 3]
            blurred = ndimage.gaussian_filter(colours, (sigma, sigma, 0))[inner]
        outline = _objects(segments, rng) if rng.random() < 0.5 else _outline(crop, rng)
        mask = outline[..., None]
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

    def _segments_of(self, number: int) -> NDArray[np.int32]:
        if number not in self._segments:  # 0.2 s a picture
            from skimage.segmentation import felzenszwalb

            found = felzenszwalb(self._images[number], scale=200, sigma=0.8, min_size=150)
            self._segments[number] = found.astype(np.int32)
        return self._segments[number]

    def _framed(
        self, image: NDArray[np.int32], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32], float]:
        """Blur a crop as public pairs do: a 5 x 5 Gaussian that finds black outside the image."""
        cut = turned(cropped(image[None], self._crop, rng, edges=0.4), rng)[0]
        truth, segments = cut[..., :3].astype(np.float32), cut[..., 3]
        sigma = float(rng.uniform(1.0, 3.0))
        taps = np.exp(-(np.arange(-2.0, 3.0) ** 2) / (2 * sigma**2)).astype(np.float32)
        taps /= taps.sum()
        blurred = truth
        for axis in (0, 1):
            blurred = ndimage.correlate1d(blurred, taps, axis, mode="constant")
        return truth, blurred, segments, sigma


def _outline(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Make a random region: blobs of a random coarseness, 1 inside."""
    noise = rng.standard_normal((size, size)).astype(np.float32)
    field = ndimage.gaussian_filter(noise, float(np.exp(rng.uniform(np.log(3), np.log(size / 4)))))
    inside = field > np.quantile(field, rng.uniform(0.2, 0.8))
    return np.asarray(inside, np.float32)


def _objects(segments: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Make a region of segments that lie together: 1 inside, wider by 0 to 4 px."""
    size = len(segments)
    near = ndimage.gaussian_filter(rng.standard_normal((size, size)), size / 6)
    labels, inverse = np.unique(segments, return_inverse=True)
    inverse = inverse.reshape(segments.shape)
    chosen = ndimage.mean(near, inverse, np.arange(len(labels)))
    inside = (chosen > np.quantile(near, rng.uniform(0.3, 0.8)))[inverse]
    wider = int(rng.integers(5))
    if wider:
        inside = ndimage.binary_dilation(inside, iterations=wider)
    return np.asarray(inside, np.float32)


def _through_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    from PIL import Image

    stored = io.BytesIO()
    Image.fromarray(image).save(stored, "JPEG", quality=quality)
    return np.asarray(Image.open(stored))
