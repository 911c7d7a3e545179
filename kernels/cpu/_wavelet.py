"""One level of a separable wavelet transform, down and up (CPU).

Duty: two filters a direction, every second sample kept. Must not know: which wavelet, how many
levels, how the image is mirrored.

With taps h and their origin o, going down is c[i] = Σ_k h[k] · x[2i + k - o] and going up x[n] =
Σ_i g[n - 2i + o] · c[i], summed over the low- and the high-pass band (Mallat, A theory for
multiresolution signal decomposition, IEEE PAMI 11, 1989). Samples beyond the plane replicate on the
way down. Coefficients beyond the bands replicate on the way up, which is not what the way down saw
there: mirror the image by the filters' length first.

Taps come in fours, padded with zeros: four taps and the sum are the five arrays that a loop can
have and still vectorise. Rows are split into even and odd samples first, so that all reads are
contiguous.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zfuse.kernels.cpu._jit import jit, jit_allocating

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["analyse_plane", "synthesise_plane"]


@jit
def _first_four(a, b, c, d, taps, out):
    t, u, v, w = taps[0], taps[1], taps[2], taps[3]
    for x in range(out.size):
        out[x] = (t * a[x] + u * b[x]) + (v * c[x] + w * d[x])


@jit
def _next_four(a, b, c, d, taps, out):
    t, u, v, w = taps[0], taps[1], taps[2], taps[3]
    for x in range(out.size):
        out[x] += (t * a[x] + u * b[x]) + (v * c[x] + w * d[x])


@jit
def _filter_column(plane, y, taps, out):
    """Filter down a column: out = Σ_k taps[k] · plane[y + k]."""
    last = plane.shape[0] - 1
    for k in range(0, taps.size, 4):
        a, b = plane[min(max(y + k, 0), last)], plane[min(max(y + k + 1, 0), last)]
        c, d = plane[min(max(y + k + 2, 0), last)], plane[min(max(y + k + 3, 0), last)]
        if k == 0:
            _first_four(a, b, c, d, taps[k:], out)
        else:
            _next_four(a, b, c, d, taps[k:], out)


@jit
def _filter_row(even, odd, taps, out):
    """Filter along a row: out[i] = Σ_k taps[k] · x[2i + k], from even and odd samples."""
    n = out.size
    for k in range(0, taps.size, 4):
        j = k // 2
        a, b, c, d = (
            even[j : j + n],
            odd[j : j + n],
            even[j + 1 : j + 1 + n],
            odd[j + 1 : j + 1 + n],
        )
        if k == 0:
            _first_four(a, b, c, d, taps[k:], out)
        else:
            _next_four(a, b, c, d, taps[k:], out)


@jit
def _replicate_ends(row, start, stop):
    row[:start] = row[start]
    row[stop:] = row[stop - 1]


@jit
def _part_row(row, even, odd):
    for x in range(even.size):
        even[x] = row[2 * x]
        odd[x] = row[2 * x + 1]


@jit
def _analyse(plane, taps_y, taps_x, origin_y, origin, low, right, down, diagonal, row, even, odd):
    width = plane.shape[1]
    inside = slice(origin, origin + width)
    for i in range(low.shape[0]):
        for b in range(2):
            _filter_column(plane, 2 * i - origin_y, taps_y[b], row[inside])
            _replicate_ends(row, origin, origin + width)
            _part_row(row, even, odd)
            _filter_row(even, odd, taps_x[0], low[i] if b == 0 else down[i])
            _filter_row(even, odd, taps_x[1], right[i] if b == 0 else diagonal[i])


@jit_allocating
def analyse_plane(
    plane: Plane,
    taps_y: Plane,
    taps_x: Plane,
    origin_y: int,
    origin_x: int,
    low: Plane,
    right: Plane,
    down: Plane,
    diagonal: Plane,
) -> None:
    """Split a plane into four bands of half its height and width (Mallat 1989).

    band[i, j] = Σ_kl f_k g_l plane[2i + k - origin_y, 2j + l - origin_x], f and g being the low- or
    high-pass taps along y and x; the plane replicates at its edge.

    Parameters
    ----------
    plane : (Y, X) float32
    taps_y, taps_x : (2, L) float32
        Low- and high-pass taps along either axis; L is a multiple of 4.
    origin_y, origin_x : int
        Which tap lies on sample 2i.
    low, right, down, diagonal : (⌈Y/2⌉, ⌈X/2⌉) float32
        Low-pass band, and those with the high-pass along x, y and both.
    """
    length = taps_x.shape[1]
    padded = 2 * ((plane.shape[1] + 1) // 2 + length)
    row = np.empty(padded, np.float32)
    even, odd = np.empty(padded // 2, np.float32), np.empty(padded // 2, np.float32)
    _analyse(plane, taps_y, taps_x, origin_y, origin_x, low, right, down, diagonal, row, even, odd)


@jit
def _add_two(a, b, t, u, out):
    for x in range(out.size):
        out[x] += t * a[x] + u * b[x]


@jit
def _raise_column(first, second, n, taps, origin, out):
    """Write row n of one direction's synthesis from a low- and a high-pass band."""
    last = first.shape[0] - 1
    out[:] = 0
    for k in range((n + origin) % 2, taps.shape[1], 2):
        i = min(max((n + origin - k) // 2, 0), last)
        _add_two(first[i], second[i], taps[0, k], taps[1, k], out)


@jit
def _raise_row(first, second, pad, parity, taps, origin, out):
    """Write every second sample of a row, from padded rows of the two bands."""
    n = out.size
    out[:] = 0
    for k in range((parity + origin) % 2, taps.shape[1], 2):
        j = pad + (parity + origin - k) // 2
        _add_two(first[j : j + n], second[j : j + n], taps[0, k], taps[1, k], out)


@jit
def _add_parted(even, odd, scale, out):
    for x in range(out.size // 2):
        out[2 * x] += scale * even[x]
        out[2 * x + 1] += scale * odd[x]
    if out.size % 2:
        out[out.size - 1] += scale * even[out.size // 2]


@jit
def _synthesise(
    low, right, down, diagonal, taps_y, taps_x, origin_y, origin, scale, plane, pad, first, second,
    even, odd,
):  # fmt: skip
    n = low.shape[1]
    inside = slice(pad, pad + n)
    for y in range(plane.shape[0]):
        _raise_column(low, down, y, taps_y, origin_y, first[inside])
        _raise_column(right, diagonal, y, taps_y, origin_y, second[inside])
        _replicate_ends(first, pad, pad + n)
        _replicate_ends(second, pad, pad + n)
        _raise_row(first, second, pad, 0, taps_x, origin, even)
        _raise_row(first, second, pad, 1, taps_x, origin, odd)
        _add_parted(even, odd, scale, plane[y])


@jit_allocating
def synthesise_plane(
    low: Plane,
    right: Plane,
    down: Plane,
    diagonal: Plane,
    taps_y: Plane,
    taps_x: Plane,
    origin_y: int,
    origin_x: int,
    scale: float,
    plane: Plane,
) -> None:
    """Add what four bands make to a plane, in place.

    plane[y, x] += scale Σ_bands Σ_ij f_(y - 2i + origin_y) g_(x - 2j + origin_x) band[i, j], with f
    and g the low- or high-pass taps along y and x; bands replicate at their edge.

    Parameters
    ----------
    low, right, down, diagonal : (⌈Y/2⌉, ⌈X/2⌉) float32
        See `analyse_plane`.
    taps_y, taps_x : (2, L) float32
        Low- and high-pass taps of the way up along either axis; L is a multiple of 4.
    origin_y, origin_x : int
        Which tap lies on sample 2i.
    scale : float
        Factor of the sum.
    plane : (Y, X) float32
        Updated.
    """
    n, pad = low.shape[1], taps_x.shape[1]
    first, second = np.empty(n + 2 * pad, np.float32), np.empty(n + 2 * pad, np.float32)
    even, odd = np.empty(n, np.float32), np.empty(n, np.float32)
    _synthesise(
        low, right, down, diagonal, taps_y, taps_x, origin_y, origin_x, np.float32(scale), plane,
        pad, first, second, even, odd,
    )  # fmt: skip
