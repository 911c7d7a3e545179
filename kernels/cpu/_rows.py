"""Arithmetic on rows that several kernels share (CPU).

Duty: one loop a function, over at most five arrays of one length: such loops vectorise. Must not
know: what the rows are.
"""

from __future__ import annotations

from numba import float32

from zfuse.kernels.cpu._jit import jit

__all__ = [
    "add_product",
    "add_row",
    "add_square_sum",
    "binomial_5",
    "clear_where",
    "copy_row",
    "inside_frame",
    "take_where",
]


@jit
def inside_frame(i, size, begin, end):
    """Return which pixel of an axis shows at `i`, if `begin` and `end` of it mirror the others."""
    last = size - 1 - end
    i = min(max(i, 0), size - 1)
    return 2 * begin - i if i < begin else 2 * last - i if i > last else i


@jit
def copy_row(row, out):
    """Write out = row."""
    for x in range(out.size):
        out[x] = row[x]


@jit
def add_row(row, total):
    """Add row to total."""
    for x in range(total.size):
        total[x] += row[x]


@jit
def add_product(weight, row, total):
    """Add weight · row to total."""
    for x in range(total.size):
        total[x] += weight[x] * row[x]


@jit
def add_square_sum(above, row, below, total):
    """Add above² + row² + below² to total."""
    for x in range(total.size):
        total[x] += above[x] * above[x] + row[x] * row[x] + below[x] * below[x]


@jit
def binomial_5(a, b, c, d, e, out):
    """Write (a + 4 b + 6 c + 4 d + e) / 16, the generating kernel of Burt & Adelson (1983)."""
    for x in range(out.size):
        ends = float32(a[x]) + float32(e[x])
        beside = float32(b[x]) + float32(d[x])
        out[x] = (ends + float32(4) * beside + float32(6) * float32(c[x])) * float32(1 / 16)


@jit
def take_where(chosen, row, kept):
    """Replace kept by row where `chosen` is true."""
    for x in range(kept.size):
        new = row[x]
        old = kept[x]
        kept[x] = new if chosen[x] else old


@jit
def clear_where(invalid, out):
    """Write 0 where `invalid` is above 0."""
    for x in range(out.size):
        out[x] = float32(0) if invalid[x] > float32(0) else out[x]
