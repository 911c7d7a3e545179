"""Clean a map of labels by the vote of each pixel's neighbours (CUDA).

Duty: plain arrays in, plain arrays out. Must not know: what the labels stand for, tiles.

A thread a pixel: it halves the range that its median lies in until one label is left, and counts
the window each time, which the cache holds. Histograms that slide, as on the CPU, would need a
row's worth of memory a thread.
"""

from __future__ import annotations

from typing import Any

from numba import cuda, int32

from zfuse.kernels.cuda._device import given, launch

__all__ = ["majority_filter"]


@cuda.jit
def _vote(labels, top, left, radius, count, out):
    x, y = cuda.grid(2)
    if y >= out.shape[0] or x >= out.shape[1]:
        return
    first, stop = max(top + y - radius, 0), min(top + y + radius + 1, labels.shape[0])
    begin, end = max(left + x - radius, 0), min(left + x + radius + 1, labels.shape[1])
    votes = int32((stop - first) * (end - begin))
    low, high = int32(0), int32(count - 1)
    while low < high:
        middle = int32((low + high) >> 1)
        below = int32(0)
        for row in range(first, stop):
            for column in range(begin, end):
                below += int32(int32(labels[row, column]) <= middle)
        if below > (votes - 1) >> 1:
            high = middle
        else:
            low = int32(middle + 1)
    # With an even number of votes there may be another label in the middle.
    upto, upper = int32(0), int32(count)
    for row in range(first, stop):
        for column in range(begin, end):
            label = int32(labels[row, column])
            if label <= low:
                upto += int32(1)
            else:
                upper = min(upper, label)
    if upto > votes >> 1:
        upper = low
    out[y, x] = min(max(int32(labels[top + y, left + x]), low), upper)


def majority_filter(labels: Any, top: int, left: int, radius: int, count: int, out: Any) -> None:
    """Give each pixel the median label of the square window round it.

    See `zfuse.kernels.cpu.majority_filter`; all arrays lie on the device.

    Parameters
    ----------
    labels : (Y, X) uint16, below `count`
    top, left : int
    radius : int
    count : int
    out : (h, w) uint16
    """
    out = given(out)
    launch(_vote, out.shape, given(labels), top, left, radius, count, out)
