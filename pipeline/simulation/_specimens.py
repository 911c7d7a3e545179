"""Specimens that light passes through: what lies in which layer of the volume.

Duty: beads and filaments that shine, nuclei and fibres that absorb. Sizes are in µm, so that a
specimen stays the same under another objective. Opaque ones are in
`zfuse.pipeline.simulation._relief`. Must not know: blur, noise, files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zfuse.pipeline.simulation._relief import fractal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.simulation._settings import Fluorescence, Section

__all__ = ["Volume", "VoxelGrid", "make_fluorescence", "make_section"]


@dataclass(frozen=True)
class VoxelGrid:
    """Voxels that a specimen is drawn into: `field` x `field` pixels, `layers` of them, in µm."""

    field: int
    layers: int
    pixel_size: float
    layer_step: float

    @property
    def area(self) -> float:
        """Area in 1000 µm²."""
        return (self.field * self.pixel_size) ** 2 / 1000

    @property
    def height(self) -> float:
        """Distance of the last layer from the first."""
        return (self.layers - 1) * self.layer_step


@dataclass(frozen=True)
class Volume:
    """Something transparent.

    Attributes
    ----------
    layers
        (layers, N, N) brightness or absorbance of what has a place in depth.
    haze
        (N, N) of what is too smooth to go out of focus.
    """

    layers: NDArray[np.float32]
    haze: NDArray[np.float32]


def make_fluorescence(specimen: Fluorescence, grid: VoxelGrid, rng: np.random.Generator) -> Volume:
    """Make beads of different sizes and bent filaments, everywhere but in the outermost planes.

    Parameters
    ----------
    specimen
        How many of both.
    grid
        Where they go.
    rng
        Source of all randomness.

    Returns
    -------
    Volume
        Brightness in any unit; the haze is that of cells: very smooth.
    """
    points = [_bead(grid, rng) for _ in range(rng.poisson(specimen.beads * grid.area))]
    points += [_filament(grid, rng) for _ in range(rng.poisson(specimen.filaments * grid.area))]
    layers = np.zeros((grid.layers, grid.field, grid.field), np.float32)
    if points:
        _splat(layers, np.concatenate(points), grid)
    return Volume(layers, np.asarray((1 + 0.5 * fractal(grid.field, 2.5, rng)).clip(0), np.float32))


def _bead(grid: VoxelGrid, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points (z, y, x, brightness) in µm that fill a ball."""
    edge = grid.field * grid.pixel_size
    centre = [rng.uniform(0.08, 0.92) * grid.height, *rng.uniform(0, edge, 2)]
    radius = rng.uniform(0.05, 0.4)
    place = rng.standard_normal((40, 3))
    place *= radius * rng.random((40, 1)) ** (1 / 3) / np.linalg.norm(place, axis=1, keepdims=True)
    brightness = rng.uniform(0.2, 0.5) * (0.3 + radius / 0.4)
    return np.column_stack([place + centre, np.full(40, brightness)])


def _filament(grid: VoxelGrid, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points (z, y, x, brightness) in µm along a curve."""
    step = grid.pixel_size / 2
    count = int(rng.uniform(8, 30) / step)
    # Angles walk at random, smoothly: bends some µm wide.
    bend = np.cumsum(rng.standard_normal(count)) * np.sqrt(step) * 0.25
    angle = rng.uniform(0, 2 * np.pi) + bend
    rise = 0.25 * np.sin(np.cumsum(rng.standard_normal(count)) * np.sqrt(step) * 0.3)
    edge = grid.field * grid.pixel_size
    start = [rng.uniform(0.15, 0.85) * grid.height, *rng.uniform(0, edge, 2)]
    path = np.cumsum(np.column_stack([rise, np.sin(angle), np.cos(angle)]) * step, axis=0) + start
    path[:, 0] = _folded(path[:, 0], 0.08 * grid.height, 0.92 * grid.height)
    return np.column_stack([path, np.full(count, rng.lognormal(0, 0.3))])


def _folded(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Reflect at both ends, as often as it takes."""
    span = high - low
    return np.asarray(low + span - np.abs((values - low) % (2 * span) - span))


def _splat(layers: NDArray[np.float32], points: NDArray[np.float64], grid: VoxelGrid) -> None:
    """Add points to the voxels round them, with linear weights; they wrap round in x and y."""
    place = points[:, :3] / (grid.layer_step, grid.pixel_size, grid.pixel_size)
    low = np.floor(place).astype(np.intp)
    part = place - low
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, part, 1 - part), axis=1) * points[:, 3]
        z, y, x = (low + corner).T
        inside = (z >= 0) & (z < grid.layers)
        index = (z[inside], y[inside] % grid.field, x[inside] % grid.field)
        np.add.at(layers, index, weight[inside].astype(np.float32))


