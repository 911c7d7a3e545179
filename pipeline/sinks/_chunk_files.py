"""Chunks as files of their own, as OME-Zarr 0.4 has them: zarr 2 knows no shards.

Duty: the place of a tile's chunks, and their bytes. They are the bytes that would stand in a shard:
`zfuse.pipeline.sinks._shards` compresses them. Must not know: OME metadata, pyramids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy as np

    from zfuse.pipeline.sinks._shards import ShardGrid

__all__ = ["chunk_codec", "chunk_paths", "write_chunks"]


def chunk_codec(dtype: np.dtype[Any]) -> Any:
    """Return the zarr 2 codec that `encode_chunk` stands for."""
    from numcodecs import Blosc

    return Blosc(cname="lz4", clevel=1, shuffle=Blosc.BITSHUFFLE, typesize=dtype.itemsize)


def chunk_paths(
    array: Path, axes: str, t: int, tile: tuple[int, int], grid: ShardGrid, size: tuple[int, int],
    n_channels: int,
) -> Iterator[Path]:  # fmt: skip
    """Yield the files of all chunks of a tile.

    Parameters
    ----------
    array, axes, t, tile, grid
        See `write_chunks`.
    size
        Height and width of the array in pixels: what lies beyond has no chunks.
    n_channels
        Channels of the array.
    """
    rows, columns = (
        min(n, -(-(pixels - place * n * edge) // edge))
        for n, pixels, place, edge in zip(grid.n_chunks, size, tile, grid.chunk, strict=True)
    )
    for channel in range(n_channels):
        for row in range(rows):
            for column in range(columns):
                yield _path(array, axes, t, tile, grid, (channel, row, column))


def write_chunks(
    array: Path,
    axes: str,
    t: int,
    tile: tuple[int, int],
    grid: ShardGrid,
    rows: Iterable[dict[tuple[int, int, int], bytes]],
) -> dict[Path, tuple[int, int]]:
    """Write the chunks of a tile; those that are there are replaced.

    Parameters
    ----------
    array
        Folder of the array.
    axes
        Its axes.
    t
        Time point.
    tile
        Row and column of the tile.
    grid
        Chunks of a tile.
    rows
        Compressed chunks by (channel, row, column), perhaps still in the making.

    Returns
    -------
    dict
        Bytes and CRC-32C of each file.
    """
    import google_crc32c

    written = {}
    for row in rows:
        for key, chunk in row.items():
            path = _path(array, axes, t, tile, grid, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(chunk)
            written[path] = len(chunk), int(google_crc32c.value(chunk))
    return written


def _path(
    array: Path,
    axes: str,
    t: int,
    tile: tuple[int, int],
    grid: ShardGrid,
    key: tuple[int, int, int],
) -> Path:
    channel, row, column = key
    down, across = grid.n_chunks
    place = {
        "t": t,
        "c": channel,
        "z": 0,
        "y": tile[0] * down + row,
        "x": tile[1] * across + column,
    }
    return array.joinpath(*(str(place[axis]) for axis in axes))
