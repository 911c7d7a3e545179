"""OME-Zarr 0.5: the fused image as a sharded pyramid, depth and confidence as images beside it.

Duty: one image group, its arrays and the shards of its tiles, made by one process or by several.
The group's own multiscales (``0``, ``1``, …) are the fused image; ``depth/`` and ``confidence/``
are float32 images with the same axes, channels only where each of them decided for itself. Must not
know: other formats, publishing, the bytes of a shard.

Depth and confidence are rounded before they are written (see `zfuse.pipeline.sinks._maps`), and at
each level again; the step stands in their attributes as ``zfuse.rounded_to``. Every chunk is
written, also empty ones: a chunk that is missing means damage.
"""

from __future__ import annotations

import errno
import itertools
import shutil
from collections import deque
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from zfuse.kernels import downsample, downsampled_shape
from zfuse.pipeline.core import chunk_pool
from zfuse.pipeline.sinks import _ome_metadata as metadata
from zfuse.pipeline.sinks._chunk_files import chunk_codec, chunk_paths, write_chunks
from zfuse.pipeline.sinks._files import aside, checksum, move_files
from zfuse.pipeline.sinks._levels import plan_levels
from zfuse.pipeline.sinks._maps import StoredMap, confidence_map, depth_map
from zfuse.pipeline.sinks._ome_version import make_group, metadata_files, spelled
from zfuse.pipeline.sinks._shards import encode_chunk, shard_codec, write_shard
from zfuse.pipeline.sinks._sink import Sink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Stack
    from zfuse.pipeline.sinks._ome_version import OmeZarrVersion
    from zfuse.pipeline.sinks._shards import ShardGrid
    from zfuse.pipeline.sinks._sink import Files

__all__ = ["OmeZarrSink"]

_SAMPLE = 512  # edge of one of the 16 blocks that a display window is estimated from


@dataclass(frozen=True)
class _Layer:
    """One quantity: its group, its channels, and its rounding if it is a map."""

    folder: Path
    axes: str
    n_channels: int
    fill: float
    stored: StoredMap | None = None


# Layer, level, the next level in the making, and the compressed rows of chunks.
_Job: TypeAlias = "tuple[_Layer, int, NDArray[Any] | None, list[Future[_Chunks]]]"
_Chunks: TypeAlias = "dict[tuple[int, int, int], bytes]"


