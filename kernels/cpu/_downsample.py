"""Halve an image by the mean of 2x2 pixels, for the levels of a pyramid.

Duty: ``out[y, x] = mean(image[2y:2y+2, 2x:2x+2])``. Where the image has an odd edge its last row or
column counts twice. Must not know: files, levels, tiles.

A 2x2 mean needs no halo: tiles with even edges that are halved one by one give the same pixels as
the whole image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import int64

from zfuse.kernels.cpu._jit import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["downsample", "downsampled_shape"]


def downsampled_shape(height: int, width: int) -> tuple[int, int]:
    """Rows and columns (pixels) that `downsample` makes of ``height`` x ``width`` pixels."""
    return (height + 1) // 2, (width + 1) // 2


def downsample(image: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Halve an image by the mean of 2x2 pixels.

    out[y, x] = mean of image[2y … 2y + 1, 2x … 2x + 1]; an odd last row or column counts twice.

    Parameters
    ----------
    image
        (Y, X), integer of up to 32 bits, float32 or float64.
    out
        ((Y + 1) // 2, (X + 1) // 2) of the same dtype, to fill.

    Returns
    -------
    NDArray
        `out`. Integers are exact, rounded half up: ``floor(mean + 1/2)``. Of floats the NaN are
        left out; a pixel is NaN only where all four are.

    Raises
    ------
    ValueError
        The dtype is not one of these, or `out` does not fit.
    """
    shape = downsampled_shape(*image.shape)
    if out is None:
        out = np.empty(shape, image.dtype)
    if out.shape != shape or out.dtype != image.dtype:
        raise ValueError(
            f"out is {out.dtype} {out.shape}, but {image.dtype} {image.shape} "
            f"halves to {image.dtype} {shape}"
        )
    if image.dtype.kind in "iu" and image.dtype.itemsize <= 4:
        halve = _halve_integers
    elif image.dtype in (np.float32, np.float64):
        halve = _halve_floats
    else:
        raise ValueError(f"cannot halve {image.dtype}: integers up to 32 bits, float32 or float64")
    # One compiled version a dtype, and one that vectorises: only of contiguous arrays is it known
    # that neighbours lie side by side.
    image = np.ascontiguousarray(image)
    if out.flags.c_contiguous:
        halve(image, out)
    else:
        halved = np.empty(shape, image.dtype)
        halve(image, halved)
        out[...] = halved
    return out


@jit
def _halve_integers(image, out):
    height, width = image.shape
    for y in range(out.shape[0]):
        upper = image[2 * y]
        lower = image[min(2 * y + 1, height - 1)]
        for x in range(width // 2):
            # LLVM narrows the 64 bits again: 8 and 16 bits run in 32-bit lanes.
            total = int64(upper[2 * x]) + int64(upper[2 * x + 1])
            total += int64(lower[2 * x]) + int64(lower[2 * x + 1])
            out[y, x] = (total + 2) >> 2
        if width % 2:
            out[y, width // 2] = (int64(upper[width - 1]) + int64(lower[width - 1]) + 1) >> 1


@jit
def _halve_floats(image, out):
    height, width = image.shape
    zero = image.dtype.type(0)
    one = image.dtype.type(1)
    for y in range(out.shape[0]):
        upper = image[2 * y]
        lower = image[min(2 * y + 1, height - 1)]
        for x in range(width // 2):
            a, b, c, d = upper[2 * x], upper[2 * x + 1], lower[2 * x], lower[2 * x + 1]
            # Selects, not branches: this vectorises. 0/0 is the NaN that is wanted.
            n = (one if a == a else zero) + (one if b == b else zero)
            n += (one if c == c else zero) + (one if d == d else zero)
            total = (a if a == a else zero) + (b if b == b else zero)
            total += (c if c == c else zero) + (d if d == d else zero)
            out[y, x] = total / n
        if width % 2:
            a, c = upper[width - 1], lower[width - 1]
            n = (one if a == a else zero) + (one if c == c else zero)
            out[y, width // 2] = ((a if a == a else zero) + (c if c == c else zero)) / n
