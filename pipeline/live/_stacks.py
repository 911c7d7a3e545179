"""Stacks of planes that come one by one, with names for their places.

Duty: indices for the names, what the series is, and when a stack is over, as far as that can be
told from outside. Must not know: files, formats, when a plane is whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from zfuse.pipeline.core import Channel
from zfuse.pipeline.live._follower import News, Remark, StackEnded
from zfuse.pipeline.live._frame import Frame, StackKey
from zfuse.pipeline.live._numbers import Labels, Numbers
from zfuse.pipeline.live._series import Series
from zfuse.pipeline.sources import natural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Set as AbstractSet

    from numpy.typing import NDArray

__all__ = ["Group", "Kind", "Place", "Plane", "Spot", "Stacks"]

Place = tuple[str, str]  # labels of position and time point


class Spot(NamedTuple):
    """Labels of a plane's place."""

    p: str
    t: str
    c: str
    z: str


class Plane(Protocol):
    """A plane that may not be whole yet.

    Attributes
    ----------
    name
        For people.
    born, latest
        When it was first and last written, in any unit that grows.
    whole
        It can be read.
    """

    @property
    def name(self) -> str: ...
    @property
    def born(self) -> int: ...
    @property
    def latest(self) -> int: ...
    @property
    def whole(self) -> bool: ...

    def reader(self, sample: int | None) -> Callable[[], NDArray[Any]]:
        """Return what reads one sample, or all (samples, Y, X)."""
        ...


Group = Mapping[str, Mapping[str, Plane]]  # channel → z → plane


@dataclass(frozen=True)
class Kind:
    """What the first plane says of all.

    Attributes
    ----------
    samples
        Of one pixel.
    rgb
        They are red, green and blue.
    channels
        Where a plane names its samples.
    pixel_size, z_step
        In µm, None when unknown.
    """

    samples: int = 1
    rgb: bool = False
    channels: tuple[Channel, ...] = ()
    pixel_size: tuple[float, float] | None = None
    z_step: float | None = None


class _Every(Mapping[tuple[StackKey, int], int]):
    """The number of planes of each channel of each stack that comes."""

    def __init__(self, planes: int) -> None:
        self._planes = planes

    def __getitem__(self, key: tuple[StackKey, int]) -> int:
        return self._planes

    def __iter__(self) -> Iterator[tuple[StackKey, int]]:
        return iter(())  # nobody knows which will come

    def __len__(self) -> int:
        return 0


