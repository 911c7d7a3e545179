"""Take the noise out of a band of averaged coefficients by local Wiener filters (CUDA).

Duty: from the sums of one band, two passes of shrinkage, to the image of its level. Must not know:
how coefficients were weighed, where the noise's variance comes from.

Windows are summed directly, first along x and then along y, in the CPU's order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda, float32

from zfuse.kernels.cuda._device import device_function, given, launch, product, scratch
from zfuse.kernels.cuda._pyramid import expanded

__all__ = ["settle_band"]

_LEAST_NORM = float(np.float32(1e-6))

_LEAST = float(np.float32(1.2e-38))  # the least that float32 holds with all digits: 0 / 0 is 0


@cuda.jit
def _square_sums(values, radius, across):
    x, y = cuda.grid(2)
    if y >= values.shape[0] or x >= values.shape[1]:
        return
    last = values.shape[1] - 1
    total = float32(0)
    for shift in range(-radius, radius + 1):
        value = values[y, min(max(x + shift, 0), last)]
        total += product(value, value)
    across[y, x] = total


@device_function
def _mean_energy(across, y, x, radius):
    last = across.shape[0] - 1
    total = float32(0)
    for shift in range(-radius, radius + 1):
        total += across[min(max(y + shift, 0), last), x]
    return total / float32((2 * radius + 1) * (2 * radius + 1))


@cuda.jit
def _average(band, norm, square, coarse, gain, floor, variance, mean, low, noise):
    x, y = cuda.grid(2)
    if y >= band.shape[0] or x >= band.shape[1]:
        return
    n = max(norm[y, x], float32(_LEAST_NORM))
    below = expanded(coarse, y, x)
    mean[y, x], low[y, x] = band[y, x] / n, below
    share = variance * square[y, x] / (n * n)
    noise[y, x] = max(product(gain, below) + floor, float32(0)) * share


@cuda.jit
def _shrink(mean, noise, across, radius, pilot):
    x, y = cuda.grid(2)
    if y >= mean.shape[0] or x >= mean.shape[1]:
        return
    e = _mean_energy(across, y, x, radius)
    pilot[y, x] = mean[y, x] * max(e - noise[y, x], float32(0)) / max(e, float32(_LEAST))


@cuda.jit
def _wiener(mean, noise, across, share, low, band):
    x, y = cuda.grid(2)
    if y >= band.shape[0] or x >= band.shape[1]:
        return
    e = _mean_energy(across, y, x, 1)
    held = max(e + product(share, noise[y, x]), float32(_LEAST))
    band[y, x] = mean[y, x] * e / held + low[y, x]


def settle_band(
    norm: Any, square: Any, coarse: Any, gain: float, floor: float, variance: float, radius: int,
    share: float, band: Any,
) -> None:  # fmt: skip
    """Turn weighted sums of a band into the image of its level, in place.

    See `zfuse.kernels.cpu.settle_band`; all arrays lie on the device.

    Parameters
    ----------
    norm, square : (Y, X) float32
    coarse : (⌈Y/2⌉, ⌈X/2⌉) float32
    gain, floor : float
    variance : float
    radius : int
    share : float
    band : (Y, X) float32
    """
    band, shape = given(band), given(band).shape
    mean, low, noise = (scratch(f"wiener-{use}", shape) for use in ("mean", "low", "noise"))
    across, pilot = scratch("wiener-sums", shape), scratch("wiener-pilot", shape)
    launch(
        _average, shape, band, given(norm), given(square), given(coarse), np.float32(gain),
        np.float32(floor), np.float32(variance), mean, low, noise,
    )  # fmt: skip
    launch(_square_sums, shape, mean, radius, across)
    launch(_shrink, shape, mean, noise, across, radius, pilot)
    launch(_square_sums, shape, pilot, 1, across)
    launch(_wiener, shape, mean, noise, across, np.float32(share), low, band)
