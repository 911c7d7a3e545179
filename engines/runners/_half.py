"""A graph in half: which operations compute in float16, and casts where precisions meet.

TensorRT reads the precision of every operation from the graph, so fp16 is a graph of its own. Needs
`onnx`. Must not know: torch, files, runners.

Not done by ``onnxruntime.transformers.float16`` (1.31), tried on the shipped networks: it rounds
every tensor between operations to half, also round those that are to stay in float32. With the same
choice of operations FusionNet, R-PSNN and Fusion2Void then differ from float32 by 7e-4, 3e-4 and
3e-4 of the largest value instead of 4e-4, 5e-7 and 3e-5; UMIS and all of PDMNet's graphs do not
load, as casts of shared tensors get the same name twice. Without a choice PDMNet's sums overflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper, load_model_from_string, numpy_helper, shape_inference

from zfuse.engines._stored import LARGEST_HALF, rename, widen
from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

__all__ = ["half_content", "in_half"]

# Worth half precision: nearly all of a network's time.
_HEAVY = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
# Move, join or bend values, and lose nothing that the heavy operation before them had not lost.
_LIGHT = {
    "Add", "AveragePool", "Clip", "Concat", "Expand", "Flatten", "Gather", "Gelu", "HardSigmoid",
    "HardSwish", "Identity", "LeakyRelu", "Max", "MaxPool", "Min", "Mul", "Neg", "PRelu", "Pad",
    "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Split", "Squeeze", "Sub", "Tanh",
    "Transpose", "Unsqueeze", "Where", "DepthToSpace", "SpaceToDepth",
}  # fmt: skip

# Inputs whose precision does not follow the operation's: scales are float32, shapes read no value.
_ANY_PRECISION = {"Resize": (1, 2), "Shape": (0,), "Size": (0,)}
_PIXEL_CHANNELS = 5  # a convolution to so few makes pixels, not features; PDMNet's last has 5


def in_half(model: ModelProto) -> ModelProto:
    """Return a graph that computes in float16 where that costs nothing that is seen.

    Convolutions and matrix products are in half, and what only moves, joins or bends their results.
    All else stays in float32: reductions, exponentials, squares, quotients, whatever touches an
    image or a running sum that came in as float32, and the last convolution before an output, whose
    values are pixels (a half has 11 bits). Inputs and outputs stay float32.

    Raises
    ------
    ZfuseError
        The graph has control flow.
    """
    wide = type(model)()
    wide.CopyFrom(model)
    widen(wide)
    _fold_norms(wide.graph)
    inferred = shape_inference.infer_shapes(wide, strict_mode=True, data_prop=True)
    half = _Half(inferred.graph)
    for node in inferred.graph.node:
        half.add(node)
    half.finish()
    graph = wide.graph
    del graph.node[:], graph.initializer[:]
    graph.node.extend(half.nodes)
    used = {name for node in half.nodes for name in node.input}
    graph.initializer.extend(i for i in half.constants.values() if i.name in used)
    return wide


def half_content(content: bytes) -> bytes:
    """Return an ONNX file's graph `in_half`, as a file."""
    result: bytes = in_half(load_model_from_string(content)).SerializeToString()
    return result


