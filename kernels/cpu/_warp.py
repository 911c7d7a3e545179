"""Resample a plane under a similarity transform, and find what it does not reach (CPU).

Duty: plain arrays in, plain arrays out. Must not know: how transforms are found, tiles, files.

A transform is six float64 (yy, yx, y0, xy, xx, x0): the pixel (y, x) of the result shows the place
(yy·y + yx·x + y0, xy·y + xx·x + x0) of the plane. Both are in pixels of the whole image, so a value
depends on nothing but where it lies: windows and tiles don't change a bit.

Values between pixels are Lanczos-3 sums over 6 x 6 pixels (Duchon, Lanczos filtering in one and two
dimensions, J. Appl. Meteorol. 18, 1979), weights sinc(u) sinc(u / 3), |u| < 3, scaled to a sum of
1. A place belongs to the plane as long as it lies in the area of one of its pixels; taps outside
repeat the edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels.cpu._jit import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["REACH", "invalidate_unreached", "warp_plane"]

REACH = 3
"""Pixels that a sum reaches beyond the place it is taken at."""

_TAPS = 2 * REACH
_PHASES = 1024  # places are rounded to this part of a pixel


def _lanczos() -> NDArray[np.float64]:
    at = np.arange(_PHASES + 1)[:, None] / _PHASES - np.arange(1 - REACH, REACH + 1)
    weights = np.sinc(at) * np.sinc(at / REACH) * (np.abs(at) < REACH)
    weights[[0, -1]] = np.abs(at[[0, -1]]) == 0  # exactly one pixel, without sinc's rounding
    return np.asarray(weights / weights.sum(1, keepdims=True))


_WEIGHTS = _lanczos()


@jit
def _reached(v, u, height, width):
    return -0.5 <= v < height - 0.5 and -0.5 <= u < width - 0.5


@jit
def _inner_sum(plane, top, left, a, b):
    total = 0.0
    for j in range(_TAPS):
        row = plane[top + j]
        part = 0.0
        for i in range(_TAPS):
            part += b[i] * row[left + i]
        total += a[j] * part
    return total


@jit
def _edge_sum(plane, top, left, a, b, first_row, last_row, first_column, last_column):
    total = 0.0
    for j in range(_TAPS):
        row = plane[min(max(top + j, first_row), last_row)]
        part = 0.0
        for i in range(_TAPS):
            part += b[i] * row[min(max(left + i, first_column), last_column)]
        total += a[j] * part
    return total


@jit
def _faded(v, u, height, width, fade):
    """Weight of a place: rises from 0 at the sides that fade to 1 where they don't matter."""
    weight = 1.0
    for side, distance in enumerate((v + 0.5, height - 0.5 - v, u + 0.5, width - 0.5 - u)):
        if fade[side] > 0:
            weight = min(weight, distance / fade[side])
    return weight * weight * (3 - 2 * weight)


@jit
def warp_plane(
    plane: NDArray[Any],
    place: tuple[int, int],
    image: tuple[int, int],
    transform: NDArray[np.float64],
    at: tuple[int, int],
    integer: bool,
    limits: tuple[float, float],
    fade: tuple[float, float, float, float],
    out: NDArray[Any],
) -> None:
    """Resample a window of a plane; pixels that the plane does not reach are left alone.

    With (v, u) = (yy·y + yx·x + y0, xy·y + xx·x + x0), L the Lanczos-3 kernel sinc(t) sinc(t / 3)
    and sums over the 6 x 6 pixels nearest (v, u), which is rounded to 1/1024 of a pixel::

        out[y, x] = Σ_ij L(v - i) L(u - j) plane[i, j] / (Σ_i L(v - i) Σ_j L(u - j))

    Parameters
    ----------
    plane : (h, w), any real dtype
        Window of the plane: all that is looked at, and `REACH` + 1 pixels round it where the image
        has them.
    place : (2,) int
        Row and column of the image where the window begins.
    image : (2,) int
        Rows and columns of the whole image.
    transform : (6,) float64
        (yy, yx, y0, xy, xx, x0); y0 and x0 in pixels.
    at : (2,) int
        Row and column of the whole image where `out` begins.
    integer : bool
        Round half up.
    limits : (2,) float
        Lowest and highest value of the result; NaN stays NaN.
    fade : (4,) float
        Pixels from the plane's top, bottom, left and right over which it fades into what `out`
        holds; 0 for a sharp edge.
    out : (Y, X), changed
        Result.
    """
    height, width = image
    fades = max(fade) > 0
    low, high = limits
    for i in range(out.shape[0]):
        y = float(at[0] + i)
        for k in range(out.shape[1]):
            x = float(at[1] + k)
            v = transform[0] * y + transform[1] * x + transform[2]
            u = transform[3] * y + transform[4] * x + transform[5]
            if not _reached(v, u, height, width):
                continue
            row, column = np.floor(v), np.floor(u)
            down = int((v - row) * _PHASES + 0.5)
            right = int((u - column) * _PHASES + 0.5)
            a, b = _WEIGHTS[down], _WEIGHTS[right]
            top = int(row) - REACH + 1 - place[0]
            left = int(column) - REACH + 1 - place[1]
            inside = top >= 0 and left >= 0
            inside = inside and top + _TAPS <= plane.shape[0] and left + _TAPS <= plane.shape[1]
            if down == 0 and right == 0:
                value = float(plane[int(row) - place[0], int(column) - place[1]])
            elif inside:
                value = _inner_sum(plane, top, left, a, b)
            else:
                value = _edge_sum(
                    plane, top, left, a, b,
                    -place[0], height - 1 - place[0], -place[1], width - 1 - place[1],
                )  # fmt: skip
            if fades:
                weight = _faded(v, u, height, width, fade)
                if weight < 1:
                    value = weight * value + (1 - weight) * float(out[i, k])
            value = low if value < low else high if value > high else value
            out[i, k] = np.floor(value + 0.5) if integer else value


@jit
def invalidate_unreached(
    transforms: NDArray[np.float64],
    image: tuple[int, int],
    at: tuple[int, int],
    stand_in: int,
    depth: NDArray[np.float32],
    confidence: NDArray[np.float32],
) -> None:
    """Take the confidence from pixels whose plane in focus does not reach them.

    Parameters
    ----------
    transforms : (planes, 6) float64
        As `warp_plane` takes them, one a plane.
    image : (2,) int
        Rows and columns of the whole image.
    at : (2,) int
        Row and column of the whole image where the maps begin.
    stand_in : int
        Plane whose pixels are shown where another does not reach.
    depth : (Y, X) float32, changed
        In planes. Where the nearest plane does not reach it becomes `stand_in`.
    confidence : (Y, X) float32, changed
        0 where one of the two planes that the depth lies between does not reach.
    """
    last = transforms.shape[0] - 1
    for i in range(depth.shape[0]):
        y = float(at[0] + i)
        for k in range(depth.shape[1]):
            x = float(at[1] + k)
            z = depth[i, k]
            if not z == z:
                continue
            below = min(max(int(np.floor(z)), 0), last)
            above = min(max(int(np.ceil(z)), 0), last)
            nearest = min(max(int(np.floor(z + 0.5)), 0), last)
            for plane in (below, above):
                t = transforms[plane]
                v = t[0] * y + t[1] * x + t[2]
                u = t[3] * y + t[4] * x + t[5]
                if not _reached(v, u, image[0], image[1]):
                    confidence[i, k] = 0.0
                    if plane == nearest:
                        depth[i, k] = stand_in
