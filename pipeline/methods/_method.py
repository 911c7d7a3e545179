"""The contract of every fusion method: a fold over planes.

    calibration = method.calibrate(sample)    # once a stack, shared by all tiles
    state = method.start(region, shape, calibration)
    method.add(state, planes, z)              # blocks of planes in ascending z, any block size
    method.next_pass(state)                   # only methods that need a second pass
    fused = method.finish(state)              # image, depth in planes, confidence

A method is a frozen pydantic model: its fields are its settings, unknown ones are refused, and its
`model_dump` is what the output's provenance records. Must not know: files, tiles, threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Fused, Region, Sample

__all__ = ["Method"]


class Method(BaseModel, ABC):
    """A fusion method and its settings.

    The result for a pixel must depend only on the planes within `halo` pixels of it and on the
    calibration, never on where a region ends or how planes were blocked: tiled equals whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: ClassVar[str]
    """``selection``, ``transform`` or ``pairwise``."""
    passes: ClassVar[int] = 1
    """How often the planes are gone through. State and halo are the same in all passes."""

    own_threads: ClassVar[bool] = False
    """Whether `add` brings its own threads, as the runner of a network does. Then one region is
    worked on at a time."""
    knows_depth: ClassVar[bool] = True
    """Whether the depth is what the method decided by, not a focus measure's beside it."""

    keeps_intensities: ClassVar[dict[str, Any] | None] = None
    """Settings with which intensities are those of the planes; None: there are none."""

    max_planes: ClassVar[int] = 2**16 - 1
    """Planes that the depth index can count."""

    name: str

    @property
    @abstractmethod
    def halo(self) -> int:
        """Pixels round a region's core that its result depends on."""

    @property
    @abstractmethod
    def copies_pixels(self) -> bool:
        """Whether every output value is an input value of the same pixel, bit for bit."""

    @property
    def pixels(self) -> str:
        """What the output's values are: ``copied``, ``blended``, or ``re-synthesised``."""
        return "copied" if self.copies_pixels else "blended"

    @property
    def align(self) -> int:
        """Cores begin at multiples of this (the coarsest pyramid pixel)."""
        return 1

    def with_workers(self, workers: int) -> Self:
        """Return the method as it is run with so many threads."""
        return self

    @abstractmethod
    def state_bytes(self, channels: int, itemsize: int) -> float:
        """Memory a pixel of core needs from `start` to `finish`, in bytes."""

    @abstractmethod
    def calibrate(self, sample: Sample) -> Any:
        """Settle what is global to the stack: limits, noise, channel weights."""

    @abstractmethod
    def start(self, region: Region, channels: int, dtype: np.dtype[Any], calibration: Any) -> Any:
        """Allocate the state of one region. Its size must not depend on the number of planes."""

    @abstractmethod
    def add(self, state: Any, planes: NDArray[Any], z: int) -> None:
        """Take a block of planes (n, C, Y, X), C-contiguous, cut to the region's window.

        Blocks come in ascending z without gaps; `z` is the index of the first plane.
        """

    def next_pass(self, state: Any) -> None:
        """Settle what the next pass needs; called between two passes over all planes."""

    @abstractmethod
    def finish(self, state: Any) -> Fused:
        """Return image (C, h, w), depth in planes (h, w) and confidence (h, w) of the core."""
