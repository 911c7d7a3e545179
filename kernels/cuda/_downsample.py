"""Halve an image by the mean of 2x2 pixels, for the levels of a pyramid (CUDA).

Duty: ``out[y, x] = mean(image[2y:2y+2, 2x:2x+2])``. Where the image has an odd edge its last row or
column counts twice. Must not know: files, levels, tiles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda, int64

from zfuse.kernels.cpu import downsampled_shape
from zfuse.kernels.cuda._device import given, launch, new_array

__all__ = ["downsample", "downsampled_shape"]


@cuda.jit
def _halve_integers(image, out):
    x, y = cuda.grid(2)
    if y >= out.shape[0] or x >= out.shape[1]:
        return
    below, right = min(2 * y + 1, image.shape[0] - 1), min(2 * x + 1, image.shape[1] - 1)
    total = int64(image[2 * y, 2 * x]) + int64(image[2 * y, right])
    total += int64(image[below, 2 * x]) + int64(image[below, right])
    out[y, x] = (total + 2) >> 2


@cuda.jit
def _halve_floats(image, one, out):
    x, y = cuda.grid(2)
    if y >= out.shape[0] or x >= out.shape[1]:
        return
    below, right = min(2 * y + 1, image.shape[0] - 1), min(2 * x + 1, image.shape[1] - 1)
    zero = one - one
    a, b = image[2 * y, 2 * x], image[2 * y, right]
    c, d = image[below, 2 * x], image[below, right]
    n = (one if a == a else zero) + (one if b == b else zero)
    n += (one if c == c else zero) + (one if d == d else zero)
    total = (a if a == a else zero) + (b if b == b else zero)
    total += (c if c == c else zero) + (d if d == d else zero)
    out[y, x] = total / n  # 0/0 is the NaN that is wanted


def downsample(image: Any, out: Any = None) -> Any:
    """Halve an image by the mean of 2x2 pixels.

    See `zfuse.kernels.cpu.downsample`; all arrays lie on the device.

    Parameters
    ----------
    image
        (Y, X), integer of up to 32 bits, float32 or float64.
    out
        ((Y + 1) // 2, (X + 1) // 2) of the same dtype, to fill.

    Returns
    -------
    NDArray
        `out`.

    Raises
    ------
    ValueError
        The dtype is not one of these, or `out` does not fit.
    """
    here = given(image)
    shape = downsampled_shape(*here.shape)
    if out is None:
        out = new_array(shape, here.dtype)
    if tuple(out.shape) != shape or out.dtype != here.dtype:
        raise ValueError(
            f"out is {out.dtype} {tuple(out.shape)}, but {here.dtype} {tuple(here.shape)} "
            f"halves to {here.dtype} {shape}"
        )
    if here.dtype.kind in "iu" and here.dtype.itemsize <= 4:
        launch(_halve_integers, shape, here, given(out))
    elif here.dtype in (np.float32, np.float64):
        launch(_halve_floats, shape, here, here.dtype.type(1), given(out))
    else:
        raise ValueError(f"cannot halve {here.dtype}: integers up to 32 bits, float32 or float64")
    return out
