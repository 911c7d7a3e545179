"""Pixels as arrays: read at once by NumPy, or chunk by chunk by Dask.

Must not know: file formats, what is done with the arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dask.array import Array
    from numpy.typing import NDArray

    from zfuse.pipeline.core._reader import PlaneReader

__all__ = ["lazy_array", "read_array"]

_CHUNK = 2**25  # bytes that a chunk of Dask may have, unless one of the file has more


def read_array(
    reader: PlaneReader, axes: str, window: Sequence[tuple[int, int]] | None = None
) -> NDArray[Any]:
    """Read a window, by default all: start and stop for each of the axes, out of ``tczyx``."""
    extent = {axis: (0, n) for axis, n in zip("tczyx", reader.shape, strict=True)}
    if window is not None:
        extent |= dict(zip(axes, window, strict=True))
    (t0, t1), (c0, c1), (z0, z1), y, x = extent.values()
    pixels = np.empty([stop - start for start, stop in extent.values()], reader.dtype)
    step = reader.chunk[0]
    for t in range(t0, t1):
        for z in range(z0, z1, step):
            cut = slice(z, min(z + step, z1))
            planes = reader.read(t, cut, slice(*y), slice(*x))
            pixels[t - t0, :, cut.start - z0 : cut.stop - z0] = planes[:, c0:c1].swapaxes(0, 1)
    return pixels.reshape([stop - start for a, (start, stop) in extent.items() if a in axes])


def lazy_array(reader: PlaneReader, axes: str) -> Array:
    """Return a Dask array with these axes of a reader; nothing is read before `compute`.

    Its chunks are those of the file, or planes and parts of planes that consist of them.
    """
    from dask.array import map_blocks
    from dask.array.core import normalize_chunks

    _, channels, *sizes = reader.shape
    z, y, x = (min(n, chunk) for n, chunk in zip(sizes, reader.chunk, strict=True))
    stored = {"t": 1, "c": channels, "z": z, "y": y, "x": x}  # a read decodes all channels
    chunks = normalize_chunks(
        tuple("auto" if axis in "yx" else stored[axis] for axis in axes),
        tuple(n for axis, n in zip("tczyx", reader.shape, strict=True) if axis in axes),
        limit=max(_CHUNK, channels * z * y * x * reader.dtype.itemsize),
        dtype=reader.dtype,
        previous_chunks=tuple(stored[axis] for axis in axes),
    )

    def read(block_info: Any = None) -> NDArray[Any]:
        return read_array(reader, axes, block_info[None]["array-location"])

    lazy: Array = map_blocks(
        read,
        name=f"zfuse-{uuid4().hex}",
        chunks=chunks,
        dtype=reader.dtype,
        meta=np.empty((0,) * len(axes), reader.dtype),
    )
    return lazy
