"""torch: the network's own module with the weights of the ONNX file, eager or compiled.

For comparisons and for GPUs without TensorRT. Must not know: files, who calls.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from zfuse.engines._models import model_of
from zfuse.engines.runners._runner import Runner
from zfuse.errors import ZfuseError, reason

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from zfuse.engines.runners._runner import Opened

__all__ = ["TorchCompileRunner", "TorchRunner"]


class TorchRunner(Runner):
    """Eager, on the first GPU or else on the CPU; ``fp16`` and ``bf16`` are torch's autocast.

    torch's number of threads belongs to the process: the runner opened last sets it.
    """

    name: ClassVar[str] = "torch"
    compiled: ClassVar[bool] = False

    def __init__(self, opened: Opened) -> None:
        import torch

        super().__init__(opened)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self._device.type == "cpu":
            torch.set_num_threads(opened.threads)
        module = module_of(opened).to(self._device)
        self._names: tuple[str, ...] = tuple(module.output_names)
        self._module: Any = torch.compile(module, dynamic=True) if self.compiled else module
        self._narrow = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(opened.precision)

    def _run(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        import torch

        inputs = {name: torch.from_numpy(v).to(self._device) for name, v in arrays.items()}
        narrow: AbstractContextManager[Any] = (
            torch.autocast(self._device.type, self._narrow) if self._narrow else nullcontext()
        )
        with torch.inference_mode(), narrow:
            values = self._module(**inputs)
        values = values if isinstance(values, tuple | list) else (values,)
        return {
            name: value.float().cpu().numpy().copy()  # an output may be an input passed on
            for name, value in zip(self._names, values, strict=True)
        }

    def _release(self) -> None:
        self._module = None


class TorchCompileRunner(TorchRunner):
    """Compiled by `torch.compile` at the first call, for any size."""

    name: ClassVar[str] = "torch-compile"
    compiled: ClassVar[bool] = True


def module_of(opened: Opened) -> Any:
    """Return a graph's torch module with the weights that its ONNX file holds.

    Raises
    ------
    ZfuseError
        The file holds weights that the network does not have, or of other shapes.
    """
    import torch
    from onnx import load_model_from_string

    from zfuse.engines._stored import parameters

    module = model_of(opened.graph).load()().graphs()[opened.graph].eval()
    arrays = parameters(load_model_from_string(opened.content))
    state = {name: torch.from_numpy(values) for name, values in arrays.items()}
    try:
        missing = module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ZfuseError(
            f"the weights of graph {opened.graph} do not fit its network: "
            f"{reason(error)}; export it anew"
        ) from error
    if missing.unexpected_keys:
        raise ZfuseError(
            f"the weights of graph {opened.graph} are of another network: it has no "
            f"{missing.unexpected_keys[0]}; export it anew"
        )
    return module
