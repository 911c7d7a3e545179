"""Follows a folder into which someone writes planes, one file each.

Duty: which stacks there are, and which have all of their planes. Must not know: what a name means
(`_plane_names`), when a file is whole (`_plane_files`), who fuses.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from zfuse.pipeline.core import Channel
from zfuse.pipeline.live._follower import Ended, News, Remark, StackEnded, sidecar
from zfuse.pipeline.live._frame import Frame, StackKey
from zfuse.pipeline.live._numbers import Labels, Numbers
from zfuse.pipeline.live._plane_files import PlaneFile, PlaneFiles
from zfuse.pipeline.live._plane_names import PlaneNames, Spot, summary
from zfuse.pipeline.live._series import Series
from zfuse.pipeline.sources import natural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Set as AbstractSet
    from pathlib import Path

__all__ = ["PlanesFollower"]

Place = tuple[str, str]  # labels of position and time point
Group = dict[str, dict[str, PlaneFile]]  # channel → z → file


class PlanesFollower:
    """Follows a folder of TIFF, PNG, JPEG or BMP planes, and the folders in it.

    Indices need the whole first stack: it is told of when it is over, unless Micro-Manager's notes
    or z numbers from 0 say it all before.

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
        self.done: AbstractSet[StackKey] = frozenset()
        self._place = place
        self._expected = expect_planes
        self._names = PlaneNames(template)
        self._files = PlaneFiles(place)
        self._spots: dict[Spot, str] = {}
        self._positions, self._times, self._colours = Labels(), Labels(), Labels()
        self._numbers = Numbers()
        self._notes: dict[str, Any] = {}
        self._begun = False
        self._channels: set[str] = set()
        self._rgb, self._samples = False, 1
        self._told: set[Spot] = set()
        self._ended: dict[Place, list[int]] = {}
        self._said: set[tuple[str, str]] = set()

    @property
    def activity(self) -> int:
        """Number of changes seen."""
        return self._files.changes

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
        groups = self._grouped(files)
        for spot, name in self._spots.items():
            place = spot.p, spot.t
            if name in files and place not in self._ended and not self._is_done(place):
                self._files.check(name, last=last)
                yield from self._complain(files[name], name, last=last)
        over = [place for place in groups if last or self._is_over(place, groups)]
        if not self._begun:
            self._notes = summary(self._place)
            if self._files.first is None or not (over or self._notes):
                if last and files:
                    yield Remark(f"{self._place} holds no plane that can be read")
                return
            self._names.fix()
            yield self._series(groups, over)
        for place, group in groups.items():
            if place not in self._ended:
                yield from self._tell(place, group, ends=place in over, last=last)

    def _find(self, files: dict[str, PlaneFile]) -> Iterator[Remark]:
        """Find the plane that each file is."""
        spots, odd = self._names.spots(files)
        if not self._begun:  # what the names count may have become clear only now
            self._spots = {}
        else:
            yield from self._once(odd, "does not count as its neighbours do: it is left out")
        for name, spot in spots.items():
            spot = spot if self._names.counts_z else spot._replace(z=name)
            former = self._spots.get(spot)
            if former is None:
                self._spots[spot] = name
                if (spot.p, spot.t) in self._ended:
                    yield from self._once([name], "came after its stack had been fused without it")
            elif former != name and former in files:
                yield from self._once([name], f"is the same plane as {former}: it is left out")
            elif former != name:
                self._spots[spot] = name
                files[name] = self._files.renamed(former, name)

    def _grouped(self, files: dict[str, PlaneFile]) -> dict[Place, Group]:
        """Sort the files into stacks, in the order in which they were begun."""
        groups: dict[Place, Group] = defaultdict(lambda: defaultdict(dict))
        for spot, name in self._spots.items():
            file = files.get(name) or self._files.known(name)
            groups[spot.p, spot.t][spot.c][spot.z] = file
        begun = {place: min(f.born for f in _all(group)) for place, group in groups.items()}
        order = sorted(groups, key=lambda p: (begun[p], natural(p[0]), natural(p[1])))
        return {place: groups[place] for place in order}

    def _is_over(self, place: Place, groups: dict[Place, Group]) -> bool:
        """Whether no more planes of a stack come, as far as can be seen from outside."""
        group = groups[place]
        if place in self._ended:
            return False
        if self._is_done(place):
            return True
        if not all(file.whole for file in _all(group)) or not self._is_even(group):
            return False
        counts = _counts(group)
        expected = self._expected or _count(self._notes.get("Slices"))
        channels = self._channels or ({""} if "c" not in self._names.axes else set())
        if expected and set(group) >= channels and all(n >= expected for n in counts):
            if channels:
                return True
        elif self._expected:
            return False
        newest = max(file.stamp.mtime for file in _all(group) if file.stamp)
        return any(
            min(file.born for file in _all(other)) > newest
            and (_counts(other) >= counts or counts in self._ended.values())
            for key, other in groups.items() if key != place
        )  # fmt: skip

    def _is_even(self, group: Group) -> bool:
        """Whether the z numbers of all channels begin together and have no gap."""
        if not self._names.counts_z:
            return True
        rows = [sorted(map(int, planes)) for planes in group.values()]
        least = min(row[0] for row in rows)
        return all(
            row[0] == least and len({b - a for a, b in itertools.pairwise(row)}) <= 1
            for row in rows
        )

    def _series(self, groups: dict[Place, Group], over: list[Place]) -> Series:
        """Say what is known, and settle the indices by the first stack that is over."""
        self._begun = True
        first = groups[over[0] if over else next(iter(groups))]
        known = tuple(str(name) for name in self._notes.get("ChNames") or ())
        labels = sorted(first, key=natural)
        if set(labels) <= set(known):
            self._colours = Labels(known)
        self._colours.settle(labels)
        counted = known if set(labels) <= set(known) else map(str, range(len(known)))
        self._channels = set(first) if over else set(counted)
        self._positions.settle(_unique(p for p, _ in groups))
        self._times.settle(sorted({t for _, t in groups}, key=natural))
        if self._names.counts_z:
            for planes in first.values():
                for z in planes:
                    self._numbers.see(int(z))
            if over:
                self._numbers.settle()
        stack = self._files.first
        assert stack is not None
        self._samples = 1 if stack.rgb and len(first) == 1 else stack.shape[1]
        self._rgb = stack.rgb and len(first) == 1
        pixel = _size(self._notes.get("PixelSize_um"))
        return Series(
            name=self._place.name,
            source=str(self._place),
            positions=tuple(
                name or "0" for name in self._positions.names(_unique(p for p, _ in groups))
            ),
            channels=self._named(labels, known),
            rgb=self._rgb,
            pixel_size=stack.pixel_size or ((pixel, pixel) if pixel else None),
            z_step=stack.z_step or _size(self._notes.get("z-step_um")),
        )

    def _named(self, labels: list[str], known: tuple[str, ...]) -> tuple[Channel, ...]:
        stack = self._files.first
        assert stack is not None
        if self._rgb or (labels == [""] and not known):
            return stack.channels
        names = known or tuple(
            f"channel {n}" if n.isdecimal() else n for n in self._colours.names(labels)
        )
        if self._samples == 1:
            return tuple(Channel(name) for name in names)
        return tuple(Channel(f"{name}.{i}") for name in names for i in range(self._samples))

    def _tell(self, place: Place, group: Group, *, ends: bool, last: bool) -> Iterator[News]:
        """Tell of the frames of one stack that are whole, and of its end."""
        key = self._key(place)
        if key is None:
            if ends:
                yield from self._once(
                    [place[0] + place[1]], "lies before the first: it is left out"
                )
            return
        if key not in self.done:
            for c, planes in group.items():
                yield from self._frames(key, Spot(*place, c, ""), planes, ends=ends)
        if not ends:
            return
        self._ended[place] = _counts(group)
        if self._expected and key not in self.done:
            for c, planes in group.items():
                if (n := sum(file.whole for file in planes.values())) < self._expected:
                    channel = f", channel {c}" if c else ""
                    yield Remark(
                        f"position {key.p}, time {key.t}{channel}: "
                        f"{n} of {self._expected} planes came"
                    )
        yield StackEnded(key)

    def _frames(
        self, key: StackKey, spot: Spot, planes: dict[str, PlaneFile], *, ends: bool
    ) -> Iterator[News]:
        colour = self._colours.index(spot.c)
        if self._names.counts_z:
            for z in planes:
                self._numbers.see(int(z))
            if ends:
                self._numbers.settle()
        elif not ends:
            return  # without numbers the order is known when the last one is there
        for rank, z in enumerate(sorted(planes, key=natural)):
            at, file = spot._replace(z=z), planes[z]
            if at in self._told or not file.whole:
                continue
            if self._names.counts_z:
                if not self._numbers.settled:
                    return
                index = self._numbers.index(int(z))
            else:
                index = rank
            if index is None or colour is None:
                yield from self._once([self._spots[at]], "lies between the others: it is left out")
                continue
            self._told.add(at)
            for i in range(self._samples):
                sample = None if self._rgb else i
                yield Frame(key, colour * self._samples + i, index, read=file.reader(sample))

    def _key(self, place: Place) -> StackKey | None:
        p, t = self._positions.index(place[0]), self._times.index(place[1])
        return None if p is None or t is None else StackKey(p, t)

    def _is_done(self, place: Place) -> bool:
        return bool(self.done) and self._begun and self._key(place) in self.done

    def _complain(self, file: PlaneFile, name: str, *, last: bool) -> Iterator[Remark]:
        if file.rewritten:
            yield from self._once(
                [name], "was rewritten after it had been fused: fuse its stack anew"
            )
        elif file.stubborn and not last:
            yield from self._once([name], f"cannot be read yet ({file.why}); still waiting for it")
        elif last and not file.whole:
            yield Remark(f"{self._place / name} never became readable ({file.why})")

    def _once(self, names: Iterable[str], what: str) -> Iterator[Remark]:
        for name in names:
            if (name, what[:20]) not in self._said:
                self._said.add((name, what[:20]))
                yield Remark(f"{self._place / name} {what}")


def _all(group: Group) -> list[PlaneFile]:
    return [file for planes in group.values() for file in planes.values()]


def _counts(group: Group) -> list[int]:
    return sorted(len(planes) for planes in group.values())


def _unique(labels: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(labels))


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _size(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and 0 < value < 1e6 else None
