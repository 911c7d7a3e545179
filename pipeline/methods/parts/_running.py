"""What is kept of planes pixel by pixel while they come: a weighted mean, the range of values.

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

__all__ = ["PixelRange", "WeightedMean"]


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


class PixelRange:
    """Lowest and highest value of each pixel (C, Y, X) over the planes that are valid there.

    Attributes
    ----------
    low, high
        (C, Y, X); infinity and minus infinity where no plane is valid.
    """

    def __init__(self, channels: int, shape: tuple[int, ...]) -> None:
        self.low = np.full((channels, *shape), np.inf, np.float32)
        self.high = np.full((channels, *shape), -np.inf, np.float32)

    def add(self, planes: Plane, invalid: Plane | None) -> None:
        """Add one plane (C, Y, X); `invalid` (Y, X) is above 0 where it is not known."""
        valid = planes if invalid is None else np.where(invalid > 0, np.float32(np.nan), planes)
        np.fmin(self.low, valid, out=self.low)
        np.fmax(self.high, valid, out=self.high)
