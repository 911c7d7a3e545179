"""Model cards: what each network's files are, and the files themselves if they are just that.

Duty: names to files, and refusing files that are not what the card says. Must not know: torch,
ONNX, how a graph is run.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zfuse.engines._axes import Axis  # noqa: TC001 (pydantic)
from zfuse.engines._models import model_named, model_of
from zfuse.errors import ZfuseError

__all__ = ["Card", "GraphFile", "GraphTensor", "card", "card_path", "read_graph"]

FOLDER_VARIABLE = "ZFUSE_WEIGHTS"
"""Environment variable: a folder whose model cards win over those in the package."""

PACKAGED = Path(__file__).with_name("weights")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GraphTensor(_Frozen):
    """One input or output of a graph."""

    dtype: Literal["float32", "bool", "int64"]
    axes: tuple[Axis, ...] = Field(description="fixed lengths, or names as in `_axes`")


class GraphFile(_Frozen):
    """One ONNX file of a network."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(description="bytes")
    inputs: dict[str, GraphTensor]
    outputs: dict[str, GraphTensor]


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
