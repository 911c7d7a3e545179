"""Follows an NDTiff data set, as Micro-Manager and pycro-manager write it.

Duty: which image of the index is which plane of which stack. Must not know: how the index is
spelt, when a stack is over (`_stacks`), who fuses.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from zfuse.pipeline.live._follower import Ended, News, Patience, Remark, Steady, SteadyRead, sidecar
from zfuse.pipeline.live._stacks import Kind, Place, Spot, Stacks
from zfuse.pipeline.sources import NDTiffEntry, NDTiffIndex, ndtiff_summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Set as AbstractSet
    from pathlib import Path

    from numpy.typing import NDArray

    from zfuse.pipeline.live._frame import StackKey

__all__ = ["INDEX", "NDTiffFollower"]

INDEX = "NDTiff.index"
_SLACK = 64  # bytes behind the last image of a file that is cut: its end mark, and even addresses


class _Image:
    """One entry of the index, whole or not."""

    def __init__(self, folder: Path, entry: NDTiffEntry, number: int, patience: Patience) -> None:
        self.folder, self.entry, self.patience = folder, entry, patience
        self.born = self.latest = number
        self.whole = False

    @property
    def name(self) -> str:
        return f"{self.folder}: image {self.entry.axes}"

    def reader(self, sample: int | None) -> SteadyRead:
        path = self.folder / self.entry.file

        def pixels() -> NDArray[Any]:
            return self.entry.read(self.folder)

        # Files grow at their end: only another file in its place is a change.
        return SteadyRead(lambda: path.stat().st_ino or 1, pixels, self.name, self.patience)


class NDTiffFollower:
    """Follows an NDTiff data set; its index may have room for more, or end inside an entry.

    Parameters
    ----------
    place
        Its folder; it need not exist yet.
    expect_planes
        Planes of each channel of a stack; None: what Micro-Manager notes, else a stack is over when
        the next one has as many.
    """

    def __init__(self, place: Path, *, expect_planes: int | None = None) -> None:
        self.patience = Patience(place)
        self._place = place
        self._index = NDTiffIndex(place / INDEX)
        self._steady = Steady()
        self._stacks = Stacks(place.name, str(place), expect_planes)
        self._stacks.axes = ""
        self._images: dict[Spot, _Image] = {}
        self._ends: dict[str, int] = {}  # by file: first byte behind its last image
        self._count = 0

    @property
    def activity(self) -> int:
        """Number of changes seen."""
        return self._steady.changes

    @property
    def done(self) -> AbstractSet[StackKey]:
        """Stacks that were fused before."""
        return self._stacks.done

    @done.setter
    def done(self, keys: AbstractSet[StackKey]) -> None:
        self._stacks.done = keys

    def poll(self) -> Iterator[News]:
        """Look once; see `Follower`."""
        why = sidecar(self._place)
        yield from self._look(last=False)
        if why := why or self._closed():
            yield Ended(why)

    def finish(self) -> Iterator[News]:
        """Look a last time; see `Follower`."""
        self._take()  # what is looked at twice must have been seen once
        yield from self._look(last=True)

    def _look(self, *, last: bool) -> Iterator[News]:
        yield from self._take()
        groups = self._grouped()
        for place, group in groups.items():
            for image in (image for images in group.values() for image in images.values()):
                image.whole = image.whole or (
                    not self._stacks.is_done(place) and image.entry.is_written(self._place)
                )
                if last and not image.whole and not self._stacks.is_done(place):
                    yield Remark(f"{image.name} was never written: it is left out")
            over = last or self._stacks.is_over(place, groups)
            if not self._stacks.begun:
                self._stacks.notes = self._stacks.notes or self._summary()
                first = next((i for i in self._images.values() if i.whole), None)
                if first is None or not (over or "ChNames" in self._stacks.notes):
                    continue
                rgb = first.entry.rgb
                kind = Kind(3 if rgb else 1, rgb)
                yield self._stacks.begin(groups, place if over else None, kind)
            yield from self._stacks.tell(place, group, ends=over)
            if place in self._stacks.ended:
                for spot in [spot for spot in self._images if (spot.p, spot.t) == place]:
                    del self._images[spot]

    def _take(self) -> list[Remark]:
        """Take in what is new in the index."""
        remarks = []
        for entry in self._index.more():
            axes = dict(entry.axes)
            z, t, c = axes.pop("z", 0), axes.pop("time", 0), axes.pop("channel", "")
            if not isinstance(z, int):
                remarks.append(Remark(f"{self._place}: z is {z!r}, no number: it is left out"))
                continue
            p = axes.pop("position", "")
            others = [f"{name} {value}" for name, value in sorted(axes.items())]
            self._stacks.axes += "".join(
                letter
                for letter, word in zip("tcp", ("time", "channel", "position"), strict=True)
                if word in entry.axes and letter not in self._stacks.axes
            )
            spot = Spot(" ".join(filter(None, [str(p), *others])), str(t), str(c), str(z))
            self._count += 1
            self._ends[entry.file] = max(self._ends.get(entry.file, 0), entry.end)
            if (spot.p, spot.t) in self._stacks.ended:
                remarks.append(Remark(f"{self._place}: image {entry.axes} came too late"))
            elif (old := self._images.get(spot)) is None or not old.whole:
                self._images[spot] = _Image(self._place, entry, self._count, self.patience)
        self._steady.look("index", (self._index.size, self._count))
        self._steady.look("files", self._files())
        return remarks

    def _files(self) -> object:
        """Return what the TIFFs look like: they grow before the index tells of it."""
        try:
            found = [path.stat() for path in sorted(self._place.glob("*.tif"))]
        except OSError:
            return None
        return [(now.st_size, now.st_mtime_ns) for now in found]

    def _grouped(self) -> dict[Place, dict[str, dict[str, _Image]]]:
        groups: dict[Place, dict[str, dict[str, _Image]]] = defaultdict(lambda: defaultdict(dict))
        for spot, image in self._images.items():
            groups[spot.p, spot.t][spot.c][spot.z] = image
        return groups

    def _closed(self) -> str:
        """Say that the writer has cut its files to what they hold, which it does at its end."""
        if not (self._index.cut and self._ends):
            return ""
        try:
            sizes = {name: (self._place / name).stat().st_size for name in self._ends}
        except OSError:
            return ""
        cut = all(0 <= sizes[name] - end <= _SLACK for name, end in self._ends.items())
        same = self._steady.look("closed", (self._index.size, tuple(sizes.items())))
        return "the writer has closed its files" if cut and same else ""

    def _summary(self) -> dict[str, Any]:
        """Read the summary in the header of the first TIFF."""
        for image in self._images.values():
            if found := ndtiff_summary(self._place / image.entry.file):
                return found
        return {}
