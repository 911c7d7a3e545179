"""NDTiff data sets, as Micro-Manager, pycro-manager and ndstorage write them.

Duty: which image of the index is which plane of which position. Must not know: how the index is
spelt (`_ndtiff_index`), how notes are (`_micromanager`), how planes are read (`_ndtiff_reader`).

Positions are images; so is every value of an axis that zfuse does not know, such as the row and
column of a tile. Of a data set with pyramid the full resolution is read.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Channel, Stack
from zfuse.pipeline.sources._layout import DESCENDING, Layout, NoStackError
from zfuse.pipeline.sources._members import Listing, Member
from zfuse.pipeline.sources._micromanager import mm_calibration
from zfuse.pipeline.sources._names import natural
from zfuse.pipeline.sources._ndtiff_index import (
    INDEX,
    MOST_PLANES,
    NDTiffEntry,
    ndtiff_summary,
    read_index,
)
from zfuse.pipeline.sources._ndtiff_reader import NDTiffReader
from zfuse.pipeline.sources._ome_xml import number
from zfuse.pipeline.sources._units import is_size

__all__ = ["is_ndtiff", "list_members", "open_member"]

FULL = "Full resolution"  # the folder of level 0 where there is a pyramid
_MOST_NOTES = 2**22  # bytes of one image's metadata; Micro-Manager writes 10 kB
_FIRST = "position row column"  # in this order, then by the alphabet
_WORDS = {"t": "time", "c": "channel", "z": "z"}

Places = dict[tuple[Any, Any, Any], NDTiffEntry]  # by time, channel, z


@dataclass(frozen=True)
class DataSet:
    """What an index says.

    Attributes
    ----------
    folder
        Of the index.
    positions
        Planes of each position, by its label.
    axes
        Names of all axes.
    rest
        The index ends with something that is no entry.
    """

    folder: Path
    positions: dict[str, Places]
    axes: frozenset[str]
    rest: bool


def is_ndtiff(place: str) -> bool:
    """Whether a path is the folder of a data set, or its index."""
    path = Path(place)
    return (path.is_file() and path.name == INDEX) or _folder(path) is not None


def list_members(place: str, *, allow_missing: bool) -> Listing:
    """List the positions of a data set.

    Parameters
    ----------
    place
        Its folder.
    allow_missing
        See `open_member`.

    Raises
    ------
    ZfuseError
        There is no image in it, or its index is damaged.
    """
    del allow_missing
    found = _data_set(place)
    if len(found.positions) == 1:
        return Listing((Member(""),))
    tiles = found.axes & {"row", "column"}
    said = (f"{place}: its tiles are images of their own, they are not stitched",) if tiles else ()
    return Listing(
        tuple(Member(str(i), label or f"position {i}", i)
              for i, label in enumerate(found.positions)),
        warnings=said,
    )  # fmt: skip


def open_member(place: str, path: str, *, allow_missing: bool) -> Stack:
    """Open one position, lazily, by its number, ``""`` for the only one.

    Parameters
    ----------
    place
        See `list_members`.
    path
        The number.
    allow_missing
        Read planes that were never written as 0.

    Raises
    ------
    ZfuseError
        Planes are missing or differ, or it is no stack.
    """
    found = _data_set(place)
    label, planes = list(found.positions.items())[int(path or 0)]
    source = f"{place} {label}" if len(found.positions) > 1 else place
    times, channels, levels = (sorted({key[i] for key in planes}, key=_order) for i in range(3))
    if len(levels) == 1:
        raise NoStackError(f"{source} has a single plane; give a focal stack")
    said = ["its index does not end where its images do; what follows is left out"] * found.rest
    first = next(iter(planes.values()))
    _check(planes, first, source)
    names = [str(name) for name in channels]
    known = mm_calibration(ndtiff_summary(found.folder / first.file))
    summary_names = [channel.name for channel in known.channels]
    if set(names) <= set(summary_names) and names:  # in the order in which they were taken
        channels.sort(key=lambda name: summary_names.index(str(name)))
    whole = len(times) * len(channels) * len(levels)
    missing = whole - len(planes)
    if whole > MOST_PLANES:
        raise ZfuseError(
            f"{source} has {len(planes)} planes at {len(times)} time point(s) x {len(channels)} "
            f"channel(s) x {len(levels)} plane(s), the most is {MOST_PLANES}: its index is damaged"
        )
    if missing and not allow_missing:
        raise ZfuseError(
            f"{source}: {missing} of {whole} planes were never written ({len(times)} time point(s) "
            f"x {len(channels)} channel(s) x {len(levels)} plane(s)); --allow-missing reads them "
            "as 0"
        )
    grid = [[[planes.get((t, c, z)) for z in levels] for c in channels] for t in times]
    if missing:
        said.append(f"{missing} of {whole} planes were never written; they are read as 0")
    samples = 3 if first.rgb else 1
    if samples > 1 and len(channels) > 1:
        raise ZfuseError(f"{source} has {len(channels)} channels of colours; split it first")
    size = {"t": len(times), "c": len(channels) * samples, "z": len(levels)}
    axes = [a for a, n in size.items() if n > 1 or a == "z" or _WORDS[a] in found.axes]
    layout = Layout("".join(axes) + "yx", (*(size[a] for a in axes), first.height, first.width),
                    source)  # fmt: skip
    reader = NDTiffReader(found.folder, grid, layout, first, samples)
    z_step = _z_step(found.folder, [grid[0][0][i] for i in (0, -1)], len(levels), known.z_step)
    _check_levels(levels, source, allow_missing=allow_missing, said=said)
    if z_step is not None and z_step < 0:
        z_step, reader.descending = -z_step, True
        said.append(DESCENDING)
    pixel = known.pixel_size or _pixel(_metadata(found.folder, first))
    name = Path(place).name if len(found.positions) == 1 else f"{Path(place).name} {label}"
    return Stack(
        reader=reader,
        axes=layout.declared,
        name=name,
        source=source,
        channels=_channels(channels, known.channels, rgb=samples > 1),
        rgb=samples > 1,
        pixel_size=pixel,
        z_step=z_step,
        time_step=known.time_step if len(times) > 1 else None,
        kind="NDTiff",
        warnings=tuple(f"{source}: {line}" for line in said),
    )


def _folder(path: Path) -> Path | None:
    return next((p for p in (path, path / FULL) if (p / INDEX).is_file()), None)


def _data_set(place: str) -> DataSet:
    folder = Path(place).parent if Path(place).is_file() else _folder(Path(place))
    if folder is None:
        raise ZfuseError(f"{place} has no {INDEX} any more; copy it again from the original")
    state = (folder / INDEX).stat()
    return _parsed(folder, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=2)  # a plate opens it once for each of its thousands of positions
def _parsed(folder: Path, *_: int) -> DataSet:
    """Group the images of an index by position; of two for one place the later counts."""
    entries, rest = read_index(folder / INDEX)
    if not entries:
        raise ZfuseError(f"{folder / INDEX} names no image: nothing to fuse")
    positions: dict[str, Places] = defaultdict(dict)
    names: set[str] = set()
    for entry in entries:
        axes = dict(entry.axes)
        names.update(axes)
        z, t, c = axes.pop("z", 0), axes.pop("time", 0), axes.pop("channel", "")
        if not isinstance(z, int) or not all(isinstance(v, (int, str)) for v in (t, c)):
            raise ZfuseError(f"{folder / INDEX} has an image at {entry.axes}; z must be a number")
        # Sorted: ndstorage writes the axes of each image in an order of their own.
        named = sorted(axes.items(), key=lambda axis: (_FIRST.find(axis[0]) % 99, axis[0]))
        words = [f"{name} {value}" for name, value in named]
        positions[" ".join(words)][t, c, z] = entry
    return DataSet(
        folder,
        dict(sorted(positions.items(), key=lambda item: natural(item[0]))),
        frozenset(names),
        bool(rest.strip(b"\0")),
    )


def _order(value: Any) -> Any:
    return (0, value, ()) if isinstance(value, int) else (1, 0, natural(str(value)))


def _channels(labels: list[Any], known: tuple[Channel, ...], *, rgb: bool) -> tuple[Channel, ...]:
    """Return the channels by their labels; numbers, and no label at all, say no more than order."""
    if rgb:
        return tuple(Channel(name) for name in ("red", "green", "blue"))
    if all(isinstance(label, int) or not label for label in labels):
        if len(known) == len(labels):
            return known
        return tuple(Channel(f"channel {i}") for i in range(len(labels)))
    by_name = {channel.name: channel for channel in known}
    return tuple(by_name.get(str(label)) or Channel(str(label)) for label in labels)


def _check(planes: Places, first: NDTiffEntry, source: str) -> None:
    likeness = (first.shape, first.kind, first.compression)
    for entry in planes.values():
        if (entry.shape, entry.kind, entry.compression) != likeness:
            raise ZfuseError(
                f"{source}: image {entry.axes} is {entry.shape}, kind {entry.kind}, the first is "
                f"{first.shape}, kind {first.kind}; all planes must be alike"
            )
    if first.compression:
        raise ZfuseError(
            f"{source} is compressed (kind {first.compression}), which no writer of NDTiff is "
            "known to do; write it without"
        )


def _check_levels(levels: list[int], source: str, *, allow_missing: bool, said: list[str]) -> None:
    steps = {b - a for a, b in itertools.pairwise(levels)}
    if len(steps) > 1:
        gap = next(z for z in range(levels[0], levels[-1]) if z not in levels)
        if not allow_missing:
            raise ZfuseError(
                f"{source}: plane {gap} is missing, so that depth would be wrong; take the planes "
                "as evenly spaced with --allow-missing"
            )
        said.append(
            f"plane {gap} is missing among its planes, which are taken as evenly spaced: "
            "depth in µm is wrong above the gap"
        )


def _metadata(folder: Path, entry: NDTiffEntry | None) -> dict[str, Any]:
    """Return what Micro-Manager noted of one image."""
    if entry is None:
        return {}
    try:
        with open(folder / entry.file, "rb") as file:
            file.seek(entry.meta_offset)
            found = json.loads(file.read(min(entry.meta_length, _MOST_NOTES)))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _pixel(notes: dict[str, Any]) -> tuple[float, float] | None:
    size = number(notes.get("PixelSizeUm", notes.get("PixelSize_um")))
    return (size, size) if size is not None and is_size(size) else None


def _z_step(
    folder: Path, ends: list[NDTiffEntry | None], count: int, known: float | None
) -> float | None:
    """Return the z step, by the summary or the positions of the lowest and highest number.

    Positions are those that were asked for, or else those that the stage reported.
    """
    for key in ("ZPosition_um_Intended", "ZPositionUm"):
        low, high = (number(_metadata(folder, entry).get(key)) for entry in ends)
        if low is not None and high is not None:
            step = (high - low) / (count - 1)
            if is_size(abs(step)):
                return (1 if step > 0 else -1) * abs(known) if known else step
    return known
