"""The index of an NDTiff data set, whole or being written, and the summary in its files.

Duty: entries that are whole, from where the last look ended. Must not know: stacks.

An entry is: length and JSON of the axes, length and name of the file, then eight 32-bit numbers
(offset, width, height and kind of the pixels, compression, offset and length of the metadata and
their compression). The Java writer allocates 25 MB of zeros and cuts the file at its end; the
Python writer flushes at any byte. Format: github.com/micro-manager/NDTiffStorage.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import inside

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "INDEX", "MOST_PLANES", "NDTiffEntry", "NDTiffIndex", "check_grid", "ndtiff_summary",
    "parse_index", "read_index",
]  # fmt: skip

INDEX = "NDTiff.index"
MOST_PLANES = 10_000_000

_BLOCK = 2**22
_SUMMARY = 2355492  # marks the summary in the header of each TIFF
_MOST_AXES = 2**16  # bytes of one entry's axes: more means that these bytes are no entry
_RGB = 2
_MOST_INDEX = 2**31  # bytes: some 100 an image
_MOST_SUMMARY = 2**26


@dataclass(frozen=True)
class NDTiffEntry:
    """One image.

    Attributes
    ----------
    axes
        Such as ``{"channel": "DAPI", "z": 3, "time": 0}``.
    file
        Name of the TIFF that holds it.
    offset, width, height, kind
        Of the pixels.
    meta_offset, meta_length
        Of its metadata, which are written behind the pixels.
    compression
        Of the pixels; 0 is none, and all that writers use.
    """

    axes: dict[str, int | str]
    file: str
    offset: int
    width: int
    height: int
    kind: int
    meta_offset: int
    meta_length: int
    compression: int = 0

    @property
    def rgb(self) -> bool:
        """Whether the pixels are colours."""
        return self.kind == _RGB

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """Dtype of the pixels; all kinds but 8 bits are stored in 16."""
        return np.dtype(np.uint8) if self.kind in (0, _RGB) else np.dtype("<u2")

    @property
    def shape(self) -> tuple[int, ...]:
        """Y, X, and 3 of colours."""
        return (self.height, self.width, 3) if self.rgb else (self.height, self.width)

    @property
    def end(self) -> int:
        """First byte behind the pixels and their metadata."""
        size = math.prod(self.shape) * self.dtype.itemsize
        return max(self.offset + size, self.meta_offset + self.meta_length)

    def is_written(self, folder: Path) -> bool:
        """Whether the bytes are there. Files are allocated ahead: the last ones are looked at."""
        try:
            with open(folder / self.file, "rb") as file:
                if file.seek(0, 2) < self.end:
                    return False
                ends = []
                for at in (self.meta_offset, self.meta_offset + self.meta_length - 1):
                    file.seek(at)
                    ends.append(file.read(1))
        except OSError:
            return False
        return ends == [b"{", b"}"]

    def read(self, folder: Path) -> NDArray[np.unsignedinteger]:
        """Read the pixels, (Y, X) or (3, Y, X)."""
        count = math.prod(self.shape)
        with open(folder / self.file, "rb") as file:
            big = file.read(2) == b"MM"
            size = file.seek(0, 2)
            if size < self.offset + count * self.dtype.itemsize:  # reading takes the memory first
                raise OSError(f"{self.file} ends at byte {size}")
            file.seek(self.offset)
            data = file.read(count * self.dtype.itemsize)
        dtype = self.dtype.newbyteorder(">" if big else "<")
        pixels = np.frombuffer(data, dtype).reshape(self.shape).astype(dtype.newbyteorder("="))
        return np.ascontiguousarray(np.moveaxis(pixels, -1, 0)) if self.rgb else pixels


class NDTiffIndex:
    """Reads ``NDTiff.index`` as it grows.

    Parameters
    ----------
    path
        The file; it need not exist yet.

    Attributes
    ----------
    cut
        The file ends with a whole entry: nothing is allocated behind it.
    size
        Of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._before: bytes = b""
        self.cut = False
        self.size = -1

    def more(self) -> list[NDTiffEntry]:
        """Return the entries that are new and looked the same at the last call."""
        found = []
        try:
            with open(self._path, "rb") as file:
                self.size = file.seek(0, 2)
                file.seek(self._position)
                data = file.read(_BLOCK)
        except OSError:
            return []
        at = 0
        while (parsed := _entry(data, at)) is not None:
            entry, end = parsed
            if data[at:end] != self._before[at:end]:
                break
            found.append(entry)
            at = end
        self._position += at
        self._before = data[at:]
        self.cut = self._position == self.size and self.size > 0
        return found