def make_section(specimen: Section, grid: VoxelGrid, rng: np.random.Generator) -> Volume:
    """Make a stained section, slightly wavy: nuclei with chromatin, sheets of fibres and granules.

    Parameters
    ----------
    specimen
        Thickness, waviness, nuclei.
    grid
        Where it goes; the section lies in the middle.
    rng
        Source of all randomness.

    Returns
    -------
    Volume
        Absorbance (natural logarithm) of each layer.
    """
    half = specimen.thickness / 2
    middle = np.float32(grid.height / 2) + np.float32(specimen.waviness / 4) * fractal(
        grid.field, 2.5, rng
    )
    layers = np.zeros((grid.layers, grid.field, grid.field), np.float32)
    for _ in range(3):
        within = np.tanh(fractal(grid.field, 2.0, rng) + rng.uniform(-0.6, 0.6))
        fibres = 0.4 * np.exp(-np.abs(fractal(grid.field, 1.5, rng)) / 0.05)
        granules = 0.05 * (1 + fractal(grid.field, 0.9, rng)).clip(0)
        height = np.asarray(middle + 0.9 * half * within, np.float32)
        _add_sheet(layers, np.asarray(fibres + granules, np.float32), height, grid)
    chromatin = (1 + 0.5 * fractal(grid.field, 0.9, rng)).clip(0.1)
    for _ in range(rng.poisson(specimen.nuclei * grid.area)):
        _add_nucleus(layers, chromatin, middle, half, grid, rng)
    haze = (0.12 + 0.05 * fractal(grid.field, 2.0, rng)).clip(0)
    return Volume(layers, np.asarray(haze, np.float32))


def _add_sheet(
    layers: NDArray[np.float32],
    absorbance: NDArray[np.float32],
    height: NDArray[np.float32],
    grid: VoxelGrid,
) -> None:
    position = height / np.float32(grid.layer_step)
    for index, layer in enumerate(layers):
        weight = 1 - np.abs(position - index)
        if weight.max() > 0:
            layer += weight.clip(0) * absorbance


def _add_nucleus(
    layers: NDArray[np.float32],
    chromatin: NDArray[np.float32],
    middle: NDArray[np.float32],
    half: float,
    grid: VoxelGrid,
    rng: np.random.Generator,
) -> None:
    """Add an ellipsoid, cut off where the section ends."""
    across, along, axial = rng.uniform(2.0, 3.2), rng.uniform(2.6, 4.6), rng.uniform(0.9, 1.8)
    angle, absorbance = rng.uniform(0, np.pi), rng.uniform(0.5, 1.1)
    centre = rng.integers(0, grid.field, 2)
    reach = int(np.ceil(along / grid.pixel_size))
    offset = np.arange(-reach, reach + 1)
    rows, columns = ((c + offset) % grid.field for c in centre)
    box = np.ix_(rows, columns)
    y, x = offset[:, None] * grid.pixel_size, offset[None, :] * grid.pixel_size
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    lateral = (u / along) ** 2 + (v / across) ** 2
    here = float(middle[centre[0], centre[1]])
    z_centre = here + rng.uniform(-0.8, 0.8) * half
    for index in range(grid.layers):
        z = index * grid.layer_step
        inside = (lateral + ((z - z_centre) / axial) ** 2 < 1) & (np.abs(z - middle[box]) < half)
        if inside.any():
            share = absorbance * grid.layer_step / (2 * axial)
            layers[(index, *box)] += (share * inside * chromatin[box]).astype(np.float32)
