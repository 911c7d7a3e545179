"""Laplacian pyramid steps (CUDA).

Duty: one level down, one level up. Must not know: how many levels there are, what a channel is, how
tiles lie.

The generating kernel is [1 4 6 4 1]/16 in both directions; see `zfuse.kernels.cpu`. A thread a
pixel does what the CPU does a row, in the same order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda, float32

from zfuse.kernels.cuda._device import device_function, given, launch, product

__all__ = ["add_expanded", "reduce_plane", "subtract_expanded"]


@device_function
def _binomial(a, b, c, d, e):
    total = a + e + product(float32(4), b + d) + product(float32(6), c)
    return product(total, float32(1 / 16))


@device_function
def _smooth_column(fine, y, x):
    last = fine.shape[0] - 1
    return _binomial(
        fine[max(y - 2, 0), x], fine[max(y - 1, 0), x], fine[y, x], fine[min(y + 1, last), x],
        fine[min(y + 2, last), x],
    )  # fmt: skip


@cuda.jit
def _reduce(fine, coarse):
    j, i = cuda.grid(2)
    if i >= coarse.shape[0] or j >= coarse.shape[1]:
        return
    y, x, last = 2 * i, 2 * j, fine.shape[1] - 1
    coarse[i, j] = _binomial(
        _smooth_column(fine, y, max(x - 2, 0)), _smooth_column(fine, y, max(x - 1, 0)),
        _smooth_column(fine, y, x), _smooth_column(fine, y, min(x + 1, last)),
        _smooth_column(fine, y, min(x + 2, last)),
    )  # fmt: skip


def reduce_plane(fine: Any, coarse: Any) -> None:
    """Smooth and keep every second pixel, Burt & Adelson's REDUCE.

    See `zfuse.kernels.cpu.reduce_plane`; all arrays lie on the device.

    Parameters
    ----------
    fine : (Y, X) float32
    coarse : (⌈Y/2⌉, ⌈X/2⌉) float32
    """
    coarse = given(coarse)
    launch(_reduce, coarse.shape, given(fine), coarse)


@device_function
def _between(before, here, after, even):
    if even:
        return (before + after + product(float32(6), here)) * float32(1 / 8)
    return (here + after) * float32(0.5)


@device_function
def _expand_column(coarse, y, j):
    i, last = y // 2, coarse.shape[0] - 1
    return _between(coarse[max(i - 1, 0), j], coarse[i, j], coarse[min(i + 1, last), j], y % 2 == 0)


@cuda.jit
def _combine(fine, coarse, sign, out):
    x, y = cuda.grid(2)
    if y >= out.shape[0] or x >= out.shape[1]:
        return
    j, last = x // 2, coarse.shape[1] - 1
    expanded = _between(
        _expand_column(coarse, y, max(j - 1, 0)), _expand_column(coarse, y, j),
        _expand_column(coarse, y, min(j + 1, last)), x % 2 == 0,
    )  # fmt: skip
    out[y, x] = fine[y, x] + product(sign, expanded)


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
