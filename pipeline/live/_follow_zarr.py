"""Follows an OME-Zarr that someone is writing.

Duty: which planes are whole, which stacks have all of theirs, what a chunk that is not there means
at the end. Must not know: codecs, shards and metadata (`sources`), who fuses.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from zfuse.errors import ZfuseError, reason
from zfuse.pipeline.live._follower import (
    Ended,
    News,
    Patience,
    Remark,
    StackEnded,
    Steady,
    SteadyRead,
    sidecar,
)  # fmt: skip
from zfuse.pipeline.live._frame import Frame, StackKey
from zfuse.pipeline.live._series import Series
from zfuse.pipeline.sources import Growing, growing, members

if TYPE_CHECKING:
    from collections.abc import Iterator, Set as AbstractSet
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["ZarrFollower"]

_PROBES = 2000  # stacks of which nothing was seen that are looked for in one poll
_METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
_MOST_FILES = 1000  # that are looked at to know whether someone still writes
_STUBBORN = 5  # looks at a plane that does not change and cannot be read, before that is said

Plane = tuple[int, int, int, int]  # p, t, c, z


class ZarrFollower:
    """Follows an OME-Zarr 0.4 or 0.5: an image, a collection or a plate, sharded or not.

    A plane counts when its files looked the same in two polls, a shard's index reads, its checksum
    fits and lists the chunks, and all chunks decode. Metadata are read again whenever they change.

    Parameters
    ----------
    place
        The OME-Zarr; it need not exist yet.
    """

    def __init__(self, place: Path) -> None:
        self.done: AbstractSet[StackKey] = frozenset()
        self.patience = Patience(place)
        self._place = place
        self._steady = Steady()
        self._members: list[str] = []
        self._images: dict[int, Growing] = {}
        self._states: dict[int, object] = {}
        self._why = ""
        self._begun = False
        self._told: set[Plane] = set()
        self._seen: set[tuple[int, int, int]] = set()  # p, t, c
        self._next_probe = 0
        self._ended: set[StackKey] = set()
        self._unread: dict[Plane, tuple[int, str]] = {}

    @property
    def activity(self) -> int:
        """Number of changes seen."""
        return self._steady.changes

    def poll(self) -> Iterator[News]:
        """Look once; see `Follower`."""
        why = sidecar(self._place) or self._complete()
        yield from self._look(last=False)
        if why:
            yield Ended(why)

    def finish(self) -> Iterator[News]:
        """Look a last time; see `Follower`."""
        yield from self._look(last=True)
        if not self._begun:
            if self._why:
                yield Remark(f"{self._place} never became readable ({self._why})")
            return
        for p, image in sorted(self._images.items()):
            for t in range(image.stack.shape[0]):
                key = StackKey(p, t)
                if key in self._ended or key in self.done:
                    continue
                for c in range(image.stack.shape[1]):
                    yield from self._rest(image, (p, t, c))
                if any((p, t, c) in self._seen for c in range(image.stack.shape[1])):
                    self._ended.add(key)
                    yield StackEnded(key)

    def _look(self, *, last: bool) -> Iterator[News]:
        self._open(last=last)
        if not self._begun:
            if not self._images:
                return
            self._begun = True
            yield self._series()
        for place in self._stacks(last=last):
            yield from self._planes(place, last=last)
        for p, image in self._images.items():
            if image.planes.grows_along in "tyx" and not last:
                yield from self._ends(p, image)

    def _open(self, *, last: bool) -> None:
        """Open what has metadata, and anew what has other metadata than before."""
        try:
            found = members(str(self._place))
            if found[: len(self._members)] == self._members or not self._begun:
                self._members = found  # a collection without a list gets longer
        except (ZfuseError, OSError) as error:
            self._why = reason(error)
        for p, member in enumerate(self._members):
            state = self._metadata_state(self._place / member, self._folder(p, member))
            self._steady.look(("metadata", p), state)
            self._steady.look(("end", p), _end_of(self._folder(p, member)))
            if state == self._states.get(p) and not (last and p not in self._images):
                continue
            try:
                image = growing(str(self._place), member)
            except (ZfuseError, OSError, AssertionError) as error:
                self._why = reason(error)
                continue
            if image.lacks_channels and not last:
                self._why = f"{member} lacks channels that it declares"
                continue
            self._images[p] = image
            self._states[p] = state

    def _folder(self, p: int, member: str) -> Path:
        """Return the folder of an image's array, by custom where it is not known yet."""
        known = self._images.get(p)
        return self._place / member / "0" if known is None else known.planes.folder

    def _metadata_state(self, image: Path, array: Path) -> object:
        found = []
        for path in (folder / name for folder in (image, array) for name in _METADATA):
            try:
                now = path.stat()
            except OSError:
                continue
            found.append((str(path), now.st_size, now.st_mtime_ns, now.st_ino))
        return tuple(found)

    def _series(self) -> Series:
        image = next(iter(self._images.values()))
        stack = image.stack
        known = {} if image.planes.grows_along in "zc" else {
            (StackKey(p, t), c): growing.stack.shape[2]
            for p, growing in self._images.items()
            for t in range(growing.stack.shape[0])
            for c in range(1 if stack.rgb else stack.shape[1])
        }  # fmt: skip
        return Series(
            name=stack.name if len(self._members) == 1 else self._place.name.split(".")[0],
            source=str(self._place),
            positions=tuple(member or "0" for member in self._members),
            channels=stack.channels,
            times=None if "t" in stack.axes else 1,
            planes=known,
            rgb=stack.rgb,
            pixel_size=stack.pixel_size,
            z_step=stack.z_step,
            time_step=stack.time_step,
            more_positions=self._members != [""],
        )

    def _stacks(self, *, last: bool) -> list[tuple[int, int, int]]:
        """List the channels of stacks to look at: those begun, and some that may have begun."""
        open_: list[tuple[int, int, int]] = []
        sleeping: list[tuple[int, int, int]] = []
        for p, image in self._images.items():
            times, channels, _, _, _ = image.stack.shape
            for t in range(times):
                if (key := StackKey(p, t)) in self._ended or key in self.done:
                    continue
                for c in range(channels):
                    (open_ if last or (p, t, c) in self._seen else sleeping).append((p, t, c))
        start = self._next_probe if self._next_probe < len(sleeping) else 0
        probed = sleeping[start : start + _PROBES]
        self._next_probe = start + len(probed)
        for p, t, c in probed:
            planes = self._images[p].stack.shape[2]
            if any(self._images[p].planes.begun(t, c, z) for z in {0, planes // 2, planes - 1}):
                self._seen.add((p, t, c))
                open_.append((p, t, c))
        return open_

    def _planes(self, place: tuple[int, int, int], *, last: bool) -> Iterator[News]:
        """Tell of the planes of one channel of a stack that are whole."""
        p, t, c = place
        image = self._images[p]
        for z in range(image.stack.shape[2]):
            plane = (p, t, c, z)
            if plane in self._told:
                continue
            state = image.planes.state(t, c, z)
            steady = self._steady.look(plane, state or None)
            if not state or not (steady or last):
                self._unread.pop(plane, None)
                continue
            self._seen.add(place)
            tries, _ = self._unread.get(plane, (0, ""))
            if not last and tries and tries & (tries - 1):  # looks get rarer
                self._unread[plane] = (tries + 1, self._unread[plane][1])
                continue
            if image.planes.absent(t, c, z):
                continue
            try:
                image.planes.read(t, c, z)
            except (ZfuseError, OSError) as error:
                self._unread[plane] = (tries + 1, reason(error))
                if tries + 1 == _STUBBORN:
                    yield Remark(f"{reason(error)}; still waiting for it")
                continue
            if image.planes.state(t, c, z) == state:
                self._unread.pop(plane, None)
                yield from self._frame(image, plane, blank=False)

    def _frame(self, image: Growing, plane: Plane, *, blank: bool) -> Iterator[News]:
        """Tell of one plane; of colours when all three are there."""
        self._told.add(plane)
        p, t, c, z = plane
        key, planes = StackKey(p, t), image.planes
        name = f"{image.stack.source}: plane t={t}, c={c}, z={z}"
        if not image.stack.rgb:
            read = SteadyRead(
                partial(planes.state, t, c, z),
                partial(planes.read, t, c, z, blank=blank),
                name,
                self.patience,
            )
            yield Frame(key, c, z, read=read)
        elif all((p, t, i, z) in self._told for i in range(3)):

            def colours() -> NDArray[np.generic]:
                return np.stack([planes.read(t, i, z, blank=blank) for i in range(3)])

            state = partial(planes.state, t, 0, z)
            yield Frame(key, 0, z, read=SteadyRead(state, colours, name, self.patience))

    def _ends(self, p: int, image: Growing) -> Iterator[StackEnded]:
        times, channels, count, _, _ = image.stack.shape
        for t in range(times):
            key = StackKey(p, t)
            if key not in self._ended and key not in self.done and all(
                (p, t, c, z) in self._told for c in range(channels) for z in range(count)
            ):  # fmt: skip
                self._ended.add(key)
                for plane in ((p, t, c, z) for c in range(channels) for z in range(count)):
                    self._told.discard(plane)
                    self._steady.forget(plane)
                yield StackEnded(key)

    def _complete(self) -> str:
        """Say that ome-writers has listed all frames of all images, which it does at its end."""
        if not self._images or len(self._images) < len(self._members):
            return ""
        for image in self._images.values():
            times, channels, planes, _, _ = image.stack.shape
            if image.frames is None or len(image.frames) < times * channels * planes:
                return ""
        return "the writer lists all of its frames"

    def _rest(self, image: Growing, place: tuple[int, int, int]) -> Iterator[News]:
        """At the end: which planes that are not there were blank, and which were not acquired."""
        _, t, c = place
        count = image.stack.shape[2]
        missing = [z for z in range(count) if (*place, z) not in self._told]
        if not missing:
            return
        last = max((z for z in range(count) if (*place, z) in self._told), default=-1)
        blank: list[int] = []
        gone: list[int] = []
        for z in missing:
            _, why = self._unread.get((*place, z), (0, ""))
            if why:
                yield Remark(f"{why}; the stack is fused without this plane")
            elif image.frames is not None:
                where = tuple(image.planes.place(t, c, z).values())
                (blank if where in image.frames else gone).append(z)
            else:
                (blank if z < last else gone).append(z)
        name = f"{image.stack.source}: t={t}, c={c}"
        for z in blank:
            yield from self._frame(image, (*place, z), blank=True)
        if blank:
            told = "the writer lists them" if image.frames is not None else "later ones are there"
            yield Remark(
                f"{name}: planes {_spell(blank)} have chunks that are not there; {told}, so these "
                "chunks are taken as left out because they are blank"
            )
            self._seen.add(place)
        if gone and (blank or place in self._seen):
            yield Remark(f"{name}: planes {_spell(gone)} are not there; taken as not acquired")


def _end_of(array: Path) -> object:
    """Return what the newest chunks look like, also those that the metadata do not speak of yet."""
    chunks = array / "c" if (array / "c").is_dir() else array
    try:
        last = max((int(p.name), p) for p in chunks.iterdir() if p.name.isdecimal())[1]
        files = itertools.islice((file for file in last.rglob("*")), _MOST_FILES)
        return sorted((str(file), file.stat().st_size) for file in files)
    except (OSError, ValueError):
        return None


def _spell(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    return f"{shown} and {len(numbers) - 5} more" if len(numbers) > 5 else shown
