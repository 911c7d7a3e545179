"""Reliefs and the textures on them: what the rendered surfaces are made of.

Duty: depth and brightness of an opaque surface, each kind by its name; everything follows from the
random generator that is handed in. Must not know: blur, noise, units, files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ReliefKind", "TextureKind", "fractal", "make_relief", "make_texture", "spread"]

ReliefKind = Literal["mixed", "slope", "steps", "fractal", "spheres"]
TextureKind = Literal["rough", "fine", "sparse", "weak", "spots"]


def make_relief(
    kind: ReliefKind, field: int, margin: int, planes: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Make a surface that fills the stack but for one and a half planes at both ends.

    Parameters
    ----------
    kind
        What the surface is made of; ``mixed`` has a slope, a step, spheres and roughness.
    field
        Height and width of the array in pixels, margins included.
    margin
        Pixels on each side that will be cut off; the surface goes on there.
    planes
        Planes of the stack, at least 4.
    rng
        Source of all randomness.

    Returns
    -------
    NDArray
        (field, field) float32 depth in planes.
    """
    size = field - 2 * margin
    y, x = (np.mgrid[:field, :field].astype(np.float32) - margin) / size  # 0..1 inside the picture
    if kind == "mixed":
        height = _mixed(x, y, rng)
        height += 0.022 * fractal(field, 2.0, rng)
    elif kind == "slope":
        height = _slopes(x, y, rng)
    elif kind == "steps":
        height = _steps(x, y, rng)
    elif kind == "fractal":
        height = fractal(field, 1.9, rng)
    else:
        height = _spheres(x, y, rng)
    return spread(height, margin, planes)


def spread(height: NDArray[np.float32], margin: int, planes: int) -> NDArray[np.float32]:
    """Scale heights inside the margin to depths: all planes but one and a half at both ends."""
    visible = height[margin:-margin, margin:-margin]
    low, high = visible.min(), visible.max()
    depth = 1.5 + (planes - 4) * (height - low) / (high - low)
    return np.asarray(depth.clip(0, planes - 1), np.float32)


