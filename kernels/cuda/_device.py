"""How every CUDA kernel is compiled and started, and the stream that it runs on.

Duty: device arrays in, a launch out; scratch that is reused in the order of the stream. Must not
know: what the kernels compute.

Kernels are started on the stream of the innermost `on_stream`, outside of it on the default stream,
and are not waited for. The stream is the context's, not an argument, so that a kernel and its CPU
twin have one signature.

NVVM fuses a product and a sum into one rounding, and numba has no switch for that. `product` is a
multiplication that is rounded by itself, as on the CPU: what it gives may be added.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import config

from zfuse.errors import ZfuseError

if find_spec("numba_cuda") is None:  # numba's own numba.cuda is older, and is going
    raise ZfuseError("CUDA kernels need numba-cuda. Install with: pip install zfuse[cuda]")

from numba import cuda

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "SIMULATED",
    "address",
    "bits_of",
    "copied",
    "device_function",
    "float_of",
    "given",
    "launch",
    "nearest",
    "new_array",
    "on_stream",
    "product",
    "product64",
    "scratch",
    "start",
]

SIMULATED = bool(config.ENABLE_CUDASIM)

_BLOCK = (32, 4)
"""Threads of a block, x and y: a row of a warp reads neighbours, and 48 registers fill any card."""


class _Queue:
    """A stream, and scratch that kernels on it use one after another."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self._scratch: dict[tuple[str, str], Any] = {}

    def scratch(self, use: str, shape: tuple[int, ...], dtype: Any) -> Any:
        size = int(np.prod(shape))
        key = (use, np.dtype(dtype).str)
        kept = self._scratch.get(key)
        if kept is None or kept.size < size:
            kept = self._scratch[key] = cuda.device_array(size, dtype, stream=self.stream)
        return kept[:size].reshape(*shape)


_QUEUE: ContextVar[_Queue | None] = ContextVar("zfuse-cuda-queue", default=None)


def _queue() -> _Queue:
    queue = _QUEUE.get()
    if queue is None:
        queue = _Queue(0)
        _QUEUE.set(queue)
    return queue


@contextmanager
def on_stream(stream: Any) -> Iterator[None]:
    """Start kernels on `stream` for as long as the context lasts, in this thread.

    Parameters
    ----------
    stream
        Of numba (`numba.cuda.stream`, `numba.cuda.external_stream`), or 0 for the default one.
        Arrays must have been written on it, or before it began to wait.
    """
    token = _QUEUE.set(_Queue(stream))
    try:
        yield
    finally:
        _QUEUE.reset(token)


def scratch(use: str, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
    """Return memory on the device that later kernels of the same `use` will overwrite."""
    return _queue().scratch(use, shape, dtype)


def new_array(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return an array of the device that nobody else has."""
    return cuda.device_array(shape, dtype, stream=_queue().stream)


def copied(array: Any) -> Any:
    """Return a copy of a host array on the device."""
    return cuda.to_device(array)


def given(array: Any) -> Any:
    """Return an array of the device as numba's, without a copy.

    Raises
    ------
    ZfuseError
        It lies in the host's memory.
    """
    if SIMULATED:
        on_device = hasattr(array, "__cuda_ndarray__")
    else:
        on_device = hasattr(array, "__cuda_array_interface__")
    if not on_device:
        kind = f"{type(array).__module__}.{type(array).__qualname__}"
        raise ZfuseError(
            f"a CUDA kernel was given a {kind}, which lies in the host's memory, and takes arrays "
            "of the GPU only: copy it there first, for instance with cupy.asarray"
        )
    # No waiting for the producer's stream: the caller orders streams, see `on_stream`.
    return array if SIMULATED else cuda.as_cuda_array(array, sync=False)


def address(array: Any) -> int:
    """Return where the first element of a numba array lies in the device's memory."""
    return 0 if SIMULATED else int(array.__cuda_array_interface__["data"][0])


def launch(
    kernel: Any, shape: tuple[int, ...], *arguments: Any, block: tuple[int, ...] = _BLOCK
) -> None:
    """Start a kernel with a thread for each element of `shape`, (y, x) or (z, y, x).

    Threads beyond the shape are started, too, to fill the last blocks; `numba.cuda.grid` counts x
    first.
    """
    sizes = shape[::-1]
    if min(sizes) == 0:
        return
    grid = tuple(-(-n // (block[i] if i < len(block) else 1)) for i, n in enumerate(sizes))
    start(kernel, grid, block, *arguments)


def start(kernel: Any, grid: tuple[int, ...], block: tuple[int, ...], *arguments: Any) -> None:
    """Start `grid` blocks of `block` threads."""
    kernel[grid, block, _queue().stream](*arguments)


if SIMULATED:

    def _multiply(a, b):
        return a * b

    _multiply64 = _multiply

    def _bits(value):
        return np.float32(value).view(np.int32)

    def _float(bits):
        return np.int32(bits).view(np.float32)

    def _nearest(value):
        return np.rint(value)

else:
    from numba.cuda import libdevice

    def _multiply(a, b):
        return libdevice.fmul_rn(a, b)

    def _multiply64(a, b):
        return libdevice.dmul_rn(a, b)

    def _bits(value):
        return libdevice.float_as_int(value)

    def _float(bits):
        return libdevice.int_as_float(bits)

    def _nearest(value):
        return libdevice.rintf(value)


device_function = cuda.jit(device=True)
"""Compile a function that kernels call."""

product = device_function(_multiply)
"""a · b in float32, rounded before anything is added to it."""

product64 = device_function(_multiply64)
"""The same in float64."""

bits_of = device_function(_bits)
"""Bits of a float32 as int32."""

float_of = device_function(_float)
"""The float32 of these bits."""

nearest = device_function(_nearest)
"""The nearest whole number; of two, the even one."""
