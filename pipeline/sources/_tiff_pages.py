"""Windows of single TIFF pages: only the strips or tiles that a window needs are decoded.

Duty: bytes of a file by memory map (thread-safe on every platform, no seek), and the cut of decoded
segments into the caller's buffer. Must not know: series, axes, metadata.

tifffile's own zarr view (``aszarr``) reads the same pixels in more time: 1.2 to 5 times for whole
planes of 2048 x 2048, 1.2 to 28 times for windows of 512 x 512, uncompressed most (see
``benchmarks/tiff_windows.py``), and gives zeros for segments that are missing.
"""

from __future__ import annotations

import math
import mmap
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError, reason
from zfuse.pipeline.sources._plane_file import embedded_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Files", "page_chunk", "read_contiguous", "read_page"]

IMAGES = (b"\x89PNG", b"\xff\xd8\xff")  # that are whole files in the place of a strip
OPEN_FILES = 64  # a Micro-Manager set has one file a plane; systems allow some 1000 open files


class Files:
    """Memory maps of the files of a source; the ones longest unused are let go.

    Bounds are checked against the length at opening: a file that shrinks while it is read (no
    writer does that) would end the process, as with any memory map.
    """

    def __init__(self) -> None:
        self._maps: OrderedDict[str, mmap.mmap] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str) -> mmap.mmap:
        """Return the bytes of a file.

        Raises
        ------
        ZfuseError
            The file can't be opened.
        """
        with self._lock:
            if path in self._maps:
                self._maps.move_to_end(path)
                return self._maps[path]
            try:
                with open(path, "rb") as file:
                    bytes_ = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise ZfuseError(f"{path} cannot be read ({error}); check the file") from error
            self._maps[path] = bytes_
            if len(self._maps) > OPEN_FILES:
                self._maps.popitem(last=False)  # closed when the last read that uses it is done
            return bytes_

    def close(self) -> None:
        """Let all files go."""
        with self._lock:
            self._maps.clear()


def page_chunk(page: Any) -> tuple[int, int]:
    """Return the rows and columns that are decoded at once."""
    keyframe = page.keyframe
    if keyframe.is_final:
        return 1, 1  # mapped, not decoded: any cut is free
    high, wide = min(keyframe.rowsperstrip, keyframe.imagelength), keyframe.imagewidth
    if keyframe.is_tiled:
        high, wide = keyframe.tilelength, keyframe.tilewidth
    if min(high, wide) < 1:
        raise ZfuseError(
            f"{page.parent.filehandle.path} has strips or tiles of {wide} x {high} px, at least "
            "1 x 1 is needed; it is damaged: copy it again from the original"
        )
    return high, wide


