"""Runners, one line each: what runs a graph, what it needs, and why it cannot serve here.

Importing this loads no runtime. Must not know: networks, who calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from zfuse.engines.runners._runner import Precision, Runner

__all__ = ["RUNNERS", "RunnerEntry", "fastest"]


@dataclass(frozen=True)
class RunnerEntry:
    """What the table says of a runner without importing it."""

    module: str
    class_name: str
    install: str
    """What `pip install` takes."""
    needs: tuple[str, ...]
    """Modules; of names joined by a bar any will do."""
    precisions: tuple[Precision, ...] = ("fp32", "fp16")
    lacks: Callable[[], str | Literal[False]] = lambda: False
    """What is missing beside modules."""

    def is_incompatible(self, precision: Precision = "fp32") -> str | Literal[False]:
        """Return why this runner cannot serve here, or False."""
        if precision not in self.precisions:
            return f"it computes in {' or '.join(self.precisions)}, not in {precision}"
        for need in self.needs:
            if not any(find_spec(name) for name in need.split("|")):
                return f"{need.replace('|', ' or ')} is not installed: pip install {self.install}"
        return self.lacks()

    def load(self) -> type[Runner]:
        """Import the runner's class."""
        loaded: type[Runner] = getattr(import_module(self.module), self.class_name)
        return loaded


def _no_gpu() -> str | Literal[False]:
    from zfuse.engines.runners._gpu import gpu

    return gpu().missing or False


def _no_cuda_provider() -> str | Literal[False]:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return _no_gpu()
    return "this onnxruntime has no CUDA provider: pip install onnxruntime-gpu in its stead"


_HERE = "zfuse.engines.runners."

RUNNERS: dict[str, RunnerEntry] = {
    "onnxruntime": RunnerEntry(
        _HERE + "_onnxruntime", "OnnxRuntimeRunner", "onnxruntime", ("onnxruntime",)
    ),
    "onnxruntime-cuda": RunnerEntry(
        _HERE + "_onnxruntime",
        "OnnxRuntimeCudaRunner",
        "onnxruntime-gpu",
        ("onnxruntime",),
        lacks=_no_cuda_provider,
    ),
    "openvino": RunnerEntry(
        _HERE + "_openvino",
        "OpenVinoRunner",
        "zfuse[openvino]",
        ("openvino",),
        ("fp32", "bf16"),
    ),
    "tensorrt": RunnerEntry(
        _HERE + "tensorrt",
        "TensorRtRunner",
        "zfuse[tensorrt] or zfuse[tensorrt-rtx]",
        ("tensorrt|tensorrt_rtx", "onnx"),
        lacks=_no_gpu,
    ),
    "torch": RunnerEntry(
        _HERE + "_torch",
        "TorchRunner",
        "zfuse[train]",
        ("torch", "onnx"),
        ("fp32", "fp16", "bf16"),
    ),
    "torch-compile": RunnerEntry(
        _HERE + "_torch",
        "TorchCompileRunner",
        "zfuse[train]",
        ("torch", "onnx"),
        ("fp32", "fp16", "bf16"),
    ),
}

_GPU = ("tensorrt", "onnxruntime-cuda")
_CPU = ("onnxruntime", "openvino")


def fastest(precision: Precision, on_cpu: str = "onnxruntime") -> str:
    """Return the name of the fastest runner that can serve here in a precision.

    Parameters
    ----------
    precision
        Of the arithmetic.
    on_cpu
        What was measured to be faster where there is no GPU; the other serves if it is not there.

    Raises
    ------
    ZfuseError
        None can, and why.
    """
    reasons = {n: RUNNERS[n].is_incompatible(precision) for n in (*_GPU, on_cpu, *_CPU)}
    for name, reason in reasons.items():
        if not reason:
            return name
    raise ZfuseError(f"nothing here runs networks in {precision}: {_joined(reasons)}")


def _joined(reasons: dict[str, str | Literal[False]]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
