"""Arrays that the graphs of a network hand to each other while planes come.

What is carried is found by name: an output ``x_out`` of a graph is the input ``x`` of later calls,
and begins with zeros. Must not know: what the arrays mean, which graphs there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.engines import shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from zfuse.pipeline.methods.parts._network import Graph

    Plane = NDArray[np.float32]

__all__ = ["Carried"]

_OUT = "_out"
_TRACE = 1e-10  # of a weight: weights lie e^16 = 9e6 apart at most


class Carried:
    """Arrays that graphs hand to each other for one region, by name.

    Parameters
    ----------
    lengths
        Of axes that only the region decides.
    arrays
        Those that are known from the start; all others begin with zeros.
    """

    def __init__(self, lengths: Mapping[str, int], arrays: dict[str, NDArray[Any]]) -> None:
        self.lengths, self._arrays = lengths, arrays

    def run(self, graph: Graph, **given: NDArray[Any]) -> None:
        """Run a graph that changes what is carried."""
        known = self._arrays | given
        arrays = {
            name: known[name] if name in known else np.zeros(shape_of(axes, self.lengths), "f4")
            for name, axes in graph.inputs.items()
        }
        for name, array in graph(**arrays).items():
            self._arrays[name.removesuffix(_OUT)] = array

    def run_where(self, valid: Plane, graph: Graph, **given: NDArray[Any]) -> None:
        """Run a graph that adds to what is carried: all where `valid` (Y, X) is 1, else a trace.

        Not nothing: all planes may be invalid there.
        """
        before = dict(self._arrays)
        self.run(graph, **given)
        for name, now in self._arrays.items():
            if now.ndim == 4 and now is not before.get(name):
                step = valid.shape[0] // now.shape[2]
                cells = valid.reshape(now.shape[2], step, now.shape[3], step)
                known = np.maximum(cells.min((1, 3)), np.float32(_TRACE))
                old = before.get(name, np.float32(0))
                self._arrays[name] = old + known * (now - old)

    def drop(self, names: Iterable[str]) -> None:
        """Forget arrays that no graph takes any more."""
        for name in names:
            del self._arrays[name]

    def channel(self, channel: int, name: str, axes: tuple[int | str, ...]) -> NDArray[Any]:
        """Return a channel's part of an array; an axis "4*channels" holds 4 of each."""
        every = slice(channel, None, self.lengths["channels"])
        at = tuple(every if "channels" in str(axis) else slice(None) for axis in axes)
        return np.ascontiguousarray(self._arrays[name][at])
