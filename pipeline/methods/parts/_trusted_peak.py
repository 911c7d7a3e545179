"""A focus peak whose confidence is a probability: for methods that know no more than one peak.

Duty: the peak of a region and of so much round it as the probability looks at. Must not know: what
else a method keeps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import compare_sides, interpolate_where
from zfuse.pipeline.core import Region, within
from zfuse.pipeline.methods.parts._peak import FocusPeak
from zfuse.pipeline.methods.parts._trust import Evidence, ScalePeak, Trust, halved

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Signal

    Plane = NDArray[np.float32]

__all__ = [
    "DEPTH_REACH",
    "TRUST_BYTES",
    "TRUST_REACH",
    "TrustedPeak",
    "depth_peak",
    "peak_evidence",
]

_RADII = (1, 3)  # half-size pixels
TRUST_REACH = 2 * max(_RADII) + 2  # pixels: and one half-size pixel that is interpolated with
TRUST_BYTES = 10  # a pixel, while the probability is made: depth, evidence, result
_DEPTH_WINDOW, _DEPTH_SMOOTH = 9, 2
DEPTH_REACH = _DEPTH_WINDOW // 2 + 1 + _DEPTH_SMOOTH + TRUST_REACH
_GAIN = 0.2  # of each pixel of the window's side: the noise of its sum, see `_depth_search.py`


class TrustedPeak(FocusPeak):
    """Running focus peak of a region, its depth and the probability that this is right.

    Parameters
    ----------
    region
        What is shown is `TRUST_REACH` larger than the peak itself needs.
    kind
        Which numbers `Trust` takes.
    other
        See `FocusPeak`.
    """

    def __init__(
        self,
        region: Region,
        signal: Signal,
        measure: str | None,
        window: int,
        channels: int,
        dtype: np.dtype[Any],
        *,
        kind: str,
        smooth: int = 0,
        least: bool = False,
    ) -> None:
        grown = Region.grown(region.core, TRUST_REACH, region.image)
        wide = Region(region.image, grown, region.shown)
        super().__init__(wide, signal, measure, window, channels, dtype, smooth=smooth, least=least)
        self._kind = kind
        self._core = within(region.core, grown)

    @property
    def copied(self) -> NDArray[Any]:
        """Pixels of the winning planes in the core (C, h, w)."""
        return np.ascontiguousarray(self.image[:, *self._core])

    def finish(self) -> tuple[Plane, Plane]:
        """Return depth in planes and its probability in the core, both (h, w)."""
        depth, stands_out = super().finish()
        evidence = peak_evidence(self, depth, None, stands_out)
        sure = Trust(self._kind, (np.log(self.planes),)).probability(evidence)
        confidence = self.spare
        interpolate_where(sure, stands_out, confidence)
        if self.planes == 1:
            confidence[:] = 0
        self.fit_ends(depth, stands_out)  # its evidence is that of whole planes at the ends
        depth, confidence = (np.ascontiguousarray(m[self._core]) for m in (depth, confidence))
        return depth, confidence


def depth_peak(region: Region, signal: Signal, dtype: np.dtype[Any]) -> TrustedPeak:
    """Return the peak that gives the transform methods their depth and confidence.

    SML in 9 x 9 pixels of the signal smoothed twice: without the smoothing, noise wins where there
    is little texture, and the mean error of the depth on the simulated stacks is four times larger.
    """
    return TrustedPeak(
        region, signal, "sml", _DEPTH_WINDOW, 0, dtype, kind="peak", smooth=_DEPTH_SMOOTH
    )


def peak_evidence(
    peak: FocusPeak,
    depth: Plane,
    settled: Plane | None,
    stands_out: Plane,
    part: tuple[slice, slice] = (slice(None), slice(None)),
) -> Evidence:
    """Return the evidence of one peak.

    Parameters
    ----------
    peak
        Finished.
    depth, stands_out
        What it finished with, (h, w).
    settled
        The depth at half size that is judged; None: the peak's own.
    part
        Which part of the peak's region these are; it begins at an even row and column.
    """
    here = ScalePeak(halved(depth), halved(stands_out), _GAIN * peak.window)
    if settled is None:
        settled = here.depth
    index, before, after = (np.ascontiguousarray(side[part]) for side in (peak.index, *peak.sides))
    further = np.empty((2, *settled.shape), np.float32)
    compare_sides(index, before, after, peak.planes, further)
    return Evidence(settled, [here], peak.planes, _RADII, further)
