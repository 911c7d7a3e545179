"""Folds that are used again: a new one costs the first touch of all its memory.

Duty: hand out folds, not more at once than memory allows, and lead each one's questions for planes
that it needs again to the stack that it works for. Must not know: frames, stacks, channels' names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from zfuse.pipeline._channels import EACH, TOGETHER
from zfuse.pipeline._stream import Fold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from zfuse.pipeline._channels import Decisions
    from zfuse.pipeline.core import Fused
    from zfuse.pipeline.methods import Method

__all__ = ["Folds", "LentFold", "Source"]


class Source(Protocol):
    """Who has the planes of a stack."""

    def again(self, first: int) -> Iterator[NDArray[Any]]:
        """Give all planes from one on that were given to the fold."""


class LentFold:
    """One fold, and for whom it works.

    Parameters
    ----------
    method, decisions, workers, rgb
        As for `Folds`.
    """

    def __init__(
        self, method: Method, decisions: Decisions, workers: int | None, rgb: bool
    ) -> None:
        channel: int | str = EACH if decisions.each or rgb else TOGETHER
        if decisions.channel is not None:
            channel = decisions.channel
        self._source: Source | None = None
        self._fold = Fold(
            None, method, channel=channel, workers=workers, rgb=rgb, replay=self._again
        )
        self._used = False

    def begin(self, source: Source) -> None:
        """Begin a stack."""
        if self._used:
            self._fold.restart()
        self._used = True
        self._source = source

    def add(self, plane: NDArray[Any], z: int) -> bool:
        """Fold a plane; tell whether it may be needed again."""
        self._fold.add(plane, z, copy=False)
        return self._fold.keeps

    def finish(self) -> Fused:
        """Return the result."""
        return self._fold.finish()

    def _again(self, first: int) -> Iterator[NDArray[Any]]:
        assert self._source is not None
        return self._source.again(first)


class Folds:
    """All folds of a session. For one thread.

    Parameters
    ----------
    method, decisions
        What, and which channels decide together.
    workers
        Threads.
    rgb
        Planes are colours.
    memory
        Bytes that the states of all folds may take, but for the folds of one stack.
    """

    def __init__(
        self,
        method: Method,
        decisions: Decisions,
        workers: int | None,
        rgb: bool,
        memory: int,
    ) -> None:
        self._method, self._decisions, self._workers = method, decisions, workers
        self._rgb, self._memory = rgb, memory
        self._free: list[LentFold] = []
        self._lent = 0

    def take(self, plane: NDArray[Any], source: Source, *, must: bool = False) -> LentFold | None:
        """Lend a fold for planes like this one; None when too many are lent, unless it `must` be.

        Channels that each decide have a fold each.
        """
        if not must and self._lent >= self._most(plane):
            return None
        fold = self._free.pop() if self._free else self._new()
        self._lent += 1
        fold.begin(source)
        return fold

    def give_back(self, fold: LentFold, *, spoilt: bool = False) -> None:
        """Take a fold back; a `spoilt` one, in which something failed, is not used again."""
        self._lent -= 1
        if not spoilt:
            self._free.append(fold)

    def _new(self) -> LentFold:
        return LentFold(self._method, self._decisions, self._workers, self._rgb)

    def _most(self, plane: NDArray[Any]) -> int:
        channels = plane.shape[0] if plane.ndim == 3 else 1
        pixels = plane.shape[-2] * plane.shape[-1]
        state = self._method.state_bytes(channels, plane.itemsize) * pixels
        return max(len(self._decisions.groups), int(self._memory / max(state, 1)))
