"""What every runner promises: named arrays in, named arrays out, from any thread, until closed.

Duty: check what comes in against the graph's card, in one line if it will not do. Must not know:
which library computes, where files lie.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from zfuse.engines._axes import measure
from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from numpy.typing import NDArray

    from zfuse.engines._axes import Axis
    from zfuse.engines._cards import GraphFile

    Arrays = Mapping[str, NDArray[Any]]

__all__ = ["Opened", "Precision", "Runner"]

Precision = Literal["fp32", "fp16", "bf16"]


@dataclass(frozen=True)
class Opened:
    """A graph that was read, and how it is to be run.

    Attributes
    ----------
    graph
        Its name, e.g. ``"umis"``.
    content
        The ONNX file; its checksum was proved.
    file
        What the model card says of it.
    multiple
        Height and width must be multiples of it, px.
    precision
        Of the arithmetic. Inputs and outputs are float32 all the same.
    threads
        That one call may use.
    """

    graph: str
    content: bytes
    file: GraphFile
    multiple: int = 1
    precision: Precision = "fp32"
    threads: int = 1


class Runner(ABC):
    """An opened graph: a context manager that owns what it needs to run, and is called.

    Parameters
    ----------
    opened
        The graph.

    Raises
    ------
    ZfuseError
        The library cannot run this graph, here or at all.
    """

    name: ClassVar[str]
    """In the table `RUNNERS`."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._running = 0
        self._state = threading.Condition()
        self.closed = False
        self.graph = opened.graph
        self.tensors = opened.file.inputs
        """Inputs by name: dtype and axes."""
        self.inputs: dict[str, tuple[Axis, ...]] = _axes(opened.file.inputs)
        """Axes of the inputs: fixed lengths, or names such as ``"height/2"``."""
        self.outputs: dict[str, tuple[Axis, ...]] = _axes(opened.file.outputs)
        """Axes of the outputs."""

    def __call__(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Run the graph; any number of threads may call at the same time.

        Parameters
        ----------
        arrays
            All inputs by name, with the dtypes and axes of `inputs`.

        Returns
        -------
        dict
            All outputs by name, in arrays of their own.

        Raises
        ------
        ZfuseError
            An input is missing, unknown, or of a wrong dtype or shape; or the runner is closed.
        """
        with self._state:
            if self.closed:
                raise ZfuseError(f"the runner of graph {self.graph} is closed: open it again")
            self._running += 1
        try:
            self._check(arrays)
            return self._run({name: np.asarray(arrays[name], order="C") for name in self.inputs})
        finally:
            with self._state:
                self._running -= 1
                self._state.notify_all()

    def close(self) -> None:
        """Give everything back, after calls in progress have ended. Twice does no harm."""
        with self._state:
            if self.closed:
                return
            self.closed = True
            self._state.wait_for(lambda: self._running == 0)
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    @abstractmethod
    def _run(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the graph on checked, contiguous arrays."""

    @abstractmethod
    def _release(self) -> None:
        """Give back what the library holds."""

    def _check(self, arrays: Arrays) -> None:
        wanted = self.tensors
        if arrays.keys() != wanted.keys():
            raise ZfuseError(
                f"graph {self.graph} takes {', '.join(wanted)}; it was given "
                f"{', '.join(arrays) or 'nothing'}"
            )
        for name, tensor in wanted.items():
            dtype = getattr(arrays[name], "dtype", type(arrays[name]).__name__)
            if dtype != np.dtype(tensor.dtype):
                raise ZfuseError(
                    f"graph {self.graph}: {name} is {dtype}, it must be a {tensor.dtype} array"
                )
        try:
            known = measure(self.inputs, {name: arrays[name].shape for name in wanted})
        except ZfuseError as error:
            raise ZfuseError(f"graph {self.graph}: {error}") from None
        for axis in ("height", "width"):
            if known.get(axis, 0) % self._opened.multiple:
                raise ZfuseError(
                    f"graph {self.graph}: {axis} is {known[axis]} px, it must be a multiple of "
                    f"{self._opened.multiple}: pad the image"
                )
        for axis, length in known.items():
            if length < 1:
                raise ZfuseError(f"graph {self.graph}: {axis} is {length}, it must be 1 or more")


def _axes(tensors: Mapping[str, Any]) -> dict[str, tuple[Axis, ...]]:
    return {name: tensor.axes for name, tensor in tensors.items()}
