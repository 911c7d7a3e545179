"""What a depth search hands on to those who make a picture, or a finer depth, of it.

Duty: the maps of one region, at full and at half size. Must not know: how they were found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from zfuse.pipeline.core import Region

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zfuse.pipeline.methods.parts._trust import Evidence

    Plane = NDArray[np.float32]

__all__ = ["FoundDepth", "half_region"]


class FoundDepth(NamedTuple):
    """What a search has found for the core of its region."""

    depth: Plane
    """(h, w), in planes."""
    significance: Plane
    """(h, w), of the peak, in standard deviations of noise."""
    strength: Plane
    """Score of the peak at half size, an energy."""
    half: Plane
    """Depth at half size, in planes, without what the finest scale says."""
    floor: Plane
    """Mean energy of half-size pixels in the planes out of focus."""
    fine: Plane
    """(h, w), in planes: what the finest scale alone says …"""
    fine_significance: Plane
    """… and how surely (h, w)."""
    evidence: Evidence
    """For and against the depth, at half size: of the scales from fine to wide, the finest last."""
    known: Plane | None
    """Share of each half-size pixel that is not clipped; None where none is."""


def half_region(region: Region) -> Region:
    """Return the region of half-size planes."""
    height, width = region.image
    cuts = [
        tuple(slice(s.start // 2, (s.stop + 1) // 2) for s in cut)
        for cut in (region.core, region.shown)
    ]
    return Region(((height + 1) // 2, (width + 1) // 2), cuts[0], cuts[1])  # type: ignore[arg-type]
