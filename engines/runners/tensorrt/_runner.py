"""TensorRT on an NVIDIA GPU: engines for the sizes that are asked for, lanes that overlap.

A lane is a CUDA stream with pinned buffers and an execution context of its own: while one call
computes, another one's arrays are on their way. Arrays go through numba's CUDA, which zfuse's GPU
kernels use too. Must not know: networks, how engines are built, who calls.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from zfuse.engines._axes import measure, shape_of
from zfuse.engines.runners._gpu import gpu
from zfuse.engines.runners._runner import Runner
from zfuse.engines.runners.tensorrt._build import engine, library, make_log
from zfuse.engines.runners.tensorrt._tile_sizes import TileSizes
from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.engines.runners._runner import Opened

__all__ = ["TensorRtRunner"]

_LANES = 2


class TensorRtRunner(Runner):
    """Runs a graph on the first GPU; a size that no engine serves yet gets one, from the cache."""

    name: ClassVar[str] = "tensorrt"

    def __init__(self, opened: Opened) -> None:
        super().__init__(opened)
        if gpu().missing:
            raise ZfuseError(f"runner tensorrt cannot serve here: {gpu().missing}")
        self._log = make_log(library())
        self._runtime: Any = library().Runtime(self._log)
        self._engines: dict[TileSizes, _Engine] = {}
        self._loading = threading.Lock()

    def _run(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        lengths = measure(self.inputs, {name: array.shape for name, array in arrays.items()})
        return self._engine(lengths).run(arrays)

    def _engine(self, lengths: dict[str, int]) -> _Engine:
        with self._loading:
            for sizes, loaded in self._engines.items():
                if sizes.cover(lengths):
                    return loaded
            sizes = TileSizes.covering(lengths, self._opened.multiple)
            loaded = self._engines[sizes] = _Engine(self._load(sizes), self._opened, sizes)
            return loaded

    def _load(self, sizes: TileSizes) -> Any:
        loaded = self._runtime.deserialize_cuda_engine(engine(self._opened, sizes))
        if loaded is None:
            raise ZfuseError(
                f"{library().__name__} {library().__version__} refuses graph {self.graph} on "
                f"{gpu().name}: {'; '.join(self._log.errors[-2:]) or 'it gives no reason'}"
            )
        return loaded

    def _release(self) -> None:
        self._engines.clear()
        self._runtime = None


class _Engine:
    """One engine and its lanes, made when first needed."""

    def __init__(self, loaded: Any, opened: Opened, sizes: TileSizes) -> None:
        self._loaded = loaded
        self._opened = opened
        self._sizes = sizes
        self._idle: queue.LifoQueue[_Lane | None] = queue.LifoQueue()
        for _ in range(_LANES):
            self._idle.put(None)

    def run(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        lane = self._idle.get()
        try:
            if lane is None:
                lane = _Lane(self._loaded, self._opened, self._sizes)
            return lane.run(arrays)
        finally:
            self._idle.put(lane)


class _Lane:
    """Stream, context, and for each input and output a pinned and a device buffer."""

    def __init__(self, loaded: Any, opened: Opened, sizes: TileSizes) -> None:
        from numba import cuda

        self._graph = opened.graph
        self._outputs = opened.file.outputs
        largest = {name: span[2] for name, span in sizes.spans().items()}
        self._stream = cuda.stream()
        self._context = loaded.create_execution_context()
        if self._context is None:
            raise ZfuseError(
                f"{gpu().name} has too little memory for graph {opened.graph} with "
                f"{sizes.model_dump()}: take smaller tiles"
            )
        self._pinned: dict[str, Any] = {}
        self._device: dict[str, Any] = {}
        for name, tensor in {**opened.file.inputs, **opened.file.outputs}.items():
            size = int(np.prod(shape_of(tensor.axes, largest), dtype=np.int64))
            size *= np.dtype(tensor.dtype).itemsize
            self._pinned[name] = cuda.pinned_array(size, np.uint8)
            self._device[name] = cuda.device_array(size, np.uint8)
            self._context.set_tensor_address(name, _address(self._device[name]))

    def run(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        for name, array in arrays.items():
            pinned = self._pinned[name][: array.nbytes]
            pinned[:] = array.reshape(-1).view(np.uint8)
            self._device[name][: array.nbytes].copy_to_device(pinned, stream=self._stream)
            self._context.set_input_shape(name, array.shape)
        if not self._context.execute_async_v3(_handle(self._stream)):
            shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise ZfuseError(f"TensorRT failed on graph {self._graph} with {shapes}")
        found = {}
        for name, tensor in self._outputs.items():
            shape, dtype = tuple(self._context.get_tensor_shape(name)), np.dtype(tensor.dtype)
            size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            pinned = self._pinned[name][:size]
            self._device[name][:size].copy_to_host(pinned, stream=self._stream)
            found[name] = pinned.view(dtype).reshape(shape)
        self._stream.synchronize()
        return {name: array.copy() for name, array in found.items()}


def _address(array: Any) -> int:
    return int(array.__cuda_array_interface__["data"][0])


def _handle(stream: Any) -> int:
    return int(stream)
