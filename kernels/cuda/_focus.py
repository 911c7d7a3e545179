"""Fold planes into the running focus peak, in one kernel that reads each voxel once (CUDA).

Duty: measure, window, peak, tile by tile. Must not know: files, channels, methods.

How it is made to be fast:

* A block keeps the peak of its tile in registers while it goes through all planes of the call: the
  peak's 40 bytes a pixel pass through memory once a call, not once a plane, and each voxel once but
  for the tile's rim, which the cache holds.
* For each plane, threads measure four pixels of two rows at a time from words of four pixels
  (`_load_four`) into shared memory; sums along x replace them, four side by side; then each thread
  slides down its column and takes the four scores into its four peaks. All sums are integers: no
  order of adding changes a bit.
* The winner's pixels are gathered at the end, from the plane that won, once a pixel.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import cuda, float32, int32, int64, uint64

from zfuse.errors import ZfuseError
from zfuse.kernels.cpu import INVALID, NO_FRAME
from zfuse.kernels.cuda._device import SIMULATED, address, device_function, given, start
from zfuse.kernels.cuda._measures import VARIANCE, measure_of, touches_invalid
from zfuse.kernels.cuda._peak import advance, load_peak, store_peak

if TYPE_CHECKING:
    from zfuse.kernels.cpu import RunningPeak

__all__ = ["fold_focus"]

_INVALID = int(INVALID)

_ROWS_EACH = 4  # pixels of a column that a thread keeps the peak of

_SHARED_BYTES = 48 * 1024  # what every card gives a block without being asked


class _Tile(NamedTuple):
    """Pixels of a block."""

    columns: int
    rows: int


_TILES = tuple(_Tile(*t) for t in ((64, 32), (64, 16), (32, 16), (32, 8), (16, 8), (16, 4), (8, 4)))
"""From the one with the least rim to the one with the least shared memory."""


class _Plan(NamedTuple):
    """What a kernel is compiled for; all sizes in pixels.

    Attributes
    ----------
    tile : _Tile
    radius : int
        Of the window.
    margin : int
        The same, rounded up to a multiple of four.
    across : int
        Fours of pixels in a row of the tile and its margins.
    gap : int
        Fours of pixels in a row of the sums, padded: no two threads of a warp meet in a bank.
    """

    tile: _Tile
    radius: int

    @property
    def margin(self) -> int:
        return -(-self.radius // 4) * 4

    @property
    def across(self) -> int:
        return (self.tile.columns + 2 * self.margin) // 4

    @property
    def gap(self) -> int:
        return {16: 24}.get(self.tile.columns // 4, self.tile.columns // 4)

    @property
    def height(self) -> int:
        return self.tile.rows + 2 * self.radius

    def bytes(self, itemsize: int) -> int:
        return 4 * (self.across + self.gap) * self.height * itemsize


def _plan(radius: int, itemsize: int, slim: bool) -> _Plan:
    """Return the largest tile that fits shared memory; `itemsize` is of all sums together.

    The largest one has 512 threads, 128 registers for each: only `slim` kernels, of packed pixels
    and int32 sums, do with that few.
    """
    for tile in _TILES[-2:] if SIMULATED else _TILES[0 if slim else 1 :]:
        plan = _Plan(tile, radius)
        if plan.bytes(itemsize) <= _SHARED_BYTES:
            return plan
    raise ZfuseError(
        f"the window of {2 * radius + 1} pixels is too large for a CUDA kernel's shared memory "
        f"of {_SHARED_BYTES} bytes: take a smaller one, or the CPU"
    )


@device_function
def _clamp(x, size):
    return min(max(x, int32(0)), int32(size - int32(1)))


@device_function
def _shown(x, size, begin, end):
    """Return which pixel of an axis shows at x, if `begin` and `end` of it mirror the others."""
    last = int32(size - int32(1) - end)
    x = _clamp(x, size)
    if x < begin:
        return int32(int32(2) * begin - x)
    return int32(int32(2) * last - x) if x > last else x


@device_function
def _load_framed(signal, words, row, width, x, left, right):
    """Return six pixels of the row that begins at `row`, from x - 1 on; a frame mirrors."""
    return (
        int32(signal[row + uint64(_shown(x - int32(1), width, left, right))]),
        int32(signal[row + uint64(_shown(x, width, left, right))]),
        int32(signal[row + uint64(_shown(x + int32(1), width, left, right))]),
        int32(signal[row + uint64(_shown(x + int32(2), width, left, right))]),
        int32(signal[row + uint64(_shown(x + int32(3), width, left, right))]),
        int32(signal[row + uint64(_shown(x + int32(4), width, left, right))]),
    )


@device_function
def _load_scalars(signal, words, row, width, x, left, right):
    """Do the same with no frame; the edge replicates."""
    return (
        int32(signal[row + uint64(_clamp(x - int32(1), width))]),
        int32(signal[row + uint64(_clamp(x, width))]),
        int32(signal[row + uint64(_clamp(x + int32(1), width))]),
        int32(signal[row + uint64(_clamp(x + int32(2), width))]),
        int32(signal[row + uint64(_clamp(x + int32(3), width))]),
        int32(signal[row + uint64(_clamp(x + int32(4), width))]),
    )


@device_function
def _load_4_bytes(signal, words, row, width, x, left, right):
    """Do the same for 8-bit pixels x … x + 3 that lie in one int32 word."""
    w = words[(row >> uint64(2)) + uint64(_clamp(x >> int32(2), width >> int32(2)))]
    return (
        int32(signal[row + uint64(_clamp(x - int32(1), width))]),
        int32(w & int32(0xFF)), int32((w >> int32(8)) & int32(0xFF)),
        int32((w >> int32(16)) & int32(0xFF)), int32((w >> int32(24)) & int32(0xFF)),
        int32(signal[row + uint64(_clamp(x + int32(4), width))]),
    )  # fmt: skip


@device_function
def _load_8_bytes(signal, words, row, width, x, left, right):
    """Do the same for 16-bit pixels that lie in one int64 word."""
    w = words[(row >> uint64(2)) + uint64(_clamp(x >> int32(2), width >> int32(2)))]
    low, high = int32(w), int32(w >> int64(32))
    return (
        int32(signal[row + uint64(_clamp(x - int32(1), width))]),
        int32(low & int32(0xFFFF)), int32((low >> int32(16)) & int32(0xFFFF)),
        int32(high & int32(0xFFFF)), int32((high >> int32(16)) & int32(0xFFFF)),
        int32(signal[row + uint64(_clamp(x + int32(4), width))]),
    )  # fmt: skip


_LOADS = {1: (_load_4_bytes, np.int32), 2: (_load_8_bytes, np.int64)}
"""Of pixels of so many bytes: how four come in one word, and the word."""


def _sums(integer: Any, plan: _Plan) -> tuple[Any, Any]:
    """Return the functions that add up int32 or int64 measures along x, and their sums along y."""
    diameter, lead, across = 2 * plan.radius + 1, plan.margin - plan.radius, plan.across
    measure_row, sum_row = 4 * across, 4 * plan.gap
    gap, step = np.uint64(plan.gap), np.uint64(sum_row)

    @device_function
    def taken(values, cell, k):
        """Return what lies k columns right of where the first window of a four begins."""
        column = lead + k
        return integer(values[cell + uint64((column & 3) * across + (column >> 2))])

    @device_function
    def sum_four(values, i, q, sums):
        """Write the sums along x of windows round the pixels 4 q … 4 q + 3 of row i."""
        cell, to = uint64(i * int32(measure_row) + q), uint64(i * int32(sum_row) + q)
        total = integer(0)
        for k in range(diameter):
            total = integer(total + taken(values, cell, k))
        sums[to] = total
        for j in range(3):
            entering, leaving = taken(values, cell, diameter + j), taken(values, cell, j)
            total = integer(total + integer(entering - leaving))
            to += gap
            sums[to] = total

    @device_function
    def sum_column(sums, cell):
        """Return the sums of windows round four pixels of a column."""
        a = integer(0)
        for k in range(diameter):
            a = integer(a + sums[cell + uint64(k) * step])
        low = cell + uint64(diameter) * step
        b = integer(a + integer(sums[low] - sums[cell]))
        c = integer(b + integer(sums[low + step] - sums[cell + step]))
        cell += step + step
        low += step + step
        return a, b, c, integer(c + integer(sums[low] - sums[cell]))

    return sum_four, sum_column


@device_function
def take_pixels(pixels, winner, z, top, left, image, y, x):
    """Copy the pixels of the plane that won, if it is one of this block's."""
    if winner >= z and 0 <= y < image.shape[1] and 0 <= x < image.shape[2]:
        for c in range(pixels.shape[1]):
            image[c, y, x] = pixels[winner - z, c, top + y, left + x]