class OmeZarrSink(Sink):
    """One OME-Zarr image that is being written.

    Parameters
    ----------
    stack, tile, output, each
        See `Sink`.
    folder
        The group to make, in the staging folder.
    provenance
        What goes under ``zfuse`` in the group's attributes.
    make
        Make the groups and arrays, or make them again where they are. Otherwise another process has
        made them, and this one only adds tiles.
    again
        See `Sink`.
    version
        Of the format: 0.5, or 0.4 with chunks as files of their own.
    staging
        Folder on the same disk in which metadata are made before they are moved to their places, so
        that none is ever torn; by default they are made in place.
    """

    def __init__(
        self,
        stack: Stack,
        tile: int,
        output: Path,
        *,
        folder: Path,
        provenance: Mapping[str, Any],
        each: bool = False,
        make: bool = True,
        again: bool = False,
        staging: Path | None = None,
        version: OmeZarrVersion = "0.5",
    ) -> None:
        super().__init__(stack, tile, output, each=each, again=again)
        self._folder = folder
        self._staging = staging
        self._version: OmeZarrVersion = version
        self._provenance = provenance
        self._levels = plan_levels(self.height, self.width, tile)
        axes, maps = metadata.map_axes(stack, each), self.n_channels if each else 1
        self._image = _Layer(folder, stack.axes, self.n_channels, 0)
        self._depth, self._confidence = (
            _Layer(folder / stored.quantity, axes, maps, np.nan, stored)
            for stored in (depth_map(stack), confidence_map())
        )
        if make and staging is None:
            self._create()
        elif make and staging is not None:
            with aside(staging) as new:
                self._create(new)
                move_files(new, folder)

    def _create(self, root: Path | None = None) -> None:
        """Make groups and arrays, at the image's place or below another root."""
        for layer in (self._image, self._depth, self._confidence):
            place = (root or self._folder) / layer.folder.relative_to(self._folder)
            dtype = self.stack.dtype if layer.stored is None else np.dtype(np.float32)
            said: dict[str, Any] = {}
            if layer.stored is not None:
                said = metadata.map_attributes(
                    self.stack, layer.stored, len(self._levels), each=self.each
                )
            group = make_group(place, said, self._version)
            for index, level in enumerate(self._levels):
                shard = self._extent(layer, layer.n_channels, level.grid.shard)
                group.create_array(
                    str(index),
                    shape=self._extent(layer, 1, (level.height, level.width), whole=True),
                    chunks=self._extent(layer, 1, level.grid.chunk),
                    dtype=dtype,
                    fill_value=layer.fill,
                    **(
                        {
                            "shards": shard,
                            "compressors": shard_codec(dtype),
                            "dimension_names": list(layer.axes),
                        }
                        if self._version == "0.5"
                        else {
                            "compressors": chunk_codec(dtype),
                            "chunk_key_encoding": {"name": "v2", "separator": "/"},
                        }
                    ),
                )

    def _extent(
        self, layer: _Layer, channels: int, yx: tuple[int, int], *, whole: bool = False
    ) -> tuple[int, ...]:
        lengths = {"t": 1, "c": channels, "z": 1, "y": yx[0], "x": yx[1]}
        if whole:
            lengths |= {"t": self.stack.shape[0], "c": layer.n_channels}
        return tuple(lengths[axis] for axis in layer.axes)

    def _store(
        self,
        t: int,
        y: int,
        x: int,
        image: NDArray[Any],
        depth: NDArray[np.float32],
        confidence: NDArray[np.float32],
    ) -> Files:
        files: Files = {}
        jobs = deque(
            self._start(layer, 0, source)
            for layer, source in (
                (self._image, image),
                (self._depth, depth),
                (self._confidence, confidence),
            )
        )
        # This thread writes while the pool rounds, compresses and halves. The next level of a layer
        # starts when all of it is there, behind the other layers' work: the pool never runs dry.
        try:
            while jobs:
                layer, level, half, rows = jobs[0]
                for path, written in self._write(layer, level, t, y, x, rows).items():
                    files[path.relative_to(self._folder).as_posix()] = written
                jobs.popleft()
                if half is not None:
                    jobs.append(self._start(layer, level + 1, half))
        finally:  # after a failure, nobody may go on reading the caller's arrays
            left = [row for _, _, _, rows in jobs for row in rows]
            wait([row for row in left if not row.cancel()])
        return files

    def _write(
        self, layer: _Layer, level: int, t: int, y: int, x: int, rows: list[Future[_Chunks]]
    ) -> dict[Path, tuple[int, int]]:
        """Write one level of a tile, as soon as its chunks are compressed."""
        chunks = (row.result() for row in rows)
        grid = self._levels[level].grid
        if self._version == "0.4":
            array, tile = layer.folder / str(level), (y // self.tile, x // self.tile)
            return write_chunks(array, layer.axes, t, tile, grid, chunks)
        path = self._shard(layer, level, t, y, x)
        return {path: self._write_shard(path, layer.n_channels, grid, chunks)}

    def _write_shard(
        self, path: Path, n_channels: int, grid: ShardGrid, rows: Iterable[_Chunks]
    ) -> tuple[int, int]:
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._again:
            path.unlink(missing_ok=True)
        return write_shard(path, n_channels, grid, rows)

    def _start(self, layer: _Layer, level: int, source: NDArray[Any]) -> _Job:
        """Start to encode one level of a tile, and to halve it into the next."""
        grid = self._levels[level].grid
        half = None
        if level + 1 < len(self._levels):
            shape = downsampled_shape(*source.shape[1:])
            half = np.empty((len(source), *shape), source.dtype)
        encode = partial(_encode_row, layer, level, source, half, grid)
        n_rows = -(-source.shape[1] // grid.chunk[0])
        return layer, level, half, [chunk_pool().submit(encode, row) for row in range(n_rows)]

    def _shard(self, layer: _Layer, level: int, t: int, y: int, x: int) -> Path:
        place = {"t": t, "c": 0, "z": 0, "y": y // self.tile, "x": x // self.tile}
        return (layer.folder / str(level) / "c").joinpath(*(str(place[a]) for a in layer.axes))

    def _files(self, layer: _Layer, level: int, t: int, y: int, x: int) -> Iterator[Path]:
        """Yield the files of one level of a tile."""
        if self._version == "0.5":
            yield self._shard(layer, level, t, y, x)
            return
        cut = self._levels[level]
        array, tile = layer.folder / str(level), (y // self.tile, x // self.tile)
        size = (cut.height, cut.width)
        yield from chunk_paths(array, layer.axes, t, tile, cut.grid, size, layer.n_channels)

    def _finish(self) -> Files | None:
        import zarr

        for place in itertools.product(
            (self._image, self._depth, self._confidence),
            range(len(self._levels)),
            range(self.stack.shape[0]),
            range(0, self.height, self.tile),
            range(0, self.width, self.tile),
        ):
            for path in self._files(*place):
                if not path.is_file():
                    raise FileNotFoundError(errno.ENOENT, "it was removed", str(path))
        said = spelled(self._attributes(self._windows()), self._version)
        if self._staging is None:
            zarr.open_group(self._folder, mode="r+").attrs.update(said)
            return None
        with aside(self._staging) as new:
            for path in metadata_files(self._folder):
                shutil.copyfile(path, new / path.name)
            zarr.open_group(new, mode="r+").attrs.update(said)
            move_files(new, self._folder)
        return {
            path.relative_to(self._folder).as_posix(): checksum(path) for path in self._metadata()
        }

    def _metadata(self) -> Iterator[Path]:
        """Yield the files that say what groups and arrays are."""
        for layer in (self._image, self._depth, self._confidence):
            yield from metadata_files(layer.folder)
            for level in range(len(self._levels)):
                yield from metadata_files(layer.folder / str(level))

    def _attributes(self, windows: Sequence[tuple[float, float]]) -> dict[str, Any]:
        channels = metadata.image_channels(self.stack, windows)
        return metadata.image_attributes(self.stack, len(self._levels), channels, self._provenance)

    def _windows(self, t: int = 0) -> list[tuple[float, float]]:
        """Display limits of each channel: the source's, or what the coarsest level holds at `t`."""
        import zarr

        known = [metadata.known_window(self.stack, c) for c in range(self.n_channels)]
        if all(known):
            return [window for window in known if window]
        array: Any = zarr.open_array(self._folder / str(len(self._levels) - 1), mode="r")
        first = (t,) if "t" in self.stack.axes else ()
        blocks = [
            np.reshape(array[(*first, ..., y, x)], (self.n_channels, -1))
            for y in _spread(self._levels[-1].height)
            for x in _spread(self._levels[-1].width)
        ]
        values = np.concatenate(blocks, axis=1)
        if self.stack.rgb:  # one window for all: three of their own would shift the colours
            return [metadata.display_window(values)] * self.n_channels
        return [window or metadata.display_window(values[c]) for c, window in enumerate(known)]


def _encode_row(
    layer: _Layer,
    level: int,
    source: NDArray[Any],
    half: NDArray[Any] | None,
    grid: ShardGrid,
    row: int,
) -> _Chunks:
    """Round, compress and halve one row of chunks, each while it is in the cache."""
    height, width = grid.chunk
    top = row * height
    encoded = {}
    buffer = np.empty(grid.chunk, source.dtype)
    for channel, plane in enumerate(source):
        for column, left in enumerate(range(0, plane.shape[1], width)):
            part = plane[top : top + height, left : left + width]
            pixels = buffer[: part.shape[0], : part.shape[1]]
            if part.shape != grid.chunk:
                buffer[...] = layer.fill
            if layer.stored is None:
                pixels[...] = part
            elif level == 0:
                layer.stored.store(part, pixels)
            else:
                layer.stored.round(part, pixels)
            encoded[channel, row, column] = encode_chunk(buffer)
            if half is not None:
                rows = slice(top // 2, (top + part.shape[0] + 1) // 2)
                columns = slice(left // 2, (left + part.shape[1] + 1) // 2)
                downsample(pixels, half[channel, rows, columns])
    return encoded


def _spread(size: int) -> list[slice]:
    """All of an axis, or four stretches spread along it: a slide must not be read again whole."""
    if size <= 4 * _SAMPLE:
        return [slice(0, size)]
    return [slice(start, start + _SAMPLE) for start in range(0, size, -(-size // 4))]
