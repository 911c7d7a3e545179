"""One simulated stack: specimen, optics, drift, vignetting, camera; and the truth behind it.

Duty: the order of things between a specimen and counts. Must not know: files, the command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zfuse.pipeline.simulation._layers import (
    PER_PLANE,
    layer_count,
    render_surface,
    render_volume,
)
from zfuse.pipeline.simulation._optics import transfer_functions
from zfuse.pipeline.simulation._relief import make_relief, make_texture
from zfuse.pipeline.simulation._settings import Fluorescence, Relief
from zfuse.pipeline.simulation._specimens import Volume, VoxelGrid, make_fluorescence, make_section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from zfuse.pipeline.simulation._settings import SimulationSettings

__all__ = ["SimulatedStack", "simulate"]

_BRIGHT = 0.8  # of full scale: the brightest objects, or the empty field in transmitted light
_LEAST_LIGHT = 0.03  # of full scale: where the truth is dimmer than that, it has no depth
_LEAST_ABSORBANCE = 0.06
_LEAST_SHARE = 0.6  # of the light or absorbance: else two depths compete, and neither is the truth


@dataclass(frozen=True)
class SimulatedStack:
    """A focal stack and the truth behind it.

    Attributes
    ----------
    planes
        (Z, Y, X) uint16 counts, with noise.
    image
        (Y, X) float32 counts: everything at its best focus, with background and vignetting,
        without noise and drift.
    depth_um
        (Y, X) float32 µm above the first plane; NaN where there is nothing to have a depth.
    shifts
        (Z, 2) drift (y, x) of each plane in pixels; that of the middle plane is 0.
    settings
        What it was made from.
    """

    planes: NDArray[np.uint16]
    image: NDArray[np.float32]
    depth_um: NDArray[np.float32]
    shifts: NDArray[np.float64]
    settings: SimulationSettings


@dataclass(frozen=True)
class _Scene:
    """Light (1 is full scale) before drift, vignetting and camera, margins included."""

    planes: Iterator[NDArray[np.float32]]
    image: NDArray[np.float32]
    depth: NDArray[np.float32]  # in planes


def simulate(settings: SimulationSettings) -> SimulatedStack:
    """Render a stack.

    Parameters
    ----------
    settings
        See `make_settings` for usual ones. Equal settings give equal stacks.

    Returns
    -------
    SimulatedStack
        The stack and its truth.
    """
    optics = settings.optics
    rng = np.random.default_rng(settings.seed)
    field = _field(settings)
    margin = (field - settings.size) // 2
    distances = np.arange(layer_count(settings.planes)) * optics.z_step / PER_PLANE
    transfer = transfer_functions(optics, distances.tolist(), field)
    scene = _scene(settings, field, margin, transfer, rng)

    inner = slice(margin, margin + settings.size)
    shifts = _drift(settings, rng)
    lens = _vignette(settings)
    planes = np.empty((settings.planes, settings.size, settings.size), np.uint16)
    for index, light in enumerate(scene.planes):
        moved = _shifted(light, shifts[index])[inner, inner]
        planes[index] = settings.camera.expose((moved + settings.background) * lens, rng)
    image = settings.camera.counts((scene.image[inner, inner] + settings.background) * lens)
    depth = scene.depth[inner, inner] * np.float32(optics.z_step)
    return SimulatedStack(planes, image, depth, shifts, settings)


def _field(settings: SimulationSettings) -> int:
    """Pixels to render: room for blur and drift on all sides, and a length that FFTs like."""
    from scipy import fft

    optics = settings.optics
    blur = optics.blur_radius((settings.planes - 1) * optics.z_step) / optics.pixel_size
    # Light that comes from farther away comes round the edge instead: as good as any other.
    # Little drift shall not change the size of the field, and with it everything drawn by chance.
    margin = int(np.ceil(min(blur, settings.size / 4) + max(settings.drift, 8))) + 2
    field = int(fft.next_fast_len(settings.size + 2 * margin, real=True))
    while (field - settings.size) % 2:
        field = int(fft.next_fast_len(field + 1, real=True))
    return field


def _scene(
    settings: SimulationSettings,
    field: int,
    margin: int,
    transfer: NDArray[np.float32],
    rng: np.random.Generator,
) -> _Scene:
    specimen, optics = settings.specimen, settings.optics
    if isinstance(specimen, Relief):
        depth = make_relief(specimen.surface, field, margin, settings.planes, rng)
        surface = make_texture(specimen.texture, depth, rng)
        planes = render_surface(surface, depth, transfer, settings.planes)
        return _Scene(planes, _filtered(surface, transfer[0]), depth)
    grid = VoxelGrid(field, len(transfer), optics.pixel_size, optics.z_step / PER_PLANE)
    if isinstance(specimen, Fluorescence):
        return _shining(make_fluorescence(specimen, grid, rng), transfer, settings)
    return _absorbing(make_section(specimen, grid, rng), transfer, settings)


def _shining(volume: Volume, transfer: NDArray[np.float32], settings: SimulationSettings) -> _Scene:
    sharp, depth = _in_focus(volume.layers, transfer[0])
    # The brightest thousandth sets the exposure, unless single pixels would leave the range.
    # Without objects anything will do.
    brightest = max(np.percentile(sharp, 99.9), sharp.max() / 1.8, 1e-6)
    scale = np.float32(_BRIGHT / brightest)
    haze = np.float32(settings.background) * volume.haze
    depth[sharp * scale < _LEAST_LIGHT] = np.nan
    planes = (
        scale * plane + haze for plane in render_volume(volume.layers, transfer, settings.planes)
    )
    return _Scene(planes, scale * sharp + haze, depth)


def _absorbing(
    volume: Volume, transfer: NDArray[np.float32], settings: SimulationSettings
) -> _Scene:
    """Beer's law for the blurred absorbances: the light that each layer takes is lost once."""
    sharp, depth = _in_focus(volume.layers, transfer[0])
    depth[sharp < _LEAST_ABSORBANCE] = np.nan

    def transmitted(absorbance: NDArray[np.float32]) -> NDArray[np.float32]:
        light = _BRIGHT * np.exp(-(absorbance + volume.haze).clip(0))
        return np.asarray(light, np.float32)

    planes = map(transmitted, render_volume(volume.layers, transfer, settings.planes))
    return _Scene(planes, transmitted(sharp), depth)


