"""Clean a map of labels by the vote of each pixel's neighbours (CPU).

Duty: plain arrays in, plain arrays out. Must not know: what the labels stand for, tiles.

Labels are ordered (planes of a stack), so the vote is the median: wherever one label has more than
half of the votes, it is the median. Where none has, as on a slope that passes through many planes,
the most frequent label is a matter of chance, and the median is the label in the middle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zfuse.kernels.cpu._jit import jit, jit_allocating

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["majority_filter"]


@jit
def _vote_row(labels, y, left, radius, votes, out):
    """Slide the window along one row; its median follows the labels that come and go (Huang)."""
    height, width = labels.shape
    first, stop = max(y - radius, 0), min(y + radius + 1, height)
    votes[:] = 0
    lower = 0  # the lower of the two labels in the middle
    below = 0  # votes for less than it
    count = 0
    for x in range(max(left - radius, 0), min(left + radius, width)):
        for row in range(first, stop):
            votes[labels[row, x]] += 1
        count += stop - first
    for i in range(out.size):
        entering, leaving = left + i + radius, left + i - radius - 1
        if entering < width:
            for row in range(first, stop):
                label = labels[row, entering]
                votes[label] += 1
                below += label < lower
            count += stop - first
        if leaving >= 0 and i > 0:
            for row in range(first, stop):
                label = labels[row, leaving]
                votes[label] -= 1
                below -= label < lower
            count -= stop - first
        while below > (count - 1) // 2:
            lower -= 1
            below -= votes[lower]
        while below + votes[lower] <= (count - 1) // 2:
            below += votes[lower]
            lower += 1
        upper = lower
        if below + votes[lower] <= count // 2:  # half of the votes on either side
            upper += 1
            while votes[upper] == 0:
                upper += 1
        out[i] = min(max(labels[y, left + i], lower), upper)


@jit_allocating
def majority_filter(
    labels: NDArray[np.uint16],
    top: int,
    left: int,
    radius: int,
    count: int,
    out: NDArray[np.uint16],
) -> None:
    """Give each pixel the median label of the square window round it.

    With n votes in the window, sorted v_0 ≤ … ≤ v_{n-1}, the label l becomes
    min(max(l, v_⌊(n-1)/2⌋), v_⌊n/2⌋).

    Parameters
    ----------
    labels : (Y, X) uint16, below `count`
        The window ends where the array ends.
    top, left : int
        Where `out` lies in `labels`.
    radius : int
        Pixels; the window's side is 2 radius + 1.
    count : int
        Number of labels.
    out : (h, w) uint16
        Where the votes are even, the pixel's own label, held between the two in the middle.

    Notes
    -----
    Running median after Huang, Yang & Tang (A fast two-dimensional median filtering algorithm, IEEE
    Trans. ASSP 27, 1979): a step costs 4 radius + 2 votes, however many labels there are.
    """
    votes = np.empty(count, np.int32)
    for i in range(out.shape[0]):
        _vote_row(labels, top + i, left, radius, votes, out[i])