@cache
def _kernel(measure: int, plan: _Plan, wide: bool, packed: int, checked: bool, framed: bool) -> Any:
    """Return the kernel for one measure, window and kind of pixels.

    Parameters
    ----------
    measure : int
        A value of `MEASURES`, or `GIVEN`.
    plan : _Plan
    wide : bool
        Sums are int64.
    packed : int
        Bytes a pixel where four lie in a word of their own, else 0.
    checked : bool
        Pixels may be `INVALID`.
    framed : bool
        Rows and columns of a frame mirror others.
    """
    point = measure_of(measure)
    load = _LOADS[packed][0] if packed else _load_framed if framed else _load_scalars
    squared = measure == VARIANCE
    integer = int64 if wide else int32
    (columns, rows), radius, margin = plan.tile, plan.radius, plan.margin
    across, height = plan.across, plan.height
    measure_row, sum_row = 4 * across, 4 * plan.gap
    threads = columns * rows // _ROWS_EACH
    fours = columns // 4
    cells, sum_cells = height * measure_row, height * sum_row
    plain_cells, plain_sum_cells = (cells, sum_cells) if squared else (1, 1)

    turn = threads // across  # pairs of rows that are measured at once
    gap, lost = plan.gap, np.float32(-1)
    across_1, across_2, across_3 = (np.uint64(k * across) for k in (1, 2, 3))

    @device_function
    def put(up, row, down, k, counts, valid, cell, measures, plain):
        """Write the measure of pixel k of four; 0 outside the plane and next to the unknown."""
        ul, u, ur = up[k], up[k + 1], up[k + 2]
        left, c, right = row[k], row[k + 1], row[k + 2]
        dl, d, dr = down[k], down[k + 1], down[k + 2]
        if checked and not valid and touches_invalid(ul, u, ur, left, c, right, dl, d, dr):
            counts = False
        value = integer(point(ul, u, ur, left, c, right, dl, d, dr))
        measures[cell] = value if counts else integer(0)
        if squared:
            plain[cell] = c if counts else int32(0)

    @device_function
    def put_row(up, row, down, x, width, within, valid, cell, measures, plain):
        """Write the measures of four pixels."""
        put(up, row, down, 0, within and 0 <= x < width, valid, cell, measures, plain)
        x += int32(1)
        put(up, row, down, 1, within and 0 <= x < width, valid, cell + across_1, measures, plain)
        x += int32(1)
        put(up, row, down, 2, within and 0 <= x < width, valid, cell + across_2, measures, plain)
        x += int32(1)
        put(up, row, down, 3, within and 0 <= x < width, valid, cell + across_3, measures, plain)

    @device_function
    def load_row(signal, words, start, size, frame, y, x):
        rows_of, width = size
        y = _shown(y, rows_of, frame[0], frame[1]) if framed else _clamp(y, rows_of)
        row = start + uint64(y) * uint64(width)
        return load(signal, words, row, width, x, frame[2], frame[3])

    @device_function
    def measure_pair(signal, words, start, size, frame, y, x, valid, i, q, measures, plain):
        """Measure four pixels of rows y and y + 1 into rows i and i + 1."""
        rows_of, width = size
        a = load_row(signal, words, start, size, frame, y - int32(1), x)
        b = load_row(signal, words, start, size, frame, y, x)
        c = load_row(signal, words, start, size, frame, y + int32(1), x)
        d = load_row(signal, words, start, size, frame, y + int32(2), x)
        cell = uint64(i * int32(measure_row) + q)
        put_row(a, b, c, x, width, 0 <= y < rows_of, valid, cell, measures, plain)
        if int32(i + int32(1)) < int32(height):
            y += int32(1)
            cell += uint64(measure_row)
            put_row(b, c, d, x, width, 0 <= y < rows_of, valid, cell, measures, plain)

    sum_four, sum_column = _sums(integer, plan)
    sum_four_plain, sum_column_plain = _sums(int32, plan)

    @device_function
    def score_of(total, plain_total, y, x, size, least):
        if squared:
            n = int64(
                (min(y + radius + 1, size[0]) - max(y - radius, 0))
                * (min(x + radius + 1, size[1]) - max(x - radius, 0))
            )
            total = n * total - int64(plain_total) * int64(plain_total)
        score = float32(total)
        return float32(1e6) / (score + float32(1)) if least else score

    @device_function
    def known(signal, start, size, y, x, valid):
        """Return whether a pixel counts; one outside the plane does, nobody keeps it."""
        if not checked or valid:
            return True
        cell = uint64(_clamp(y, size[0])) * uint64(size[1]) + uint64(_clamp(x, size[1]))
        return signal[start + cell] != int32(_INVALID)

    def fold(
        signal, words, shape, invalid, pixels, top, left, z, least, best, previous, total, before,
        after, plane, image, frame,
    ):  # fmt: skip
        measures = cuda.shared.array(cells, integer)
        sums = cuda.shared.array(sum_cells, integer)
        plain = cuda.shared.array(plain_cells, int32)
        plain_sums = cuda.shared.array(plain_sum_cells, int32)
        tx, ty = int32(cuda.threadIdx.x), int32(cuda.threadIdx.y)
        thread = int32(ty * int32(columns) + tx)
        size = int32(shape[1]), int32(shape[2])
        area = uint64(shape[1]) * uint64(shape[2])
        # Columns of planes, in fours; the core may begin anywhere between.
        x_tile = int32((left >> 2) * 4 + cuda.blockIdx.x * columns)
        y_tile = int32(top + cuda.blockIdx.y * rows)
        # This thread's four pixels to measure, four sums, and column of four peaks.
        q_measured, i_measured = thread % int32(across), int32(2) * (thread // int32(across))
        x_measured = int32(x_tile - int32(margin) + int32(4) * q_measured)
        q_summed, i_summed = thread % int32(fours), thread // int32(fours)
        x, y = int32(x_tile + tx), int32(y_tile + ty * int32(_ROWS_EACH))
        column = uint64(
            ty * int32(_ROWS_EACH * sum_row) + (tx & int32(3)) * int32(gap) + (tx >> int32(2))
        )
        u, v = int32(x - left), int32(y - top)
        s0 = load_peak(best, previous, total, before, after, plane, v, u)
        s1 = load_peak(best, previous, total, before, after, plane, int32(v + 1), u)
        s2 = load_peak(best, previous, total, before, after, plane, int32(v + 2), u)
        s3 = load_peak(best, previous, total, before, after, plane, int32(v + 3), u)
        for p in range(shape[0]):
            valid = not (checked and invalid[p])
            start = uint64(p) * area
            if i_measured < int32(2 * turn):
                for i in range(i_measured, int32(height), int32(2 * turn)):
                    measure_pair(
                        signal, words, start, size, frame, int32(y_tile - int32(radius) + i),
                        x_measured, valid, int32(i), q_measured, measures, plain,
                    )  # fmt: skip
            cuda.syncthreads()
            for i in range(i_summed, int32(height), int32(threads // fours)):
                sum_four(measures, int32(i), q_summed, sums)
                if squared:
                    sum_four_plain(plain, int32(i), q_summed, plain_sums)
            cuda.syncthreads()
            here = int32(z + p)
            a0, a1, a2, a3 = sum_column(sums, column)
            b0 = b1 = b2 = b3 = int32(0)
            if squared:
                b0, b1, b2, b3 = sum_column_plain(plain_sums, column)
            score = score_of(a0, b0, y, x, size, least)
            s0 = advance(s0, score if known(signal, start, size, y, x, valid) else lost, here)
            row = int32(y + 1)
            score = score_of(a1, b1, row, x, size, least)
            s1 = advance(s1, score if known(signal, start, size, row, x, valid) else lost, here)
            row = int32(y + 2)
            score = score_of(a2, b2, row, x, size, least)
            s2 = advance(s2, score if known(signal, start, size, row, x, valid) else lost, here)
            row = int32(y + 3)
            score = score_of(a3, b3, row, x, size, least)
            s3 = advance(s3, score if known(signal, start, size, row, x, valid) else lost, here)
        store_peak(s0, best, previous, total, before, after, plane, v, u)
        store_peak(s1, best, previous, total, before, after, plane, int32(v + 1), u)
        store_peak(s2, best, previous, total, before, after, plane, int32(v + 2), u)
        store_peak(s3, best, previous, total, before, after, plane, int32(v + 3), u)
        take_pixels(pixels, s0[4], z, top, left, image, v, u)
        take_pixels(pixels, s1[4], z, top, left, image, int32(v + 1), u)
        take_pixels(pixels, s2[4], z, top, left, image, int32(v + 2), u)
        take_pixels(pixels, s3[4], z, top, left, image, int32(v + 3), u)

    # Threads of a block are known: a register more than there are for them would not start. With
    # no word of one block being enough, ptxas spills for two (sm_120: 8 bytes at 128 registers).
    return cuda.jit(fold) if SIMULATED else cuda.jit(fold, launch_bounds=(threads, 1))


def _words(signal: Any) -> tuple[Any, int]:
    """Return a signal as words of four pixels, and a pixel's bytes; itself and 0 if it has none."""
    size = signal.dtype.itemsize
    if size not in _LOADS or signal.shape[2] % 4:
        return signal, 0
    if address(signal) % (4 * size):
        return signal, 0
    return signal.view(_LOADS[size][1]), size


def fold_focus(
    signal: Any, invalid: Any, pixels: Any, top: int, left: int, z: int, measure: int, least: bool,
    window: int, sum_dtype: np.dtype[np.signedinteger], peak: RunningPeak, image: Any,
    frame: tuple[int, int, int, int] = NO_FRAME,
) -> None:  # fmt: skip
    """Fold a block of planes into the running focus peak, in place.

    See `zfuse.kernels.cpu.fold_focus`; all arrays lie on the device.

    Parameters
    ----------
    signal : (n, Y, X) uint8, uint16 or int32
    invalid : (n,) bool
    pixels : (n, C, Y, X), any dtype
    top, left : int
    z : int
    measure : int
    least : bool
    window : int
    sum_dtype : dtype
    peak : RunningPeak, (h, w)
    image : (C, h, w), dtype of `pixels`
    frame : (4,) int

    Raises
    ------
    ZfuseError
        An array lies in the host's memory, or the window does not fit the device.
    """
    signal, invalid, pixels, image = given(signal), given(invalid), given(pixels), given(image)
    maps = [given(kept) for kept in peak]
    wide = np.dtype(sum_dtype).itemsize == 8
    framed = tuple(frame) != NO_FRAME
    words, packed = (signal, 0) if framed else _words(signal)
    itemsize = (8 if wide else 4) + (4 if measure == VARIANCE else 0)
    plan = _plan(window // 2, itemsize, slim=packed > 0 and not wide)
    kernel = _kernel(measure, plan, wide, packed, signal.dtype == np.int32, framed)
    height, width = maps[0].shape
    columns, rows = plan.tile
    grid = (-(-(left % 4 + width) // columns), -(-height // rows))
    if height and width:
        start(
            kernel, grid, (columns, rows // _ROWS_EACH), signal.reshape(-1), words.reshape(-1),
            tuple(signal.shape), invalid, pixels, top, left, z, least, *maps, image,
            tuple(map(np.int32, frame)),
        )  # fmt: skip
