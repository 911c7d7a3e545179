"""Follows a folder into which someone writes planes, one file each.

Duty: which file is which plane now, and what is said of files. Must not know: what a name means
(`_plane_names`), when a file is whole (`_plane_files`), when a stack is over (`_stacks`).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from zfuse.pipeline.live._follower import Ended, News, Remark, sidecar
from zfuse.pipeline.live._plane_files import PlaneFile, PlaneFiles
from zfuse.pipeline.live._plane_names import PlaneNames
from zfuse.pipeline.live._stacks import Kind, Place, Spot, Stacks
from zfuse.pipeline.sources import mm_summary, natural

if TYPE_CHECKING:
    from collections.abc import Iterator, Set as AbstractSet
    from pathlib import Path

    from zfuse.pipeline.live._frame import StackKey

__all__ = ["PlanesFollower"]

Files = dict[str, dict[str, PlaneFile]]  # channel → z → file


class PlanesFollower:
    """Follows a folder of TIFF, PNG, JPEG or BMP planes, and the folders in it.

    Parameters
    ----------
    place
        The folder; it need not exist yet.
    expect_planes
        Planes of each channel of a stack; None: what Micro-Manager notes, else a stack is over when
        the next one, all of whose files are younger, has as many.
    template
        See `PlaneNames`.
    """

    def __init__(
        self, place: Path, *, expect_planes: int | None = None, template: str | None = None
    ) -> None:
        self._place = place
        self._names = PlaneNames(template)
        self._files = PlaneFiles(place)
        self.patience = self._files.patience
        self._stacks = Stacks(place.name, str(place), expect_planes)
        self._spots: dict[Spot, str] = {}
        self._known: set[str] = set()
        self._odd: list[str] = []
        self._said: set[tuple[str, str]] = set()

    @property
    def activity(self) -> int:
        """Number of changes seen."""
        return self._files.changes

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
        if why:
            yield Ended(why)

    def finish(self) -> Iterator[News]:
        """Look a last time; see `Follower`."""
        yield from self._look(last=True)

    def _look(self, *, last: bool) -> Iterator[News]:
        files = self._files.look()
        yield from self._find(files)
        self._stacks.axes, self._stacks.counts_z = self._names.axes, self._names.counts_z
        groups = self._grouped(files)
        for place, group in groups.items():  # told one by one: planes may be read meanwhile
            if not self._stacks.is_done(place):
                yield from self._check(group, last=last)
            over = last or self._stacks.is_over(place, groups)
            if not self._stacks.begun and (kind := self._kind(over=over)) is not None:
                self._names.fix()
                yield self._stacks.begin(groups, place if over else None, kind)
            if self._stacks.begun:
                yield from self._stacks.tell(place, group, ends=over)
            if place in self._stacks.ended:
                self._close(place)
        if last and files and not self._stacks.begun:
            yield Remark(f"{self._place} holds no plane that can be read")

    def _kind(self, *, over: bool) -> Kind | None:
        """Return what the first plane says, when the series may begin."""
        first = self._files.first
        if first is None:
            return None
        self._stacks.notes = mm_summary(self._place)
        if not (over or self._stacks.notes):
            return None
        return Kind(first.shape[1], first.rgb, first.channels, first.pixel_size, first.z_step)

    def _find(self, files: dict[str, PlaneFile]) -> Iterator[Remark]:
        """Find the plane that each file is."""
        if not self._stacks.begun:  # what the names count may have become clear only now
            self._spots, self._known, self._odd = {}, set(), []
        spots, odd = self._names.spots(name for name in files if name not in self._known)
        self._known.update(files)
        self._odd += odd
        if self._stacks.begun:
            yield from self._remarks(self._odd, "does not count as the others do: it is left out")
            self._odd = []
        for name, spot in spots.items():
            spot = spot if self._names.counts_z else spot._replace(z=name)
            former = self._spots.get(spot)
            if (spot.p, spot.t) in self._stacks.ended:
                yield from self._remarks([name], "came after its stack had been fused without it")
            elif former is None:
                self._spots[spot] = name
            elif former in files:
                yield from self._remarks([name], f"is the same plane as {former}: it is left out")
            else:
                self._spots[spot] = name
                files[name] = self._files.renamed(former, name)

    def _grouped(self, files: dict[str, PlaneFile]) -> dict[Place, Files]:
        """Sort the files into stacks, in the order in which they were begun."""
        groups: dict[Place, Files] = defaultdict(lambda: defaultdict(dict))
        for spot, name in self._spots.items():
            file = files.get(name) or self._files.known(name)
            groups[spot.p, spot.t][spot.c][spot.z] = file
        begun = {
            place: min(file.born for planes in group.values() for file in planes.values())
            for place, group in groups.items()
        }
        order = sorted(groups, key=lambda p: (begun[p], natural(p[0]), natural(p[1])))
        return {place: groups[place] for place in order}

    def _close(self, place: Place) -> None:
        """Look no more at the files of a stack that is over: in the end they are many."""
        over = [spot for spot in self._spots if (spot.p, spot.t) == place]
        self._files.forget(self._spots.pop(spot) for spot in over)

    def _check(self, group: Files, *, last: bool) -> Iterator[Remark]:
        """Find out which files of a stack are whole; tell of those that are a problem."""
        for file in (file for planes in group.values() for file in planes.values()):
            self._files.check(file, last=last)
            name = str(file.path)
            if file.rewritten:
                yield from self._once(name, "was rewritten while its stack was being fused")
            elif file.stubborn and not last:
                yield from self._once(name, f"cannot be read yet ({file.why}); waiting for it")
            elif last and file.why and not file.whole:
                yield Remark(f"{name} never became readable ({file.why})")

    def _remarks(self, names: list[str], what: str) -> Iterator[Remark]:
        for name in names:
            yield from self._once(str(self._place / name), what)

    def _once(self, name: str, what: str) -> Iterator[Remark]:
        if (name, what[:20]) not in self._said:
            self._said.add((name, what[:20]))
            yield Remark(f"{name} {what}")
