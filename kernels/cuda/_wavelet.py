"""One level of a separable wavelet transform, down and up (CUDA).

Duty: two filters a direction, every second sample kept. Must not know: which wavelet, how many
levels, how the image is mirrored.

See `zfuse.kernels.cpu` for the sums. Two kernels a direction, columns before rows, with both bands'
columns in scratch; taps are added in fours, as on the CPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda, float32

from zfuse.kernels.cuda._device import device_function, given, launch, product, scratch

__all__ = ["analyse_plane", "synthesise_plane"]


@device_function
def _four(t, u, v, w, a, b, c, d):
    return (product(t, a) + product(u, b)) + (product(v, c) + product(w, d))


@cuda.jit
def _filter_columns(plane, taps, origin, out):
    """Write out[b, i, x] = Σ_k taps[b, k] · plane[2 i + k - origin, x]."""
    x, i, b = cuda.grid(3)
    if i >= out.shape[1] or x >= out.shape[2]:
        return
    last = plane.shape[0] - 1
    total = float32(0)
    for k in range(0, taps.shape[1], 4):
        y = 2 * i - origin + k
        part = _four(
            taps[b, k], taps[b, k + 1], taps[b, k + 2], taps[b, k + 3],
            plane[min(max(y, 0), last), x], plane[min(max(y + 1, 0), last), x],
            plane[min(max(y + 2, 0), last), x], plane[min(max(y + 3, 0), last), x],
        )  # fmt: skip
        total = part if k == 0 else total + part
    out[b, i, x] = total


@device_function
def _filter_row(row, taps, start):
    last = row.size - 1
    total = float32(0)
    for k in range(0, taps.size, 4):
        x = start + k
        part = _four(
            taps[k], taps[k + 1], taps[k + 2], taps[k + 3], row[min(max(x, 0), last)],
            row[min(max(x + 1, 0), last)], row[min(max(x + 2, 0), last)],
            row[min(max(x + 3, 0), last)],
        )  # fmt: skip
        total = part if k == 0 else total + part
    return total


@cuda.jit
def _filter_rows(columns, taps, origin, low, right, down, diagonal):
    j, i = cuda.grid(2)
    if i >= low.shape[0] or j >= low.shape[1]:
        return
    start = 2 * j - origin
    low[i, j] = _filter_row(columns[0, i], taps[0], start)
    right[i, j] = _filter_row(columns[0, i], taps[1], start)
    down[i, j] = _filter_row(columns[1, i], taps[0], start)
    diagonal[i, j] = _filter_row(columns[1, i], taps[1], start)


def analyse_plane(
    plane: Any, taps_y: Any, taps_x: Any, origin_y: int, origin_x: int, low: Any, right: Any,
    down: Any, diagonal: Any,
) -> None:  # fmt: skip
    """Split a plane into four bands of half its height and width (Mallat 1989).

    See `zfuse.kernels.cpu.analyse_plane`; all arrays lie on the device.

    Parameters
    ----------
    plane : (Y, X) float32
    taps_y, taps_x : (2, L) float32
    origin_y, origin_x : int
    low, right, down, diagonal : (⌈Y/2⌉, ⌈X/2⌉) float32
    """
    plane, low = given(plane), given(low)
    columns = scratch("wavelet", (2, low.shape[0], plane.shape[1]))
    launch(_filter_columns, columns.shape, plane, given(taps_y), origin_y, columns)
    launch(
        _filter_rows, low.shape, columns, given(taps_x), origin_x, low, given(right), given(down),
        given(diagonal),
    )  # fmt: skip


@device_function
def _raise_column(first, second, taps, at, x):
    last = first.shape[0] - 1
    total = float32(0)
    for k in range(at % 2, taps.shape[1], 2):
        i = min(max((at - k) // 2, 0), last)
        total += product(taps[0, k], first[i, x]) + product(taps[1, k], second[i, x])
    return total


@cuda.jit
def _raise_columns(low, right, down, diagonal, taps, origin, out):
    x, y = cuda.grid(2)
    if y >= out.shape[1] or x >= out.shape[2]:
        return
    out[0, y, x] = _raise_column(low, down, taps, y + origin, x)
    out[1, y, x] = _raise_column(right, diagonal, taps, y + origin, x)


@cuda.jit
def _raise_rows(columns, taps, origin, scale, plane):
    x, y = cuda.grid(2)
    if y >= plane.shape[0] or x >= plane.shape[1]:
        return
    last = columns.shape[2] - 1
    total = float32(0)
    for k in range((x + origin) % 2, taps.shape[1], 2):
        j = min(max((x + origin - k) // 2, 0), last)
        total += product(taps[0, k], columns[0, y, j]) + product(taps[1, k], columns[1, y, j])
    plane[y, x] += product(scale, total)


def synthesise_plane(
    low: Any, right: Any, down: Any, diagonal: Any, taps_y: Any, taps_x: Any, origin_y: int,
    origin_x: int, scale: float, plane: Any,
) -> None:  # fmt: skip
    """Add what four bands make to a plane, in place.

    See `zfuse.kernels.cpu.synthesise_plane`; all arrays lie on the device.

    Parameters
    ----------
    low, right, down, diagonal : (⌈Y/2⌉, ⌈X/2⌉) float32
    taps_y, taps_x : (2, L) float32
    origin_y, origin_x : int
    scale : float
    plane : (Y, X) float32
    """
    low, plane = given(low), given(plane)
    columns = scratch("wavelet", (2, plane.shape[0], low.shape[1]))
    launch(
        _raise_columns, columns.shape[1:], low, given(right), given(down), given(diagonal),
        given(taps_y), origin_y, columns,
    )  # fmt: skip
    launch(_raise_rows, plane.shape, columns, given(taps_x), origin_x, np.float32(scale), plane)
