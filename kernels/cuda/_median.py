"""Median of 3 x 3 pixels (CUDA). Must not know: what the values are."""

from __future__ import annotations

from typing import Any

from numba import cuda

from zfuse.kernels.cuda._device import device_function, given, launch

__all__ = ["median_3x3"]


@device_function
def _sort3(a, b, c):
    low, high = min(a, b), max(a, b)
    return min(low, c), max(low, min(high, c)), max(high, c)


@cuda.jit
def _median(values, out):
    x, y = cuda.grid(2)
    height, width = out.shape
    if y >= height or x >= width:
        return
    u, d = max(y - 1, 0), min(y + 1, height - 1)
    i, j = max(x - 1, 0), min(x + 1, width - 1)
    a, b, c = _sort3(values[u, i], values[y, i], values[d, i])
    e, f, g = _sort3(values[u, x], values[y, x], values[d, x])
    h, k, m = _sort3(values[u, j], values[y, j], values[d, j])
    low = max(max(a, e), h)
    middle = _sort3(b, f, k)[1]
    high = min(min(c, g), m)
    out[y, x] = _sort3(low, middle, high)[1]


def median_3x3(values: Any, out: Any) -> None:
    """Write the median of the 3 x 3 pixels round each pixel; they replicate at the edge.

    See `zfuse.kernels.cpu.median_3x3`; all arrays lie on the device.

    Parameters
    ----------
    values : (Y, X) float32
    out : (Y, X) float32
    """
    out = given(out)
    launch(_median, out.shape, given(values), out)
