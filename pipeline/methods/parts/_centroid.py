"""Depth between planes: the centroid of the focus score round a peak that is known.

Must not know: how the peak was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import MEASURES, accumulator, fold_centroid

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
        self._peak = np.rint(depth)  # whole planes: as many on either side
        last = np.float32(planes - 1)
        self._reach = np.minimum(np.minimum(self._peak, last - self._peak), _REACH)
        self._floor = np.full(depth.shape, np.inf, np.float32)
        self._mass = np.zeros(depth.shape, np.float32)
        self._moment = np.zeros(depth.shape, np.float32)

    def add(self, signal: NDArray[Any], z: int) -> None:
        """Fold planes (n, Y, X) of the decision signal."""
        fold_centroid(
            signal, *self._region.offset, z, MEASURES["sml"], _WINDOW,
            np.empty(0, accumulator("sml")), self._peak, self._reach,
            self._mass, self._moment, self._floor,
        )  # fmt: skip

    def refined(self, where: NDArray[np.bool_]) -> Plane:
        """Return the depth (h, w), replaced by the centroid there, if planes on either side allow.

        The score of planes out of focus, the lowest in reach, is not counted.
        """
        mass = self._mass - (2 * self._reach + 1) * self._floor
        use = (self._reach >= _LEAST_REACH) & where & (mass > 0)
        refined = self._peak + self._moment / np.where(use, mass, 1)
        return np.where(use, refined, self._depth).astype(np.float32)
