"""Focus measures of one pixel and its eight neighbours (CUDA).

Duty: the formulas of `zfuse.kernels.MEASURES`, in exact integers. Must not know: windows, planes.
"""

from __future__ import annotations

from typing import Any

from numba import int32, int64

from zfuse.kernels.cpu import GIVEN, INVALID, MEASURES
from zfuse.kernels.cuda._device import device_function

__all__ = ["VARIANCE", "measure_of", "touches_invalid"]

VARIANCE = MEASURES["variance"]

_INVALID = int(INVALID)


@device_function
def _sml(ul, u, ur, left, c, right, dl, d, dr):
    twice = int32(int32(2) * c)
    a = int32(twice - int32(left + right))
    b = int32(twice - int32(u + d))
    return int32(max(a, int32(-a)) + max(b, int32(-b)))


@device_function
def _laplacian_energy(ul, u, ur, left, c, right, dl, d, dr):
    g = int64(int32(int32(int32(4) * c) - int32(int32(left + right) + int32(u + d))))
    return g * g


@device_function
def _tenengrad(ul, u, ur, left, c, right, dl, d, dr):
    east = int32(int32(ur + dr) + int32(int32(2) * right))
    west = int32(int32(ul + dl) + int32(int32(2) * left))
    south = int32(int32(dl + dr) + int32(int32(2) * d))
    north = int32(int32(ul + ur) + int32(int32(2) * u))
    gx, gy = int64(int32(east - west)), int64(int32(south - north))
    return gx * gx + gy * gy


@device_function
def _brenner(ul, u, ur, left, c, right, dl, d, dr):
    a, b = int64(int32(right - left)), int64(int32(d - u))
    return a * a + b * b


@device_function
def _square(ul, u, ur, left, c, right, dl, d, dr):
    g = int64(c)
    return g * g


@device_function
def _spatial_frequency(ul, u, ur, left, c, right, dl, d, dr):
    a, b = int64(int32(c - left)), int64(int32(c - u))
    return a * a + b * b


@device_function
def _given(ul, u, ur, left, c, right, dl, d, dr):
    return c


@device_function
def touches_invalid(ul, u, ur, left, c, right, dl, d, dr):
    """Return whether one of nine pixels is `INVALID`."""
    least = min(min(min(ul, u), min(ur, left)), min(min(right, dl), min(d, dr)))
    return min(least, c) == int32(_INVALID)


_BY_NUMBER = {
    MEASURES["sml"]: _sml,
    MEASURES["laplacian-energy"]: _laplacian_energy,
    MEASURES["tenengrad"]: _tenengrad,
    MEASURES["brenner"]: _brenner,
    MEASURES["variance"]: _square,
    MEASURES["spatial-frequency"]: _spatial_frequency,
    GIVEN: _given,
}


def measure_of(number: int) -> Any:
    """Return the device function of a measure, of int32 pixels; `GIVEN` and SML give int32."""
    return _BY_NUMBER[number]
