"""The tile plan: how one image is cut for a memory budget.

Duty: arithmetic only. A **tile** is the unit of a task, of writing (one shard) and of memory. It
takes its planes in blocks, and folds them in **strips** of rows, one a thread. Strips share the
block's buffer, so within a tile nothing is decoded twice; only the halo round a tile is. Hence the
default: the largest tile that the memory allows. See docs/design/0002-tiles-and-strips.md. Must not
know: files, who works on tiles, methods (only their halo, grid step and memory need).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Region

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zfuse.pipeline.core import Stack
    from zfuse.pipeline.methods import Method

__all__ = [
    "DEFAULT_MEMORY",
    "NETWORK_MEMORY",
    "TilePlan",
    "cut_strips",
    "default_memory",
    "plan_tiles",
    "strip_count",
]

DEFAULT_MEMORY = (680_000_000, 1_000_000_000)
"""Bytes for the whole process when nobody says otherwise, for methods of one and of two passes.

Any laptop has them. The second is what tiles of 2048 px take; smaller ones decode too much twice.
"""

NETWORK_MEMORY = 2_000_000_000
"""Likewise, for networks: below it the halo round their tiles takes more time than the tiles."""

_PROCESS = 200_000_000  # interpreter, numba, zarr, Dask, before the first pixel (measured on Linux)
_BETWEEN_TILES = 1.25  # several tiles: the decoder's share of chunks that borders cut (measured)
_RUNNER = 100_000_000  # more of that for ONNX Runtime and a network's weights
_ALIGNING = 70_000_000  # more of that for SciPy, and planes made small
_ALIGNED_PLANES = 2  # of a tile, beside its blocks: the plane as it is, and the reference plane
_UNIT = 64  # tile edges are multiples of it, so that a shard divides into chunks
_SMALLEST, _LARGEST = 512, 8192
_SMALLEST_NETWORK = 128
_BLOCKS = (8, 4, 2, 1)  # planes a block: the state goes through memory once a block
_STRIP_ROWS = 128


@dataclass(frozen=True)
class TilePlan:
    """Tiles of one image.

    Attributes
    ----------
    image
        (Y, X) of the image.
    tile
        Edge of a tile in pixels, and of the shard it is written to.
    halo, grid_step
        Of the method.
    block
        Planes read and folded together.
    strips
        Strips a tile is cut into.
    in_flight
        Tiles worked on at the same time.
    workers
        Threads that fold.
    in_turn
        Channels that decide each for themselves are folded one after another.
    """

    image: tuple[int, int]
    tile: int
    halo: int
    grid_step: int
    block: int
    strips: int
    in_flight: int
    workers: int
    in_turn: bool = False

    def tiles(self) -> Iterator[Region]:
        """Yield every tile and what it is shown, row by row."""
        height, width = self.image
        for y in range(0, height, self.tile):
            for x in range(0, width, self.tile):
                core = (
                    slice(y, min(y + self.tile, height)),
                    slice(x, min(x + self.tile, width)),
                )
                yield Region(self.image, core, Region.grown(core, self.halo, self.image))

    def cut(self, tile: Region) -> list[Region]:
        """Cut a tile into its strips."""
        return cut_strips(tile, self.strips, self.grid_step)


def plan_tiles(
    stack: Stack,
    method: Method,
    *,
    memory: int | None,
    workers: int,
    tile: int | None = None,
    aligning: bool = False,
    decisions: int = 1,
) -> TilePlan:
    """Choose tile, block and strips so that a run stays within its memory.

    Parameters
    ----------
    stack
        What is fused.
    method
        How: its halo, grid step and bytes a pixel count.
    memory
        Bytes for the whole process; None: `DEFAULT_MEMORY` or `NETWORK_MEMORY`.
    workers
        Threads that fold.
    tile
        Edge of a tile in pixels; by default the largest that fits.
    aligning
        Planes are resampled while they are read.
    decisions
        Groups of as many channels each that are folded as if each were alone: at once where that
        fits the memory with tiles as large as for one, else one after another, which reads all
        planes once a group (networks always: what they read takes little of their time).

    Raises
    ------
    ZfuseError
        The tile is no multiple of 64, or not even the smallest tile fits the memory.
    """
    unit = max(_UNIT, method.grid_step)
    if tile is not None and (tile < unit or tile % unit):
        raise ZfuseError(
            f"tile of {tile} px: it must be a multiple of {unit} for method {method.name!r}, e.g. "
            f"--tile {max(unit, tile // unit * unit)}"
        )
    plan = functools.partial(
        _plan, stack, method, memory=memory, workers=workers, tile=tile, aligning=aligning
    )
    if decisions == 1:
        return plan(1, in_turn=False)
    in_turn = plan(decisions, in_turn=True)
    if method.own_threads:
        return in_turn
    try:
        at_once = plan(decisions, in_turn=False)
    except ZfuseError:
        return in_turn
    return at_once if at_once.tile >= in_turn.tile else in_turn


def _plan(
    stack: Stack,
    method: Method,
    decisions: int,
    *,
    memory: int | None,
    workers: int,
    tile: int | None,
    aligning: bool,
    in_turn: bool,
) -> TilePlan:
    """Choose for decisions that are folded at once, or one after another."""
    times, channels, planes, height, width = stack.shape
    chunk_z, chunk_rows, chunk_columns = stack.reader.chunk
    unit = max(_UNIT, method.grid_step)
    # A block that ends inside a chunk decodes that chunk twice.
    blocks = sorted({min(planes, ceil(n / chunk_z) * chunk_z) for n in _BLOCKS}, reverse=True)
    edges = _edges(max(chunk_rows, chunk_columns), unit, max(height, width))
    process = _PROCESS + (_ALIGNING if aligning else 0)
    lanes = workers
    folded, states = (stack.only(0), 1) if in_turn else (stack, decisions)
    if method.own_threads:
        edges = _network_edges(unit, max(height, width))
        process += _RUNNER
        lanes = 1
    if tile:
        edges = [tile]
    memory = memory or default_memory(method)
    for edge in edges:
        strips = strip_count(method, min(edge, height), workers)
        tiles = times * ceil(height / edge) * ceil(width / edge)
        wanted = min(ceil(lanes / strips), tiles)  # so many at once give every thread work
        for block in blocks:
            needed = _tile_bytes(method, edge, strips, block, folded, aligning, states)
            if in_turn:
                needed += _beside_bytes(edge + 2 * method.halo, stack, aligning)
            elif decisions > 1:  # a copy of what each thread is shown of one group
                running = min(lanes, strips * decisions)
                needed += running * _part_bytes(method, edge, strips, block, stack) / decisions
            fit = int((memory - process) // needed)
            if fit >= wanted or (edge == edges[-1] and fit > 0):
                return TilePlan(
                    (height, width), edge, method.halo, method.grid_step, block, strips,
                    min(wanted, fit), workers, in_turn,
                )  # fmt: skip
    least = ceil((process + needed) / 1e6)
    given = f"{memory // 10**6}MB" if memory >= 10**6 else f"{memory} bytes"
    raise ZfuseError(
        f"memory of {given} is too little: a tile of {edges[-1]} px with {channels} channel(s) of "
        f"{stack.dtype.itemsize} bytes needs {least}MB. Give at least --memory {least}MB"
        + (" or a smaller --tile" if tile and tile > _SMALLEST else "")
    )


def default_memory(method: Method) -> int:
    """Return the bytes for the whole process when nobody says otherwise."""
    return NETWORK_MEMORY if method.own_threads else DEFAULT_MEMORY[method.passes - 1]


def strip_count(method: Method, rows: int, workers: int) -> int:
    """Return into how many strips a tile of so many rows is cut: one a thread, none too thin."""
    if method.own_threads:
        return 1
    return max(1, min(workers, rows // max(_STRIP_ROWS, 3 * method.halo)))


def cut_strips(tile: Region, count: int, grid_step: int) -> list[Region]:
    """Cut a tile into strips of rows that begin at multiples of `grid_step`, and see the same."""
    rows, columns = tile.core
    step = ceil((rows.stop - rows.start) / count / grid_step) * grid_step
    return [
        Region(tile.image, (slice(y, min(y + step, rows.stop)), columns), tile.shown)
        for y in range(rows.start, rows.stop, step)
    ]


def _tile_bytes(
    method: Method,
    edge: int,
    strips: int,
    block: int,
    stack: Stack,
    aligning: bool,
    decisions: int,
) -> float:
    """Bytes that a tile takes from its first plane to its shard."""
    needed = _state_bytes(method, edge, strips, stack, decisions)
    needed += _buffer_bytes(method, edge, block, stack, aligning)
    alone = edge >= max(stack.shape[3:]) or method.own_threads
    return needed if alone else _BETWEEN_TILES * needed


def _state_bytes(method: Method, edge: int, strips: int, stack: Stack, decisions: int) -> float:
    """Bytes of a tile's states; strips on a grid (of a pyramid) overlap by the halo."""
    _, channels, _, height, width = stack.shape
    rows, columns = min(edge, height), min(edge, width) + 2 * method.halo
    if method.own_threads:  # one strip; what it is shown ends where the image does
        rows, columns = (min(edge + 2 * method.halo, n + method.grid_step) for n in (height, width))
    elif method.grid_step > 1:
        rows += strips * 2 * method.halo
    group = method.state_bytes(channels // decisions, stack.dtype.itemsize)
    return rows * columns * decisions * group


def _beside_bytes(edge: int, stack: Stack, aligning: bool) -> int:
    """Bytes of a tile beside the channel that is folded: planes of all of them, and their results.

    `edge`: of what is shown of the tile.
    """
    _, channels, _, height, width = stack.shape
    read = stack.reader.chunk[0] + _ALIGNED_PLANES * aligning
    a_pixel = read * stack.dtype.itemsize + stack.dtype.itemsize + 8  # image, depth, confidence
    return min(edge, height) * min(edge, width) * channels * a_pixel


def _part_bytes(method: Method, edge: int, strips: int, block: int, stack: Stack) -> float:
    """Bytes of what one strip is shown of a block."""
    _, channels, _, height, width = stack.shape
    rows = min(edge / strips + 2 * method.halo, height)
    columns = min(edge + 2 * method.halo, width)
    return block * rows * columns * channels * stack.dtype.itemsize


def _buffer_bytes(method: Method, edge: int, block: int, stack: Stack, aligning: bool) -> int:
    """Bytes of the two buffers that blocks are read into: one is folded while one is read."""
    _, channels, planes, height, width = stack.shape
    h, w = min(edge + 2 * method.halo, height), min(edge + 2 * method.halo, width)
    count = 1 if block >= planes else 2
    # A chunk that a tile needs in part is decoded whole beside the buffer.
    border = 0
    if h < height or w < width:
        _, rows, columns = stack.reader.chunk
        border = (
            2 * block * (ceil(h / rows) * columns + ceil(w / columns) * rows) * min(rows, columns)
        )
    pixels = (count * block + _ALIGNED_PLANES * aligning) * h * w + border
    return pixels * channels * stack.dtype.itemsize


def _network_edges(unit: int, image: int) -> list[int]:
    """Return tile edges to try, largest first: even parts, as time goes into halos.

    A last tile of a few pixels would cost its halo, too.
    """
    smallest = min(ceil(image / unit) * unit, max(unit, _SMALLEST_NETWORK))
    edges = {
        max(ceil(image / ceil(image / edge) / unit) * unit, smallest)
        for edge in range(unit, _LARGEST + 1, unit)
    }
    return sorted(edges, reverse=True)


def _edges(chunk: int, unit: int, image: int) -> list[int]:
    """Return tile edges to try, largest first: multiples of the chunk where that can be."""
    start = chunk if chunk % unit == 0 and _SMALLEST <= chunk <= _LARGEST else _SMALLEST
    edges = {max(unit, _SMALLEST)}
    while start <= _LARGEST:
        edges.add(start)
        start *= 2
    whole = ceil(image / unit) * unit
    edges = {e for e in edges if e < whole}
    if whole <= _LARGEST:
        edges.add(whole)
    return sorted(edges, reverse=True)
