"""One torch module to one ONNX graph, tile size and batch free, weights under their own names.

torch's exporter is `torch.export` (``dynamo=True``); the TorchScript one is deprecated, renames
weights and folds batch norms into them. Must not know: files, checksums, number formats.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import onnx_ir
import torch
from onnxscript import optimizer

from zfuse.errors import ZfuseError, reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import ModelProto
    from torch import nn

__all__ = ["to_onnx"]

_OPSET = 18  # ONNX Runtime since 1.14, TensorRT and OpenVINO know it
_IR_VERSION = 9  # of the file, as ONNX Runtime since 1.17 reads it


def to_onnx(module: nn.Module) -> ModelProto:
    """Export a module.

    Parameters
    ----------
    module
        In evaluation mode. Offers ``example_inputs()``, by the names of its forward's arguments;
        ``output_names``; and ``dynamic_axes``, names of free axes as in `_axes`.

    Returns
    -------
    ModelProto
        float32. Parameters and buffers are initialisers, named as in ``state_dict()``.

    Raises
    ------
    ZfuseError
        torch cannot export it, names of inputs and outputs clash, or an axis that should be free
        is not.
    """
    inputs: dict[str, torch.Tensor] = module.example_inputs()  # type: ignore[operator]
    axes: dict[str, dict[int, str]] = module.dynamic_axes  # type: ignore[assignment]
    outputs: tuple[str, ...] = tuple(module.output_names)  # type: ignore[arg-type]
    both = set(inputs).intersection(outputs)
    if both:
        raise ZfuseError(f"input and output are both named {', '.join(sorted(both))}: rename one")
    free = torch.export.Dim.DYNAMIC
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                (),
                kwargs=inputs,
                dynamic_shapes={name: dict.fromkeys(axes.get(name, ()), free) for name in inputs},
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=_OPSET,
                dynamo=True,
                optimize=False,  # would fold batch norms into weights
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ZfuseError(
            f"torch cannot export {type(module).__name__} with these axes free: "
            f"{reason(error.__cause__ or error)}"
        ) from error
    assert program is not None
    _fold_constants(program.model)
    exported = onnx_ir.to_proto(program.model)
    exported.ir_version = _IR_VERSION
    _strip(exported)
    _name_axes(exported, axes)
    return exported


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says of itself: it deprecates its own calls, misses torchvision."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category in (FutureWarning, DeprecationWarning):
                warnings.filterwarnings("ignore", category=category)
            yield
    finally:
        log.setLevel(level)


def _fold_constants(model: onnx_ir.Model) -> None:
    """Compute shapes and scalars beforehand, but leave parameters as they are.

    TensorRT wants axes as plain constants. While folding, parameters pass for inputs.
    """
    graph = model.graph
    n_inputs = len(graph.inputs)
    values = {name: value.const_value for name, value in graph.initializers.items()}
    parameters = [graph.initializers.pop(name) for name in values]
    for parameter in parameters:
        parameter.const_value = None
        graph.inputs.append(parameter)
    optimizer.optimize_ir(model)
    del graph.inputs[n_inputs:]
    for parameter in parameters:
        if parameter.uses():
            parameter.const_value = values[str(parameter.name)]
            graph.register_initializer(parameter)


def _strip(model: ModelProto) -> None:
    """Take out what tells of this machine (paths, stack traces), and shapes that were inferred."""
    graph = model.graph
    model.producer_name, model.producer_version, model.doc_string = "zfuse", "", ""
    del model.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


def _name_axes(model: ModelProto, axes: dict[str, dict[int, str]]) -> None:
    for value in (*model.graph.input, *model.graph.output):
        names: dict[int, Any] = axes.get(value.name, {})
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            if i in names:
                if dim.HasField("dim_value"):
                    raise ZfuseError(
                        f"axis {i} of {value.name} should be free ({names[i]}), the module fixes "
                        f"it to {dim.dim_value}"
                    )
                dim.dim_param = names[i]
            elif not dim.HasField("dim_value"):
                raise ZfuseError(
                    f"axis {i} of {value.name} has no name: add it to the module's dynamic_axes"
                )
