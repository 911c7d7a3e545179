"""Where a plane's pixels come from: a similarity transform of the plane's coordinates.

Duty: arithmetic of shift, scale and angle. Places are complex numbers x + iy, in pixels, so a
similarity is ``factor · place + shift`` and two of them join by one multiplication. Must not know:
pixels, how a transform was found.
"""

from __future__ import annotations

import cmath
from dataclasses import dataclass
from math import ceil, degrees, floor
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "IDENTITY",
    "AlignMode",
    "MotionModel",
    "Similarity",
    "bounds",
    "common_area",
    "joined",
]

MotionModel = Literal["translation", "similarity"]
AlignMode = Literal["auto", "none", "translation", "similarity"]
Size = tuple[int, int]


@dataclass(frozen=True)
class Similarity:
    """The place of a plane that is shown at a place of the result: ``factor · place + shift``."""

    factor: complex = 1.0
    shift: complex = 0.0

    def __call__(self, place: complex) -> complex:
        """Return the place of the plane that is shown at `place`."""
        return self.factor * place + self.shift

    def after(self, first: Similarity) -> Similarity:
        """Return the transform that applies `first`, then this one."""
        return Similarity(self.factor * first.factor, self(first.shift))

    def inverse(self) -> Similarity:
        """Return the transform that undoes this one."""
        return Similarity(1 / self.factor, -self.shift / self.factor)

    def regridded(self, step: float) -> Similarity:
        """Return the same for pixels `step` times as small (means of step x step pixels)."""
        origin = complex(1, 1) * (step - 1) / 2
        return Similarity(self.factor, step * self.shift + origin * (1 - self.factor))

    def reach(self, size: Size) -> float:
        """Return the farthest that a corner of an image (Y, X) moves, in pixels."""
        return max(abs(self(corner) - corner) for corner in _corners(size))

    def snapped(self, size: Size, least: float) -> Similarity:
        """Return the nearest transform that copies pixels, if no corner moves by `least` from it.

        That is a shift by whole pixels: what is copied stays as it was to the last bit.
        """
        moved = self(_centre(size)) - _centre(size)
        whole = Similarity(shift=complex(round(moved.real), round(moved.imag)))
        off = max(abs(self(corner) - whole(corner)) for corner in _corners(size))
        return whole if off < least else self

    @property
    def copies(self) -> bool:
        """Whether it is a shift by whole pixels."""
        real, imag = self.shift.real, self.shift.imag
        return self.factor == 1 and real == round(real) and imag == round(imag)

    def matrix(self) -> NDArray[np.float64]:
        """Return (yy, yx, y0, xy, xx, x0) as `zfuse.kernels.warp_plane` takes them."""
        a, b = self.factor.real, self.factor.imag
        return np.array([a, b, self.shift.imag, -b, a, self.shift.real])

    def described(self, size: Size) -> dict[str, float]:
        """Return shift of the image's centre (px), scale and angle (degrees), for people."""
        moved = self(_centre(size)) - _centre(size)
        return {
            "dy": round(moved.imag, 4),
            "dx": round(moved.real, 4),
            "scale": round(abs(self.factor), 7),
            "angle": round(degrees(cmath.phase(self.factor)), 5),
        }


IDENTITY = Similarity()


def joined(steps: Sequence[Similarity], reference: int) -> list[Similarity]:
    """Return the place in each plane of what the reference plane shows.

    Parameters
    ----------
    steps
        From each plane to the next: the place there of what is seen at a place here.
    reference
        Index of the reference plane.
    """
    chain = [IDENTITY] * (len(steps) + 1)
    for z in range(reference, len(steps)):
        chain[z + 1] = steps[z].after(chain[z])
    for z in range(reference - 1, -1, -1):
        chain[z] = steps[z].inverse().after(chain[z + 1])
    return chain


def bounds(transform: Similarity, size: Size) -> tuple[float, float, float, float]:
    """Return top, bottom, left and right of what a plane fills, inmost where sides are askew."""
    height, width = size
    back = transform.inverse()
    # the area of a pixel belongs to the plane, not only its middle
    nw, ne = back(complex(-0.5, -0.5)), back(complex(width - 0.5, -0.5))
    sw, se = back(complex(-0.5, height - 0.5)), back(complex(width - 0.5, height - 0.5))
    return (
        max(nw.imag, ne.imag), min(sw.imag, se.imag), max(nw.real, sw.real), min(ne.real, se.real)
    )  # fmt: skip


def _centre(size: Size) -> complex:
    return complex(size[1] - 1, size[0] - 1) / 2


def _corners(size: Size) -> list[complex]:
    return [complex(x, y) for y in (0, size[0] - 1) for x in (0, size[1] - 1)]


def common_area(transforms: list[Similarity], size: Size) -> dict[str, list[int]]:
    """Return the rectangle that every plane reaches: ``y`` and ``x`` as [start, stop] in pixels.

    Angles are small: the rectangle between the inmost corners on each side. It is empty when start
    and stop are the same.
    """
    sides = [bounds(transform, size) for transform in (IDENTITY, *transforms)]
    top, bottom, left, right = (
        pick(values)
        for pick, values in zip((max, min, max, min), zip(*sides, strict=True), strict=True)
    )
    area = {}
    for axis, low, high in (("y", top, bottom), ("x", left, right)):
        # 1e-6: where rounding errors decide, leave the pixel out
        start = ceil(low + 1e-6)
        area[axis] = [start, max(start, floor(high - 1e-6) + 1)]
    return area
