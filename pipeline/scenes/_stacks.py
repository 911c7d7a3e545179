"""Focal stacks that networks are trained on: rendered stacks as a camera sees them.

Must not know: how stacks are rendered, networks, losses.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from pydantic import Field
from scipy import ndimage

from zfuse.engines.training import Scene
from zfuse.pipeline.scenes._images import ScenesConfig, sharp_images
from zfuse.pipeline.scenes._renderings import Renderings, photos, texture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.engines.training import SceneSource

    Maps = NDArray[np.float32]

__all__ = ["MergedScenes", "SharpScenes", "SimulatedScenes"]


class _Stacks(ScenesConfig):
    blur: tuple[float, float] = Field((0.3, 1.6), description="px of defocus a plane")
    photons: tuple[float, float] = Field((300.0, 3e5), description="at full scale")
    clean: float = Field(0.35, ge=0, le=1, description="part of the stacks without noise to tell")
    grain: float = Field(
        0.004, ge=0, description="of those: the most there is untold, of the range"
    )


class SharpScenes(_Stacks):
    """Focal stacks of sharp images that lie on random reliefs."""

    kind: Literal["sharp"] = "sharp"
    folders: tuple[Path, ...]
    numbers: tuple[int, int] | None = None

    def open(self, crop: int, planes: int, root: Path = Path()) -> SceneSource:
        """Read all images."""
        photo = photos(sharp_images(self.folders, root, self.numbers))
        return _StackSource(self, Renderings(self.blur, crop, planes, photo))


class SimulatedScenes(_Stacks):
    """Focal stacks of the simulator's textures on its reliefs."""

    kind: Literal["simulated"] = "simulated"

    def open(self, crop: int, planes: int, root: Path = Path()) -> SceneSource:
        """Nothing to read."""
        return _StackSource(self, Renderings(self.blur, crop, planes, texture))


class MergedScenes(_Stacks):
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
        surface = photos(folders) if folders else texture
        return _MergedSource(self, Renderings(self.blur, crop, self.depth, surface))


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
    def __init__(self, config: _Stacks, renderings: Renderings) -> None:
        self._config = config
        self._renderings = renderings

    def draw(self, rng: np.random.Generator, step: int) -> Scene:
        clean, truth, depth = self._renderings.draw(rng, step)
        exposure = _Exposure.of(clean, self._config, rng)
        planes = exposure.expose(clean, rng.standard_normal(clean.shape, np.float32))
        return Scene(exposure.stretch(truth)[None], planes[:, None], depth, exposure.noise)


class _MergedSource:
    def __init__(self, config: MergedScenes, renderings: Renderings) -> None:
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
