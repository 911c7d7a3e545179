"""How much a stored chunk may decode to, told from its bytes before anything is decoded.

Duty: refuse a chunk that unfolds to far more than the array's chunks hold: some kB of zeros in zstd
are gigabytes. Must not know: OME metadata, axes, who reads.

zstd tells by the heads of its blocks, none of which decodes to more than 128 KiB, blosc and lz4 by
their first bytes. Deflate tells nothing: chunks of more than 2 MB are inflated beforehand, up to
the limit. bz2 and lzma, which hardly anybody uses, always are. Small chunks are not looked at.
"""

from __future__ import annotations

import math
import mmap
import os
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import zarr

    from zfuse.pipeline.sources._presence import Coords, Presence

__all__ = ["ChunkSizes", "limit", "most_decoded", "teller"]

_SLACK = 2**20  # a last block of zstd may be nearly empty; filters and checksums add bytes
# Stored bytes that are harmless: deflate unfolds 1032 times at the most (zlib.net/zlib_tech.html),
# to 2 GB; 4 bytes of zstd are a block of 128 KiB, so 8 kB are 256 MB; lz4 unfolds 255 times.
_FLOORS = {"gzip": 2**21, "zlib": 2**21, "zstd": 2**13, "blosc": 2**13, "lz4": 2**16}
_HEADS = {"blosc": 16, "lz4": 4}  # bytes that tell all
_LARGE = 2**20  # more is mapped instead of read: only the heads of blocks are looked at
_WHOLE = -1
_ABSENT = 2**64 - 1  # length of an inner chunk that was never written
_ZSTD_BLOCK = 2**17
_ZSTD, _ZSTD_SKIPPABLE = b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18"


class ChunkSizes:
    """Looks at the stored chunks of one local array.

    Parameters
    ----------
    array
        The array.
    presence
        Where its chunks are.
    source
        Path, for the refusal.
    """

    def __init__(self, array: zarr.Array[Any], presence: Presence, source: str) -> None:
        self._name = teller(array)
        self._limit = limit(array.chunks, array.dtype)
        self._floor = _FLOORS.get(self._name, 0)
        self._presence = presence
        self._source = source

    def check(self, selection: tuple[slice, ...]) -> None:
        """Look at the chunks of a selection, if their codec is one that unfolds.

        Raises
        ------
        ZfuseError
            One of them decodes to more than a chunk of the array holds.
        """
        if not self._name:
            return
        for file, chunks, places in self._presence.stored(selection):
            if places and all(size <= self._floor or size == _ABSENT for _, size in places):
                continue
            try:
                with open(file, "rb", buffering=0) as opened:
                    for chunk, (start, size) in zip(chunks, places or [(0, _WHOLE)], strict=True):
                        size = os.fstat(opened.fileno()).st_size if size == _WHOLE else size
                        if self._floor < size < _ABSENT:
                            found = self._most(opened, start, size)
                            if found > self._limit:
                                raise self._refusal(chunk, found)
            except (OSError, ValueError):
                continue  # missing or empty: told elsewhere

    def _most(self, file: Any, start: int, size: int) -> int:
        if size > _LARGE and self._name not in _HEADS:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return most_decoded(self._name, data, start, size, self._limit)
        file.seek(start)
        data = file.read(_HEADS.get(self._name, size))
        return most_decoded(self._name, data, 0, len(data), self._limit)

    def _refusal(self, chunk: Coords, found: int) -> ZfuseError:
        return ZfuseError(
            f"{self._source}: chunk {self._presence.key(chunk)} decodes to {found} bytes or more, "
            f"a chunk of this array to {self._limit} at the most; it is damaged: copy it again "
            "from the original"
        )


def teller(array: zarr.Array[Any]) -> str:
    """Return the codec whose bytes are stored, "" when it is none that unfolds."""
    names = [type(codec).__name__.lower().removesuffix("codec") for codec in array.compressors]
    return next((name for name in reversed(names) if name in _TELLERS), "")


def limit(chunk: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return the bytes that a chunk may decode to: its pixels, with room for what codecs add."""
    return 2 * math.prod(chunk) * dtype.itemsize + _SLACK


def most_decoded(name: str, data: Any, start: int, size: int, most: int) -> int:
    """Return the most bytes that a stored chunk can decode to, at least what is dangerous.

    Parameters
    ----------
    name
        Codec, of `_TELLERS`.
    data
        Bytes or a memory map that holds the chunk.
    start, size
        Where in it.
    most
        Nothing beyond it is inflated.
    """
    return _TELLERS[name](data, start, min(start + size, len(data)), most)


def _zstd(data: Any, at: int, end: int, most: int) -> int:
    """Go from block to block, through all frames."""
    found = 0
    while at + 4 <= end and found <= most:
        magic = data[at : at + 4]
        if magic[1:] == _ZSTD_SKIPPABLE and magic[0] >> 4 == 5:
            at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
            continue
        if magic != _ZSTD or at + 5 > end:
            break
        flags = data[at + 4]
        single, size = flags >> 5 & 1, flags >> 6
        size_bytes = (1 if single else 0) if size == 0 else 2**size
        at += 5 + (1 - single) + (0, 1, 2, 4)[flags & 3]
        announced = int.from_bytes(data[at : at + size_bytes], "little")
        if announced > most:
            return announced
        at += size_bytes
        last = False
        while not last and at + 3 <= end and found <= most:
            head = int.from_bytes(data[at : at + 3], "little")
            last, kind, length = bool(head & 1), head >> 1 & 3, head >> 3
            found += _ZSTD_BLOCK if kind == 2 else length
            at += 3 + (1 if kind == 1 else length)
        at += 4 * (flags >> 2 & 1)
    return found


def _blosc(data: Any, at: int, end: int, most: int) -> int:
    return int.from_bytes(data[at + 4 : at + 8], "little") if end - at >= 16 else 0


def _lz4(data: Any, at: int, end: int, most: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _deflate(data: Any, at: int, end: int, most: int) -> int:
    import zlib

    return _unfolded(lambda: zlib.decompressobj(47), data[at:end], most)  # 47: gzip and zlib


def _bz2(data: Any, at: int, end: int, most: int) -> int:
    import bz2

    return _unfolded(bz2.BZ2Decompressor, data[at:end], most)


def _lzma(data: Any, at: int, end: int, most: int) -> int:
    import lzma

    return _unfolded(lambda: lzma.LZMADecompressor(memlimit=2**28), data[at:end], most)


def _unfolded(make: Callable[[], Any], data: bytes, most: int) -> int:
    """Decode up to the limit, all members of a file that has several."""
    found = 0
    try:
        while data and found <= most:
            decoder = make()
            found += len(decoder.decompress(data, most + 1 - found))
            data = decoder.unused_data
    except Exception:  # damage is told by whoever decodes it
        return found
    return found


_TELLERS = {
    "zstd": _zstd, "blosc": _blosc, "lz4": _lz4,
    "gzip": _deflate, "zlib": _deflate, "bz2": _bz2, "lzma": _lzma,
}  # fmt: skip
