"""Diatoms on a slide, arranged as collectors do: the demo's specimen.

Duty: depth and brightness of shells that a person knows, domes with pores, ribs and striae, each in
focus at heights of its own. Must not know: blur, noise, units, files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zfuse.pipeline.simulation._relief import fractal, spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    _Array = NDArray[np.float64]

__all__ = ["make_diatoms"]

_GROUND, _SILICA, _PORE = 0.16, 0.62, 0.14  # brightness in dark field
_PITCH = 8.5  # px between pores


class _Shell(NamedTuple):
    """A kind of shell and where it lies: lengths in parts of the picture, heights in any unit."""

    draw: Callable[[_Array, _Array, float], tuple[_Array, _Array]]
    """From places (u, v) round its centre and its radius in px: a dome of 0..1, and brightness."""
    x: float
    y: float
    radius: float
    base: float
    height: float
    angle: float = 0.0  # degrees


def make_diatoms(
    field: int, margin: int, planes: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Make shells on a ground that slopes.

    Parameters
    ----------
    field, margin, planes, rng
        See `make_relief`.

    Returns
    -------
    depth
        (field, field) float32 in planes.
    brightness
        (field, field) float32 in 0.02..1, in focus.
    """
    from scipy import ndimage

    size = field - 2 * margin
    y, x = np.mgrid[:field, :field] - float(margin)
    height = 0.12 * (x + y) / size
    brightness = _GROUND * np.exp(0.3 * fractal(field, 0.9, rng) + 0.3 * fractal(field, 0.4, rng))
    grain = np.exp(0.07 * fractal(field, 0.4, rng))
    for draw, cx, cy, radius, base, rise, angle in _SHELLS:
        turn = np.radians(angle)
        across, down = x - cx * size, y - cy * size
        u = np.cos(turn) * across + np.sin(turn) * down
        v = np.cos(turn) * down - np.sin(turn) * across
        dome, light = draw(u, v, radius * size)
        top = base + rise * dome
        hit = (dome > 0) & (top > height)  # the nearer one hides the farther one
        height = np.where(hit, top, height)
        brightness = np.where(hit, light * grain, brightness)
    depth = spread(height.astype(np.float32), margin, planes)
    # Light from the upper left.
    slope_y, slope_x = np.gradient(ndimage.gaussian_filter(depth, 1.5))
    lit = brightness * np.exp(0.4 * np.tanh(2.0 * (slope_x + slope_y)))
    return depth, np.asarray(ndimage.gaussian_filter(lit, 0.6).clip(0.02, 1), np.float32)


def _mesh(u: _Array, v: _Array, pitch: float) -> _Array:
    """Return 1 in the pores of a hexagonal mesh, 0 on its bars."""
    k = 4 * np.pi / (np.sqrt(3) * pitch)
    angles = np.radians((0, 60, 120))
    waves = np.sum([np.cos(k * (np.cos(a) * u + np.sin(a) * v)) for a in angles], axis=0)
    return np.asarray(1 / (1 + np.exp(-4.5 * (waves - 0.35))))


def _coscinodiscus(u: _Array, v: _Array, r: float) -> tuple[_Array, _Array]:
    """Draw a dome with pores in a honeycomb, a rosette and a striped rim."""
    rho, phi = np.hypot(u, v) / r, np.arctan2(v, u)
    pores = _mesh(u, v, _PITCH)
    light = _SILICA - (_SILICA - _PORE) * pores
    rosette = rho < 0.1
    light = np.where(rosette, _SILICA * (0.8 + 0.2 * np.cos(6 * phi)), light)
    rim = rho > 0.93
    light = np.where(rim, _SILICA * (0.85 + 0.3 * np.cos(np.round(r * 0.9) * phi)), light)
    return np.sqrt((1 - 0.97 * rho**2).clip(0)) * (rho < 1), light


