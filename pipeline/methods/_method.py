"""The contract of every fusion method: a fold over planes, whose lifecycle is this.

    method = make_method("adaptive")          # settings, checked
    method = method.with_workers(workers)     # only what brings its own threads is changed by it
    calibration = method.calibrate(sample)    # once a stack, shared by all its regions
    state = method.start(region, channels, dtype, calibration)      # once a region
    method.add(state, planes, z)              # blocks of planes in ascending z, any block size
    method.recalibrated(state, old, new)      # live: may it go on as if begun with another one?
    state = method.next_pass(state)           # between passes: the state of the next one …
    method.add(state, planes, z)              # … which takes all planes again
    fused = method.finish(state)              # image, depth in planes, confidence

A method is a frozen pydantic model: its fields are its settings, unknown ones are refused, and its
`model_dump` is what the output's provenance records. What changes while planes come is in states,
one a region and pass, each complete from the start. Different regions may be worked on by different
threads at once, one region by one thread at a time.

Must not know: files, who cuts the image into regions, who shows the planes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from zfuse.pipeline.core import Settings

if TYPE_CHECKING:
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Fused, Region, Sample

__all__ = ["Method", "State"]


class State(Protocol):
    """What one region keeps during one pass over the planes.

    A state of the last pass has ``finish() -> Fused``, too; how one of an earlier pass becomes the
    next one's is `Method.next_pass`.
    """

    def add(self, planes: NDArray[Any], z: int) -> None:
        """Take a block of planes (n, C, Y, X); `z` is the index of the first."""


class Method(Settings, ABC):
    """A fusion method and its settings.

    The result for a pixel must depend only on the planes within `halo` pixels of it and on the
    calibration, never on where a region ends or how planes were blocked: tiled equals whole.
    """

    family: ClassVar[str]
    """``selection``, ``transform`` or ``pairwise``."""
    passes: ClassVar[int] = 1
    """How often the planes are gone through. State and halo are the same in all passes."""

    reusable: ClassVar[bool] = False
    """Whether `restart` makes a used state, also a finished one, a new one: live stacks follow each
    other, and the first touch of memory is slow."""

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
    def measures(self) -> bool:
        """Whether its settings are those with which intensities are those of the planes."""
        wanted = self.keeps_intensities
        return wanted is not None and all(getattr(self, k) == v for k, v in wanted.items())

    @property
    def pixels(self) -> str:
        """What the output's values are: ``copied``, ``blended``, or ``re-synthesised``."""
        return "copied" if self.copies_pixels else "blended"

    @property
    def grid_step(self) -> int:
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
        """Return the first pass's state of one region, planes having `channels` and `dtype`.

        Its size must not depend on the number of planes.
        """

    def add(self, state: Any, planes: NDArray[Any], z: int) -> None:
        """Take a block of planes (n, C, Y, X), C-contiguous, cut to what the region is shown.

        Blocks come in ascending z without gaps; `z` is the index of the first plane.
        """
        state.add(planes, z)

    def recalibrated(self, state: Any, old: Any, new: Any) -> bool:
        """Let a state of the first pass, begun with `old`, go on with the calibration `new`.

        Planes of a live stack are folded before it can be calibrated, with what was measured on
        the stack before it. By default a state may go on if nothing changed at all; a method whose
        first pass takes but a part of its calibration says so here.

        Returns
        -------
        bool
            Whether the state is now what it would be, had it been begun with `new`. If not, it must
            not be used any more: all planes are folded again.
        """
        return _same(old, new)

    def restart(self, state: Any, calibration: Any) -> None:
        """Make a used state what `start` would return; of methods that are `reusable`."""
        raise NotImplementedError(f"{self.name} makes new states")

    def next_pass(self, state: Any) -> Any:
        """Return the next pass's state, made of the last one's, which must not be used any more."""
        raise NotImplementedError(f"{self.name} has one pass")

    def finish(self, state: Any) -> Fused:
        """Return image (C, h, w), depth in planes (h, w) and confidence (h, w) of the core."""
        fused: Fused = state.finish()
        return fused


def _same(one: Any, other: Any) -> bool:
    """Whether two calibrations are the same in every number."""
    if type(one) is not type(other):
        return False
    if is_dataclass(one):
        names = [field.name for field in fields(one)]
        return all(_same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    if hasattr(one, "dtype"):
        return one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())
    return bool(one == other)
