"""Which NVIDIA GPU this process would use, without loading anything that needs one.

Asks the driver itself (``libcuda``), so it costs nothing where there is none. Must not know:
runners.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from functools import cache

__all__ = ["Gpu", "gpu"]

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_…


@dataclass(frozen=True)
class Gpu:
    """The first GPU that the driver offers; `missing` says why there is none, or is empty."""

    name: str = ""
    compute: tuple[int, int] = (0, 0)
    missing: str = ""


@cache
def gpu() -> Gpu:
    """Return the GPU."""
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError:
        return Gpu(missing="it needs an NVIDIA GPU; this machine has no NVIDIA driver")
    device, value = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    status = driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0)
    if status:
        return Gpu(missing=f"it needs an NVIDIA GPU; the driver offers none (CUDA error {status})")
    driver.cuDeviceGetName(name, len(name), device)
    compute = []
    for attribute in (_MAJOR, _MINOR):
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        compute.append(value.value)
    return Gpu(name.value.decode(errors="replace"), (compute[0], compute[1]))
