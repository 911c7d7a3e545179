"""The picture that is measured: means of each pixel's own values, with borders that are soft.

Duty: with the depth known, sums of planes whose weights agree with their neighbours', and the image
that they make. Must not know: how the depth was found, where width and distrust come from.

Weights that follow each pixel's own depth follow its noise: where the depth is speckled, planes
are torn out side by side (worms, black holes), and a pixel that was chosen for its noise is biased.
So the weights of each plane are smoothed; not the depth, for between two depths nothing may be in
focus. A pixel counts as far as its depth is sure; where that is little, the weights are those of
ever wider surroundings (8 px and more), and where nothing is sure all planes weigh the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import add_focused, add_focused_norms
from zfuse.pipeline.methods.parts._band_average import focus_weights
from zfuse.pipeline.methods.parts._pyramid import expanded, reduced

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.methods.parts._found_depth import FoundDepth

    Plane = NDArray[np.float32]

__all__ = ["MeasuredAverage"]

_LEVELS = 2  # below half size: the coarsest pixel is 8 px
_NOISE = 2.0  # significance that noise alone reaches
_SURE = 3.0  # above that: the pixel counts as much as …
_AROUND = np.float32(0.5)  # … twice its surroundings
_MOST = 16.0  # one pixel counts no more than that
_LEAST = np.float32(1e-4)  # coarsest: where the depth is as unsure as that, all planes count
_LEAST_WEIGHT = np.float32(1e-6)  # of any plane: there may be no other that is valid
_LEAST_NORM = np.float32(1e-12)
_NONE, _ALL_VALID = np.empty((0, 0), np.float32), np.empty((0, 0, 0), np.float32)
_NO_LEVEL = np.empty((0, 0, 0, 0), np.float32)


class MeasuredAverage:
    """An image of weighted means.

    Parameters
    ----------
    channels, planes
        Of the stack.
    found
        Depth, significance (h, w) and strength.
    width
        Distance from focus, in planes, at which pixels have lost 40 % of their contrast; at least
        .21, to reach over the middle between two.
    distrust
        How much less a plane counts for what it lost, for a strength of 1.
    """

    def __init__(
        self, channels: int, planes: int, found: FoundDepth, width: float, distrust: float
    ) -> None:
        depth = np.ascontiguousarray(found.depth[::2, ::2])
        self._focus = focus_weights(depth, found.strength, width, distrust)
        above = np.maximum(found.significance[::2, ::2] - _NOISE, 0) / _SURE
        sure = np.asarray(np.minimum(above * above, _MOST), np.float32)
        self._sure = [sure]
        for _ in range(_LEVELS):
            self._sure.append(reduced(self._sure[-1]))
        norm, square = np.zeros(depth.shape, np.float32), np.zeros(depth.shape, np.float32)
        add_focused_norms(_NONE, self._focus, 0, planes, 1.0, 1.0, 1.0, norm, square)
        # Between two planes no plane weighs much: without that, neighbours would decide.
        self._counts = np.asarray(sure / np.maximum(norm, _LEAST_NORM), np.float32)[None]
        self._plain = _LEAST / np.float32(planes)
        self._total = np.zeros((channels, *found.depth.shape), np.float32)
        self._norm: Plane = np.zeros(found.depth.shape, np.float32)

    def add(self, planes: NDArray[Any], at: tuple[int, int], invalid: Plane | None, z: int) -> None:
        """Add planes; see `BandAverage.add`."""
        height, width = self._norm.shape
        for number, plane in enumerate(planes, z):
            weight = self._weight(number)
            if invalid is not None:
                weight[invalid > 0] = 0
            here = plane[:, at[0] : at[0] + height, at[1] : at[1] + width]
            for values, total in zip(here, self._total, strict=True):
                total += weight * values.astype(np.float32, copy=False)
            self._norm += weight

    def _weight(self, z: int) -> Plane:
        """Return the weight of a plane (h, w), spread from where it is sure to where it is not."""
        own = np.zeros(self._counts.shape, np.float32)
        add_focused(self._counts[None], 0, 0, _NO_LEVEL, _ALL_VALID, self._focus, z, own)
        counts = [own[0]]
        for _ in range(_LEVELS):
            counts.append(reduced(counts[-1]))
        weight = (counts.pop() + self._plain) / (self._sure[-1] + _LEAST)
        for count, sure in zip(reversed(counts), reversed(self._sure[:-1]), strict=True):
            weight = (count + _AROUND * expanded(weight, count.shape)) / (sure + _AROUND)
        return np.maximum(expanded(weight, self._norm.shape), _LEAST_WEIGHT)

    def image(self) -> Plane:
        """Return the picture (C, h, w)."""
        return np.asarray(self._total / np.maximum(self._norm, _LEAST_NORM), np.float32)
