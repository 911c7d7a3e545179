"""Soft choice between planes: how active a pixel is, and a running weighted mean of planes (CUDA).

Duty: log activity of one plane; a mean of planes with weights 2^exponent that can neither overflow
nor depend on how many planes follow. Must not know: what is weighed, pyramids, tiles.

Logarithm and power are the CPU's polynomials on the bits of a float, not the card's own: the
results are the same to the last bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda, float32, int32

from zfuse.kernels.cpu import NO_WEIGHT
from zfuse.kernels.cuda._device import (
    bits_of,
    device_function,
    float_of,
    given,
    launch,
    product,
    scratch,
)

__all__ = ["add_weighted", "log_activity", "log_energy"]

_ONE = 127 << 23  # bits of 1.0
_MANTISSA = (1 << 23) - 1
_STEP = 2.0**-23
_NO_WEIGHT = float(NO_WEIGHT)


@device_function
def _log2(value):
    """Logarithm of a float above 0."""
    b = bits_of(value)
    f = product(float32(int32(b & int32(_MANTISSA))), float32(_STEP))
    whole = product(float32(int32(b - int32(_ONE))), float32(_STEP))
    curve = float32(0.42086) - product(float32(0.15639), f)
    return whole + product(f * (float32(1) - f), curve)


@device_function
def _smooth_column(plane, y, x):
    last = plane.shape[0] - 1
    twice = product(float32(2), plane[y, x])
    return plane[max(y - 1, 0), x] + plane[min(y + 1, last), x] + twice


@cuda.jit
def _smooth(plane, out):
    x, y = cuda.grid(2)
    if y >= out.shape[0] or x >= out.shape[1]:
        return
    last = out.shape[1] - 1
    before, after = (
        _smooth_column(plane, y, max(x - 1, 0)),
        _smooth_column(plane, y, min(x + 1, last)),
    )
    here = product(float32(2), _smooth_column(plane, y, x))
    out[y, x] = (before + after + here) * float32(1 / 16)


@device_function
def _energy(smooth, y, x):
    last_row, last = smooth.shape[0] - 1, smooth.shape[1] - 1
    beside = smooth[y, max(x - 1, 0)] + smooth[y, min(x + 1, last)]
    over = smooth[max(y - 1, 0), x] + smooth[min(y + 1, last_row), x]
    d = over + beside - product(float32(4), smooth[y, x])
    return product(d, d)


@device_function
def _energy_column(smooth, y, x):
    last = smooth.shape[0] - 1
    total = _energy(smooth, max(y - 1, 0), x) + _energy(smooth, y, x)
    return total + _energy(smooth, min(y + 1, last), x)


@cuda.jit
def _log_activity(smooth, scale, out):
    x, y = cuda.grid(2)
    if y >= out.shape[0] or x >= out.shape[1]:
        return
    last = out.shape[1] - 1
    total = _energy_column(smooth, y, max(x - 1, 0)) + _energy_column(smooth, y, x)
    total += _energy_column(smooth, y, min(x + 1, last))
    out[y, x] = _log2(float32(1) + product(scale, total))


def log_activity(plane: Any, floor: float, out: Any) -> None:
    """Write how much more fine detail than noise a plane holds, on a logarithmic scale.

    See `zfuse.kernels.cpu.log_activity`; all arrays lie on the device.

    Parameters
    ----------
    plane : (Y, X) float32
    floor : float
    out : (Y, X) float32
    """
    out = given(out)
    smooth = scratch("activity", out.shape)
    launch(_smooth, out.shape, given(plane), smooth)
    launch(_log_activity, out.shape, smooth, np.float32(1 / (9 * floor)), out)


@device_function
def _square_sum(bands, y, x):
    last = bands.shape[1] - 1
    total = float32(0)
    for b in range(bands.shape[0]):
        u, c, d = bands[b, max(y - 1, 0), x], bands[b, y, x], bands[b, min(y + 1, last), x]
        total += product(u, u) + product(c, c) + product(d, d)
    return total


@cuda.jit
def _log_energy(bands, scale, out):
    x, y = cuda.grid(2)
    if y >= out.shape[0] or x >= out.shape[1]:
        return
    last = out.shape[1] - 1
    total = _square_sum(bands, y, max(x - 1, 0)) + _square_sum(bands, y, x)
    total += _square_sum(bands, y, min(x + 1, last))
    out[y, x] = _log2(float32(1) + product(scale, total))


def log_energy(bands: Any, floor: float, out: Any) -> None:
    """Write how much more energy than noise B bands hold together, on a logarithmic scale.

    See `zfuse.kernels.cpu.log_energy`; all arrays lie on the device.

    Parameters
    ----------
    bands : (B, Y, X) float32
    floor : float
    out : (Y, X) float32
    """
    bands, out = given(bands), given(out)
    launch(_log_energy, out.shape, bands, np.float32(1 / (9 * bands.shape[0] * floor)), out)


@device_function
def _power(exponent, peak):
    """Return 2^-|exponent - peak|."""
    d = max(-abs(exponent - peak), float32(-126))
    f = d - float32(math.floor(d))
    curve = product(f * (float32(1) - f), float32(0.30407) + product(float32(0.07913), f))
    return float_of(int32((d - curve + float32(127)) * float32(2.0**23)))


@cuda.jit
def _add(exponent, bands, peak, total, sums):
    x, y = cuda.grid(2)
    if y >= total.shape[0] or x >= total.shape[1]:
        return
    e, p = exponent[y, x], peak[y, x]
    w = _power(e, p)
    old, new = (w, float32(1)) if e > p else (float32(1), w)
    if e <= float32(_NO_WEIGHT):
        new = float32(0)
    peak[y, x] = e if e > p else p
    total[y, x] = product(total[y, x], old) + new
    for c in range(bands.shape[0]):
        sums[c, y, x] = product(sums[c, y, x], old) + product(new, bands[c, y, x])


def add_weighted(exponent: Any, bands: Any, peak: Any, total: Any, sums: Any) -> None:
    """Add one plane to a running mean with weight 2^exponent, in place.

    See `zfuse.kernels.cpu.add_weighted`; all arrays lie on the device.

    Parameters
    ----------
    exponent : (Y, X) float32
    bands : (C, Y, X) float32
    peak : (Y, X) float32
    total : (Y, X) float32
    sums : (C, Y, X) float32
    """
    total = given(total)
    launch(_add, total.shape, given(exponent), given(bands), given(peak), total, given(sums))
