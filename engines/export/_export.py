"""A trained network to ONNX files and a model card, proved against torch on the way.

Duty: load weights, round them to what is stored, write all graphs and the card, or nothing. Needs
torch, onnx and onnxscript (``pip install zfuse[train]``). Must not know: how networks are trained,
how sessions are kept.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import torch

from zfuse.engines._cards import Card, GraphFile, GraphTensor
from zfuse.engines._differences import differences
from zfuse.engines._models import model_named
from zfuse.engines._stored import PARAMETERS, store_half
from zfuse.engines.export._parity import LARGEST_DIFFERENCE, difference, probes, torch_outputs
from zfuse.engines.export._to_onnx import to_onnx
from zfuse.engines.runners import OnnxRuntimeRunner, Opened
from zfuse.errors import ZfuseError, reason
from zfuse.files import replacing

if TYPE_CHECKING:
    from torch import nn

__all__ = ["export"]


def export(
    name: str,
    weights: Mapping[str, torch.Tensor] | str | Path | Sequence[Path],
    folder: str | Path,
    *,
    training: Mapping[str, Any] | None = None,
    scores: Mapping[str, float] | None = None,
    licence: str = "BSD-3-Clause",
) -> Card:
    """Write a network's ONNX files and its model card.

    Parameters
    ----------
    name
        Network, e.g. ``"umis"``.
    weights
        Its `state_dict`, or a checkpoint of `zfuse train` (``best.pt``), whose ``result.json``
        beside it goes into the card. Of several checkpoints the weights are averaged: fine-tuned
        from the same start, their mean is often better than each (Wortsman et al., Model soups,
        ICML 2022). The card tells the first one's training whole, of every other
        where it differs from the one before.
    folder
        Made if it does not exist; former files of the network are replaced.
    training
        What the card says of the training, if `weights` are no checkpoint.
    scores
        What the card says of the result, beside the best scores of the training.
    licence
        Of the weights, SPDX.

    Returns
    -------
    Card
        As written to ``folder/<name>.json``.

    Raises
    ------
    ZfuseError
        The weights do not fit the network, or a graph's results differ from torch by more than
        `LARGEST_DIFFERENCE`; nothing is written then.
    """
    model, folder = model_named(name), Path(folder)
    if isinstance(weights, (str, Path)):
        weights = [Path(weights)]
    if not isinstance(weights, Mapping):
        stories = [_story(path) for path in weights]
        training = training or (stories[0] if len(stories) == 1 else {"averaged": _told(stories)})
        weights = _mean([_checkpoint(path, name) for path in weights])
    network = model.load()().eval()
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ZfuseError(f"weights do not fit network {name}: {reason(error)}") from error
    modules: dict[str, nn.Module] = {g: m.eval() for g, m in network.graphs().items()}
    if set(modules) != set(model.graphs):
        raise ZfuseError(f"{name} has graphs {sorted(modules)}, the table says {model.graphs}")

    inputs = {graph: next(probes(module, network.multiple)) for graph, module in modules.items()}
    exact = {graph: torch_outputs(module, inputs[graph]) for graph, module in modules.items()}
    _round(network)
    files, contents, parity = {}, {}, {}
    for graph, module in modules.items():
        contents[graph] = content = _content(module, name, graph)
        files[graph] = _describe(content)
        parity[graph] = _prove(Opened(graph, content, files[graph], network.multiple), module)
        rounded = torch_outputs(module, inputs[graph])
        parity[f"{graph}: weights in half"] = difference(rounded, exact[graph])
    training = dict(training or {})
    card = Card(
        name=name,
        licence=licence,
        zfuse=version("zfuse"),
        multiple=network.multiple,
        halo=network.halo,
        graphs=files,
        parity={key: float(f"{value:.2g}") for key, value in parity.items()},
        scores={**training.get("best", {}), **(scores or {})},
        training=training,
    )
    folder.mkdir(parents=True, exist_ok=True)
    for graph, content in contents.items():
        _write(folder / f"{graph}.onnx", content)
    _write(folder / f"{name}.json", (card.model_dump_json(indent=2) + "\n").encode())
    return card


def _content(module: nn.Module, name: str, graph: str) -> bytes:
    exported = to_onnx(module)
    large = {key for key, value in module.named_parameters() if _is_stored_half(value)}
    store_half(exported, large)
    own = {key for key, _ in (*module.named_parameters(), *module.named_buffers())}
    onnx.helper.set_model_props(
        exported,
        {
            "zfuse.network": name,
            "zfuse.graph": graph,
            "zfuse.version": version("zfuse"),
            PARAMETERS: " ".join(i.name for i in exported.graph.initializer if i.name in own),
        },
    )
    onnx.checker.check_model(exported, full_check=True)
    content: bytes = exported.SerializeToString(deterministic=True)
    return content


def _is_stored_half(parameter: torch.Tensor) -> bool:
    """Biases and norms are few, and some of their values are tiny: they stay as they are."""
    return parameter.ndim >= 2


def _round(network: nn.Module) -> None:
    """Round weights in place to what the file will hold, so that parity is about arithmetic."""
    with torch.no_grad():
        for parameter in network.parameters():
            half = parameter.half().float()
            if _is_stored_half(parameter) and bool(torch.isfinite(half).all()):
                parameter.copy_(half)


def _prove(opened: Opened, module: nn.Module) -> float:
    """Return the largest difference to torch over inputs of two sizes, or refuse."""
    largest = 0.0
    with OnnxRuntimeRunner(opened) as runner:
        for inputs in probes(module, opened.multiple):
            found = difference(runner(inputs), torch_outputs(module, inputs))
            largest = max(largest, found)
            if not found <= LARGEST_DIFFERENCE:
                sizes = ", ".join(f"{key} {value.shape}" for key, value in inputs.items())
                raise ZfuseError(
                    f"graph {opened.graph} differs from torch by {found:.2g} of its largest value "
                    f"with {sizes}: at most {LARGEST_DIFFERENCE:g} is allowed; nothing was written"
                )
    return largest


def _describe(content: bytes) -> GraphFile:
    graph = onnx.load_model_from_string(content).graph
    return GraphFile(
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        inputs={value.name: _tensor(value) for value in graph.input},
        outputs={value.name: _tensor(value) for value in graph.output},
    )


def _tensor(value: onnx.ValueInfoProto) -> GraphTensor:
    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    axes = tuple(axis.dim_param or axis.dim_value for axis in kind.shape.dim)
    return GraphTensor.model_validate({"dtype": dtype.name, "axes": axes})


def _checkpoint(path: Path, name: str) -> Mapping[str, torch.Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ZfuseError(f"checkpoint {path} cannot be read: {reason(error)}") from error
    networks = content.get("networks", {name: content})
    if name not in networks:
        raise ZfuseError(f"checkpoint {path} holds {', '.join(networks)}, not {name}")
    weights: Mapping[str, torch.Tensor] = networks[name]
    return weights


def _mean(checkpoints: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    first = checkpoints[0]
    for other in checkpoints[1:]:
        if {k: v.shape for k, v in other.items()} != {k: v.shape for k, v in first.items()}:
            raise ZfuseError("checkpoints to be averaged are of different networks")
    return {
        key: torch.stack([c[key].double() for c in checkpoints]).mean(0).to(value.dtype)
        for key, value in first.items()
    }


def _story(checkpoint: Path) -> dict[str, Any]:
    path = checkpoint.with_name("result.json")
    try:
        story: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ZfuseError(f"{path} cannot be read: {reason(error)}") from error
    return story


def _told(stories: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tell the first run whole, and of every other where it differs from the one before."""
    told = [dict(stories[0])]
    for before, now in pairwise(stories):
        told.append({key: value for key, _, value in differences(before, now)})
    return told


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as new:
        new.write_bytes(content)
