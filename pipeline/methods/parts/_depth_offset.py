"""Depth between planes: what all planes near a depth that is known say about how far off it is.

Duty: the decision signal's planes once more, and a depth that is finer than a plane. Must not know:
how the depth was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import NO_FRAME, RunningOffset, add_offset, reduce_signal, settle_offset
from zfuse.pipeline.core import Region, within
from zfuse.pipeline.methods.parts._depth_vote import with_fine
from zfuse.pipeline.methods.parts._found_depth import half_region
from zfuse.pipeline.methods.parts._frame import frame_sides

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.methods.parts._decision import DecisionPlanes
    from zfuse.pipeline.methods.parts._found_depth import FoundDepth

    Plane = NDArray[np.float32]

__all__ = ["DepthOffset", "peak_width"]

_REACH = 16  # pixels: discs of 4 and 2 half-size pixels, being enlarged and cleaned
_STENCIL = 8  # pixels round those, for half-size planes and their Laplacian; a multiple of 4
_RADII = np.array([4, 2])
_PRIORS = np.array([0.05, 0.01], np.float32)  # of the peak's width²: what is left to find
_ALIKE = 0.5  # planes
_LEAST_PLANES = 3
_WIDER = 1.3  # than measured: a peak's width differs from place to place, and too narrow is worse
_NARROWEST, _WIDEST = 0.5, 4.0  # planes


def peak_width(falloffs: list[tuple[float, float]]) -> float:
    """Return the width of focus peaks, in planes, from what `DepthSearch.falloff` gives.

    Of energies exp(-t² / (2 w²)) the ratio a plane off is exp(-1 / (2 w²)).
    """
    peak, beside = np.sum(falloffs, 0)
    ratio = min(max(beside / peak, 0.05), 0.95) if peak > 0 else 0.6
    return float(np.clip(_WIDER / np.sqrt(-2 * np.log(ratio)), _NARROWEST, _WIDEST))


class DepthOffset:
    """Offset of one region's depth while planes come.

    Parameters
    ----------
    region
        Its core is what the refined depth is asked for.
    wide
        Its core is what was found.
    found
        The depth and what speaks for it.
    planes
        Of the stack.
    width
        Of focus peaks, in planes, see `peak_width`.
    decision
        How planes are shown.
    steps
        Largest value of the decision signal.
    """

    def __init__(
        self, region: Region, wide: Region, found: FoundDepth, planes: int, width: float,
        decision: DecisionPlanes, steps: float,
    ) -> None:  # fmt: skip
        self._planes, self._width = planes, width
        near = Region.grown(region.core, _REACH, region.image)
        # Whole rows: no copy has to be made.
        shown = (Region.grown(near, _STENCIL, region.image)[0], decision.region.shown[1])
        self._cut = within(shown, decision.region.shown)
        self._frame = frame_sides(region.image, shown) if decision.framed else NO_FRAME
        half = half_region(Region(region.image, near, shown))
        at = within(half.core, half_region(wide).core)
        depth, self._floor = (np.ascontiguousarray(m[at]) for m in (found.half, found.floor))
        self._offset = half.offset
        shape = [s.stop - s.start for s in half.shown]
        self._reduced, self._steps = np.empty(shape, np.float32), np.empty(shape, np.int32)
        self._sums = RunningOffset(depth, np.zeros_like(depth), np.zeros_like(depth))
        inside = within(near, wide.core)
        maps = (found.fine, found.fine_significance)
        self._fine = tuple(np.ascontiguousarray(m[inside]) for m in maps)
        self._core = within(region.core, near)
        self._scale = float(np.float32((2**18 - 1) / steps))

    def add(self, signal: NDArray[Any], z: int) -> None:
        """Fold planes (n, Y, X) of the decision signal."""
        if self._planes < _LEAST_PLANES:
            return
        for i, plane in enumerate(signal):
            reduce_signal(plane[self._cut], self._frame, self._scale, self._reduced, self._steps)
            self._reduced *= self._scale
            add_offset(self._reduced, *self._offset, z + i, self._width, self._sums)

    def refined(self) -> Plane:
        """Return the depth of the region's core (h, w), in planes."""
        half = self._sums.depth.copy()
        if self._planes >= _LEAST_PLANES:
            offset = np.empty_like(half)
            settle_offset(
                self._sums, self._floor, self._planes, self._width, _ALIKE, _RADII,
                _PRIORS * np.float32(self._width**2), offset,
            )  # fmt: skip
            half += offset
        depth = with_fine(half, *self._fine)[0][self._core]
        return np.ascontiguousarray(np.clip(depth, 0, self._planes - 1))
