"""Planes that a live fold may have to go through again: in memory, then from where they are stored.

Duty: copies of planes up to a budget, and all planes once more in ascending z. Must not know: why
they are needed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    Replay = Callable[[int], Iterable[NDArray[Any]]]
    Check = Callable[[NDArray[Any], int], NDArray[Any]]

__all__ = ["KeptPlanes"]

_BLOCK = 8  # planes in one piece of memory, which are folded together


class KeptPlanes:
    """The first planes of a stack, and a way to get the others.

    Parameters
    ----------
    budget
        Bytes, or None: no limit.
    replay
        Gives the planes from one on, or None.
    check
        Makes a block (n, C, Y, X) of what `replay` gives.
    """

    def __init__(self, budget: int | None, replay: Replay | None, check: Check) -> None:
        self._budget, self.replay, self._check = budget, replay, check
        self._blocks: list[NDArray[Any]] = []  # in ascending z, without gaps
        self._buffers: list[NDArray[Any]] = []  # all that were ever filled
        self._used, self._room = 0, 0  # buffers; planes left in the last one
        self._planes = self._seen = 0

    @property
    def whole(self) -> bool:
        """Whether all planes can be had again."""
        return self._planes == self._seen or self.replay is not None

    def take(self, block: NDArray[Any], *, copy: bool) -> None:
        """Keep the next planes (n, C, Y, X), if there is room; `copy`: their memory will change."""
        self._seen += len(block)
        if self._planes + len(block) < self._seen:
            return
        most = len(block)
        if self._budget is not None:
            most = min(most, max(self._budget // block[0].nbytes - self._planes, 0))
        if most < len(block) and self.replay is None:  # the first planes alone serve nothing
            self._blocks.clear()
            self._buffers.clear()
            self._planes = 0
            return
        self._planes += most
        block = block[:most]
        if not copy:
            self._room = 0
            if most:
                self._blocks.append(block)
            return
        while len(block):
            if self._room == 0:
                self._new_buffer(block)
            n = min(len(block), self._room)
            end = _BLOCK - self._room + n
            self._blocks[-1] = self._buffers[self._used - 1][:end]
            self._blocks[-1][-n:] = block[:n]
            self._room -= n
            block = block[n:]

    def _new_buffer(self, block: NDArray[Any]) -> None:
        if self._used == len(self._buffers):
            self._buffers.append(np.empty((_BLOCK, *block.shape[1:]), block.dtype))
        self._blocks.append(self._buffers[self._used][:0])
        self._used += 1
        self._room = _BLOCK

    def plane(self, z: int) -> NDArray[Any]:
        """Return one plane (C, Y, X).

        Raises
        ------
        ZfuseError
            It was neither kept nor can be replayed.
        """
        start = 0
        for block in self._blocks:
            if z < start + len(block):
                kept: NDArray[Any] = block[z - start]
                return kept
            start += len(block)
        for planes in self.replay(z) if self.replay else ():
            first: NDArray[Any] = self._check(planes, z)[0]
            return first
        raise self._lost("pixels of more planes are measured")

    def again(self, why: str) -> Iterator[tuple[NDArray[Any], int]]:
        """Give all planes once more, as blocks (n, C, Y, X) and the index of the first of them.

        Raises
        ------
        ZfuseError
            Some were neither kept nor can be replayed (`why` they are needed), or other planes are
            replayed.
        """
        if not self.whole:
            raise self._lost(why)
        z = 0
        for block in self._blocks:
            yield block, z
            z += len(block)
        if z < self._seen and self.replay is not None:
            for planes in self.replay(z):
                block = self._check(planes, z)
                yield block, z
                z += len(block)
        if z != self._seen:
            raise ZfuseError(f"replay gave {z} planes, but {self._seen} had come")

    def _lost(self, why: str) -> ZfuseError:
        return ZfuseError(
            f"{why}, but keep={self._budget} bytes do not hold the {self._seen} planes that came: "
            "raise keep, or give replay"
        )

    def clear(self) -> None:
        """Begin with the next stack; memory is used again."""
        self._blocks.clear()
        self._used = self._room = self._planes = self._seen = 0