def _in_focus(
    layers: NDArray[np.float32], transfer: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sum of all layers, each in focus, and the depth in planes of what weighs most in it.

    The depth is the centre of mass of the strongest layer and those within a plane of it; NaN
    where these hold too little of the whole.
    """
    sharp = np.stack([_filtered(layer, transfer) for layer in layers]).clip(0)
    strongest = sharp.argmax(0)
    mass = np.zeros(strongest.shape, np.float32)
    moment = np.zeros_like(mass)
    for offset in range(-PER_PLANE, PER_PLANE + 1):
        index = strongest + offset
        inside = (index >= 0) & (index < len(sharp))
        index = index.clip(0, len(sharp) - 1)
        value = np.take_along_axis(sharp, index[None], 0)[0] * inside
        mass += value
        moment += value * index
    depth = moment / np.maximum(mass, np.finfo(np.float32).tiny) / PER_PLANE
    whole = sharp.sum(0)
    depth[mass < _LEAST_SHARE * whole] = np.nan
    return whole, np.asarray(depth, np.float32)


def _filtered(image: NDArray[np.float32], transfer: NDArray[np.float32]) -> NDArray[np.float32]:
    from scipy import fft

    return np.asarray(fft.irfft2(fft.rfft2(image) * transfer, image.shape), np.float32)


def _drift(settings: SimulationSettings, rng: np.random.Generator) -> NDArray[np.float64]:
    """Shifts (Z, 2): along a line, with a tenth of it to and fro."""
    angle = rng.uniform(0, 2 * np.pi)
    along = np.linspace(0, settings.drift, settings.planes)
    shifts = np.outer(along, (np.sin(angle), np.cos(angle)))
    step = settings.drift / (settings.planes - 1)
    shifts += 0.1 * step * rng.standard_normal(shifts.shape)
    return np.asarray(shifts - shifts[settings.planes // 2])


def _shifted(image: NDArray[np.float32], shift: NDArray[np.float64]) -> NDArray[np.float32]:
    from scipy import ndimage

    if not shift.any():
        return image
    return np.asarray(ndimage.shift(image, shift, order=3, mode="grid-wrap"), np.float32)


def _vignette(settings: SimulationSettings) -> NDArray[np.float32]:
    """Part of the light that arrives: 1 in the middle, falling with the square of the distance."""
    at = np.linspace(-1, 1, settings.size, dtype=np.float32)
    squared = (at[:, None] ** 2 + at[None, :] ** 2) / 2
    return np.asarray(1 - settings.vignetting * squared, np.float32)
