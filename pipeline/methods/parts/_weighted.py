"""A running weighted mean of planes, for methods that average what is in focus.

Must not know: where weights come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zfuse.kernels import NO_WEIGHT, add_weighted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

_INVALID = np.float32(-50)  # log2 of a weight: next to nothing beside pixels that are known

__all__ = ["WeightedMean"]


class WeightedMean:
    """Mean over planes with weight 2^exponent, of bands (C, Y, X)."""

    def __init__(self, channels: int, shape: tuple[int, ...]) -> None:
        self._peak = np.full(shape, NO_WEIGHT, np.float32)
        self._total = np.zeros(shape, np.float32)
        self._sums = np.zeros((channels, *shape), np.float32)

    def add(self, exponent: Plane, bands: Plane, invalid: Plane | None) -> None:
        """Add the bands of one plane; where it is invalid it counts only if no plane knows better.

        `invalid` (Y, X) is 1 there and 0 elsewhere, smoothed to the scale of the bands.
        """
        if invalid is not None:
            exponent = np.where(invalid > 0, _INVALID * invalid, exponent)
        add_weighted(exponent, bands, self._peak, self._total, self._sums)

    def finish(self) -> Plane:
        """Return the mean (C, Y, X); 0 where nothing had weight."""
        self._sums /= np.where(self._total > 0, self._total, 1)
        return self._sums
