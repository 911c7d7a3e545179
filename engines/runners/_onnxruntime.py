"""ONNX Runtime, on the CPU or, with its CUDA provider, on a GPU.

Must not know: networks, files, who calls.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from zfuse.engines.runners._runner import Runner
from zfuse.errors import ZfuseError, reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.engines.runners._runner import Opened

__all__ = ["OnnxRuntimeCudaRunner", "OnnxRuntimeRunner"]

_ERRORS_ONLY = 3
_POWERS_OF_TWO = 0


class OnnxRuntimeRunner(Runner):
    """The CPU provider: float32 arithmetic on weights that were stored in half."""

    name: ClassVar[str] = "onnxruntime"
    providers: ClassVar[tuple[str, ...]] = ("CPUExecutionProvider",)

    def __init__(self, opened: Opened) -> None:
        import onnxruntime

        super().__init__(opened)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = opened.threads
        options.inter_op_num_threads = 1
        # Between calls the cores belong to codecs and kernels.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Patterns hold one block for each shape seen: measured 1.6 times the memory, 3 % slower.
        options.enable_mem_pattern = False
        _share_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
        self._names = list(self.outputs)
        try:
            self._session: Any = onnxruntime.InferenceSession(
                _content(opened), options, providers=list(self.providers)
            )
        except Exception as error:  # its errors have no common class but this
            raise ZfuseError(
                f"ONNX Runtime {onnxruntime.__version__} cannot open graph {opened.graph}: "
                f"{reason(error)}"
            ) from error
        if self._session.get_providers()[0] != self.providers[0]:
            raise ZfuseError(
                f"ONNX Runtime's {self.providers[0]} did not start: check the GPU's driver and the "
                "CUDA libraries, or choose runner onnxruntime"
            )

    def _run(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        try:
            values = self._session.run(self._names, arrays)
        except Exception as error:
            raise ZfuseError(
                f"ONNX Runtime failed on graph {self.graph}: {reason(error)}"
            ) from error
        return dict(zip(self._names, values, strict=True))

    def _release(self) -> None:
        self._session = None


class OnnxRuntimeCudaRunner(OnnxRuntimeRunner):
    """The CUDA provider of `onnxruntime-gpu`."""

    name: ClassVar[str] = "onnxruntime-cuda"
    providers: ClassVar[tuple[str, ...]] = ("CUDAExecutionProvider", "CPUExecutionProvider")


@cache
def _share_arena() -> None:
    """Let all sessions of the process take their memory from one arena.

    By default each keeps one of its own: PDMNet's three graphs then need 807 instead of 524 bytes
    a pixel, and 6 to 9 % more time. Extended by powers of two, ORT's default: as requested takes
    7 % less for PDMNet, but 12 % more for FusionNet.
    """
    import onnxruntime

    onnxruntime.create_and_register_allocator(
        onnxruntime.OrtMemoryInfo(
            "Cpu",
            onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
            0,
            onnxruntime.OrtMemType.DEFAULT,
        ),
        onnxruntime.OrtArenaCfg(
            {
                "max_mem": 0,
                "arena_extend_strategy": _POWERS_OF_TWO,
                "initial_chunk_size_bytes": -1,
                "max_dead_bytes_per_chunk": -1,
            }
        ),
    )


def _content(opened: Opened) -> bytes:
    if opened.precision == "fp32":
        return opened.content
    from zfuse.engines.runners._half import half_content

    return half_content(opened.content)