class _Half:
    """Rewrites nodes one after another, with casts where precisions meet."""

    def __init__(self, graph: GraphProto) -> None:
        self.nodes: list[NodeProto] = []
        self.constants = {i.name: i for i in graph.initializer}
        self._graph = graph
        self._float = _float_tensors(graph)
        self._images = _images(graph)
        self._pixels = _pixel_convolutions(graph, self._images)
        self._half: set[str] = set()  # tensors whose one true form is float16
        self._cast: dict[tuple[str, bool], str] = {}

    def add(self, node: NodeProto) -> None:
        """Copy a node, in the precision that suits it."""
        if any(a.HasField("g") or len(a.graphs) for a in node.attribute):
            raise ZfuseError(f"graph holds {node.op_type}: fp16 needs one without control flow")
        half = self._suits(node)
        new = type(node)()
        new.CopyFrom(node)
        for i, name in enumerate(node.input):
            if name in self._float and i not in _ANY_PRECISION.get(node.op_type, ()):
                new.input[i] = self._as(name, half)
        self.nodes.append(new)
        if half:
            self._half.update(name for name in node.output if name in self._float)

    def finish(self) -> None:
        """Give outputs that ended in half their float32 back."""
        for output in self._graph.output:
            if output.name in self._half:
                inner = f"{output.name}.half"
                for node in self.nodes:
                    rename(node.output, {output.name: inner})
                    rename(node.input, {output.name: inner})
                self.nodes.append(_cast(inner, output.name, half=False))

    def _suits(self, node: NodeProto) -> bool:
        if node.op_type in _HEAVY:
            return node.output[0] not in self._pixels or not self._makes_pixels(node)
        values = [n for n in node.input if n in self._float and n not in self.constants]
        squares = node.op_type == "Mul" and node.input[0] == node.input[1]
        if node.op_type not in _LIGHT or squares or not values:
            return False
        # Of images all must be in half; a vector of scales beside them does not decide.
        decisive = [n for n in values if n in self._images] or values
        return all(n in self._half for n in decisive)

    def _makes_pixels(self, node: NodeProto) -> bool:
        kernel = self.constants.get(node.input[1])
        return kernel is not None and kernel.dims[0] <= _PIXEL_CHANNELS

    def _as(self, name: str, half: bool) -> str:
        if (name in self._half) == half:
            return name
        new = self._cast.get((name, half))
        if new is None:
            new = f"{name}.{'half' if half else 'full'}"
            self._cast[name, half] = new
            if name in self.constants:
                values = numpy_helper.to_array(self.constants[name])
                values = np.clip(values, -LARGEST_HALF, LARGEST_HALF).astype(np.float16)
                self.constants[new] = numpy_helper.from_array(values, new)
            else:
                self.nodes.append(_cast(name, new, half=half))
        return new


def _fold_norms(graph: GraphProto) -> None:
    """Join batch norms with the convolutions before them, while weights are still float32.

    A norm is y = (x - m) · s + b with s = g / sqrt(v + e): the convolution's weights are scaled by
    s, its bias c becomes (c - m) · s + b.
    """
    constants = {i.name: i for i in graph.initializer}
    users: dict[str, int] = {}
    for name in [n for node in graph.node for n in node.input] + [o.name for o in graph.output]:
        users[name] = users.get(name, 0) + 1
    makers = {name: node for node in graph.node for name in node.output}
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        conv = makers.get(norm.input[0])
        if conv is None or conv.op_type != "Conv" or users[norm.input[0]] > 1:
            continue
        if conv.input[1] not in constants or users[conv.input[1]] > 1:
            continue
        gain, shift, mean, variance = (
            numpy_helper.to_array(constants[n]).astype(np.float64) for n in norm.input[1:5]
        )
        epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
        scale = gain / np.sqrt(variance + epsilon)
        kernel = numpy_helper.to_array(constants[conv.input[1]])
        bias = numpy_helper.to_array(constants[conv.input[2]]) if len(conv.input) > 2 else 0.0
        folded = {
            conv.input[1]: kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1)),
            f"{norm.output[0]}.bias": (bias - mean) * scale + shift,
        }
        for name, values in folded.items():
            tensor = numpy_helper.from_array(values.astype(np.float32), name)
            if name in constants:
                constants[name].CopyFrom(tensor)
            else:
                graph.initializer.append(tensor)
        inputs, output = [*conv.input[:2], f"{norm.output[0]}.bias"], norm.output[0]
        del conv.input[:], conv.output[:]
        conv.input.extend(inputs)
        conv.output.append(output)
        makers[output] = conv
        graph.node.remove(norm)


def _float_tensors(graph: GraphProto) -> set[str]:
    known = [*graph.input, *graph.output, *graph.value_info]
    names = {v.name for v in known if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    return names | {i.name for i in graph.initializer if i.data_type == TensorProto.FLOAT}


def _images(graph: GraphProto) -> set[str]:
    """Return tensors with at least two axes whose length is not fixed: not vectors of scales."""
    known = [*graph.input, *graph.output, *graph.value_info]
    return {
        v.name
        for v in known
        if sum(not d.HasField("dim_value") for d in v.type.tensor_type.shape.dim) >= 2
        or not v.type.tensor_type.HasField("shape")
    }


def _pixel_convolutions(graph: GraphProto, images: set[str]) -> set[str]:
    """Return tensors from which only light operations lead to an output that is an image."""
    pixels = {output.name for output in graph.output if output.name in images}
    for node in reversed(graph.node):
        if node.op_type in _LIGHT and pixels.intersection(node.output):
            pixels.update(name for name in node.input if name in images)
    return pixels


def _cast(name: str, new: str, *, half: bool) -> NodeProto:
    to = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    return helper.make_node("Cast", [name], [new], new, to=to)
