"""Take the noise out of a band of coefficients by local Wiener filters (CUDA).

Duty: two passes of shrinkage over one band. Must not know: where the noise's variance comes from.

Windows are summed directly, first along x and then along y, in the CPU's order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda, float32

from zfuse.kernels.cuda._device import device_function, given, launch, product, scratch

__all__ = ["shrink_band"]

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
def _shrink(band, noise, across, radius, pilot):
    x, y = cuda.grid(2)
    if y >= band.shape[0] or x >= band.shape[1]:
        return
    e = _mean_energy(across, y, x, radius)
    pilot[y, x] = band[y, x] * max(e - noise[y, x], float32(0)) / max(e, float32(_LEAST))


@cuda.jit
def _wiener(band, noise, across, share):
    x, y = cuda.grid(2)
    if y >= band.shape[0] or x >= band.shape[1]:
        return
    e = _mean_energy(across, y, x, 1)
    band[y, x] = band[y, x] * e / max(e + product(share, noise[y, x]), float32(_LEAST))


def shrink_band(band: Any, noise: Any, radius: int, share: float) -> None:
    """Shrink coefficients by the share of noise in their neighbourhood, in place.

    See `zfuse.kernels.cpu.shrink_band`; all arrays lie on the device.

    Parameters
    ----------
    band : (Y, X) float32
    noise : (Y, X) float32
    radius : int
    share : float
    """
    band, noise = given(band), given(noise)
    across, pilot = scratch("wiener-sums", band.shape), scratch("wiener-pilot", band.shape)
    launch(_square_sums, band.shape, band, radius, across)
    launch(_shrink, band.shape, band, noise, across, radius, pilot)
    launch(_square_sums, band.shape, pilot, 1, across)
    launch(_wiener, band.shape, band, noise, across, np.float32(share))