def read_page(
    files: Files,
    page: Any,
    y: slice,
    x: slice,
    out: NDArray[Any],
    *,
    first: int = 0,
    allow_missing: bool = False,
) -> None:
    """Fill `out` with a window of a page.

    Parameters
    ----------
    files
        The open files.
    page
        tifffile's TiffPage or TiffFrame of one plane.
    y, x
        The window.
    out
        (samples, h, w); samples beyond its length (alpha) are left out.
    first
        Sample to begin with, of pages that store their samples one after another.
    allow_missing
        Read segments that were never written as 0.

    Raises
    ------
    ZfuseError
        The file is truncated, a segment is missing or does not decode.
    """
    keyframe = page.keyframe
    path = page.parent.filehandle.path
    if keyframe.is_final and _one_piece(page):
        planes, _, rows, columns, samples = keyframe.shaped
        dtype = keyframe.dtype.newbyteorder(keyframe.parent.byteorder)
        offset = page.dataoffsets[0] + first * rows * columns * dtype.itemsize
        size = (planes - first, rows, columns, samples)
        read_contiguous(files, path, offset, dtype, size, y, x, out)
        return
    data = files.get(path)
    high, wide = page_chunk(page)
    down, across = math.ceil(keyframe.imagelength / high), math.ceil(keyframe.imagewidth / wide)
    planes = keyframe.samplesperpixel if keyframe.planarconfig == 2 else 1
    for plane in range(min(planes - first, len(out))):
        target = out[plane : plane + 1] if planes > 1 else out
        for row in range(y.start // high, math.ceil(y.stop / high)):
            for column in range(x.start // wide, math.ceil(x.stop / wide)):
                index = ((first + plane) * down + row) * across + column
                segment = _decode(page, index, data, path, allow_missing)
                top, left = row * high, column * wide
                rows = slice(max(y.start, top), min(y.stop, top + high))
                columns = slice(max(x.start, left), min(x.stop, left + wide))
                target[
                    :, rows.start - y.start : rows.stop - y.start,
                    columns.start - x.start : columns.stop - x.start,
                ] = 0 if segment is None else np.moveaxis(
                    segment[rows.start - top : rows.stop - top,
                            columns.start - left : columns.stop - left, : len(target)], -1, 0
                )  # fmt: skip


def read_contiguous(
    files: Files,
    path: str,
    offset: int,
    dtype: np.dtype[Any],
    size: tuple[int, int, int, int],
    y: slice,
    x: slice,
    out: NDArray[Any],
) -> None:
    """Fill `out`, (samples, h, w), from uncompressed pixels of `size` (planes, Y, X, samples).

    Raises
    ------
    ZfuseError
        The file ends before them.
    """
    data = files.get(path)
    count = math.prod(size)
    _whole(path, data, offset, count * dtype.itemsize)
    pixels = np.frombuffer(data, dtype, count, offset).reshape(size)
    if size[0] > 1:
        out[...] = pixels[: len(out), y, x, 0]
    else:
        out[...] = np.moveaxis(pixels[0, y, x, : len(out)], -1, 0)


def _one_piece(page: Any) -> bool:
    """Whether the strips of this very page follow one another (tifffile asks the first page)."""
    ends = [a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True)]
    return ends[:-1] == list(page.dataoffsets[1:]) and page.dataoffsets[0] > 0


def _decode(
    page: Any, index: int, data: mmap.mmap, path: str, allow_missing: bool
) -> NDArray[Any] | None:
    """Return one strip or tile as (rows, columns, samples), None when it was never written."""
    try:
        offset, count = page.dataoffsets[index], page.databytecounts[index]
    except IndexError:
        offset, count = 0, 0
    if offset == 0 or count == 0:
        if allow_missing:
            return None
        raise ZfuseError(
            f"{path}: segment {index} of page {page.index} is missing; "
            "--allow-missing reads missing segments as 0"
        )
    _whole(path, data, offset, count)
    if data[offset : offset + 4].startswith(IMAGES):
        _check_inner(page, index, data[offset : offset + min(count, 2**16)], path)
    try:
        segment, _, shape = page.keyframe.decode(
            data[offset : offset + count], index, jpegtables=page.jpegtables
        )
    except Exception as error:  # each codec has its own
        raise ZfuseError(
            f"{path}: segment {index} of page {page.index} cannot be decoded "
            f"({reason(error)}); "
            "the file is damaged: copy it again from the original"
        ) from error
    pixels: NDArray[Any] = segment[0, : shape[1], : shape[2]]
    return pixels


def _check_inner(page: Any, index: int, start: bytes, path: str) -> None:
    """Refuse a PNG or JPEG inside a TIFF that is larger than its strip or tile."""
    if (inner := embedded_size(start)) is None:
        return
    high, wide = page_chunk(page)
    if math.prod(inner) > 4 * high * wide + 2**20:
        raise ZfuseError(
            f"{path}: segment {index} of page {page.index} holds an image of {inner[1]} x "
            f"{inner[0]} px in the place of {wide} x {high} px; the file is damaged: copy it again "
            "from the original"
        )


def _whole(path: str, data: mmap.mmap, offset: int, count: int) -> None:
    if offset + count > len(data):
        raise ZfuseError(
            f"{path} is truncated: {len(data)} bytes long, but pixels reach to byte "
            f"{offset + count}; copy it again from the original"
        )
