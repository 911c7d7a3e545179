"""Windows of a zarr array, decoded straight into the caller's buffer.

Duty: read without a copy where the axes allow it, and turn missing and corrupt chunks into
refusals that name them. Must not know: OME metadata, how the array was found.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError, reason
from zfuse.pipeline.core import BaseReader
from zfuse.pipeline.sources._chunk_sizes import ChunkSizes
from zfuse.pipeline.sources._growth import GrowingPlanes
from zfuse.pipeline.sources._layout import pixel_dtype
from zfuse.pipeline.sources._presence import Presence

if TYPE_CHECKING:
    import zarr
    from numpy.typing import NDArray

    from zfuse.pipeline.sources._layout import Layout

__all__ = ["ZarrReader"]

LARGE_UNUSED = 2**28  # bytes of a chunk that may lie beyond the array: it is decoded whole
LARGE_CHUNK = 2**26  # pixels: filling them costs more than asking first whether they are there


class ZarrReader(BaseReader):
    """Reads one zarr array.

    Parameters
    ----------
    array
        The array; which codec pipeline decodes it was settled when it was opened.
    layout
        Its axes.
    allow_missing
        Read missing chunks as the fill value.
    """

    def __init__(
        self, array: zarr.Array[Any], layout: Layout, *, allow_missing: bool = False
    ) -> None:
        if min(array.shards or array.chunks) < 1 or min(array.chunks) < 1:
            raise ZfuseError(
                f"{layout.source} declares chunks of {array.chunks}, at least 1 is needed; its "
                "metadata is damaged: copy it again from the original"
            )
        decoded = math.prod(array.chunks) * array.dtype.itemsize
        used = math.prod(min(a, b) for a, b in zip(array.chunks, array.shape, strict=True))
        if decoded > max(LARGE_UNUSED, 4 * used * array.dtype.itemsize):
            raise ZfuseError(
                f"{layout.source} declares chunks of {array.chunks}, {decoded} bytes, for an array "
                f"of {array.shape}: such chunks would fill the memory with nothing; its metadata "
                "is damaged: copy it again from the original"
            )
        super().__init__(
            layout.shape, pixel_dtype(array.dtype, layout.source), layout.zyx(array.chunks)
        )
        self._array = array
        self._layout = layout
        self._bool = array.dtype.kind == "b"
        self._presence = None if allow_missing else Presence(array)
        self._sizes = ChunkSizes(array, self._presence or Presence(array), layout.source)
        self._scratch = threading.local()

    def fill(self, t: int, z: slice, y: slice, x: slice, out: NDArray[Any]) -> None:
        """Fill `out` with the window.

        Decoding into memory that is already mapped is what makes it fast, 3 times for lz4. With one
        channel, or z before c, `out` itself has the order of the file. With several channels each
        plane has, which costs nothing when chunks are one plane thick.
        """
        if self._bool:
            out = out.view(np.bool_)
        if self._layout.view(out).flags.c_contiguous:
            self._read(self._layout.selection(t, z, y, x), self._layout.view(out))
        elif self.chunk[0] == 1 and self._layout.view(out[:1]).flags.c_contiguous:
            for i, plane in enumerate(range(z.start, z.stop)):
                selection = self._layout.selection(t, slice(plane, plane + 1), y, x)
                self._read(selection, self._layout.view(out[i : i + 1]))
        else:
            view = self._layout.view(out)
            pixels = self._memory(view.size, out.dtype).reshape(view.shape)
            self._read(self._layout.selection(t, z, y, x), pixels)
            view[...] = pixels

    def growing(self) -> GrowingPlanes:
        """Return what looks at single planes of the array while someone is writing it."""
        return GrowingPlanes(self._array, self._layout, descending=self.descending)

    def _read(self, selection: tuple[slice, ...], pixels: NDArray[Any]) -> None:
        from zarr.core.buffer.cpu import NDBuffer

        if self._presence is not None and math.prod(self._array.chunks) > LARGE_CHUNK:
            self._refuse_missing(self._presence.absent(selection), selection)
        self._sizes.check(selection)
        try:
            self._array.get_basic_selection(selection, out=NDBuffer.from_numpy_array(pixels))
        except (MemoryError, ZfuseError):  # a store that says itself what is wrong
            raise
        except Exception as error:  # each codec has its own; which chunk it was none of them says
            raise self._corrupt(selection, error) from error
        if self._presence is not None:
            self._refuse_missing(self._presence.missing(selection, pixels), selection)

    def _refuse_missing(self, missing: list[tuple[int, ...]], selection: tuple[slice, ...]) -> None:
        if missing and self._presence is not None:
            raise ZfuseError(
                f"{self._layout.source}: chunk {self._presence.key(missing[0])} is missing "
                f"({len(missing)} of {len(self._presence.chunks_of(selection))} chunks of this "
                "read); --allow-missing reads missing chunks as the fill value "
                f"{self._array.fill_value}, which is right if the writer leaves out empty chunks"
            )

    def _corrupt(self, selection: tuple[slice, ...], error: Exception) -> ZfuseError:
        """Find the first chunk of a read that does not decode, by reading them one by one."""
        presence = self._presence or Presence(self._array)
        for chunk in presence.chunks_of(selection):
            try:
                self._array.get_basic_selection(presence.window(chunk, selection))
            except ZfuseError as first:
                return first
            except Exception as first:  # same codecs, same reason as above
                return ZfuseError(
                    f"{self._layout.source}: chunk {presence.key(chunk)} cannot be decoded "
                    f"({reason(first)}); it is damaged: copy it again from the original"
                )
        return ZfuseError(
            f"{self._layout.source} cannot be read ({reason(error)}); try again, and check the "
            "disk or the network"
        )

    def _memory(self, size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return memory of this thread that is used again by its next read."""
        kept: NDArray[Any] | None = getattr(self._scratch, "pixels", None)
        if kept is None or kept.size < size:
            kept = self._scratch.pixels = np.empty(size, dtype)
        return kept[:size]