def _arachnoidiscus(u: _Array, v: _Array, r: float) -> tuple[_Array, _Array]:
    """Draw a spider's web: ribs and rings on a shallow dome."""
    rho, phi = np.hypot(u, v) / r, np.arctan2(v, u)
    rings = 0.5 + 0.5 * np.cos(2 * np.pi * rho * r / _PITCH)
    count = 24
    offset = np.abs((phi * count / (2 * np.pi)) % 1 - 0.5) * 2 * np.pi * rho * r / count  # px
    rib = np.exp(-((offset / 1.8) ** 2))
    light = _PORE + (_SILICA - _PORE) * np.maximum(rib, 0.75 * rings)
    light = np.where(rho < 0.16, _SILICA * (0.7 + 0.3 * np.cos(12 * phi) * (rho > 0.06)), light)
    light = np.where(rho > 0.94, _SILICA, light)
    return (1 - 0.55 * rho**2) * (rho < 1), light


def _actinoptychus(u: _Array, v: _Array, r: float) -> tuple[_Array, _Array]:
    """Draw six sectors, high and low by turns."""
    rho, phi = np.hypot(u, v) / r, np.arctan2(v, u)
    wave = np.tanh(4 * np.cos(3 * phi))
    turned = np.where(wave > 0, u, v), np.where(wave > 0, v, -u)
    pores = _mesh(*turned, 7.5)
    light = _SILICA * (0.85 + 0.15 * wave) - (_SILICA - _PORE) * 0.85 * pores
    light = np.where(rho < 0.17, 0.9 * _SILICA, light)
    light = np.where(rho > 0.92, _SILICA * (0.8 + 0.3 * np.cos(np.round(r) * phi)), light)
    flat = np.clip((rho - 0.15) / 0.2, 0, 1)
    return (0.62 + 0.36 * wave * flat) * (rho < 1), light


def _pinnularia(u: _Array, v: _Array, r: float) -> tuple[_Array, _Array]:
    """Draw a boat with striae on both sides of its slit."""
    width = 0.27 * r * np.sqrt((1 - (np.abs(u) / r) ** 3.5).clip(0))
    across = np.abs(v) / np.maximum(width, 1e-6)
    lean = 0.35 * np.abs(v) * np.sign(u) * np.clip(np.abs(u) / (0.3 * r), 0, 1)
    striae = 0.5 + 0.5 * np.cos(2 * np.pi * (u + lean) / 6.5)
    central = (across < 0.24) | ((np.abs(u) < 0.07 * r) & (across < 0.6))
    light = _PORE + (_SILICA - _PORE) * np.where(central, 0.75, striae)
    light = np.where((np.abs(v) < 1.3) & (np.abs(u) > 0.05 * r), _PORE, light)
    light = np.where(across > 0.9, _SILICA, light)
    return np.sqrt((1 - 0.9 * across**2).clip(0)) * (across < 1), light


def _triceratium(u: _Array, v: _Array, r: float) -> tuple[_Array, _Array]:
    """Draw a triangle whose corners are raised."""
    phi = np.arctan2(v, u)
    edge = r * (0.72 + 0.2 * np.cos(3 * phi) + 0.05 * np.cos(6 * phi))
    rho = np.hypot(u, v) / edge
    light = _SILICA - (_SILICA - _PORE) * _mesh(v, u, 10.0)
    light = np.where(rho > 0.93, _SILICA, light)
    return (0.45 + 0.55 * (rho * (0.55 + 0.45 * np.cos(3 * phi))) ** 2) * (rho < 1), light


_SHELLS = (
    _Shell(_coscinodiscus, 0.50, 0.49, 0.235, 0.15, 0.85),
    _Shell(_actinoptychus, 0.18, 0.20, 0.145, 0.15, 0.45, 15),
    _Shell(_arachnoidiscus, 0.83, 0.19, 0.150, 0.30, 0.40),
    _Shell(_triceratium, 0.83, 0.82, 0.165, 0.25, 0.35, 70),
    _Shell(_pinnularia, 0.155, 0.60, 0.190, 0.25, 0.40, 78),
    _Shell(_pinnularia, 0.36, 0.87, 0.185, 0.12, 0.20, -14),
    _Shell(_pinnularia, 0.50, 0.105, 0.130, 0.10, 0.18, 4),
    _Shell(_pinnularia, 0.88, 0.50, 0.130, 0.45, 0.25, -80),
    _Shell(_coscinodiscus, 0.60, 0.88, 0.075, 0.40, 0.30),
)
