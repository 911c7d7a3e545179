"""The pyramid of one image: how many levels, how large, cut into which shards.

Duty: sizes only. A tile of ``t`` pixels is one shard of ``t >> level`` pixels at every level, so
that whoever writes a tile writes whole shards and never touches a neighbour's. Must not know:
files, pixels, metadata.
"""

from __future__ import annotations

from dataclasses import dataclass

from zfuse.pipeline.sinks._shards import ShardGrid

__all__ = ["Level", "plan_levels"]

_CHUNK = 512  # edge of a compressed chunk: half a megabyte of uint16 fits the L2 cache
_SMALLEST_SHARD = 64
_SMALLEST_CHUNK = 32


@dataclass(frozen=True)
class Level:
    """One level of the pyramid.

    Attributes
    ----------
    height, width
        Pixels.
    grid
        Chunks and shards.
    """

    height: int
    width: int
    grid: ShardGrid


def plan_levels(height: int, width: int, tile: int) -> list[Level]:
    """Plan the levels of an image that is written tile by tile.

    Parameters
    ----------
    height, width
        Pixels of level 0.
    tile
        Edge of a tile: a multiple of 64, or at least the image.

    Returns
    -------
    list of Level
        Each half of the one before, rounded up. The last is the first whose longer edge is 512
        pixels or less, or whose shards cannot be halved any more (64 pixels).
    """
    levels: list[Level] = []
    while True:
        index = len(levels)
        axes = [_cut(size, tile, index) for size in (height, width)]
        if any(chunk < _SMALLEST_CHUNK <= shard for _, chunk, shard in axes):
            return levels
        (rows, chunk_y, shard_y), (columns, chunk_x, shard_x) = axes
        levels.append(Level(rows, columns, ShardGrid((chunk_y, chunk_x), (shard_y, shard_x))))
        if max(rows, columns) <= _CHUNK:
            return levels
        step = 1 << (index + 1)
        whole = tile >= max(height, width)
        if not whole and (tile % step or tile // step < _SMALLEST_SHARD):
            return levels


def _cut(size: int, tile: int, level: int) -> tuple[int, int, int]:
    """Pixels, chunk and shard of one axis at one level.

    Chunks are halved one by one, so all but the last along an axis have an even edge.
    """
    pixels = -(-size // (1 << level))
    if size <= tile:  # one tile along this axis: cut it evenly, without a mostly empty last chunk
        n_chunks = -(-pixels // _CHUNK)
        chunk = -(-pixels // n_chunks)
        chunk += chunk % 2 if n_chunks > 1 else 0
        return pixels, chunk, chunk * n_chunks
    shard = tile >> level
    if shard <= _CHUNK:
        return pixels, shard, shard
    divisors = (edge for edge in range(_CHUNK, 0, -2) if shard % edge == 0)
    return pixels, next(divisors, 1), shard
