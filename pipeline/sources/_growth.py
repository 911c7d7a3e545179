"""Planes of a zarr array that someone is still writing.

Duty: which files hold a plane, whether all of it is there, and its pixels, one channel at a time.
Must not know: OME metadata, who writes, when a writer is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError, reason
from zfuse.pipeline.sources._layout import pixel_dtype
from zfuse.pipeline.sources._presence import Presence

if TYPE_CHECKING:
    from pathlib import Path

    import zarr
    from numpy.typing import NDArray

    from zfuse.pipeline.sources._layout import Layout

__all__ = ["GrowingPlanes"]

FileState = tuple[str, int, int, int]


class GrowingPlanes:
    """Looks at single planes of one local array.

    Parameters
    ----------
    array
        The array, as its metadata are now.
    layout
        Its axes.
    descending
        The file stores its planes from the highest to the lowest; z counts upwards here.
    """

    def __init__(self, array: zarr.Array[Any], layout: Layout, *, descending: bool) -> None:
        self._array = array
        self._layout = layout
        self._descending = descending
        self._presence = Presence(array)
        if self._presence.folder is None:
            raise ZfuseError(f"{layout.source} is not on a local disk: it cannot be followed")

    @property
    def folder(self) -> Path:
        """Folder of the array."""
        assert self._presence.folder is not None
        return self._presence.folder

    @property
    def grows_along(self) -> str:
        """The axis that comes first in the file: writers that append do so along it."""
        return self._layout.axes[0]

    def place(self, t: int, c: int, z: int) -> dict[str, int]:
        """Return the index of a plane along each axis of the file, in the file's order."""
        _, _, planes, _, _ = self._layout.shape
        where = {"t": t, "c": c, "z": planes - 1 - z if self._descending else z}
        return {axis: where.get(axis, 0) for axis in self._layout.axes if axis not in "yx"}

    def state(self, t: int, c: int, z: int) -> tuple[FileState, ...]:
        """Return path, size, time and identity of the files of a plane that are there."""
        found = []
        for path in self._presence.files_of(self._selection(t, c, z)):
            try:
                now = path.stat()
            except OSError:
                continue
            found.append((str(path), now.st_size, now.st_mtime_ns, now.st_ino))
        return tuple(found)

    def begun(self, t: int, c: int, z: int) -> bool:
        """Whether all files of a plane are there, whole or not."""
        files = self._presence.files_of(self._selection(t, c, z))
        return all(path.exists() for path in files)

    def absent(self, t: int, c: int, z: int) -> str:
        """Name a chunk of a plane that is not there, nothing when all are.

        Of a sharded array the index must read and its checksum must fit.
        """
        self._presence.forget()
        missing = self._presence.absent(self._selection(t, c, z))
        return f"chunk {self._presence.key(missing[0])} is missing" if missing else ""

    def read(self, t: int, c: int, z: int, *, blank: bool = False) -> NDArray[Any]:
        """Read a plane, (Y, X).

        Parameters
        ----------
        t, c, z
            Which one.
        blank
            Read chunks that are not there as the fill value.

        Raises
        ------
        ZfuseError
            A chunk is missing, cut off or damaged.
        """
        if not blank and (what := self.absent(t, c, z)):
            raise ZfuseError(f"{self._layout.source}: {what}")
        try:
            found = np.asarray(self._array[self._selection(t, c, z)])
        except Exception as error:  # each codec has its own
            raise ZfuseError(
                f"{self._layout.source}: plane t={t}, c={c}, z={z} cannot be decoded "
                f"({reason(error)})"
            ) from error
        if "x" in self._layout.axes[: self._layout.axes.index("y")]:
            found = np.moveaxis(found, self._layout.axes.index("x"), -1)
        pixels = found.reshape(self._layout.shape[-2:])
        return np.ascontiguousarray(pixels, pixel_dtype(pixels.dtype, self._layout.source))

    def _selection(self, t: int, c: int, z: int) -> tuple[slice, ...]:
        _, _, _, height, width = self._layout.shape
        whole = {"y": slice(0, height), "x": slice(0, width)}
        index = self.place(t, c, z)
        return tuple(
            whole[axis] if axis in whole else slice(index[axis], index[axis] + 1)
            for axis in self._layout.axes
        )