class Stacks:
    """The stacks of one series.

    Indices need a whole stack: the series begins when the first is over, or when notes name its
    channels.

    Parameters
    ----------
    name, source
        Of the series.
    expected
        Planes of each channel of a stack, where someone knows.

    Attributes
    ----------
    notes
        Micro-Manager's summary, where there is one.
    counts_z
        The names say z; otherwise their natural order is that of the planes.
    axes
        What the names count, out of ``tczp``.
    done
        Stacks that were fused before.
    ended
        Stacks that are over, with their numbers of planes.
    begun
        The series has begun.
    """

    def __init__(self, name: str, source: str, expected: int | None) -> None:
        self.notes: dict[str, Any] = {}
        self.counts_z = True
        self.axes = "tczp"
        self.done: AbstractSet[StackKey] = frozenset()
        self.ended: dict[Place, list[int]] = {}
        self.begun = False
        self._name, self._source, self._expected = name, source, expected
        self._positions, self._times, self._colours = Labels(), Labels(), Labels()
        self._numbers = Numbers()
        self._channels: set[str] = set()
        self._kind = Kind()
        self._told: set[Spot] = set()

    def begin(self, groups: Mapping[Place, Group], over: Place | None, kind: Kind) -> Series:
        """Settle the indices and say what is known.

        Parameters
        ----------
        groups
            All stacks that have begun, the oldest first.
        over
            One that is over; None where `notes` speak of them.
        kind
            Of the planes.
        """
        self.begun = True
        first = groups[over or next(iter(groups))]
        known = tuple(str(name) for name in self.notes.get("ChNames") or ())
        labels = sorted(first, key=natural)
        if set(labels) <= set(known):
            self._colours = Labels(known)
            self._channels = set(first) if over else set(known)
        else:
            self._channels = set(first) if over else set(map(str, range(len(known))))
        self._colours.settle(labels)
        self._positions.settle(_unique(p for p, _ in groups))
        self._times.settle(sorted({t for _, t in groups}, key=natural))
        if self.counts_z:
            for z in (z for planes in first.values() for z in planes):
                self._numbers.see(int(z))
            if over:
                self._numbers.settle()
        if kind.rgb and len(first) > 1:
            kind = Kind(kind.samples, False, (), kind.pixel_size, kind.z_step)
        self._kind = kind
        pixel = _size(self.notes.get("PixelSize_um"))
        positions = _unique(p for p, _ in groups)
        return Series(
            name=self._name,
            source=self._source,
            positions=tuple(name or "0" for name in self._positions.names(positions)),
            channels=self._named(labels, known),
            times=None if "t" in self.axes else 1,
            planes=_Every(self._expected) if self._expected else {},
            rgb=kind.rgb,
            pixel_size=kind.pixel_size or ((pixel, pixel) if pixel else None),
            z_step=kind.z_step or _size(self.notes.get("z-step_um")),
            more_positions=any(p for p, _ in groups),
        )

    def tell(self, place: Place, group: Group, *, ends: bool) -> Iterator[News]:
        """Tell of the planes of one stack that are whole, and of its end."""
        key = self.key(place)
        if key is None:
            if ends and place not in self.ended:
                self.ended[place] = _counts(group)
                yield Remark(f"{'/'.join(filter(None, place))} lies before the first: left out")
            return
        if key not in self.done:
            for c, planes in group.items():
                yield from self._frames(key, Spot(*place, c, ""), planes, ends=ends)
        if not ends:
            return
        self.ended[place] = _counts(group)
        for c, planes in group.items() if key not in self.done else ():
            count = sum(plane.whole for plane in planes.values())
            if self._expected and count < self._expected:
                channel = f", channel {c}" if c else ""
                yield Remark(
                    f"position {key.p}, time {key.t}{channel}: "
                    f"{count} of {self._expected} planes came"
                )
        yield StackEnded(key)

    def key(self, place: Place) -> StackKey | None:
        """Return the indices of a place, None when it lies before the first."""
        p, t = self._positions.index(place[0]), self._times.index(place[1])
        return None if p is None or t is None else StackKey(p, t)

    def is_done(self, place: Place) -> bool:
        """Whether a stack was fused before or is over."""
        return place in self.ended or (
            bool(self.done) and self.begun and self.key(place) in self.done
        )

    def is_over(self, place: Place, groups: Mapping[Place, Group]) -> bool:
        """Whether no more planes of a stack come, as far as can be seen from outside."""
        group = groups[place]
        if self.is_done(place):
            return place not in self.ended
        planes = _all(group)
        if not all(plane.whole for plane in planes) or not self._is_even(group):
            return False
        counts = _counts(group)
        slices = self.notes.get("Slices")
        expected = self._expected or (slices if isinstance(slices, int) and slices > 0 else None)
        channels = self._channels or ({""} if "c" not in self.axes else set())
        if expected and set(group) >= channels and all(n >= expected for n in counts):
            if channels:
                return True
        elif self._expected:
            return False
        newest = max(plane.latest for plane in planes)
        return any(
            min(plane.born for plane in _all(other)) > newest
            and (_counts(other) >= counts or counts in self.ended.values())
            for key, other in groups.items() if key != place
        )  # fmt: skip

    def _is_even(self, group: Group) -> bool:
        """Whether the z numbers of all channels begin together and have no gap."""
        if not self.counts_z:
            return True
        rows = [sorted(map(int, planes)) for planes in group.values()]
        least = min(row[0] for row in rows)
        return all(
            row[0] == least and len({b - a for a, b in itertools.pairwise(row)}) <= 1
            for row in rows
        )

    def _named(self, labels: list[str], known: tuple[str, ...]) -> tuple[Channel, ...]:
        samples = self._kind.samples
        if self._kind.rgb or (labels == [""] and not known and self._kind.channels):
            return self._kind.channels
        names = known or tuple(
            f"channel {n or 0}" if not n or n.isdecimal() else n
            for n in self._colours.names(labels)
        )
        if samples == 1:
            return tuple(Channel(name) for name in names)
        return tuple(Channel(f"{name}.{i}") for name in names for i in range(samples))

    def _frames(
        self, key: StackKey, spot: Spot, planes: Mapping[str, Plane], *, ends: bool
    ) -> Iterator[News]:
        colour = self._colours.index(spot.c)
        if self.counts_z:
            for z in planes:
                self._numbers.see(int(z))
            if ends:
                self._numbers.settle()
            if not self._numbers.settled:
                return
        elif not ends:
            return  # without numbers the order is known when the last one is there
        samples = 1 if self._kind.rgb else self._kind.samples
        for rank, z in enumerate(sorted(planes, key=natural)):
            at, plane = spot._replace(z=z), planes[z]
            if at in self._told or not plane.whole:
                continue
            self._told.add(at)
            index = self._numbers.index(int(z)) if self.counts_z else rank
            if index is None or colour is None:
                yield Remark(f"{plane.name} does not count as the others do: it is left out")
                continue
            for i in range(samples):
                read = plane.reader(None if self._kind.rgb else i)
                yield Frame(key, colour * samples + i, index, read=read)


def _all(group: Group) -> list[Plane]:
    return [plane for planes in group.values() for plane in planes.values()]


def _counts(group: Group) -> list[int]:
    return sorted(len(planes) for planes in group.values())


def _unique(labels: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(labels))


def _size(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and 0 < value < 1e6 else None
