"""The running focus peak of a region: which plane is sharpest, how far between planes, how surely.

Duty: hold the arrays that the focus kernel updates and turn them into depth and confidence. Shared by
every method that decides by a focus measure. Must not know: files, tiles, what else a method keeps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import MEASURES, accumulator, finish_focus, fold_focus

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline._region import Region
    from zfuse.pipeline.methods._signal import Signal

__all__ = ["PEAK_BYTES", "FocusPeak"]

PEAK_BYTES = 18  # the arrays below

MAX_PLANES = 2**16 - 1


class FocusPeak:
    """Running argmax over planes of a windowed focus measure.

    Parameters
    ----------
    region
        Where.
    signal
        How planes become the decision signal.
    measure, window
        Focus measure and the side of its window in pixels.
    channels, dtype
        Channels whose pixels are copied from the winner (0: none), and their dtype.
    """

    def __init__(
        self,
        region: Region,
        signal: Signal,
        measure: str,
        window: int,
        channels: int,
        dtype: np.dtype[Any],
    ) -> None:
        shape = region.shape
        self._region = region
        self._signal = signal
        self._measure = MEASURES[measure]
        self._window = window
        self._accumulate = np.empty(0, accumulator(measure))
        self._best = np.full(shape, -2, np.float32)
        self._previous = np.zeros(shape, np.float32)
        self._total = np.zeros(shape, np.float32)
        self._before = np.zeros(shape, np.uint16)
        self._after = np.zeros(shape, np.uint16)
        self._index = np.zeros(shape, np.uint16)
        self.image = np.zeros((channels, *shape), dtype)
        self.planes = 0

    def add(self, planes: NDArray[Any], z: int) -> None:
        """Fold planes (n, C, Y, X) of the region's window."""
        signal, marked = self._signal.of(planes)
        top, left = self._region.offset
        pixels = planes[:, : self.image.shape[0]]
        fold_focus(
            signal, pixels, top, left, z, self._measure, self._window, self._accumulate, marked,
            self._best, self._previous, self._total, self._before, self._after, self._index,
            self.image,
        )  # fmt: skip
        self.planes = z + len(planes)

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return depth in planes and confidence, both (h, w)."""
        depth, confidence = self._best, self._total  # in place: a tile's memory peaks here
        finish_focus(
            self._best, self._total, self._before, self._after, self._index, self.planes,
            depth, confidence,
        )  # fmt: skip
        return depth, confidence
