"""Resample a plane under a similarity transform, and find what it does not reach (CUDA).

Duty: plain arrays in, plain arrays out. Must not know: how transforms are found, tiles, files.

See `zfuse.kernels.cpu` for what a transform is. Lanczos-3 weights lie in a table of 1024 phases on
the device, the CPU's to the last bit.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float64, int64

from zfuse.kernels.cpu import WARP_REACH as REACH
from zfuse.kernels.cuda._device import copied, device_function, given, launch, product64

__all__ = ["REACH", "invalidate_unreached", "warp_plane"]

_TAPS = 2 * REACH
_PHASES = 1024  # places are rounded to this part of a pixel


@cache
def _weights() -> Any:
    """Return sinc(t) sinc(t / 3) of the taps of each phase, scaled to a sum of 1."""
    at = np.arange(_PHASES + 1)[:, None] / _PHASES - np.arange(1 - REACH, REACH + 1)
    weights = np.sinc(at) * np.sinc(at / REACH) * (np.abs(at) < REACH)
    weights[[0, -1]] = np.abs(at[[0, -1]]) == 0  # exactly one pixel, without sinc's rounding
    return copied(weights / weights.sum(1, keepdims=True))


@device_function
def _place(t, y, x):
    v = product64(t[0], y) + product64(t[1], x) + t[2]
    return v, product64(t[3], y) + product64(t[4], x) + t[5]


@device_function
def _reached(v, u, height, width):
    return -0.5 <= v < height - 0.5 and -0.5 <= u < width - 0.5


@device_function
def _sum(plane, top, left, a, b, first_row, last_row, first_column, last_column):
    total = 0.0
    for j in range(_TAPS):
        row = min(max(top + j, first_row), last_row)
        part = 0.0
        for i in range(_TAPS):
            column = min(max(left + i, first_column), last_column)
            part += product64(b[i], float64(plane[row, column]))
        total += product64(a[j], part)
    return total


@device_function
def _side(weight, distance, fade):
    return min(weight, distance / fade) if fade > 0 else weight


@cuda.jit
def _warp(plane, place, image, transform, at, integer, limits, fade, table, out):
    k, i = cuda.grid(2)
    if i >= out.shape[0] or k >= out.shape[1]:
        return
    height, width = image
    y, x = float64(at[0] + i), float64(at[1] + k)
    v, u = _place(transform, y, x)
    if not _reached(v, u, height, width):
        return
    row, column = math.floor(v), math.floor(u)
    down = int(product64(v - row, float64(_PHASES)) + 0.5)
    right = int(product64(u - column, float64(_PHASES)) + 0.5)
    if down == 0 and right == 0:
        value = float64(plane[int(row) - place[0], int(column) - place[1]])
    else:
        value = _sum(
            plane, int(row) - REACH + 1 - place[0], int(column) - REACH + 1 - place[1],
            table[down], table[right], -place[0], height - 1 - place[0], -place[1],
            width - 1 - place[1],
        )  # fmt: skip
    weight = _side(1.0, v + 0.5, fade[0])
    weight = _side(weight, height - 0.5 - v, fade[1])
    weight = _side(weight, u + 0.5, fade[2])
    weight = _side(weight, width - 0.5 - u, fade[3])
    weight = weight * weight * (3.0 - product64(2.0, weight))
    if weight < 1.0:
        value = product64(weight, value) + product64(1.0 - weight, float64(out[i, k]))
    value = limits[0] if value < limits[0] else limits[1] if value > limits[1] else value
    out[i, k] = math.floor(value + 0.5) if integer else value


def warp_plane(
    plane: Any, place: tuple[int, int], image: tuple[int, int], transform: Any,
    at: tuple[int, int], integer: bool, limits: tuple[float, float],
    fade: tuple[float, float, float, float], out: Any,
) -> None:  # fmt: skip
    """Resample a window of a plane; pixels that the plane does not reach are left alone.

    See `zfuse.kernels.cpu.warp_plane`; all arrays lie on the device.

    Parameters
    ----------
    plane : (h, w), any real dtype
    place : (2,) int
    image : (2,) int
    transform : (6,) float64
    at : (2,) int
    integer : bool
    limits : (2,) float
    fade : (4,) float
    out : (Y, X), changed
    """
    out = given(out)
    launch(
        _warp, out.shape, given(plane), tuple(place), tuple(image), given(transform), tuple(at),
        integer, tuple(map(float, limits)), tuple(map(float, fade)), _weights(), out,
    )  # fmt: skip


@cuda.jit
def _invalidate(transforms, image, at, stand_in, depth, confidence):
    k, i = cuda.grid(2)
    if i >= depth.shape[0] or k >= depth.shape[1]:
        return
    y, x = float64(at[0] + i), float64(at[1] + k)
    z = depth[i, k]
    if not z == z:
        return
    last = transforms.shape[0] - 1
    below = min(max(int64(math.floor(z)), 0), last)
    above = min(max(int64(math.ceil(z)), 0), last)
    nearest = min(max(int64(math.floor(float64(z) + 0.5)), 0), last)
    for side in range(2):
        plane = below if side == 0 else above
        v, u = _place(transforms[plane], y, x)
        if not _reached(v, u, image[0], image[1]):
            confidence[i, k] = 0.0
            if plane == nearest:
                depth[i, k] = stand_in


def invalidate_unreached(
    transforms: Any, image: tuple[int, int], at: tuple[int, int], stand_in: int, depth: Any,
    confidence: Any,
) -> None:  # fmt: skip
    """Take the confidence from pixels whose plane in focus does not reach them.

    See `zfuse.kernels.cpu.invalidate_unreached`; all arrays lie on the device.

    Parameters
    ----------
    transforms : (planes, 6) float64
    image : (2,) int
    at : (2,) int
    stand_in : int
    depth : (Y, X) float32, changed
    confidence : (Y, X) float32, changed
    """
    depth = given(depth)
    launch(
        _invalidate, depth.shape, given(transforms), tuple(image), tuple(at), stand_in, depth,
        given(confidence),
    )  # fmt: skip
