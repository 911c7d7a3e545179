"""Image files that someone is writing into a folder, and which of them are whole.

Duty: a file counts when it looked alike in two polls and decodes to its last strip; what it is
called at the moment. Must not know: what a name means, which stack a plane belongs to.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from zfuse.errors import ZfuseError, reason
from zfuse.pipeline.live._follower import Patience, Steady, SteadyRead
from zfuse.pipeline.sources import SUFFIXES, open_plane

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Stack

__all__ = ["PlaneFile", "PlaneFiles"]

_SLOWEST = 32  # polls between two looks at a file that is steady and yet not readable
_STUBBORN = 3  # such looks before it is worth a remark


class Stamp(NamedTuple):
    """What tells one state of a file from another."""

    size: int
    mtime: int
    inode: int


class PlaneFile:
    """One file.

    Attributes
    ----------
    path
        Where it is now.
    born
        Time of its first known state, in ns.
    steady, whole
        It has stopped changing; it can be read.
    why
        What its reader said when it could not.
    tries
        Looks at it while it was steady and could not be read.
    """

    def __init__(self, path: Path, stamp: Stamp, patience: Patience) -> None:
        self.path = path
        self._patience = patience
        self.stamp: Stamp | None = stamp
        self.born = stamp.mtime
        self.steady = self.whole = False
        self.why = ""
        self.tries = self._wait = 0
        self._reads: list[SteadyRead] = []

    @property
    def name(self) -> str:
        """Its path, for people."""
        return str(self.path)

    @property
    def latest(self) -> int:
        """Time of its last known state, in ns."""
        return self.stamp.mtime if self.stamp else self.born

    @property
    def stubborn(self) -> bool:
        """Whether it has stayed unreadable for long enough to tell."""
        return not self.whole and self.tries >= _STUBBORN

    @property
    def rewritten(self) -> bool:
        """Whether it has changed since its pixels were taken."""
        return any(read.taken not in (None, self.stamp) for read in self._reads)

    def reader(self, sample: int | None) -> SteadyRead:
        """Return what reads the plane: one of its samples, or all of them when it has several."""

        def pixels() -> NDArray[Any]:
            with open_plane(self.path) as stack:
                planes = _pixels(stack)
            return planes if sample is None else planes[sample]

        read = SteadyRead(self._state, pixels, str(self.path), self._patience)
        self._reads.append(read)
        return read

    def _state(self) -> Stamp:
        """Return the state of the file, wherever it was moved to within its folder."""
        try:
            return stamp(self.path)
        except FileNotFoundError:
            with os.scandir(self.path.parent) as entries:
                for entry in entries:
                    if self.stamp and _is_plane(entry) and entry.inode() == self.stamp.inode:
                        self.path = self.path.with_name(entry.name)
            return stamp(self.path)

    def try_again(self) -> bool:
        """Whether a steady file that could not be read is due for another look."""
        self._wait -= 1
        return self._wait < 0

    def refuse(self, why: str) -> None:
        """Note why it could not be read; look again later, and later still."""
        self.why = why
        self.tries += 1
        self._wait = min(2**self.tries, _SLOWEST) - 2

    def changed(self, now: Stamp | None) -> None:
        """Note another state."""
        if now != self.stamp:
            self.stamp = now
            self.whole = False
            self.tries = self._wait = 0
            self.why = "it has vanished" if now is None else ""


class PlaneFiles:
    """The image files of a folder and of the folders in it.

    Parameters
    ----------
    place
        The folder; it need not exist yet.

    Attributes
    ----------
    patience
        Of all readers.
    first
        The first plane that was whole: what it says of all.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self.patience = Patience(place)
        self._steady = Steady()
        self._files: dict[str, PlaneFile] = {}
        self._over: set[str] = set()
        self.first: Stack | None = None
        self._likeness: tuple[Any, ...] | None = None

    @property
    def changes(self) -> int:
        """Number of changes seen."""
        return self._steady.changes

    def look(self) -> dict[str, PlaneFile]:
        """List the files that are there, by their path below the folder, with /."""
        listing = self._list()
        for name, now in listing.items():
            if name in self._files:
                self._files[name].changed(now)
            else:
                self._files[name] = PlaneFile(self._place / name, now, self.patience)
            self._files[name].steady = self._steady.look(name, now)
        for name, file in self._files.items():
            if name not in listing:
                self._steady.look(name, None)
                file.changed(None)
        return {name: self._files[name] for name in listing}

    def forget(self, names: Iterable[str]) -> None:
        """Look at these files no more."""
        for name in names:
            self._files.pop(name, None)
            self._steady.forget(name)
            self._over.add(name)

    def known(self, name: str) -> PlaneFile:
        """Return a file that was there once."""
        return self._files[name]

    def renamed(self, old: str, new: str) -> PlaneFile:
        """Give the file that was called `old` and is gone its new name; return it."""
        file = self._files.pop(old)
        now = self._files[new]
        file.path = now.path
        file.changed(now.stamp)
        self._files[new] = file
        return file

    def check(self, file: PlaneFile, *, last: bool) -> None:
        """Find out whether a file is whole, if that is due.

        Parameters
        ----------
        file
            The file.
        last
            Nobody writes any more: it need not be steady.
        """
        if file.whole or file.stamp is None or not (last or file.steady):
            return
        if not last and not file.try_again():
            return
        try:
            with open_plane(file.path) as stack:
                pixels = _pixels(stack)
            before = file.stamp
            if stamp(file.path) != before:
                return  # changed while it was read: the next look sees it
        except (ZfuseError, OSError) as error:
            file.refuse(reason(error))
            return
        likeness = (*pixels.shape, pixels.dtype.name)
        if self._likeness is None:
            self.first, self._likeness = stack, likeness
        if likeness != self._likeness:
            file.refuse(f"it is {_spell(likeness)}, the first plane is {_spell(self._likeness)}")
            return
        file.whole = True

    def _list(self) -> dict[str, Stamp]:
        found: dict[str, Stamp] = {}
        for prefix, folder in self._folders():
            try:
                with os.scandir(folder) as entries:
                    names = [entry.name for entry in entries if _is_plane(entry)]
            except OSError:
                continue  # not there yet, or the network is away
            for name in names:
                if prefix + name in self._over:
                    continue
                try:
                    found[prefix + name] = stamp(folder / name)
                except OSError:
                    continue  # vanished since it was listed
        return found

    def _folders(self) -> list[tuple[str, Path]]:
        try:
            with os.scandir(self._place) as entries:
                below = [entry.name for entry in entries if entry.is_dir()]
        except OSError:
            below = []
        # A zarr in the folder is no folder of planes, nor is one of zfuse's own outputs.
        kept = sorted(name for name in below if not name.startswith(".") and ".zarr" not in name)
        return [("", self._place), *((f"{name}/", self._place / name) for name in kept)]


def stamp(path: Path) -> Stamp:
    """Return the state of a file.

    Not from the directory's entry: Windows fills that from a list that lags behind.
    """
    found = path.stat()
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino)


def _is_plane(entry: os.DirEntry[str]) -> bool:
    name = entry.name.lower()
    return name.endswith(tuple(SUFFIXES)) and not name.startswith(".") and entry.is_file()


def _pixels(stack: Stack) -> NDArray[Any]:
    """Read the only plane of a stack, (samples, Y, X)."""
    _, _, _, height, width = stack.shape
    pixels = stack.reader.read(0, slice(0, 1), slice(0, height), slice(0, width))
    return pixels.reshape(pixels.shape[1:])


def _spell(likeness: tuple[Any, ...]) -> str:
    samples, height, width, dtype = likeness
    return f"{width} x {height} px of {samples} channel(s), {dtype}"
