"""Median of 3 x 3 pixels (CPU). Must not know: what the values are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zfuse.kernels.cpu._jit import jit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["median_3x3"]


@jit
def _sort3(a, b, c):
    low, high = min(a, b), max(a, b)
    return min(low, c), max(low, min(high, c)), max(high, c)


@jit
def _median_row(above, row, below, out):
    last = row.size - 1
    for x in range(out.size):
        i, j = max(x - 1, 0), min(x + 1, last)
        a, b, c = _sort3(above[i], row[i], below[i])
        d, e, f = _sort3(above[x], row[x], below[x])
        g, h, k = _sort3(above[j], row[j], below[j])
        low = max(max(a, d), g)
        middle = _sort3(b, e, h)[1]
        high = min(min(c, f), k)
        out[x] = _sort3(low, middle, high)[1]


@jit
def median_3x3(values: Plane, out: Plane) -> None:
    """Write the median of the 3 x 3 pixels round each pixel; they replicate at the edge.

    Sorts the three columns, as Smith does (Implementing median filters in XC4000E FPGAs, Xcell 23,
    1996): the median of nine is that of the largest minimum, the median median and the smallest
    maximum.

    Parameters
    ----------
    values : (Y, X) float32
        Without NaN.
    out : (Y, X) float32
        Result; may not be `values`.
    """
    last = values.shape[0] - 1
    for y in range(values.shape[0]):
        _median_row(values[max(y - 1, 0)], values[y], values[min(y + 1, last)], out[y])
