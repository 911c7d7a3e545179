"""ONNX to a TensorRT engine, with the API that `tensorrt` and `tensorrt_rtx` share.

`tensorrt_rtx` builds without a GPU, for any from Ampere on; `tensorrt` builds for the one that is
there. Networks are strongly typed: the graph says which operation runs in which precision. Must not
know: how engines are run, where weights lie.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from zfuse.engines.runners._gpu import gpu
from zfuse.engines.runners.tensorrt._engine_cache import cached
from zfuse.errors import ZfuseError, reason

if TYPE_CHECKING:
    from zfuse.engines.runners._runner import Opened
    from zfuse.engines.runners.tensorrt._tile_sizes import TileSizes

__all__ = ["Network", "build", "engine", "key", "library", "make_log", "parse"]

LIBRARIES = ("tensorrt", "tensorrt_rtx")
_TURING = (7, 5)
_BUILDING = threading.Lock()  # builders take all cores, and much memory


@dataclass(frozen=True)
class Network:
    """A parsed graph; what TensorRT needs alive stays alive with it."""

    trt: Any
    builder: Any
    definition: Any
    parser: Any
    log: Any


def library() -> Any:
    """Import `tensorrt`, or else `tensorrt_rtx`.

    Raises
    ------
    ZfuseError
        Neither is installed.
    """
    for name in LIBRARIES:
        if find_spec(name):
            return import_module(name)
    raise ZfuseError(
        "TensorRT is not installed: pip install zfuse[tensorrt] for data-centre GPUs, "
        "zfuse[tensorrt-rtx] for workstations"
    )


def make_log(trt: Any) -> Any:
    """Return a logger that keeps the errors, in ``errors``, and prints nothing."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(reason(message))

    return Log()


def engine(opened: Opened, sizes: TileSizes) -> bytes:
    """Return a serialised engine from the cache, built if need be."""
    with _BUILDING:
        return cached(key(opened, sizes), lambda: build(opened, sizes))


def key(opened: Opened, sizes: TileSizes) -> dict[str, str]:
    """Return all that an engine depends on."""
    trt, device = library(), gpu()
    portable = trt.__name__ == "tensorrt_rtx" and device.compute != _TURING
    return {
        "graph": opened.graph,
        "model": opened.file.sha256,
        "library": f"{trt.__name__} {trt.__version__}",
        "gpu": "any" if portable else f"{device.name} {device.compute[0]}.{device.compute[1]}",
        "precision": opened.precision,
        "sizes": sizes.model_dump_json(),
    }


def build(opened: Opened, sizes: TileSizes) -> bytes:
    """Build an engine.

    Parameters
    ----------
    opened
        The graph, and its precision.
    sizes
        Shapes that it must serve.

    Raises
    ------
    ZfuseError
        TensorRT is not installed, cannot read the graph or cannot build it; what it says.
    """
    network = parse(opened)
    trt, builder = network.trt, network.builder
    config = builder.create_builder_config()
    # What is left in float32 is meant to be: TF32 has a half's 11 bits.
    config.clear_flag(trt.BuilderFlag.TF32)
    if trt.__name__ == "tensorrt_rtx" and gpu().compute == _TURING:
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM75, 0)
    profile = builder.create_optimization_profile()
    for name, shapes in sizes.profile(opened.file.inputs).items():
        profile.set_shape(name, *shapes)
    config.add_optimization_profile(profile)
    built = builder.build_serialized_network(network.definition, config)
    if built is None:
        raise ZfuseError(_failed("build", opened, network))
    return bytes(built)


def parse(opened: Opened) -> Network:
    """Read a graph into TensorRT, and check its inputs and outputs against the model card.

    Raises
    ------
    ZfuseError
        TensorRT is not installed or cannot read the graph.
    """
    from zfuse.engines._stored import wide_content
    from zfuse.engines.runners._half import half_content

    trt = library()
    log = make_log(trt)
    try:
        builder = trt.Builder(log)
    except (RuntimeError, TypeError) as error:  # `tensorrt` without a GPU
        raise ZfuseError(
            f"{trt.__name__} {trt.__version__} needs an NVIDIA GPU to build engines: "
            f"{gpu().missing or '; '.join(log.errors) or error}"
        ) from error
    definition = builder.create_network(_strongly_typed(trt))
    parser = trt.OnnxParser(definition, log)
    network = Network(trt, builder, definition, parser, log)
    contents = {"fp16": half_content, "fp32": wide_content}
    if opened.precision not in contents:
        raise ZfuseError(f"TensorRT computes in {' or '.join(contents)}, not {opened.precision}")
    if not parser.parse(contents[opened.precision](opened.content)):
        log.errors.extend(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise ZfuseError(_failed("read", opened, network))
    found = {
        tensor.name
        for count, get in (
            (definition.num_inputs, definition.get_input),
            (definition.num_outputs, definition.get_output),
        )
        for tensor in map(get, range(count))
    }
    wanted = {*opened.file.inputs, *opened.file.outputs}
    if found != wanted:
        raise ZfuseError(
            f"{trt.__name__} sees {', '.join(sorted(found))} in graph {opened.graph}, the model "
            f"card says {', '.join(sorted(wanted))}: export it anew"
        )
    return network


def _strongly_typed(trt: Any) -> int:
    # Always on, and the flag on its way out, from TensorRT 11.
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _failed(what: str, opened: Opened, network: Network) -> str:
    trt = network.trt
    return (
        f"{trt.__name__} {trt.__version__} cannot {what} graph {opened.graph} in "
        f"{opened.precision}: {'; '.join(network.log.errors[:2]) or 'it gives no reason'}"
    )
