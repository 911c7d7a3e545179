"""What trust is measured on besides the data sets of quality.py: grey real stacks, beads, channels.

Must not know: how anything is fused or scored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from quality_data import real_stacks
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Stack

MACRO = (
    "amber_insects_shinestacker_a", "beetle_macro_noah", "mineral_zstackr",
    "reflected_metal_gear_he", "reflected_pcb_focusstack", "reflected_pcb_tagarno",
)  # fmt: skip
"""Reflected light, planes that are not registered: where patches were seen."""


class Beads(NamedTuple):
    """Planes (Z, Y, X) with bright spots, and the picture that says how bright they are."""

    name: str
    planes: NDArray[np.uint16]
    reference: NDArray[Any]
    places: NDArray[np.intp]
    """(n, 2): rows and columns."""


def grey_stacks(
    data: Path, only: list[str], size: int | None
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield real stacks (Z, Y, X): brightness of RGB, every channel of others for itself.

    Parameters
    ----------
    data
        Folder with ``stacks``.
    only
        Parts of names; all stacks if it is empty.
    size
        Edge in px of the middle that is taken; all by default.
    """
    for name, stack in real_stacks(data):
        if only and not any(part in name for part in only):
            continue
        planes = _middle(all_planes(stack), size)
        if stack.rgb:
            weighted = np.tensordot(np.float32([0.299, 0.587, 0.114]), planes[:, :3], (0, 1))
            yield name, np.rint(weighted).astype(planes.dtype)
            continue
        for number in range(planes.shape[1]):
            part = f", channel {number}" if planes.shape[1] > 1 else ""
            yield f"{name}{part}", np.ascontiguousarray(planes[:, number])


def channel_stacks(data: Path, only: list[str]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield real stacks (Z, C, Y, X) of several channels that are no colours."""
    for name, stack in real_stacks(data):
        if not stack.rgb and stack.shape[1] > 1 and (not only or any(p in name for p in only)):
            yield name, all_planes(stack)


def all_planes(stack: Stack) -> NDArray[Any]:
    """Read (Z, C, Y, X)."""
    _, _, z, y, x = stack.shape
    return np.asarray(stack.reader.read(0, slice(0, z), slice(0, y), slice(0, x)))


def beads(data: Path) -> Iterator[Beads]:
    """Yield two simulated fields of beads, and both channels of fluor_beads.

    Of real ones the plane with the strongest gradients is the reference, and those beads count
    that have one plane in focus: it is brightest there, and no other plane reaches 3/4 of that.
    """
    yield _simulated(1.5, 1.2)
    yield _simulated(2.5, 2.0)
    if not (data / "stacks").is_dir():
        return
    for name, planes in grey_stacks(data, ["fluor_beads"], None):
        gradients = [np.hypot(*np.gradient(p.astype(np.float32))).var() for p in planes]
        best = int(np.argmax(gradients))
        there = [at for at in find_beads(planes[best]) if _single(planes, best, *at)]
        places = np.array(there, np.intp)
        yield Beads(name, planes, planes[best], places)


def find_beads(plane: NDArray[Any], apart: int = 15) -> NDArray[np.intp]:
    """Find bright spots (n, 2) that no other one is near to."""
    smooth = ndimage.gaussian_filter(plane.astype(np.float32), 1.0)
    ground = np.median(smooth)
    level = ground + 0.2 * (np.percentile(smooth, 99.9) - ground)
    highest = ndimage.maximum_filter(smooth, 2 * apart + 1)
    spots = (smooth == highest) & (smooth > level)
    inner = np.zeros_like(spots)
    inner[apart:-apart, apart:-apart] = True
    return np.argwhere(spots & inner)


def _single(planes: NDArray[Any], best: int, y: int, x: int) -> bool:
    around = planes[:, y - 4 : y + 5, x - 4 : x + 5].astype(np.float64)
    light = around.mean((1, 2)) - np.median(planes[best])
    return bool((np.delete(light, best) < 0.75 * light[best]).all())


def _simulated(radius: float, growth: float) -> Beads:
    """Render 25 beads in three planes: Gaussians that widen by `growth` px a plane."""
    rng = np.random.default_rng(11)
    planes, size, counts = 11, 320, 8.0  # counts an electron
    grid = np.stack(np.meshgrid(*[np.arange(5) * 60 + 40] * 2, indexing="ij"), -1).reshape(-1, 2)
    places = grid + rng.integers(-8, 9, grid.shape)
    level = rng.integers(-1, 2, len(places)) + planes // 2
    power = rng.uniform(2000, 6000, len(places))  # electrons at the top of a bead in focus
    sharp = np.zeros((size, size))
    stack = np.full((planes, size, size), 40.0)
    for (y, x), z0, electrons in zip(places, level, power, strict=True):
        spot = np.zeros((size, size))
        spot[y, x] = electrons * 2 * np.pi * radius**2
        sharp += ndimage.gaussian_filter(spot, radius)
        for z in range(planes):
            stack[z] += ndimage.gaussian_filter(spot, np.hypot(radius, growth * (z - z0)))
    noisy = rng.poisson(stack) + rng.normal(0, 2, stack.shape)
    return Beads(
        f"simulated, {radius:g} px",
        np.rint(noisy * counts + 400).clip(0, 65_535).astype(np.uint16),
        (sharp + 40) * counts + 400,
        places,
    )


def _middle(planes: NDArray[Any], size: int | None) -> NDArray[Any]:
    if size is None:
        return planes
    top, left = (max(0, (n - size) // 2) for n in planes.shape[-2:])
    return planes[..., top : top + size, left : left + size]
