"""Laplacian pyramid steps (CUDA).

Duty: one level down, one level up. Must not know: how many levels there are, what a channel is, how
tiles lie.

The generating kernel is [1 4 6 4 1]/16 in both directions; see `zfuse.kernels.cpu`. A thread a
pixel does what the CPU does a row, in the same order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda, float32, int32

from zfuse.kernels.cuda._device import device_function, given, launch, nearest, product

__all__ = [
    "add_expanded",
    "expanded",
    "reduce_plane",
    "reduce_planes",
    "reduce_signal",
    "subtract_expanded",
]


@device_function
def _binomial(a, b, c, d, e):
    total = a + e + product(float32(4), b + d) + product(float32(6), c)
    return product(total, float32(1 / 16))


@device_function
def _shown(i, size, begin, end):
    """Return which pixel of an axis shows at `i`, if `begin` and `end` of it mirror the others."""
    last = size - 1 - end
    i = min(max(i, 0), size - 1)
    return 2 * begin - i if i < begin else 2 * last - i if i > last else i


@device_function
def _smooth_column(fine, y, x, top, bottom):
    height = fine.shape[0]
    return _binomial(
        float32(fine[_shown(y - 2, height, top, bottom), x]),
        float32(fine[_shown(y - 1, height, top, bottom), x]),
        float32(fine[_shown(y, height, top, bottom), x]),
        float32(fine[_shown(y + 1, height, top, bottom), x]),
        float32(fine[_shown(y + 2, height, top, bottom), x]),
    )


@device_function
def _reduced(fine, i, j, frame):
    y, x, width = 2 * i, 2 * j, fine.shape[1]
    top, bottom, left, right = frame
    return _binomial(
        _smooth_column(fine, y, _shown(x - 2, width, left, right), top, bottom),
        _smooth_column(fine, y, _shown(x - 1, width, left, right), top, bottom),
        _smooth_column(fine, y, _shown(x, width, left, right), top, bottom),
        _smooth_column(fine, y, _shown(x + 1, width, left, right), top, bottom),
        _smooth_column(fine, y, _shown(x + 2, width, left, right), top, bottom),
    )


@cuda.jit
def _reduce(fine, coarse):
    j, i = cuda.grid(2)
    if i < coarse.shape[0] and j < coarse.shape[1]:
        coarse[i, j] = _reduced(fine, i, j, (0, 0, 0, 0))


def reduce_plane(fine: Any, coarse: Any) -> None:
    """Smooth and keep every second pixel, Burt & Adelson's REDUCE.

    See `zfuse.kernels.cpu.reduce_plane`; all arrays lie on the device.

    Parameters
    ----------
    fine : (Y, X), any real dtype
    coarse : (⌈Y/2⌉, ⌈X/2⌉) float32
    """
    coarse = given(coarse)
    launch(_reduce, coarse.shape, given(fine), coarse)


@cuda.jit
def _reduce_planes(planes, top, left, height, width, coarse):
    j, i, plane = cuda.grid(3)
    if i >= coarse.shape[2] or j >= coarse.shape[3]:
        return
    p, c = plane // coarse.shape[1], plane % coarse.shape[1]
    part = planes[p, c, top : top + height, left : left + width]
    coarse[p, c, i, j] = _reduced(part, i, j, (0, 0, 0, 0))


def reduce_planes(planes: Any, top: int, left: int, size: tuple[int, int], coarse: Any) -> None:
    """Do what `reduce_plane` does with a part of a block of planes.

    See `zfuse.kernels.cpu.reduce_planes`; all arrays lie on the device.

    Parameters
    ----------
    planes : (n, C, rows, columns), any real dtype
    top, left : int
    size : (2,) int
    coarse : (n, C, ⌈Y/2⌉, ⌈X/2⌉) float32
    """
    coarse = given(coarse)
    n, channels, rows, columns = coarse.shape
    shape = (n * channels, rows, columns)
    launch(_reduce_planes, shape, given(planes), top, left, int(size[0]), int(size[1]), coarse)


@cuda.jit
def _reduce_signal(fine, frame, scale, coarse, steps):
    j, i = cuda.grid(2)
    if i < coarse.shape[0] and j < coarse.shape[1]:
        value = _reduced(fine, i, j, frame)
        coarse[i, j] = value
        steps[i, j] = int32(nearest(product(value, scale)))


def reduce_signal(
    fine: Any, frame: tuple[int, int, int, int], scale: float, coarse: Any, steps: Any
) -> None:
    """Reduce a decision signal as `reduce_plane` does, and round it: steps = rint(scale coarse).

    See `zfuse.kernels.cpu.reduce_signal`; all arrays lie on the device.

    Parameters
    ----------
    fine : (Y, X), any real dtype
    frame : (4,) int
    scale : float
    coarse : (⌈Y/2⌉, ⌈X/2⌉) float32
    steps : (⌈Y/2⌉, ⌈X/2⌉) int32
    """
    coarse = given(coarse)
    launch(
        _reduce_signal,
        coarse.shape,
        given(fine),
        tuple(map(int, frame)),
        np.float32(scale),
        coarse,
        given(steps),
    )


@device_function
def _between(before, here, after, even):
    if even:
        return (before + after + product(float32(6), here)) * float32(1 / 8)
    return (here + after) * float32(0.5)


@device_function
def _expand_column(coarse, y, j):
    i, last = y // 2, coarse.shape[0] - 1
    return _between(coarse[max(i - 1, 0), j], coarse[i, j], coarse[min(i + 1, last), j], y % 2 == 0)


@device_function
def expanded(coarse, y, x):
    """Return EXPAND(coarse)[y, x], see `subtract_expanded`."""
    j, last = x // 2, coarse.shape[1] - 1
    return _between(
        _expand_column(coarse, y, max(j - 1, 0)), _expand_column(coarse, y, j),
        _expand_column(coarse, y, min(j + 1, last)), x % 2 == 0,
    )  # fmt: skip


@cuda.jit
def _combine(fine, coarse, sign, out):
    x, y = cuda.grid(2)
    if y < out.shape[0] and x < out.shape[1]:
        out[y, x] = fine[y, x] + product(sign, expanded(coarse, y, x))


def subtract_expanded(fine: Any, coarse: Any, band: Any) -> None:
    """Write what a plane has that its coarse level lacks: band = fine - EXPAND(coarse).

    See `zfuse.kernels.cpu.subtract_expanded`; all arrays lie on the device.

    Parameters
    ----------
    fine : (Y, X) float32
    coarse : (⌈Y/2⌉, ⌈X/2⌉) float32
    band : (Y, X) float32
    """
    band = given(band)
    launch(_combine, band.shape, given(fine), given(coarse), np.float32(-1), band)


def add_expanded(band: Any, coarse: Any, fine: Any) -> None:
    """Undo `subtract_expanded`: fine = band + EXPAND(coarse).

    See `zfuse.kernels.cpu.add_expanded`; all arrays lie on the device.

    Parameters
    ----------
    band : (Y, X) float32
    coarse : (⌈Y/2⌉, ⌈X/2⌉) float32
    fine : (Y, X) float32
    """
    fine = given(fine)
    launch(_combine, fine.shape, given(band), given(coarse), np.float32(1), fine)
