"""The running focus peak of a region: which plane is sharpest, how far between planes, how surely.

Duty: hold the arrays that the focus kernel updates and turn them into depth and confidence. Shared
by every method that decides by a focus measure. Must not know: files, tiles, what else a method
keeps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import (
    GIVEN,
    MEASURES,
    NO_FRAME,
    RunningPeak,
    accumulator,
    finish_focus,
    fit_ends,
    fold_focus,
    smooth_signal,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Region, Signal

__all__ = ["PEAK_BYTES", "FocusPeak", "signal_bytes"]

PEAK_BYTES = 18  # the arrays below

_SIGNAL_PLANES = 4  # a signal is made or smoothed for so many planes at a time


def signal_bytes(channels: int, itemsize: int, *, smooth: bool = True) -> float:
    """Memory that a pixel of a peak needs beside its arrays while planes come."""
    native = channels == 1 and itemsize <= 2
    made = 0 if native else 4 * _SIGNAL_PLANES
    return made + (4 * (_SIGNAL_PLANES + 1) if smooth else 0)


class FocusPeak:
    """Running argmax over planes of a windowed focus measure.

    Parameters
    ----------
    region
        Where.
    signal
        How planes become the decision signal.
    measure, window
        Focus measure (None: the signal is one already) and the side of its window in pixels.
    channels, dtype
        Channels whose pixels are copied from the winner (0: none), and their dtype.
    smooth
        How often the signal is smoothed by [1 2 1]/4 in both directions before focus is measured.
    least
        Look for the plane of least contrast.
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
        smooth: int = 0,
        least: bool = False,
    ) -> None:
        shape = region.shape
        self._region = region
        self._measure = MEASURES[measure] if measure else GIVEN
        self._least = least
        self.window = window
        self._smooth = smooth
        self._sum_dtype = accumulator(measure or "sml")
        # One allocation: glibc keeps pieces below 32 MB in its heap when they are freed, and tile
        # after tile the process grows (by 200 MB over 16 tiles of 4096 px).
        size = shape[0] * shape[1]
        # np.empty asks for huge pages, np.zeros does not: 20 against 3 GB/s to touch first.
        self._memory = memory = np.empty(9 * size, np.uint16)
        floats = memory[: 6 * size].view(np.float32).reshape(3, *shape)
        shorts = memory[6 * size :].reshape(3, *shape)
        self._peak = RunningPeak(*floats, *shorts)
        self.best, self.index = self._peak.best, self._peak.plane
        self.total = self._peak.total
        self.image = np.empty((channels, *shape), dtype)
        self.image[...] = 0
        self.restart(signal)

    def restart(self, signal: Signal) -> None:
        """Forget all planes, also after `finish`."""
        self._signal = signal
        self._memory[:] = 0
        self._peak.best[:] = -2
        self.planes = 0
        self.quiet = 0.0
        """A score that no plane out of focus is taken to lie below when the peak is finished."""

    def add(self, planes: NDArray[Any], z: int) -> None:
        """Fold planes (n, C, Y, X) of what the region is shown."""
        step = _SIGNAL_PLANES if self._smooth or not self._signal.native else len(planes)
        for i in range(0, len(planes), step):
            part = planes[i : i + step]
            signal, invalid = self._signal.mixed(part)
            if self._smooth:
                signal = self._smoothed(signal, invalid)
            self.add_signal(signal, invalid, part[:, : self.image.shape[0]], z + i)

    def _smoothed(self, signal: NDArray[Any], invalid: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Smooth the rows of the signal that matter; sums of its bits must stay within 18."""
        top = self._region.offset[0]
        bottom = top + self._region.shape[0]
        bits = {1: 8, 2: 16, 4: 18}[signal.dtype.itemsize]
        out, other = np.empty(signal.shape, np.int32), np.empty(signal.shape[1:], np.int32)
        for plane, some_invalid, result in zip(signal, invalid, out, strict=True):
            reach, used = self.window // 2 + 1 + self._smooth, bits
            for turn in range(self._smooth):
                reach -= 1
                rows = max(top - reach, 0), min(bottom + reach, signal.shape[1])
                gain = min(4, 18 - used)
                used += gain
                target = result if (self._smooth - turn) % 2 else other
                smooth_signal(plane, *rows, 4 - gain, bool(some_invalid), target)
                plane = target
        return out

    def add_signal(
        self,
        signal: NDArray[Any],
        invalid: NDArray[np.bool_],
        pixels: NDArray[Any],
        z: int,
        frame: tuple[int, int, int, int] = NO_FRAME,
    ) -> None:
        """Fold the decision signal (n, Y, X) and the pixels (n, C, Y, X) that are copied.

        `invalid` (n,) says which planes of the signal hold `kernels.INVALID`; for `frame` see
        `kernels.fold_focus`.
        """
        top, left = self._region.offset
        fold_focus(
            signal, invalid, pixels, top, left, z, self._measure, self._least, self.window,
            self._sum_dtype, self._peak, self.image, frame,
        )  # fmt: skip
        self.planes = z + len(signal)

    def beside(self) -> NDArray[np.float32]:
        """Return the mean score of the planes before and after the peak (h, w)."""
        both = self._peak.before.astype(np.float32) + self._peak.after
        return both * (self._peak.best * np.float32(0.5 / 65535))

    @property
    def sides(self) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Scores of the planes before and after the peak, in 1/65535 of its own; both (h, w).

        At the first and the last plane the side that lies outside holds something else, see
        `zfuse.kernels.RunningPeak`.
        """
        return self._peak.before, self._peak.after

    @property
    def spare(self) -> NDArray[np.float32]:
        """Memory (h, w) that the peak needs no more once it is finished."""
        return self._peak.previous

    def fit_ends(
        self,
        depth: NDArray[np.float32],
        stands_out: NDArray[np.float32],
        part: tuple[slice, slice] = (slice(None), slice(None)),
    ) -> None:
        """Put the depth of the first and the last plane between planes, in place.

        Of `part` of the region, with what `finish` returned there, (h, w) each.
        """
        sides = (self.index, self._peak.before, self._peak.after)
        index, before, after = (np.ascontiguousarray(side[part]) for side in sides)
        fit_ends(index, before, after, stands_out, self.planes, depth)

    def out_of_focus(self) -> NDArray[np.float32]:
        """Return the mean score of all planes but the peak (h, w)."""
        return (self.total - self.best) / np.float32(max(self.planes - 1, 1))

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return depth in planes, whole at both ends, and confidence, both (h, w)."""
        depth, confidence = self._peak.best, self._peak.total  # in place: memory peaks here
        finish_focus(self._peak, self.planes, depth, confidence, self.quiet)
        return depth, confidence
