"""What a `useq.MDASequence` will acquire: a series, and the place of each of its frames.

Duty: positions, channels and planes of every stack, from the events themselves, because stacks may
differ (`do_stack`, `acquire_every`, sub-sequences of positions). Must not know: cores, signals,
pixels, who fuses.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise, takewhile
from math import lcm
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zfuse.pipeline.core import Channel
from zfuse.pipeline.live._frame import StackKey
from zfuse.pipeline.live._series import Series

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Place", "Plan"]

_Index = tuple[int, int, int, int, int]
_AXES = "pgtcz"


class Place(NamedTuple):
    """Where a frame belongs: its stack, channel and plane."""

    key: StackKey
    c: int
    z: int


class _Image(NamedTuple):
    """An event that takes an image."""

    indices: _Index
    repeat: int  # how many events of the same indices came before
    order: int
    channel: tuple[str, int]  # name, and which of those of that name
    height: float  # of the stage, µm


class Plan:
    """The stacks of one sequence.

    A tile of a grid is a position of its own. A plane's index is the rank of its height within its
    stack and channel, whatever the order in which they are acquired. Where a position repeats a
    time point (its own time plan within that of the sequence), time points are counted on.

    Parameters
    ----------
    sequence
        A `useq.MDASequence`.
    name, source
        For the series.
    cameras
        Cameras that take an image at each event; each of them makes channels of its own.
    rgb, pixel_size
        For the series.

    Attributes
    ----------
    series
        What is known of the acquisition.
    one_by_one
        No stack begins before the one before it is done.

    Raises
    ------
    ValueError, ZeroDivisionError
        The sequence tells no events: a generator's, or one without an end.
    """

    def __init__(
        self,
        sequence: Any,
        *,
        name: str = "acquisition",
        source: str = "useq",
        cameras: int = 1,
        rgb: bool = False,
        pixel_size: tuple[float, float] | None = None,
    ) -> None:
        if not sequence.axis_order:
            raise ValueError("the acquisition's events are not known before they come")
        self._cameras = cameras
        self._period, times = _period(sequence)
        names: dict[tuple[int, int], str] = {}
        images = list(_images(sequence, self._period, names))
        if not images:
            raise ValueError("the acquisition takes no images")
        positions = {position: number for number, position in enumerate(names)}
        channels = _ordered(sequence, images)
        stacks: dict[tuple[int, int, int], dict[int, list[_Image]]] = defaultdict(dict)
        for image in images:
            p = positions[image.indices[:2]]
            by_channel = stacks[p, image.repeat, image.indices[2]]
            by_channel.setdefault(channels.index(image.channel), []).append(image)
        at = _time_points(stacks)
        self.one_by_one = _one_by_one(images)
        times = max([times, *(t + 1 for t in at.values())])

        self._places: dict[_Index, list[Place]] = {}
        planes: dict[tuple[StackKey, int], int] = {}
        steps: set[float] = set()
        places: dict[tuple[_Index, int], Place] = {}
        for stack, by_channel in stacks.items():
            key = StackKey(stack[0], at[stack])
            for c in range(len(channels)):
                plane = sorted(by_channel.get(c, ()), key=lambda i: (i.height, i.order))
                steps |= {round(s, 6) for s in np.diff([i.height for i in plane]).tolist()}
                places |= {(i.indices, i.repeat): Place(key, c, z) for z, i in enumerate(plane)}
                later = range(key.t, times, self._period) if self._period else (key.t,)
                for camera in range(cameras):
                    whole = c * cameras + camera
                    planes |= {(StackKey(key.p, t), whole): len(plane) for t in later}
        for (index, _), place in sorted(places.items()):
            self._places.setdefault(index, []).append(place)
        self._seen: Counter[_Index] = Counter()
        self.series = Series(
            name=name,
            source=source,
            positions=tuple(_unique(names.values())),
            channels=tuple(
                Channel(n if cameras == 1 else f"{n} camera {camera}")
                for n in _unique(n for n, _ in channels)
                for camera in range(cameras)
            ),
            times=times,
            planes=planes,
            rgb=rgb,
            pixel_size=pixel_size,
            z_step=steps.pop() if len(steps) == 1 and min(steps) > 0 else None,
            time_step=_interval(sequence),
        )

    def place(self, event: Any) -> Place | None:
        """Find the place of an event's frame; None: no image of this sequence."""
        p, g, t, c, z = _index(event)
        index = (p, g, t % self._period if self._period else t, c, z)
        places = self._places.get(index)
        if not places:
            return None
        key, c, z = places[min(self._seen[index], len(places) - 1)]
        if len(places) > 1:
            self._seen[index] += 1
        if self._period:
            key = StackKey(key.p, t)
        return Place(key, c * self._cameras + int(event.index.get("cam", 0)), z)


