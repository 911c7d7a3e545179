"""Depth between planes: the centroid of the focus score round a peak that is known.

Must not know: how the peak was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import MEASURES, RunningCentroid, accumulator, fold_centroid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Region

    Plane = NDArray[np.float32]

__all__ = ["Centroid"]

_REACH, _WINDOW = 5, 7  # planes on either side, pixels of the focus measure's window
_LEAST_REACH = 2  # planes: below, there is too little on either side to be a centroid of


class Centroid:
    """Centroid of one region while planes come.

    Parameters
    ----------
    region
        Its core is what the depth is known of.
    depth
        (h, w) in planes.
    planes
        Of the stack.
    """

    def __init__(self, region: Region, depth: Plane, planes: int) -> None:
        self._region, self._depth = region, depth
        peak = np.rint(depth)
        last = np.float32(planes - 1)
        self._sums = RunningCentroid(
            peak,
            reach=np.minimum(np.minimum(peak, last - peak), _REACH),  # as many on either side
            mass=np.zeros(depth.shape, np.float32),
            moment=np.zeros(depth.shape, np.float32),
            floor=np.full(depth.shape, np.inf, np.float32),
        )

    def add(self, signal: NDArray[Any], z: int) -> None:
        """Fold planes (n, Y, X) of the decision signal."""
        fold_centroid(
            signal, *self._region.offset, z, MEASURES["sml"], _WINDOW, accumulator("sml"),
            self._sums,
        )  # fmt: skip

    def refined(self, where: NDArray[np.bool_]) -> Plane:
        """Return the depth (h, w), replaced by the centroid there, if planes on either side allow.

        The score of planes out of focus, the lowest in reach, is not counted.
        """
        peak, reach, mass, moment, floor = self._sums
        above = mass - (2 * reach + 1) * floor
        use = (reach >= _LEAST_REACH) & where & (above > 0)
        refined = peak + moment / np.where(use, above, 1)
        return np.where(use, refined, self._depth).astype(np.float32)
