"""Acquisitions for the tests of sessions: stacks, the series that they are, and their frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.pipeline.core import Channel
from zfuse.pipeline.live import Frame, Series, StackKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["Acquisition"]


@dataclass
class Acquisition:
    """Stacks of noise with a bright ridge: `planes[p, t, c]` of them, (Z, Y, X) each."""

    positions: int = 1
    times: int = 1
    channels: int = 1
    depth: int = 4
    size: tuple[int, int] = (70, 90)
    dtype: str = "uint16"
    planes: dict[tuple[StackKey, int], int] = field(default_factory=dict)

    def keys(self) -> list[StackKey]:
        return [StackKey(p, t) for t in range(self.times) for p in range(self.positions)]

    def count(self, key: StackKey, c: int = 0) -> int:
        return self.planes.get((key, c), self.depth)

    def stack(self, key: StackKey, c: int = 0) -> NDArray[Any]:
        random = np.random.default_rng([key.p, key.t, c])
        shape = (self.count(key, c), *self.size)
        return random.integers(90, 4000, shape).astype(self.dtype)

    def series(self, **changes: Any) -> Series:
        given = {
            "name": "cells",
            "source": "microscope, run 1",
            "positions": tuple(f"well {p}" for p in range(self.positions)),
            "channels": tuple(Channel(f"dye {c}") for c in range(self.channels)),
            "times": self.times,
            "planes": {(k, c): self.count(k, c) for k in self.keys() for c in range(self.channels)},
            "z_step": 0.5,
            "pixel_size": (0.1, 0.1),
        }
        return Series(**(given | changes))

    def frames(
        self, keys: Sequence[StackKey] | None = None, *, stored: bool = False
    ) -> Iterator[Frame]:
        """Yield all frames, or those of some stacks; `stored`: they can be read again."""
        for key in self.keys() if keys is None else keys:
            stacks = [self.stack(key, c) for c in range(self.channels)]
            for z in range(max(len(stack) for stack in stacks)):
                for c, stack in enumerate(stacks):
                    if z < len(stack):
                        read = stack[z].copy if stored else None
                        yield Frame(key, c, z, stack[z], read)
