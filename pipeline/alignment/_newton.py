"""Gauss-Newton steps that lay one plane on another.

Duty: from a transform that is nearly right to one that is, at one resolution. Must not know:
levels, where the start came from, whether the end can be believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from zfuse.kernels import warp_plane
from zfuse.pipeline.alignment._similarity import Similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.alignment._similarity import MotionModel

    Plane = NDArray[np.float32]

__all__ = ["Equations", "Steps", "equations", "refined", "warped"]

_STEPS, _FEW_STEPS = 12, 4
_ENOUGH, _ROUGHLY = 0.003, 0.03  # px: a step that moves no corner farther is the last
_HUBER = 1.5  # standard deviations
_NO_FADE = (0.0, 0.0, 0.0, 0.0)


def warped(plane: Plane, transform: Similarity) -> tuple[Plane, NDArray[np.bool_]]:
    """Return the plane under a transform, and where it reaches."""
    out = np.full_like(plane, np.nan)
    size: tuple[int, int] = plane.shape
    limits = (-np.inf, np.inf)
    warp_plane(plane, (0, 0), size, transform.matrix(), (0, 0), False, limits, _NO_FADE, out)
    seen = np.isfinite(out)
    out[~seen] = 0
    return out, seen


@dataclass(frozen=True)
class Steps:
    """Gauss-Newton: which steps there are, and how they add up."""

    model: MotionModel
    shape: tuple[int, int]

    @property
    def size(self) -> float:
        """Half the diagonal: scale and angle count by how far they move a corner."""
        return float(np.hypot(*self.shape)) / 2

    def slopes(self, gy: Plane, gx: Plane) -> list[Plane]:
        """Return the derivatives by dy, dx and, for a similarity, scale and angle."""
        if self.model == "translation":
            return [gy, gx]
        height, width = self.shape
        y = ((np.arange(height) - (height - 1) / 2) / self.size).astype(np.float32)[:, None]
        x = ((np.arange(width) - (width - 1) / 2) / self.size).astype(np.float32)[None]
        return [gy, gx, gy * y + gx * x, gy * x - gx * y]

    def transform(self, step: NDArray[np.float64]) -> Similarity:
        """Return the transform about the centre that a step stands for."""
        height, width = self.shape
        centre = complex(width - 1, height - 1) / 2
        dy, dx, *more = step.tolist()
        factor = 1 + complex(more[0], more[1]) / self.size if more else 1.0
        return Similarity(factor, complex(dx, dy) + centre * (1 - factor))


@dataclass(frozen=True)
class Equations:
    """The difference of two planes at a transform, how it changes with a step, and weights.

    The curvature is the product of one plane's slopes with the other's: their noise has nothing in
    common and drops out. With squares of slopes the noise would shorten every step, and the steps
    would end before the goal.
    """

    fixed_slopes: list[Plane]
    moved_slopes: list[Plane]
    difference: Plane
    weight: Plane

    def curvature(self, part: NDArray[np.bool_] | None = None) -> NDArray[np.float64] | None:
        """Return the curvature, None where it is none: the planes have nothing in common."""
        weight = self.weight if part is None else np.where(part, self.weight, np.float32(0))
        left = np.array(
            [[np.vdot(weight * a, b) for b in self.moved_slopes] for a in self.fixed_slopes],
            np.float64,
        )
        left = (left + left.T) / 2
        values = np.linalg.eigvalsh(left)
        return left if values[0] > 1e-4 * values[-1] > 0 else None

    def pulls(self) -> list[Plane]:
        """Return what each pixel asks for."""
        share = self.weight * self.difference / 2
        return [share * (a + b) for a, b in zip(self.fixed_slopes, self.moved_slopes, strict=True)]

    def step(self, part: NDArray[np.bool_] | None = None) -> NDArray[np.float64] | None:
        """Return the step to the minimum of the pixels in `part`."""
        left = self.curvature(part)
        if left is None:
            return None
        right = [
            (pull if part is None else pull[part]).sum(dtype=np.float64) for pull in self.pulls()
        ]
        return np.asarray(np.linalg.solve(left, right))


def equations(
    fixed: Plane,
    fixed_slopes: list[Plane],
    moving: Plane,
    transform: Similarity,
    steps: Steps,
) -> Equations:
    moved, seen = warped(moving, transform)
    a, b = fixed[seen], moved[seen]
    gain = np.sqrt(np.dot(a, a) / max(float(np.dot(b, b)), 1e-12)).astype(np.float32)
    moved *= gain
    difference = np.where(seen, fixed - moved, np.float32(0))
    spread = np.float32(1.4826 * _HUBER * np.median(np.abs(difference[::3, ::3]))) or np.float32(1)
    weight = (spread / np.maximum(np.abs(difference), spread)).astype(np.float32)
    inner = seen if seen.all() else ndimage.binary_erosion(seen, iterations=2)
    weight = np.where(inner, weight, np.float32(0))
    weight[[0, -1]] = weight[:, [0, -1]] = 0
    return Equations(fixed_slopes, steps.slopes(*np.gradient(moved)), difference, weight)


def refined(
    fixed: Plane,
    fixed_slopes: list[Plane],
    moving: Plane,
    start: Similarity,
    steps: Steps,
    *,
    rough: bool = False,
) -> Similarity:
    """Gauss-Newton at one level; `rough`: few steps, to some hundredths of a pixel."""
    shape: tuple[int, int] = fixed.shape
    transform = start
    for _ in range(_FEW_STEPS if rough else _STEPS):
        step = equations(fixed, fixed_slopes, moving, transform, steps).step()
        if step is None:
            break
        move = steps.transform(step)
        transform = transform.after(move)
        if move.reach(shape) < (_ROUGHLY if rough else _ENOUGH):
            break
    # It has gone astray, or there was nothing to go by.
    if transform.after(start.inverse()).reach(shape) > min(shape) / 8:
        return start
    return transform
