"""Focus measures: how sharp each pixel of a plane is, before it is summed over a window (CPU).

Duty: one row of a measure at a time, in exact integers. Must not know: windows, other planes.

Each row function touches five arrays at most, the reason is in `_focus`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import int32, int64

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._rows import copy_row, inside_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "GIVEN",
    "INVALID",
    "MEASURES",
    "VARIANCE",
    "MeasureScratch",
    "accumulator",
    "measure_row",
    "new_measure_scratch",
]

MEASURES = {
    "sml": 0,
    "laplacian-energy": 1,
    "tenengrad": 2,
    "brenner": 3,
    "variance": 4,
    "spatial-frequency": 5,
}
"""Focus measures by name; the numbers are what the kernels take.

With c the pixel, l r u d its neighbours (replicated at the edge), summed over n pixels:

=================  ====================================  ==============================
sml                abs(2c - l - r) + abs(2c - u - d)     Nayar & Nakagawa 1994
laplacian-energy   (4c - l - r - u - d)²                 Subbarao, Choi & Nikzad 1993
tenengrad          Sobel_x² + Sobel_y²                   Tenenbaum 1970, Krotkov 1988
brenner            (r - l)² + (d - u)²                   Brenner et al. 1976, both axes
variance           n Σc² - (Σc)²                         Groen, Young & Ligthart 1985
spatial-frequency  (c - l)² + (c - u)²                   Eskicioglu & Fisher 1995
=================  ====================================  ==============================
"""

GIVEN = -1
"""In the place of a measure: the signal is one already, and only its window is summed."""

INVALID = np.int32(-(2**31))
"""Value of a pixel in an int32 signal that is NaN or infinite in the input."""

_SML, _LAPLACIAN_ENERGY, _TENENGRAD, _BRENNER, VARIANCE = 0, 1, 2, 3, 4


class MeasureScratch(NamedTuple):
    """Memory that `measure_row` works in.

    Attributes
    ----------
    row : (m + 2,) int32 or int64
        The measure of a row of m pixels, and a pixel on either side that is always 0.
    edge : (3, 16), dtype of the signal
        Columns at the image's left or right edge, and one on either side.
    sobel : (2, m + 2) int32
        Columns smoothed, and their slopes.
    """

    row: NDArray[np.signedinteger]
    edge: NDArray[Any]
    sobel: NDArray[np.int32]


@jit_allocating
def new_measure_scratch(width, signal_dtype, sum_dtype):
    """Return scratch for rows of `width` pixels, with zeros in `row`."""
    return MeasureScratch(
        np.zeros(width + 2, sum_dtype),
        np.empty((3, 16), signal_dtype),
        np.empty((2, width + 2), np.int32),
    )


def accumulator(measure: str) -> np.dtype[np.signedinteger]:
    """Return the integer dtype that holds the window sum of a measure, a key of `MEASURES`.

    SML of 18-bit signals stays below 2^20 a pixel, so int32 holds windows up to 45 x 45; squares of
    16-bit differences need int64.
    """
    return np.dtype(np.int32) if measure == "sml" else np.dtype(np.int64)


@jit
def _sml_row(up, row, down, out):
    for x in range(1, row.size - 1):
        c = int32(int32(2) * int32(row[x]))
        a = int32(c - int32(int32(row[x - 1]) + int32(row[x + 1])))
        b = int32(c - int32(int32(up[x]) + int32(down[x])))
        a = max(a, int32(-a))
        b = max(b, int32(-b))
        out[x] = int32(a + b)


@jit
def _laplacian_energy_row(up, row, down, out):
    for x in range(1, row.size - 1):
        a = int32(int32(row[x - 1]) + int32(row[x + 1]))
        b = int32(int32(up[x]) + int32(down[x]))
        g = int64(int32(int32(int32(4) * int32(row[x])) - int32(a + b)))
        out[x] = g * g


@jit
def _tenengrad_row(up, row, down, smooth, slope, out):
    for x in range(row.size):
        u, d = int32(up[x]), int32(down[x])
        smooth[x] = int32(int32(u + d) + int32(int32(2) * int32(row[x])))
        slope[x] = int32(d - u)
    for x in range(1, row.size - 1):
        gx = int64(int32(smooth[x + 1] - smooth[x - 1]))
        gy = int64(int32(int32(slope[x - 1] + slope[x + 1]) + int32(int32(2) * slope[x])))
        out[x] = gx * gx + gy * gy


@jit
def _brenner_row(up, row, down, out):
    for x in range(1, row.size - 1):
        a = int64(int32(int32(row[x + 1]) - int32(row[x - 1])))
        b = int64(int32(int32(down[x]) - int32(up[x])))
        out[x] = a * a + b * b


@jit
def _square_row(row, out):
    for x in range(1, row.size - 1):
        g = int64(row[x])
        out[x] = g * g


@jit
def _spatial_frequency_row(up, row, out):
    for x in range(1, row.size - 1):
        a = int64(int32(int32(row[x]) - int32(row[x - 1])))
        b = int64(int32(int32(row[x]) - int32(up[x])))
        out[x] = a * a + b * b


@jit
def _stencil_row(measure, up, row, down, sobel, out):
    """Write the measure at row[1:-1] into out[1:-1]."""
    if measure == _SML:
        _sml_row(up, row, down, out)
    elif measure == _LAPLACIAN_ENERGY:
        _laplacian_energy_row(up, row, down, out)
    elif measure == _TENENGRAD:
        _tenengrad_row(up, row, down, sobel[0, : row.size], sobel[1, : row.size], out)
    elif measure == _BRENNER:
        _brenner_row(up, row, down, out)
    elif measure == VARIANCE:
        _square_row(row, out)
    elif measure == GIVEN:
        copy_row(row[1:-1], out[1:-1])
    else:
        _spatial_frequency_row(up, row, out)


@jit
def _clear_invalid(plane, y, x0, x1, out):
    """Zero the measure wherever its 3 x 3 stencil touches an invalid pixel."""
    height, width = plane.shape
    for x in range(x0, x1):
        for yy in range(max(y - 1, 0), min(y + 2, height)):
            for xx in range(max(x - 1, 0), min(x + 2, width)):
                if plane[yy, xx] == INVALID:
                    out[x - x0 + 1] = 0


@jit
def measure_row(measure, plane, y, x0, x1, frame, invalid, scratch, out):
    """Write the measure of row `y`, columns x0 … x1 - 1, into out[1:-1].

    `invalid` says whether the plane holds `INVALID`: there, and next to it, the measure is 0.
    """
    height, width = plane.shape
    top, bottom, left, right = frame
    up = plane[inside_frame(y - 1, height, top, bottom)]
    row = plane[inside_frame(y, height, top, bottom)]
    down = plane[inside_frame(y + 1, height, top, bottom)]
    a, b = max(x0 - 1, 0), min(x1 + 1, width)
    inside = out[a - x0 + 1 : b - x0 + 1]
    _stencil_row(measure, up[a:b], row[a:b], down[a:b], scratch.sobel, inside)
    # The image's own edge: neighbours beyond it replicate, those in a frame mirror others.
    for start, stop in ((0, left + 1), (width - 1 - right, width)):
        a, b = max(start, x0), min(stop, x1)
        if a < b:
            n = b - a + 2
            # Rows one by one: those of a part of the columns would be a type of their own.
            above, mid, below = scratch.edge[0, :n], scratch.edge[1, :n], scratch.edge[2, :n]
            for i in range(n):
                x = inside_frame(a - 1 + i, width, left, right)
                above[i], mid[i], below[i] = up[x], row[x], down[x]
            _stencil_row(measure, above, mid, below, scratch.sobel, out[a - x0 : b - x0 + 2])
    if invalid:
        _clear_invalid(plane, y, x0, x1, out)
