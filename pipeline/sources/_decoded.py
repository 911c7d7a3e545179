"""Decoded planes, kept in a temporary file: PNG and JPEG decode whole, but tiles want windows.

Duty: decode each plane once, keep its pixels where they take no memory, and cut windows from them.
Must not know: codecs, folders, stacks.

Every tile reads a window of every plane once a pass, so that a picture of 24 Mpx in 27 tiles was
decoded 55 times, five sixths of the run's time. The file has no name (on Windows: goes with its
handle), so nothing is left behind however the process ends. Where its disk has no room left, planes
are decoded again instead.
"""

from __future__ import annotations

import math
import mmap
import os
import shutil
import tempfile
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["DecodedPlanes"]

_SHARE, _MOST = 0.5, 16e9  # of what is free on the disk, which others use, too; and bytes


class DecodedPlanes:
    """Planes by name. Safe to read from threads.

    Parameters
    ----------
    folder
        Where the temporary file lies; by default ``TMPDIR``, ``/var/tmp``, or the system's.
    """

    def __init__(self, folder: str | None = None) -> None:
        self._folder = folder or _roomy()
        self._file: Any = None
        self._room = 0.0
        self._end = 0
        self._places: dict[str, tuple[int, tuple[int, ...], np.dtype[Any]]] = {}
        self._decoding: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def read(
        self, name: str, decode: Callable[[], NDArray[Any]], y: slice, x: slice, out: NDArray[Any]
    ) -> None:
        """Fill a window of a plane.

        Parameters
        ----------
        name
            Of the plane.
        decode
            Called where it was not kept before; returns (Y, X, samples).
        y, x
            The window.
        out
            (samples, h, w).
        """
        with self._lock:
            once = self._decoding.setdefault(name, threading.Lock())
        with once:  # who wants the same plane waits: decoding it twice would take as long
            place = self._places.get(name)
            if place is None:
                pixels = np.moveaxis(decode(), -1, 0)
                self._keep(name, pixels)
                out[...] = pixels[:, y, x]
                return
        offset, shape, dtype = place
        # Mapped for this one window: what stays mapped counts as memory of the process.
        size = math.prod(shape) * dtype.itemsize
        kept = mmap.mmap(self._file.fileno(), size, access=mmap.ACCESS_READ, offset=offset)
        out[...] = np.frombuffer(kept, dtype).reshape(shape)[:, y, x]

    def close(self) -> None:
        """Let the file go. Reading afterwards decodes again."""
        with self._lock:
            self._places.clear()
            if self._file is not None:
                self._file.close()
            self._file = None

    def _keep(self, name: str, pixels: NDArray[Any]) -> None:
        with self._lock:
            try:
                if self._file is None:
                    self._room = min(_SHARE * shutil.disk_usage(self._folder).free, _MOST)
                    self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)
                    self._end = 0
                    weakref.finalize(self, self._file.close)  # also for stacks that nobody closes
                if self._end + pixels.nbytes > self._room:
                    return
                self._file.seek(self._end)
                for plane in pixels:
                    data = np.ascontiguousarray(plane).data.cast("B")
                    while data:
                        data = data[self._file.write(data) :]
            except OSError:  # no room, no permission: it is decoded again
                self._room = 0.0
                return
            self._places[name] = self._end, pixels.shape, pixels.dtype
            unit = mmap.ALLOCATIONGRANULARITY
            self._end += math.ceil(pixels.nbytes / unit) * unit


def _roomy() -> str:
    """Name a folder for large temporary files: ``/tmp`` is often a part of the memory."""
    given = next((os.environ[key] for key in ("TMPDIR", "TEMP", "TMP") if key in os.environ), None)
    if given is None and os.access("/var/tmp", os.W_OK):
        return "/var/tmp"
    return tempfile.gettempdir()
