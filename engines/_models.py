"""The networks that zfuse ships, one record each: names of graphs, sources, classes.

Must not know: torch, ONNX, weights and where they lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MODELS", "Model", "model_named", "model_of"]


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


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"
    return f"unknown {kind} {name!r}: {hint}"
