"""Which chunks of a zarr array a read found missing.

Duty: tell "stored as zeros" from "not there", sharded or not, in both zarr formats.
Must not know: OME metadata, axes, what the pixels mean.

A missing chunk reads as the fill value, so only a chunk whose first pixel *is* the fill value is
looked up. Camera images have an offset and cost nothing but 25 µs a read. In the worst case (every
pixel is the fill value, local disk) it is 8 µs a chunk; decoding 1 Mpx of lz4 takes about 1000 µs.

zarr 3.2 can refuse missing chunks by itself (``array.read_missing_chunks``), but needs Python 3.12,
and the zarrs codec pipeline, which decodes most of what we read, does not ask for the setting.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import zarr
    from numpy.typing import NDArray

__all__ = ["Coords", "Presence"]

ABSENT = np.uint64(2**64 - 1)  # offset and length of an inner chunk that was never written
REMEMBERED_SHARDS = 4096

Coords = tuple[int, ...]


class Presence:
    """Looks up chunks of one array.

    Parameters
    ----------
    array
        The array; sharded by one sharding codec or not at all, else only whole shards are seen.

    Attributes
    ----------
    folder
        Of the array; None where it is not a local one.
    """

    def __init__(self, array: zarr.Array[Any]) -> None:
        self._array = array
        self._chunk: Coords = array.chunks
        self._stored: Coords = array.shards or array.chunks
        self._index = _ShardIndex.of(array)
        if self._index is None:
            self._chunk = self._stored
        self.folder = _local_folder(array)
        self._shards: dict[Coords, NDArray[np.bool_] | None] = {}

    def key(self, chunk: Coords) -> str:
        """Name a chunk for people: the object that stores it, and the place inside a shard."""
        stored, inner = self._split(chunk)
        name = self._key(stored)
        return f"{name} (inner chunk {inner})" if self._index is not None else name

    def chunks_of(self, selection: tuple[slice, ...]) -> list[Coords]:
        """List the grid positions of the chunks that a selection touches."""
        return list(itertools.product(*self._ranges(selection)))

    def window(self, chunk: Coords, selection: tuple[slice, ...]) -> tuple[slice, ...]:
        """Return the part of a selection that lies in one chunk."""
        return tuple(
            slice(max(i * size, cut.start), min((i + 1) * size, cut.stop))
            for i, size, cut in zip(chunk, self._chunk, selection, strict=True)
        )

    def missing(self, selection: tuple[slice, ...], pixels: NDArray[Any]) -> list[Coords]:
        """List the chunks of a selection that are not stored.

        Parameters
        ----------
        selection
            What was read.
        pixels
            What came back, of the shape of the selection.

        Returns
        -------
        list of tuple
            Grid positions.
        """
        ranges = self._ranges(selection)
        first = [
            [max(i * size - cut.start, 0) for i in steps]
            for steps, size, cut in zip(ranges, self._chunk, selection, strict=True)
        ]
        fill = self._array.fill_value
        probe = pixels[np.ix_(*first)]
        empty = probe == (0 if fill is None else fill)
        if isinstance(fill, np.floating) and np.isnan(fill):
            empty = np.isnan(probe)
        suspects = [
            tuple(int(steps[i]) for steps, i in zip(ranges, where, strict=True))
            for where in np.argwhere(empty)
        ]
        return [chunk for chunk in suspects if not self._is_stored(chunk)]

    def absent(self, selection: tuple[slice, ...]) -> list[Coords]:
        """List the chunks of a selection that are not stored, before anything is read."""
        return [chunk for chunk in self.chunks_of(selection) if not self._is_stored(chunk)]

    def files_of(self, selection: tuple[slice, ...]) -> list[Path]:
        """List the files of a local array that hold the chunks of a selection, there or not."""
        folder = self.folder
        if folder is None:
            return []
        stored = dict.fromkeys(self._split(chunk)[0] for chunk in self.chunks_of(selection))
        return [folder / self._array.metadata.encode_chunk_key(place) for place in stored]

    def stored(
        self, selection: tuple[slice, ...]
    ) -> Iterator[tuple[str, list[Coords], list[tuple[int, int]]]]:
        """Go through the local files of a selection: the chunks in each, and where they lie.

        The list of places (start, length) is empty where the whole file is one chunk.
        """
        if self.folder is None:
            return
        shards: dict[Coords, list[Coords]] = {}
        for chunk in self.chunks_of(selection):
            shards.setdefault(self._split(chunk)[0], []).append(chunk)
        for stored, chunks in shards.items():
            file = f"{self.folder}/{self._array.metadata.encode_chunk_key(stored)}"
            if self._index is None:
                yield file, chunks, []
                continue
            table = self._index.table(self, stored) if self._exists(stored) else None
            if table is None:
                continue
            inner = tuple(np.array([self._split(chunk)[1] for chunk in chunks]).T)
            yield file, chunks, [(start, length) for start, length in table[inner].tolist()]

    def forget(self) -> None:
        """Look up shards anew: someone is writing them."""
        self._shards.clear()

    def _ranges(self, selection: tuple[slice, ...]) -> list[range]:
        return [
            range(cut.start // size, math.ceil(cut.stop / size))
            for cut, size in zip(selection, self._chunk, strict=True)
        ]

    def _split(self, chunk: Coords) -> tuple[Coords, Coords]:
        """Split into the grid position of the stored object and the position inside it."""
        inside = tuple(a // b for a, b in zip(self._stored, self._chunk, strict=True))
        stored = tuple(i // n for i, n in zip(chunk, inside, strict=True))
        return stored, tuple(i % n for i, n in zip(chunk, inside, strict=True))

    def _key(self, stored: Coords) -> str:
        key = self._array.metadata.encode_chunk_key(stored)
        return f"{self._array.path}/{key}" if self._array.path else key

    def _is_stored(self, chunk: Coords) -> bool:
        stored, inner = self._split(chunk)
        if self._index is None:
            return self._exists(stored)
        if stored not in self._shards:
            if len(self._shards) >= REMEMBERED_SHARDS:
                self._shards.clear()
            self._shards[stored] = self._index.read(self, stored) if self._exists(stored) else None
        present = self._shards[stored]
        return present is not None and bool(present[inner])

    def _exists(self, stored: Coords) -> bool:
        if self.folder is not None:
            return (self.folder / self._array.metadata.encode_chunk_key(stored)).exists()
        from zarr.core.sync import sync

        return sync(self._array.store.exists(self._key(stored)))

    def bytes_of(self, stored: Coords, *, last: bool, count: int) -> bytes:
        """Return the first or the last `count` bytes of a stored object."""
        from zarr.abc.store import RangeByteRequest, SuffixByteRequest
        from zarr.core.buffer import default_buffer_prototype
        from zarr.core.sync import sync

        wanted = SuffixByteRequest(count) if last else RangeByteRequest(0, count)
        found = sync(
            self._array.store.get(self._key(stored), default_buffer_prototype(), byte_range=wanted)
        )
        return b"" if found is None else found.to_bytes()


class _ShardIndex:
    """The table at the end (or start) of each shard: offset and length of every inner chunk."""

    def __init__(self, inside: Coords, *, last: bool, checksum: bool, order: str) -> None:
        self._inside = inside
        self._last = last
        self._checksum = checksum
        self._dtype = np.dtype(np.uint64).newbyteorder("<" if order == "little" else ">")
        self._count = 16 * math.prod(inside) + (4 if checksum else 0)

    @classmethod
    def of(cls, array: zarr.Array[Any]) -> _ShardIndex | None:
        """Return the index of an array, None for an unsharded one or an index of another make."""
        codecs = [codec.to_dict() for codec in getattr(array.metadata, "codecs", ())]
        if len(codecs) != 1 or codecs[0]["name"] != "sharding_indexed" or array.shards is None:
            return None
        settings: Any = codecs[0]["configuration"]
        names = [codec["name"] for codec in settings["index_codecs"]]
        if names not in (["bytes"], ["bytes", "crc32c"]):
            return None
        return cls(
            tuple(a // b for a, b in zip(array.shards, array.chunks, strict=True)),
            last=str(settings["index_location"]).endswith("end"),
            checksum="crc32c" in names,
            order=settings["index_codecs"][0].get("configuration", {}).get("endian", "little"),
        )

    def read(self, presence: Presence, stored: Coords) -> NDArray[np.bool_] | None:
        """Return which inner chunks a shard holds, None when its index is cut off or damaged."""
        table = self.table(presence, stored)
        return None if table is None else (table != ABSENT).any(axis=-1)

    def table(self, presence: Presence, stored: Coords) -> NDArray[np.uint64] | None:
        """Return start and length of each inner chunk; None as in `read`."""
        raw = presence.bytes_of(stored, last=self._last, count=self._count)
        if len(raw) != self._count:
            return None
        if self._checksum and google_crc32c.value(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
            return None
        table = np.frombuffer(raw, self._dtype, 2 * math.prod(self._inside))
        return table.reshape(*self._inside, 2)


def _local_folder(array: zarr.Array[Any]) -> Path | None:
    from zarr.storage import LocalStore

    return Path(array.store.root) / array.path if isinstance(array.store, LocalStore) else None
