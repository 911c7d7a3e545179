"""Centroid of the focus score round a peak that is known (CPU).

Duty: add up the scores, and the scores times their distance from the peak, plane by plane. Must not
know: where the peak comes from, how the centroid is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import float32

from zfuse.kernels.cpu._focus import push_measure, to_float
from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._measures import new_measure_scratch
from zfuse.kernels.cpu._sliding_window import clear_window, new_sliding_window, sum_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["RunningCentroid", "fold_centroid"]


class RunningCentroid(NamedTuple):
    """Sums over the planes near a peak; all (h, w) float32.

    With s_z the score of plane z, p the peak and r the reach, sums go over abs(z - p) ≤ r:

    Attributes
    ----------
    peak, reach : in planes
        p and r, whole numbers; given.
    mass : score
        Σ s_z. Starts at 0.
    moment : score · planes
        Σ s_z (z - p). Starts at 0.
    floor : score
        min s_z. Starts at infinity. The centroid of what lies above the floor is
        p + moment / (mass - (2 r + 1) floor).
    """

    peak: Plane
    reach: Plane
    mass: Plane
    moment: Plane
    floor: Plane


@jit
def _centroid_row(score, peak, reach, z, mass, moment):
    for x in range(score.size):
        away = z - peak[x]
        value = score[x] if abs(away) <= reach[x] else float32(0)
        mass[x] += value
        moment[x] += value * away


@jit
def _floor_row(score, peak, reach, z, floor):
    for x in range(score.size):
        value = score[x] if abs(z - peak[x]) <= reach[x] else floor[x]
        floor[x] = min(floor[x], value)


@jit_allocating
def fold_centroid(
    signal: NDArray[Any],
    top: int,
    left: int,
    z: int,
    measure: int,
    window: int,
    sum_dtype: np.dtype[np.signedinteger],
    centroid: RunningCentroid,
) -> None:
    """Add a block of planes to the centroid of the focus score round a peak, in place.

    Parameters
    ----------
    signal : (n, Y, X) uint8, uint16 or int32, C-contiguous
        What the focus is measured on; every pixel valid.
    top, left : int
        Where the (h, w) pixels of `centroid` lie in the planes; around them the planes hold
        window // 2 + 1 pixels more, except at the image's own edge.
    z : int
        Index of the block's first plane.
    measure : int
        A value of `MEASURES`, or `GIVEN`.
    window : int
        Odd side of the square window in pixels over which the score sums the measure.
    sum_dtype : dtype
        int32 or int64, of the window sums; see `accumulator`.
    centroid : RunningCentroid, (h, w)
        Updated.
    """
    n = signal.shape[0]
    rows, columns = centroid.peak.shape
    radius = window // 2
    scratch = new_measure_scratch(columns + 2 * radius, signal.dtype, sum_dtype)
    sums = new_sliding_window(n, window, columns, sum_dtype)
    score = np.empty(columns, np.float32)
    clear_window(sums)
    for y_in in range(max(top - radius, 0), top + rows + radius):
        i = y_in - radius - top
        for p in range(n):
            push_measure(
                measure, signal, p, y_in, left - radius, left + columns + radius, False, scratch,
                sums,
            )  # fmt: skip
            if i >= 0:
                sum_row(sums, p, sums.total)
                to_float(sums.total, score)
                peak, reach = centroid.peak[i], centroid.reach[i]
                here = np.float32(z + p)
                _centroid_row(score, peak, reach, here, centroid.mass[i], centroid.moment[i])
                _floor_row(score, peak, reach, here, centroid.floor[i])
