"""Where a plane belongs, read from its file name.

Duty: natural order and the tokens t, c, z and position in names; works on strings only.
Must not know: files, pixels.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from dataclasses import dataclass

from zfuse.errors import ZfuseError

__all__ = ["FileGrid", "arrange", "natural", "tokens"]

WORDS = {
    "time": "t", "t": "t",
    "channel": "c", "ch": "c", "c": "c", "w": "c",
    "z": "z",
    "position": "p", "pos": "p", "xy": "p", "s": "p",
}  # fmt: skip
_WORD = "|".join(sorted(WORDS, key=len, reverse=True))
# The word must not go on to the left (`IMG_0001` has no g) and the number must end at a separator
# or at the next token (`z003c01`), so that `E08`, `s2x` or a date are no tokens.
_TOKEN = re.compile(
    rf"(?<![a-z])({_WORD})[-_]?(\d+)(?=$|[^a-z0-9]|(?:{_WORD})[-_]?\d)", re.IGNORECASE
)
# Micro-Manager 1.4 without words: img_000000012_DAPI_003, that is time, channel, z
_OLD_MM = re.compile(r"img_(\d{9})_(.+)_(\d{3,})$", re.IGNORECASE)


@dataclass(frozen=True)
class FileGrid:
    """One stack of a folder: file names in order, and what the tokens say.

    Attributes
    ----------
    files
        ``files[t][c][z]``: names.
    channels
        One name a channel.
    position
        Token of the position, empty when there is only one.
    axes
        Tokens found, out of ``tcz``.
    gap
        What is missing among the plane numbers, empty when they are evenly spaced.
    """

    files: tuple[tuple[tuple[str, ...], ...], ...]
    channels: tuple[str, ...]
    position: str
    axes: str
    gap: str = ""


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sorting key that puts ``z9`` before ``z10``."""
    parts = re.findall(r"\d+|\D+", name.casefold())
    return tuple((0, int(p), p) if p.isdigit() else (1, 0, p) for p in parts)


def arrange(names: list[str], folder: str) -> list[FileGrid]:
    """Arrange the planes of a folder.

    Parameters
    ----------
    names
        File names.
    folder
        For the refusals.

    Returns
    -------
    list of FileGrid
        One a position. Without tokens the natural order of the names is z. A gap in the plane
        numbers that all files share is told, and left to the caller to refuse.

    Raises
    ------
    ZfuseError
        Two files are the same plane, or a plane of one time point or channel is missing.
    """
    found = {name: tokens(name) for name in sorted(names, key=natural)}
    varying = {
        axis
        for axis in "tczp"
        if len({said.get(axis) for said in found.values()}) > 1
        or all(axis in said for said in found.values())
    }
    for axis in sorted(varying):
        if lacking := next((name for name, said in found.items() if axis not in said), None):
            having = next(name for name, said in found.items() if axis in said)
            if axis == "z":
                raise ZfuseError(
                    f"{folder}: {having} names its {axis} but {lacking} does not; "
                    "name all planes alike, or move the odd files away"
                )
            varying.discard(axis)
    if "z" not in varying:
        varying.discard("p")  # s001, s002 … alone are slices
    groups: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    for name, said in found.items():
        groups[said["p"] if "p" in varying else ""][name] = said
    several = len(groups) > 1
    return [
        _grid(group, varying, folder, position if several else "")
        for position, group in sorted(groups.items(), key=lambda item: natural(item[0]))
    ]


def _grid(group: dict[str, dict[str, str]], axes: set[str], folder: str, position: str) -> FileGrid:
    """Put the files of one position on a full grid of t, c and z."""
    places: dict[tuple[str, str, str], str] = {}
    ranks: dict[tuple[str, str], int] = defaultdict(int)
    for name, said in group.items():
        t, c = (said[axis] if axis in axes else "" for axis in "tc")
        if "z" in axes:
            z = said["z"]
        else:
            z = str(ranks[t, c])
            ranks[t, c] += 1
        if (t, c, z) in places:
            raise ZfuseError(
                f"{folder}: {places[t, c, z]} and {name} are both {_spell(t, c, z)}; "
                "give a folder with one stack"
            )
        places[t, c, z] = name
    times, channels, planes = (
        sorted({place[i] for place in places}, key=natural) for i in range(3)
    )
    for t in times:
        for c in channels:
            for z in planes:
                if (t, c, z) not in places:
                    raise ZfuseError(
                        f"{folder}: {_spell(t, c, z)} is missing among {len(places)} planes of "
                        f"{len(times)} time point(s) x {len(channels)} channel(s) x "
                        f"{len(planes)} plane(s); add the file, or move the incomplete set away"
                    )
    return FileGrid(
        files=tuple(tuple(tuple(places[t, c, z] for z in planes) for c in channels) for t in times),
        channels=tuple(channels),
        position=position,
        axes="".join(axis for axis in "tcz" if axis in axes),
        gap=_gap([int(z) for z in planes]) if "z" in axes else _gap(_counted(list(group)), 0.5),
    )


def _counted(names: list[str]) -> list[int]:
    """Return the numbers of names that differ in one number only, in order, else nothing."""
    parts = [re.split(r"(\d+)", name) for name in names]
    if len({len(part) for part in parts}) != 1:
        return []
    varying = [i for i, texts in enumerate(zip(*parts, strict=True)) if len(set(texts)) > 1]
    if len(varying) != 1 or varying[0] % 2 == 0:
        return []
    return sorted(int(part[varying[0]]) for part in parts)


def _gap(numbers: list[int], most: float = math.inf) -> str:
    """Name what is missing in a row of numbers, nothing when their distances are the same.

    Numbers that nobody calls z may be times of day: only where not more than `most` times as many
    as there are seem to be missing, they are a count with a gap.
    """
    step = math.gcd(*(b - a for a, b in itertools.pairwise(numbers)))
    if step == 0:
        return ""
    count = (numbers[-1] - numbers[0]) // step + 1 - len(numbers)
    if count == 0 or count > most * len(numbers):
        return ""
    first = next(a + step for a, b in itertools.pairwise(numbers) if b - a > step)
    return f"number {first}" + (f" and {count - 1} more" if count > 1 else "")


def tokens(name: str) -> dict[str, str]:
    """Return the tokens t, c, z, p of a file name; numbers lose their leading zeros."""
    stem = name.rsplit(".", 1)[0]
    if stem.casefold().endswith(".ome"):
        stem = stem[:-4]
    if old := _OLD_MM.match(stem):
        return {"t": str(int(old[1])), "c": old[2], "z": str(int(old[3]))}
    return {WORDS[word.lower()]: str(int(number)) for word, number in _TOKEN.findall(stem)}


def _spell(t: str, c: str, z: str) -> str:
    named = [f"{axis} {value}" for axis, value in (("t", t), ("c", c), ("z", z)) if value]
    return ", ".join(named)
