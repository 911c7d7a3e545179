"""OpenVINO on the CPU: 1.4 times as fast as ONNX Runtime on our convolutions, 2 to 4 in bfloat16.

Must not know: networks, files, who calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from zfuse.engines.runners._runner import Runner
from zfuse.errors import ZfuseError, reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.engines.runners._runner import Opened

__all__ = ["OpenVinoRunner"]


class OpenVinoRunner(Runner):
    """Compiled for this CPU when opened. Where the CPU lacks bfloat16, ``bf16`` is float32."""

    name: ClassVar[str] = "openvino"

    def __init__(self, opened: Opened) -> None:
        import openvino

        super().__init__(opened)
        core = openvino.Core()
        settings = {
            # Its default is bfloat16 where the CPU has it: asked for, or not at all.
            "INFERENCE_PRECISION_HINT": "bf16" if opened.precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": opened.threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # the cores are shared with codecs and kernels
        }
        try:
            model = core.read_model(opened.content)
            self._model: Any = core.compile_model(model, "CPU", settings)
        except Exception as error:  # its errors are plain RuntimeErrors, and some are not
            raise ZfuseError(
                f"OpenVINO {openvino.__version__} cannot open graph {opened.graph}: {reason(error)}"
            ) from error
        # A request holds the buffers of one call. As many as ever ran at once are kept; one for
        # every thread would be one for every stack, as each stack is fused by threads of its own.
        self._idle: list[Any] = []

    def _run(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        results = request.infer(arrays, share_inputs=True)
        copies = {name: results[name].copy() for name in self.outputs}
        self._idle.append(request)
        return copies

    def _release(self) -> None:
        self._idle.clear()
        self._model = None