def _mixed(
    x: NDArray[np.float32], y: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    height = 0.25 * x + 0.12 * y
    # A terrace with a straight and a curved edge: the step.
    height += 0.28 * ((x > 0.62) & (y < 0.42 + 0.06 * np.sin(9 * x)))
    for cx, cy, radius, top in (
        (0.28, 0.30, 0.17, 0.42),
        (0.66, 0.72, 0.20, 0.50),
        (0.20, 0.78, 0.10, 0.30),
        (0.43, 0.55, 0.06, 0.22),
        (0.84, 0.20, 0.09, 0.26),
    ):
        height += top * _cap(x, y, cx, cy, radius) * (0.9 + 0.2 * rng.random())
    return height


def _slopes(
    x: NDArray[np.float32], y: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Roof: two inclined faces that meet in a ridge, over a gentle tilt."""
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)
    across = np.cos(angle) * (y - 0.5) - np.sin(angle) * (x - 0.5)
    return np.asarray(-np.abs(along - rng.uniform(-0.15, 0.15)) + 0.25 * across, np.float32)


def _steps(
    x: NDArray[np.float32], y: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Terraces with wavy edges, and pillars and pits with steep walls."""
    angle, wave = rng.uniform(0, 2 * np.pi, 2)
    along = np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)
    across = np.cos(angle) * (y - 0.5) - np.sin(angle) * (x - 0.5)
    height = np.floor(4 * (along + 0.5) + 0.3 * np.sin(8 * across + wave)).astype(np.float32)
    for _ in range(8):
        cx, cy = rng.random(2)
        radius, top = rng.uniform(0.03, 0.12), rng.choice((-1.0, 1.0)) * rng.uniform(0.8, 2.5)
        shape = np.hypot(x - cx, y - cy) < radius
        if rng.random() < 0.4:
            shape = np.maximum(abs(x - cx), abs(y - cy)) < radius
        height += np.float32(top) * shape
    return np.asarray(height, np.float32)


def _spheres(
    x: NDArray[np.float32], y: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Balls of many sizes on a tilted floor; the nearer one hides the farther one."""
    floor = 0.06 * x - 0.04 * y
    height = floor.copy()
    for _ in range(26):
        cx, cy = rng.uniform(-0.05, 1.05, 2)
        radius = rng.uniform(0.05, 0.2)
        inside = np.hypot(x - cx, y - cy) < radius
        ball = floor + radius * (0.8 + _cap(x, y, cx, cy, radius))
        height = np.where(inside, np.maximum(height, ball), height)
    return np.asarray(height, np.float32)


def _cap(
    x: NDArray[np.float32], y: NDArray[np.float32], cx: float, cy: float, radius: float
) -> NDArray[np.float32]:
    """Upper half of a ball, 1 at its top and 0 outside."""
    cap = 1 - ((x - cx) ** 2 + (y - cy) ** 2) / radius**2
    return np.asarray(np.sqrt(cap.clip(0)), np.float32)


def make_texture(
    kind: TextureKind, relief: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Brightness of a surface in focus.

    Parameters
    ----------
    kind
        ``rough`` has grain, veins, specks and pits; ``fine`` detail down to the pixel; ``sparse``
        a few particles and scratches on a smooth ground; ``weak`` a contrast of some per cent;
        ``spots`` small bright spots on a dim ground.
    relief
        (Y, X) depth in planes; its slopes are lit from one side.
    rng
        Source of all randomness.

    Returns
    -------
    NDArray
        (Y, X) float32 in 0.02..1.
    """
    from scipy import ndimage

    field = len(relief)
    if kind == "rough":
        log_brightness, extra = _rough(field, rng)
        base = 0.34
    elif kind == "fine":
        log_brightness = 0.22 * fractal(field, 0.7, rng) + 0.18 * fractal(field, 0.2, rng)
        extra, base = _dots(field, 3e-4, 1.2, rng), 0.38
    elif kind == "sparse":
        log_brightness = 0.1 * fractal(field, 2.0, rng)
        log_brightness -= 0.9 * np.exp(-np.abs(fractal(field, 1.8, rng)) / 0.02)
        extra = 3.5 * _dots(field, 1e-3, 1.2, rng) - 3.0 * _dots(field, 1e-3, 1.8, rng)
        base = 0.4
    elif kind == "weak":
        log_brightness = 0.05 * fractal(field, 1.0, rng) + 0.03 * fractal(field, 0.4, rng)
        extra, base = np.zeros((field, field), np.float32), 0.45
    else:
        log_brightness = 0.25 * fractal(field, 1.1, rng)
        extra = 9.0 * _dots(field, 4e-4, 1.3, rng) + 40.0 * _dots(field, 6e-5, 3.0, rng)
        base = 0.14
    # Light from the upper left; the relief is smoothed so that roughness does not turn into noise.
    shade_y, shade_x = np.gradient(ndimage.gaussian_filter(relief, 2.0))
    shade = 0.7 if kind == "rough" else 0.35
    log_brightness = log_brightness + shade * np.tanh(2.5 * (shade_x + shade_y))
    # The optics' own blur in focus, without which single-pixel detail would alias.
    brightness = ndimage.gaussian_filter(base * np.exp(log_brightness) + extra, 0.7)
    return np.asarray(brightness.clip(0.02, 1.0), np.float32)


def _rough(field: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    grain = 0.2 * fractal(field, 1.3, rng) + 0.5 * fractal(field, 0.5, rng)
    veins = np.exp(-np.abs(fractal(field, 1.5, rng)) / 0.06)  # thin lines where noise crosses 0
    texture = 0.78 + 0.22 * np.tanh(fractal(field, 2.4, rng))  # some areas show less texture
    specks, pits = _dots(field, 5e-4, 1.2, rng), _dots(field, 5e-4, 2.2, rng)
    extra = np.asarray(2.5 * specks - 3.0 * pits, np.float32)
    return np.asarray(texture * (grain - 0.8 * veins), np.float32), extra


def _dots(
    field: int, density: float, sigma: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Gaussian dots of unit volume at random places."""
    from scipy import ndimage

    seeds = (rng.random((field, field)) < density).astype(np.float32)
    return np.asarray(ndimage.gaussian_filter(seeds, sigma), np.float32)


def fractal(size: int, exponent: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Make noise (size, size) with amplitude spectrum 1/f**exponent, mean 0, deviation 1."""
    from scipy import fft

    frequency = np.hypot(fft.fftfreq(size)[:, None], fft.rfftfreq(size)[None, :])
    frequency[0, 0] = np.inf
    spectrum = fft.rfft2(rng.standard_normal((size, size), np.float32)) / frequency**exponent
    noise = fft.irfft2(spectrum, (size, size))
    return np.asarray(noise / noise.std(), np.float32)
