"""Runs the TensorRT runner where there is no GPU: numba's simulator, and engines that are ONNX.

The stand-in takes shapes and addresses as TensorRT does, reads inputs from those addresses, lets
ONNX Runtime compute and writes outputs to their addresses. Run by test_engines_tensorrt.
"""

from __future__ import annotations

import ctypes
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np

from support.engine_cases import TOY
from zfuse import engines
from zfuse.engines.export._verify import random_inputs
from zfuse.engines.runners._gpu import Gpu
from zfuse.engines.runners._onnxruntime import OnnxRuntimeRunner
from zfuse.engines.runners._session import load
from zfuse.engines.runners.tensorrt import _runner as _tensorrt

engines.MODELS["toy"] = TOY
GRAPH = load("toy-fold").read()
TRUTH = OnnxRuntimeRunner(GRAPH)
lanes: list[Context] = []


class Context:
    """As `tensorrt.IExecutionContext`."""

    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.busy = threading.Lock()
        lanes.append(self)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 5
        assert self.busy.acquire(blocking=False), "two calls in one lane"
        inputs = {
            name: self._memory(name, self.shapes[name], tensor.dtype).copy()
            for name, tensor in GRAPH.file.inputs.items()
        }
        for name, values in TRUTH(inputs).items():
            self.shapes[name] = values.shape
            self._memory(name, values.shape, "float32")[...] = values
        self.busy.release()
        return True

    def _memory(self, name: str, shape: tuple[int, ...], dtype: str) -> Any:
        size = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
        memory = (ctypes.c_uint8 * size).from_address(self.addresses[name])
        return np.frombuffer(memory, dtype).reshape(shape)


class Runtime:
    """As `tensorrt.Runtime`."""

    def __init__(self, log: Any) -> None:
        pass

    def deserialize_cuda_engine(self, content: bytes) -> Any:
        assert content == b"engine"
        return SimpleNamespace(create_execution_context=Context)


built = []


def build(opened: Any, sizes: Any) -> bytes:
    built.append(sizes)
    return b"engine"


library = SimpleNamespace(Runtime=Runtime, __name__="stand-in", __version__="1")
_tensorrt.gpu = lambda: Gpu("stand-in", (8, 9))
_tensorrt.library = lambda: library
_tensorrt.make_log = lambda trt: SimpleNamespace(errors=[])
_tensorrt.engine = build
_tensorrt._address = lambda array: array._ary.ctypes.data
_tensorrt._handle = lambda stream: 5

with _tensorrt.TensorRtRunner(GRAPH) as runner:
    sizes = [(1, 16), (3, 64), (2, 252), (4, 32), (1, 8)]
    calls = [random_inputs(runner.tensors, batch, size, channels=2) for batch, size in sizes * 4]
    wanted = [TRUTH(inputs) for inputs in calls]
    found = [runner(inputs) for inputs in calls]
    print("engines:", len(built), "lanes:", len(lanes))  # one call at a time needs one lane
    with ThreadPoolExecutor(4) as pool:
        found += pool.map(runner, calls)
    for outputs, right in zip(found, wanted * 2, strict=True):
        for name, values in right.items():
            np.testing.assert_array_equal(outputs[name], values)
assert len(built) == 2
assert len(lanes) <= 4