def read_index(path: Path) -> tuple[list[NDTiffEntry], bytes]:
    """Read a whole index; see `parse_index`.

    Raises
    ------
    ZfuseError
        It is larger than any index, or names files outside of its folder.
    """
    if (size := path.stat().st_size) > _MOST_INDEX:
        raise ZfuseError(
            f"{path} has {size} bytes, the most is {_MOST_INDEX}; it is damaged: copy it again "
            "from the original"
        )
    return parse_index(path.read_bytes())


def check_grid(path: Path) -> None:
    """Refuse an index of which tifffile would make a list without end.

    It makes an entry for each place between the lowest and the highest number of each axis.

    Raises
    ------
    ZfuseError
        There are too many, or bytes that only tifffile takes for entries; or as in `read_index`.
    """
    entries, rest = read_index(path)
    values: dict[str, set[int | str]] = {}
    for entry in entries:
        for axis, value in entry.axes.items():
            values.setdefault(axis, set()).add(value if isinstance(value, int) else str(value))
    places = 1
    for found in values.values():
        numbers = [value for value in found if isinstance(value, int)]
        places *= max(len(found), max(numbers, default=0) - min(numbers, default=0) + 1)
    if places > MOST_PLANES or rest.strip(b"\0"):
        what = f"has room for {places} planes, the most is {MOST_PLANES}" if entries else "is none"
        raise ZfuseError(f"{path} {what}, or does not end with an image: give its folder instead")


def parse_index(data: bytes) -> tuple[list[NDTiffEntry], bytes]:
    """Return all entries of an index, and what follows the last one that is whole."""
    found, at = [], 0
    while (parsed := _entry(data, at)) is not None:
        entry, at = parsed
        found.append(entry)
    return found, data[at:]


def ndtiff_summary(file: Path) -> dict[str, Any]:
    """Return the summary in the header of one of the TIFFs, empty when there is none."""
    try:
        with open(file, "rb") as opened:
            mark, length = struct.unpack("<II", opened.read(28)[20:28])
            found = (
                json.loads(opened.read(min(length, _MOST_SUMMARY))) if mark == _SUMMARY else None
            )
    except (OSError, ValueError, struct.error, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _entry(data: bytes, at: int) -> tuple[NDTiffEntry, int] | None:
    """Parse one entry, None when it is not whole."""
    texts = []
    for _ in range(2):
        if at + 4 > len(data):
            return None
        (length,) = struct.unpack_from("<I", data, at)
        if not 0 < length <= _MOST_AXES or at + 4 + length > len(data):
            return None
        texts.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    if at + 32 > len(data):
        return None
    offset, width, height, kind, compression, meta_offset, meta_length, _ = struct.unpack_from(
        "<8I", data, at
    )
    try:
        axes, file = json.loads(texts[0]), texts[1].decode()
    except (ValueError, RecursionError):
        return None
    if not isinstance(axes, dict) or 0 in (offset, width, height, meta_length):
        return None
    inside(file, "NDTiff.index")
    numbers = offset, width, height, kind, meta_offset, meta_length
    return NDTiffEntry(axes, file, *numbers, compression), at + 32
