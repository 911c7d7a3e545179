"""Weights of ONNX graphs, stored as float16 and widened again.

What ships is arithmetic in float32 on weights stored as float16: a `Cast` behind each, which
runtimes fold when they load. Needs `onnx`. Must not know: torch, files, runners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, load_model_from_string, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray
    from onnx import ModelProto

__all__ = [
    "LARGEST_HALF",
    "PARAMETERS",
    "parameters",
    "rename",
    "store_half",
    "wide_content",
    "widen",
]

PARAMETERS = "zfuse.parameters"
"""Metadata of a graph: which of its stored arrays are the network's, by name."""

LARGEST_HALF = float(np.finfo(np.float16).max)
_WIDE = ".float"  # a stored weight's name, widened


def store_half(model: ModelProto, names: Collection[str]) -> None:
    """Store float32 weights as float16, in place; values are rounded unless they fit already.

    Parameters
    ----------
    model
        The graph; a weight ``w`` keeps its name, a `Cast` after it makes ``w.float``.
    names
        Weights to store so; those beyond float16's range are left.
    """
    graph, casts = model.graph, []
    for stored in graph.initializer:
        values = numpy_helper.to_array(stored)
        if stored.name not in names or stored.data_type != TensorProto.FLOAT:
            continue
        if not np.all(np.abs(values) <= LARGEST_HALF):
            continue
        stored.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored.name))
        for node in graph.node:
            rename(node.input, {stored.name: stored.name + _WIDE})
        wide = stored.name + _WIDE
        casts.append(helper.make_node("Cast", [stored.name], [wide], wide, to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def widen(model: ModelProto) -> None:
    """Undo `store_half`, in place: float32 weights, no casts."""
    graph = model.graph
    stored = {i.name: i for i in graph.initializer if i.data_type == TensorProto.FLOAT16}
    renamed = {}
    for node in list(graph.node):
        if node.op_type == "Cast" and node.input[0] in stored and node.output[0].endswith(_WIDE):
            name = node.input[0]
            values = numpy_helper.to_array(stored[name]).astype(np.float32)
            stored[name].CopyFrom(numpy_helper.from_array(values, name))
            renamed[node.output[0]] = name
            graph.node.remove(node)
    for node in graph.node:
        rename(node.input, renamed)


def parameters(model: ModelProto) -> dict[str, NDArray[Any]]:
    """Return weights and buffers under their names in the `state_dict`, halves widened."""
    names = next(p.value for p in model.metadata_props if p.key == PARAMETERS).split()
    stored = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    return {
        name: stored[name].astype(np.float32)
        if stored[name].dtype == np.float16
        else stored[name].copy()
        for name in names
    }


def wide_content(content: bytes) -> bytes:
    """Return an ONNX file's graph with float32 weights, as a file."""
    model = load_model_from_string(content)
    widen(model)
    result: bytes = model.SerializeToString()
    return result


def rename(names: Any, new: Mapping[str, str]) -> None:
    """Give entries of a node's ``input`` or ``output`` new names, in place."""
    for i, name in enumerate(names):
        if name in new:
            names[i] = new[name]
