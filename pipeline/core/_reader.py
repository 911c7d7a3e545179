"""Readers: what everybody may ask of one, and what all of them share.

Duty: the frame round ``read`` of the `PlaneReader` contract; a reader only fills what it is handed.
Must not know: files, codecs, axis order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from zfuse.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from numpy.typing import NDArray

__all__ = [
    "BaseReader", "ChannelReader", "NoPixels", "PickedReader", "PlaneReader", "StoppableReader",
]  # fmt: skip


class PlaneReader(Protocol):
    """Lazy pixels of one image, always seen as (T, C, Z, Y, X). Safe to call from threads.

    Attributes
    ----------
    shape
        Lengths of T, C, Z, Y, X; axes that the file lacks have length 1.
    dtype
        Native-endian dtype of the pixels as stored.
    chunk
        Extent in Z, Y, X that is decoded at once (a compressed chunk, a TIFF strip, a whole plane):
        the tile plan cuts along it so that nothing is decoded twice without need.
    """

    @property
    def shape(self) -> tuple[int, int, int, int, int]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def chunk(self) -> tuple[int, int, int]: ...

    def read(
        self, t: int, z: slice, y: slice, x: slice, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Read planes ``z`` of time point ``t``, all channels, cut to ``y`` and ``x``.

        Parameters
        ----------
        t
            Time point.
        z, y, x
            Slices with explicit start and stop inside the shape, step 1.
        out
            C-contiguous array (n planes, C, h, w) of `dtype` to fill. It saves the page faults of
            fresh memory, which cost as much as decoding lz4 (see docs/performance.md).

        Returns
        -------
        NDArray
            (n planes, C, h, w), `out` itself when it was given.

        Raises
        ------
        ZfuseError
            A chunk is missing or corrupt, a file is truncated.
        """
        ...

    def close(self) -> None:
        """Release open files. Reading afterwards is an error."""
        ...


class BaseReader(ABC):
    """A `PlaneReader` but for the filling.

    Parameters
    ----------
    shape
        Lengths of T, C, Z, Y, X.
    dtype
        Native-endian dtype of the pixels.
    chunk
        Z, Y, X extent that is decoded at once.

    Attributes
    ----------
    descending
        The file stores its planes from the highest to the lowest: they are handed out the other
        way round, so that whoever reads sees z rise.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int, int],
        dtype: np.dtype[Any],
        chunk: tuple[int, int, int],
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.chunk = chunk
        self.descending = False
        self.closed = False

    def read(
        self, t: int, z: slice, y: slice, x: slice, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Read a window of planes, all channels; see `PlaneReader.read`."""
        if self.closed:
            raise ValueError("read from a reader that was closed")
        if not 0 <= t < self.shape[0]:
            raise IndexError(f"time point {t} of {self.shape[0]}")
        for name, cut, length in zip("zyx", (z, y, x), self.shape[2:], strict=True):
            if not (0 <= cut.start <= cut.stop <= length and cut.step in (None, 1)):
                raise IndexError(f"{name} window {cut} of {length}")
        size = (z.stop - z.start, self.shape[1], y.stop - y.start, x.stop - x.start)
        if out is None:
            out = np.empty(size, self.dtype)
        elif out.shape != size or out.dtype != self.dtype or not out.flags.c_contiguous:
            raise ValueError(
                f"out is {out.shape} {out.dtype}, needed is C-contiguous {size} {self.dtype}"
            )
        if out.size and self.descending:
            planes = self.shape[2]
            self.fill(t, slice(planes - z.stop, planes - z.start), y, x, out[::-1])
        elif out.size:
            self.fill(t, z, y, x, out)
        return out

    @abstractmethod
    def fill(self, t: int, z: slice, y: slice, x: slice, out: NDArray[Any]) -> None:
        """Fill `out`, (planes, C, Y, X), with the window, which is not empty and inside.

        `z` counts as the file does; `out` may be a view with other strides.
        """

    def close(self) -> None:
        """Release open files."""
        self.closed = True


class ChannelReader(BaseReader):
    """One channel of another reader, which stays open when this one is closed.

    Parameters
    ----------
    source
        Reads all channels.
    channel
        Index of the one.
    """

    def __init__(self, source: PlaneReader, channel: int) -> None:
        times, _, *size = source.shape
        super().__init__((times, 1, size[0], size[1], size[2]), source.dtype, source.chunk)
        self._source, self._channel = source, channel

    def fill(self, t: int, z: slice, y: slice, x: slice, out: NDArray[Any]) -> None:
        """Fill `out`, (planes, 1, Y, X), with the window; a chunk of planes at a time."""
        for start in range(z.start, z.stop, self.chunk[0]):
            part = slice(start, min(start + self.chunk[0], z.stop))
            at = slice(part.start - z.start, part.stop - z.start)
            out[at, 0] = self._source.read(t, part, y, x)[:, self._channel]


class PickedReader(BaseReader):
    """Some times and channels of another reader, which is closed with this one.

    Parameters
    ----------
    source
        Reads all.
    times, channels
        Indices, in the order in which they are handed out; None for all.
    """

    def __init__(
        self, source: PlaneReader, times: Sequence[int] | None, channels: Sequence[int] | None
    ) -> None:
        t, c, *size = source.shape
        self._times = range(t) if times is None else times
        self._channels = None if channels is None else list(channels)
        t, c = len(self._times), c if channels is None else len(channels)
        super().__init__((t, c, size[0], size[1], size[2]), source.dtype, source.chunk)
        self._source = source

    def fill(self, t: int, z: slice, y: slice, x: slice, out: NDArray[Any]) -> None:
        """Fill `out`, (planes, C, Y, X), with the window; a chunk of planes at a time."""
        if self._channels is None:
            self._source.read(self._times[t], z, y, x, out)
            return
        for start in range(z.start, z.stop, self.chunk[0]):
            part = slice(start, min(start + self.chunk[0], z.stop))
            at = slice(part.start - z.start, part.stop - z.start)
            out[at] = self._source.read(self._times[t], part, y, x)[:, self._channels]

    def close(self) -> None:
        """Release open files."""
        super().close()
        self._source.close()


@dataclass(frozen=True)
class NoPixels:
    """The `PlaneReader` of a stack of which only size and dtype are known, or matter."""

    shape: tuple[int, int, int, int, int]
    dtype: np.dtype[Any]
    chunk: tuple[int, int, int] = (1, 1, 1)

    def read(self, *_: Any, **__: Any) -> NDArray[Any]:
        """Refuse: there is nothing to read."""
        raise RuntimeError("this stack has no pixels at hand")

    def close(self) -> None:
        """Do nothing: nothing is open."""


class StoppableReader:
    """Another reader that raises `Cancelled` once an event is set.

    What goes before the first tile reads, too: looking for drift takes seconds.

    Parameters
    ----------
    source
        Reads.
    cancel
        Set from any thread.
    """

    def __init__(self, source: PlaneReader, cancel: Event) -> None:
        self._source, self._cancel = source, cancel
        self.shape, self.dtype, self.chunk = source.shape, source.dtype, source.chunk

    def read(
        self, t: int, z: slice, y: slice, x: slice, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Read a window of planes, all channels; see `PlaneReader.read`."""
        if self._cancel.is_set():
            raise Cancelled
        return self._source.read(t, z, y, x, out)

    def close(self) -> None:
        """Release open files."""
        self._source.close()