def _index(event: Any) -> _Index:
    p, g, t, c, z = (int(event.index.get(axis, 0)) for axis in _AXES)
    return p, g, t, c, z


def _period(sequence: Any) -> tuple[int | None, int]:
    """Time points after which events repeat, None where that is not sure; time points in all.

    A long time-lapse has millions of events, at 25 to 60 µs each. They are the same at all time
    points, apart from channels that are taken at every n-th.
    """
    times = max(sequence.sizes.get("t", 0), 1)
    parts = [sequence, *(p.sequence for p in sequence.stage_positions if p.sequence is not None)]
    if any(part.time_plan for part in parts[1:]) or sequence.used_axes[:1] != "t":
        return None, times
    every = [c.acquire_every for part in parts for c in part.channels]
    period = lcm(1, *every)
    return (period if period < times else None), times


def _images(
    sequence: Any, times: int | None, names: dict[tuple[int, int], str]
) -> Iterator[_Image]:
    """Go through the events of the first `times` time points; notes the positions' names."""
    seen: Counter[_Index] = Counter()
    same_name: dict[tuple[int, str], list[int]] = defaultdict(list)
    events: Iterable[Any] = sequence
    if times is not None:
        events = takewhile(lambda event: event.index.get("t", 0) < times, sequence)
    for order, event in enumerate(events):
        if getattr(event.action, "type", "acquire_image") != "acquire_image":
            continue  # autofocus and what users add
        index = _index(event)
        p, g, _, c, _ = index
        name = event.pos_name or str(p)
        names.setdefault((p, g), f"{name}_{g:03d}" if "g" in event.index else name)
        channel = event.channel.config if event.channel else "0"
        numbers = same_name[p, channel]
        if c not in numbers:
            numbers.append(c)
        height = 0.0 if event.z_pos is None else float(event.z_pos)
        yield _Image(index, seen[index], order, (channel, numbers.index(c)), height)
        seen[index] += 1


def _ordered(sequence: Any, images: list[_Image]) -> list[tuple[str, int]]:
    """Channels that are acquired: those of the sequence in its order, then those of positions."""
    count: Counter[str] = Counter()
    wanted = []
    for channel in sequence.channels:
        wanted.append((channel.config, count[channel.config]))
        count[channel.config] += 1
    found = dict.fromkeys(image.channel for image in images)
    return [c for c in wanted if c in found] + [c for c in found if c not in wanted]


def _time_points(stacks: Iterable[tuple[int, int, int]]) -> dict[tuple[int, int, int], int]:
    """Return each stack's time point: that of the sequence, or counted where some are repeated."""
    of_position = defaultdict(list)
    for stack in stacks:
        of_position[stack[0]].append(stack)
    at = {}
    for each in of_position.values():
        repeated = any(repeat for _, repeat, _ in each)
        for rank, stack in enumerate(sorted(each)):
            at[stack] = rank if repeated else stack[2]
    return at


def _one_by_one(images: list[_Image]) -> bool:
    stacks = [(image.indices[:3], image.repeat) for image in images]
    runs = 1 + sum(a != b for a, b in pairwise(stacks))
    return runs == len(set(stacks))


def _unique(names: Iterable[str]) -> Iterator[str]:
    """Tell apart what has the same name."""
    taken: set[str] = set()
    for name in names:
        new, number = name, 2
        while new in taken:
            new, number = f"{name} {number}", number + 1
        taken.add(new)
        yield new


def _interval(sequence: Any) -> float | None:
    interval = getattr(sequence.time_plan, "interval", None)
    return interval.total_seconds() or None if interval is not None else None
