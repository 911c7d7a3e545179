"""Prove a network's files on this machine: checksums, runs, and runners that agree.

Must not know: torch, how a graph is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.engines._axes import shape_of
from zfuse.engines._cards import card
from zfuse.engines._models import model_named
from zfuse.engines.export._parity import LARGEST_DIFFERENCE, difference
from zfuse.engines.runners import RUNNERS, load
from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from zfuse.engines._cards import GraphTensor

    Arrays = dict[str, NDArray[Any]]

__all__ = ["Check", "random_inputs", "verify"]

_TRUTH = "onnxruntime"
_SLOW = ("torch-compile",)  # compiles for minutes


@dataclass(frozen=True)
class Check:
    """One line of the result."""

    graph: str
    runner: str
    passed: bool
    found: str


def verify(name: str) -> Iterator[Check]:
    """Yield what holds and what does not, one runner of one graph after another.

    All runners that can serve here run on the same random inputs of two sizes; ONNX Runtime is what
    the others are compared with.

    Raises
    ------
    ZfuseError
        The network is unknown or has no weights.
    """
    about = card(name)
    others = [r for r in RUNNERS if r not in (_TRUTH, *_SLOW) and not RUNNERS[r].is_incompatible()]
    for graph in model_named(name).graphs:
        inputs = [
            random_inputs(about.graphs[graph].inputs, batch, size * about.multiple)
            for batch, size in ((1, 4), (3, 6))
        ]
        try:
            wanted = _outputs(graph, _TRUTH, inputs)
        except ZfuseError as error:
            yield Check(graph, _TRUTH, False, str(error))
            continue
        finite = all(np.isfinite(v).all() for outputs in wanted for v in outputs.values())
        yield Check(graph, _TRUTH, finite, "runs" if finite else "gives values that are no numbers")
        for runner in others:
            yield _compared(graph, runner, inputs, wanted)


def random_inputs(
    tensors: dict[str, GraphTensor], batch: int, size: int, channels: int = 1
) -> dict[str, NDArray[Any]]:
    """Return inputs that are the same at every call: random in 0..1, flags true.

    Parameters
    ----------
    tensors
        As the model card describes them.
    batch, channels
        Lengths.
    size
        Height and width, px.
    """
    random = np.random.default_rng(7)
    lengths = {"batch": batch, "channels": channels, "height": size, "width": size}
    return {
        name: np.ceil(random.random(shape_of(tensor.axes, lengths))).astype(tensor.dtype)
        if tensor.dtype == "bool"
        else np.asarray(random.random(shape_of(tensor.axes, lengths))).astype(tensor.dtype)
        for name, tensor in tensors.items()
    }


def _compared(graph: str, runner: str, inputs: list[Arrays], wanted: list[Arrays]) -> Check:
    try:
        found = _outputs(graph, runner, inputs)
    except ZfuseError as error:
        return Check(graph, runner, False, str(error))
    largest = max(difference(f, w) for f, w in zip(found, wanted, strict=True))
    said = f"differs by {largest:.1g} of the largest value (allowed {LARGEST_DIFFERENCE:g})"
    return Check(graph, runner, largest <= LARGEST_DIFFERENCE, said)


def _outputs(graph: str, runner: str, inputs: list[Arrays]) -> list[Arrays]:
    with load(graph, runner=runner).open() as opened:
        return [opened(arrays) for arrays in inputs]
