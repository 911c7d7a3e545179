"""What `--select` names: wells, fields and images of a collection, times and channels of a stack.

Duty: the words a person writes, and what they mean among what there is. A term that names nothing
is refused with what exists. Must not know: formats, files, pixels.

A term is ``key=values`` or, without a key, a place: ``B03``, ``B/03``, ``B`` (a row), ``B*``,
``B02-D11`` (a rectangle), ``B/03/0`` (one field); in a collection an image: ``2``, ``0-4``.
Values are joined by commas: names, ``*`` and ``?``, ranges ``2-5`` (both ends) and, of what is
counted, ``0:5`` and ``::2`` as in Python. Terms of one key add up, keys narrow each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Selection", "among", "parse_selection"]

_KEYS = {
    "place": ("place", "well", "wells", "w"),
    "row": ("row", "rows"),
    "column": ("column", "columns", "col", "cols"),
    "field": ("field", "fields", "f", "position", "positions", "pos", "p", "image", "images"),
    "acquisition": ("acquisition", "acquisitions"),
    "t": ("t", "time", "times", "frame", "frames"),
    "c": ("c", "channel", "channels", "ch"),
}
_KEY_OF = {word: key for key, words in _KEYS.items() for word in words}
_SHOWN = 8


@dataclass(frozen=True)
class Selection:
    """The values that were given for each key.

    Attributes
    ----------
    place, row, column, field, acquisition
        They narrow the images.
    t, c
        They narrow each stack.
    """

    place: tuple[str, ...] = ()
    row: tuple[str, ...] = ()
    column: tuple[str, ...] = ()
    field: tuple[str, ...] = ()
    acquisition: tuple[str, ...] = ()
    t: tuple[str, ...] = ()
    c: tuple[str, ...] = ()

    @property
    def narrows_images(self) -> bool:
        """Whether it says anything of images."""
        return bool(self.place or self.row or self.column or self.field or self.acquisition)


def parse_selection(select: str | Sequence[str] | None) -> Selection:
    """Read terms.

    Parameters
    ----------
    select
        Terms, each one a string, or several in one with blanks between them.

    Raises
    ------
    ZfuseError
        A key is unknown, or a value is missing.
    """
    values: dict[str, list[str]] = {key: [] for key in _KEYS}
    for text in [select] if isinstance(select, str) else select or ():
        # A blank ends a term only before a place or the next key: channel names have blanks.
        for term in re.split(r"\s+(?=[A-Za-z]+\s*=)", text.strip()):
            word, equals, said = term.partition("=")
            if not equals:
                word, said = "place", ",".join(term.split())
            key = _KEY_OF.get(word.strip().lower())
            if key is None:
                raise ZfuseError(
                    f"select: {word.strip()!r} cannot be selected; give a well (B03), or rows=, "
                    "columns=, fields=, acquisition=, t= or c="
                )
            found = [value.strip() for value in said.split(",")]
            if not all(found):
                raise ZfuseError(f"select: {term.strip()!r} lacks a value; write it like t=0-4")
            values[key] += found
    return Selection(**{key: tuple(found) for key, found in values.items()})


def among(
    value: str, names: Sequence[str], what: str, where: str, *, counted: bool = False
) -> list[int]:
    """Return which of some names a value means.

    Parameters
    ----------
    value
        A name, a pattern, or a range; see the top of this module.
    names
        What there is, in order.
    what, where
        For the refusal: ``"row"``, the path.
    counted
        They are counted from 0, so that numbers that are no name count them, and slices may.

    Returns
    -------
    list of int
        Their indices, in order.

    Raises
    ------
    ZfuseError
        There is no such name.
    """
    plain = [_plain(name) for name in names]
    wanted = _plain(value)
    found = [i for i, name in enumerate(plain) if name == wanted]
    if not found and counted and (cut := re.fullmatch(r"(-?\d*):(-?\d*)(?::(-?\d+))?", value)):
        start, stop, step = (int(part) if part else None for part in cut.groups())
        if step != 0:
            found = sorted(range(len(names))[slice(start, stop, step)])
    elif not found and counted and value.isdecimal():
        found = [int(value)] if int(value) < len(names) else []
    if not found and "-" in value[1:-1]:
        found = _between(value, plain, len(names) if counted else 0)
    if not found and set(value) & set("*?"):
        pattern = value.casefold()
        found = [i for i, name in enumerate(names) if fnmatchcase(name.casefold(), pattern)]
    if not found:
        raise ZfuseError(f"select: {where} has no {what} {value!r}; {existing(names, value, what)}")
    return found


def existing(names: Sequence[str], value: str, what: str) -> str:
    """Say which names there are, the nearest first if there are many."""
    if not names:
        return f"it has no {what} at all"
    if near := get_close_matches(value, names, n=1, cutoff=0.6):
        hint = f"did you mean {near[0]}? "
    else:
        hint = ""
    if len(names) <= _SHOWN:
        return f"{hint}it has {', '.join(names)}"
    return f"{hint}it has {len(names)}: {', '.join(names[:3])} … {names[-1]}"


def _plain(name: str) -> str:
    """Return a name as it is compared: ``B03`` and ``b3`` are one well."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", name.casefold())


def _between(value: str, plain: list[str], count: int) -> list[int]:
    """Return what lies between two names, or two numbers below `count`; both ends are meant."""
    for hyphen in re.finditer("-", value):
        ends = [_plain(value[: hyphen.start()].strip()), _plain(value[hyphen.end() :].strip())]
        places = [
            plain.index(end)
            if end in plain
            else int(end)
            if end.isdecimal() and int(end) < count
            else None
            for end in ends
        ]
        first, last = places
        if first is not None and last is not None and first <= last:
            return list(range(first, last + 1))
    return []
