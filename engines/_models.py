"""The networks that zfuse ships: their graphs, model cards and checksums.

Duty: names to files, and refusing files that are not what the card says. Must not know: torch,
ONNX, how a graph is run.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zfuse.engines._axes import Axis  # noqa: TC001 (pydantic)
from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "MODELS",
    "Card",
    "GraphFile",
    "Model",
    "Tensor",
    "card",
    "card_path",
    "model_named",
    "model_of",
    "read_graph",
]

FOLDER_VARIABLE = "ZFUSE_WEIGHTS"
"""Environment variable: a folder whose model cards win over those in the package."""

PACKAGED = Path(__file__).with_name("weights")


@dataclass(frozen=True)
class Model:
    """What the table says of a network without importing torch.

    Attributes
    ----------
    name
        As in `zfuse fuse --method`.
    class_name
        In `zfuse.engines.networks`.
    graphs
        Names of its ONNX files, without ``.onnx``.
    summary
        One line.
    source
        Who described it, and where.
    bf16
        Whether bfloat16 keeps its scores (docs/engines.md). OpenVINO is then the fastest on CPUs, 2
        to 4 times as fast as ONNX Runtime; else ONNX Runtime is.
    """

    name: str
    class_name: str
    graphs: tuple[str, ...]
    summary: str
    source: str = ""
    bf16: bool = False
    module: str = "zfuse.engines.networks"

    def load(self) -> Any:
        """Import and return the network's class, a `torch.nn.Module`.

        Raises
        ------
        ZfuseError
            torch is not installed.
        """
        try:
            return getattr(import_module(self.module), self.class_name)
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise ZfuseError(
                f"network {self.name} needs torch. Install with: pip install zfuse[train]"
            ) from error


def _table(*models: Model) -> dict[str, Model]:
    return {model.name: model for model in models}


MODELS: dict[str, Model] = _table(
    Model(
        "fusion2void",
        "Fusion2Void",
        ("fusion2void",),
        "pairs, learnt without truth",
        "Lin et al., IEEE Trans. Circuits Syst. Video Technol. 2024",
        bf16=True,
    ),
    Model(
        "fusionnet",
        "FusionNet",
        ("fusionnet",),
        "pairs, encoder and decoder",
        "FusionNet, encoder and decoder with mean squared error",
        bf16=True,
    ),
    Model(
        "pdmnet",
        "PdmNet",
        (
            "pdmnet-survey",
            "pdmnet-survey-one",
            "pdmnet-share",
            "pdmnet-merge",
            "pdmnet-merge-one",
            "pdmnet-reconstruct",
        ),
        "stacks, wavelet bands, planes in any order",
        "ours, inside the description of PDMNet (ICDSA 2024)",
    ),
    Model(
        "rpsnn",
        "Rpsnn",
        ("rpsnn",),
        "pairs, two branches that see far",
        "Jiang et al., IET Image Processing 2021",
        bf16=True,
    ),
    Model(
        "umis",
        "Umis",
        ("umis",),
        "stacks, learnt focus measure, planes' own pixels",
        "UMIS-Fusion, on UNet++ (Zhou et al. 2018)",
        bf16=True,
    ),
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tensor(_Frozen):
    """One input or output of a graph."""

    dtype: Literal["float32", "bool", "int64"]
    axes: tuple[Axis, ...] = Field(description="fixed lengths, or names as in `_axes`")


class GraphFile(_Frozen):
    """One ONNX file of a network."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(description="bytes")
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class Card(_Frozen):
    """Model card: what a network's weights are, and where they come from."""

    name: str
    licence: str = Field(description="of the weights, SPDX")
    zfuse: str = Field(description="version that exported them")
    multiple: int = Field(ge=1, description="height and width must be multiples of it, px")
    halo: int = Field(ge=0, description="effective receptive field, px")
    graphs: dict[str, GraphFile]
    parity: dict[str, float] = Field(
        description="largest difference to torch, as a part of the output's largest value"
    )
    scores: dict[str, float] = Field(default={}, description="of the trained network")
    training: dict[str, Any] = Field(default={}, description="result.json of `zfuse train`")


def card_path(name: str) -> Path:
    """Return where a network's model card lies, or would."""
    return _folder(name) / f"{name}.json"


def card(name: str) -> Card:
    """Read a network's model card.

    Parameters
    ----------
    name
        Network, e.g. ``"umis"``.

    Raises
    ------
    ZfuseError
        The network is unknown, has no weights, or its card cannot be read.
    """
    model_named(name)
    path = card_path(name)
    try:
        return _read_card(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise ZfuseError(
            f"network {name} has no weights: {path} is missing; reinstall zfuse, or train it "
            f"(`zfuse train`), export it (`zfuse engines export`) and set {FOLDER_VARIABLE}"
        ) from error


def model_named(name: str) -> Model:
    """Return a network of the table.

    Raises
    ------
    ZfuseError
        It is unknown.
    """
    if name not in MODELS:
        raise ZfuseError(_unknown("network", name, MODELS))
    return MODELS[name]


def model_of(graph: str) -> Model:
    """Return the network that a graph belongs to.

    Raises
    ------
    ZfuseError
        No network has such a graph.
    """
    for model in MODELS.values():
        if graph in model.graphs:
            return model
    known = [graph for model in MODELS.values() for graph in model.graphs]
    raise ZfuseError(_unknown("graph", graph, known))


def read_graph(graph: str) -> bytes:
    """Return a graph's ONNX file, whose checksum is that of the model card.

    Raises
    ------
    ZfuseError
        The file is missing, damaged or not the one that the card speaks of.
    """
    model = model_of(graph)
    file = card(model.name).graphs.get(graph)
    path = _folder(model.name) / f"{graph}.onnx"
    cure = "reinstall zfuse, or export the network anew"
    if file is None:
        raise ZfuseError(f"the model card of {model.name} names no graph {graph}; {cure}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ZfuseError(f"{path} cannot be read: {error.strerror}; {cure}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise ZfuseError(
            f"{path} is damaged or foreign: its SHA-256 is {found[:16]}…, the model card expects "
            f"{file.sha256[:16]}…; {cure}"
        )
    return content


def _folder(name: str) -> Path:
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen and (Path(chosen) / f"{name}.json").is_file():
        return Path(chosen)
    return PACKAGED


@lru_cache(maxsize=32)
def _read_card(path: Path, _changed: int) -> Card:
    try:
        return Card.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ZfuseError(
            f"model card {path} cannot be read: {where or 'file'}: {first['msg']}; reinstall "
            "zfuse, or export the network anew"
        ) from error


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"
    return f"unknown {kind} {name!r}: {hint}"
