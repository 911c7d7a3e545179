"""Loaders of runners, and the runners that a process keeps open.

A `Loader` says what to open and opens nothing. `session` opens each loader's runner once: a
network's weights are read, checked and optimised once, however many tiles or stacks follow. Must
not know: how a graph is run.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from zfuse.engines._cards import card, read_graph
from zfuse.engines._models import model_of
from zfuse.engines.runners import RUNNERS, fastest
from zfuse.engines.runners._runner import Opened, Precision, Runner
from zfuse.errors import ZfuseError

__all__ = ["Loader", "load", "session"]


@dataclass(frozen=True)
class Loader:
    """What `load` was asked for; `open` makes it a runner."""

    graph: str
    runner: str
    precision: Precision | Literal["auto"]
    threads: int

    def open(self) -> Runner:
        """Open the graph: read it, check its checksum, give it to the runner.

        Raises
        ------
        ZfuseError
            The weights are missing or damaged, or the runner cannot serve here.
        """
        chosen = self.resolved()
        reason = RUNNERS[chosen.runner].is_incompatible(chosen.arithmetic)
        if reason:
            raise ZfuseError(f"runner {chosen.runner} cannot serve here: {reason}")
        return RUNNERS[chosen.runner].load()(chosen.read())

    def resolved(self) -> Loader:
        """Return the same loader with the runner and precision that ``"auto"`` stands for here."""
        model, runner = model_of(self.graph), self.runner
        if runner == "auto":
            runner = fastest(self.arithmetic, "openvino" if model.bf16 else "onnxruntime")
        precision = self.arithmetic
        if self.precision == "auto" and model.bf16 and runner == "openvino":
            precision = "bf16"
        return replace(self, runner=runner, precision=precision)

    @property
    def arithmetic(self) -> Precision:
        """What is asked of the runner before it is known which one serves."""
        return "fp32" if self.precision == "auto" else self.precision

    def read(self) -> Opened:
        """Read the graph and check its checksum.

        Raises
        ------
        ZfuseError
            The weights are missing or damaged.
        """
        about = card(model_of(self.graph).name)
        return Opened(
            self.graph,
            read_graph(self.graph),
            about.graphs[self.graph],
            about.multiple,
            self.arithmetic,
            self.threads,
        )


def load(
    graph: str,
    *,
    runner: str = "auto",
    precision: str = "fp32",
    threads: int | None = None,
) -> Loader:
    """Say what to open; nothing is read yet.

    Parameters
    ----------
    graph
        E.g. ``"umis"`` or ``"pdmnet-merge"``.
    runner
        Of the table `RUNNERS`; ``"auto"``: the fastest that can serve here.
    precision
        ``"fp32"``; ``"fp16"``: half where that costs nothing that is seen; ``"bf16"``: bfloat16,
        8 bits, on CPUs that have it; ``"auto"``: bfloat16 where that is faster and was measured to
        keep the network's scores, or else float32. Inputs and outputs are float32 all the same.
    threads
        That one call may use on a CPU; by default one, for callers that have threads of their own.

    Raises
    ------
    ZfuseError
        The graph, runner or precision is unknown.
    """
    model_of(graph)
    if runner != "auto" and runner not in RUNNERS:
        raise ZfuseError(f"unknown runner {runner!r}: choose from auto, {', '.join(RUNNERS)}")
    if precision != "auto" and precision not in get_args(Precision):
        raise ZfuseError(f"unknown precision {precision!r}: choose from fp32, fp16, bf16, auto")
    if threads is not None and threads < 1:
        raise ZfuseError(f"threads = {threads}: must be 1 or more")
    return Loader(graph, runner, cast("Precision", precision), threads or 1)


def session(
    graph: str,
    *,
    runner: str = "auto",
    precision: str = "fp32",
    threads: int | None = None,
) -> Runner:
    """Return the runner that this process keeps open for a graph and settings; see `load`.

    Raises
    ------
    ZfuseError
        As `load` and `Loader.open` do.
    """
    loader = load(graph, runner=runner, precision=precision, threads=threads).resolved()
    # A forked child must not use its parent's runtime: its threads did not come along. Nor may it
    # close it, so the parent's sessions stay in the table, out of reach.
    key = (os.getpid(), loader)
    with _LOCK:
        opened = _SESSIONS.get(key)
        if opened is None or opened.closed:
            opened = _SESSIONS[key] = loader.open()
        return opened


_SESSIONS: dict[tuple[int, Loader], Runner] = {}
_LOCK = threading.Lock()


def _new_lock() -> None:
    global _LOCK
    _LOCK = threading.Lock()


if hasattr(os, "register_at_fork"):  # another thread of the parent may have held it
    os.register_at_fork(after_in_child=_new_lock)
