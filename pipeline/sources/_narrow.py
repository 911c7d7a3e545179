"""Narrow a collection and its stacks to what was selected.

Duty: which members of a listing a selection means, and which times and channels of a stack. Must
not know: how a selection is written (`_select`), formats, files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources._names import natural
from zfuse.pipeline.sources._select import among, existing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from zfuse.pipeline.core import Stack
    from zfuse.pipeline.sources._members import Listing, Member
    from zfuse.pipeline.sources._select import Selection

__all__ = ["narrow_listing", "narrow_stack"]

_WELL = re.compile(r"([A-Za-z]+)0*(\d+)")


def narrow_listing(listing: Listing, selection: Selection, place: str) -> tuple[Member, ...]:
    """Return the members that a selection means.

    Raises
    ------
    ZfuseError
        It names what is not there, or leaves nothing.
    """
    members = tuple(m for m in listing.members if not m.overview) or listing.members
    if not selection.narrows_images:
        return members
    if listing.plate is None:
        return _images(members, selection, place)
    wells = {well: tuple(well.split("/")) for well in listing.plate.wells}
    fields = sorted({_field(m) for m in members if not m.fault}, key=natural)
    grid = _Grid(place, listing.plate.rows, listing.plate.columns, wells, fields)
    acquisitions = sorted({str(m.acquisition) for m in members if m.acquisition is not None})
    places = _union(grid.places(value) for value in selection.place)
    rows = _union(grid.wells(row=value) for value in selection.row)
    columns = _union(grid.wells(column=value) for value in selection.column)
    of_fields = _union(grid.named(value) for value in selection.field)
    taken = _union(
        {acquisitions[i] for i in among(value, acquisitions, "acquisition", place)}
        for value in selection.acquisition
    )

    def wanted(m: Member) -> bool:
        # Of a well that cannot be listed nobody knows the fields: it is named among the failed.
        here = {m.well, f"{m.well}/{_field(m)}"}
        at = not m.fault or places is None or any(p.startswith(f"{m.well}/") for p in places)
        return (
            (places is None or bool(here & places) or (bool(m.fault) and at))
            and (rows is None or m.well in rows)
            and (columns is None or m.well in columns)
            and (of_fields is None or bool(m.fault) or _field(m) in of_fields)
            and (taken is None or bool(m.fault) or str(m.acquisition) in taken)
        )

    found = tuple(m for m in members if wanted(m))
    if not found:
        raise ZfuseError(
            f"select: no image of {place} is in all that was selected; take one condition away"
        )
    return found


class _Grid:
    """The wells of a plate, by rows and columns."""

    def __init__(
        self,
        place: str,
        rows: Sequence[str],
        columns: Sequence[str],
        wells: dict[str, tuple[str, ...]],
        fields: Sequence[str],
    ) -> None:
        self._place, self._rows, self._columns = place, rows, columns
        self._wells, self._fields = wells, fields

    def wells(self, row: str = "*", column: str = "*") -> set[str]:
        """Return the wells in some rows and columns."""
        rows = {self._rows[i] for i in among(row, self._rows, "row", self._place)}
        columns = {self._columns[i] for i in among(column, self._columns, "column", self._place)}
        return {w for w, (r, c) in self._wells.items() if r in rows and c in columns}

    def named(self, field: str) -> set[str]:
        """Return the fields that a value means."""
        found = among(field, self._fields, "field", self._place, counted=True)
        return {self._fields[i] for i in found}

    def places(self, value: str) -> set[str]:
        """Return the wells, or their fields, that a place means."""
        row, column, *rest = self._parts(value)
        found = self.wells(row, column)
        if not found:
            said = existing(list(self._wells), f"{row}/{column}", "well")
            raise ZfuseError(f"select: {self._place} has no well {value!r}; {said}")
        if not rest:
            return found
        if len(rest) > 1:
            raise ZfuseError(f"select: {value!r} is no place in a plate; write B03 or B/03/0")
        return {f"{well}/{field}" for well in found for field in self.named(rest[0])}

    def _parts(self, value: str) -> list[str]:
        """Split a place into row, column and perhaps field."""
        first, *rest = value.strip("/").split("/")
        ends = [_WELL.fullmatch(end) for end in first.split("-")]
        if len(ends) <= 2 and all(ends):  # B03, or B02-D11
            corners = [(m[1], m[2]) for m in ends if m]
            (top, left), (bottom, right) = corners[0], corners[-1]
            if len(corners) == 1:
                return [top, left, *rest]
            return [f"{top}-{bottom}", f"{left}-{right}", *rest]
        if line := re.fullmatch(r"([A-Za-z]+)(\d+-\d+)", first):  # B02-11
            return [line[1], line[2], *rest]
        if not rest and (pattern := re.fullmatch(r"([A-Za-z]+|[*?])([*?\d]+)", first)):
            return [pattern[1], pattern[2]]
        return [first, *(rest or ["*"])]


def _images(members: tuple[Member, ...], selection: Selection, place: str) -> tuple[Member, ...]:
    """Narrow the images of a file or collection, by number, path or name."""
    if selection.row or selection.column or selection.acquisition:
        raise ZfuseError(f"select: {place} is no plate: it has no rows, columns and acquisitions")
    if len(members) == 1 and not members[0].path:
        raise ZfuseError(
            f"select: {place} is a single image; only its times (t=) and channels (c=) can be "
            "selected"
        )
    names = [(m.name or m.path).removeprefix("image ") for m in members]
    paths = [m.path for m in members]
    kept: set[int] = set()
    for value in (*selection.place, *selection.field):
        try:
            kept |= set(among(value, paths, "image", place, counted=True))
        except ZfuseError:
            kept |= set(among(value, names, "image", place))
    return tuple(member for i, member in enumerate(members) if i in kept)


def narrow_stack(stack: Stack, selection: Selection) -> Stack:
    """Return the times and channels of a stack that a selection means, with its calibration.

    Raises
    ------
    ZfuseError
        It names what is not there.
    """
    if not (selection.t or selection.c):
        return stack
    times = [str(t) for t in range(stack.shape[0])]
    names = [channel.name for channel in stack.channels]
    source = stack.source
    return stack.picked(
        times=_indices(selection.t, lambda v: among(v, times, "time point", source, counted=True)),
        channels=_indices(selection.c, lambda v: among(v, names, "channel", source, counted=True)),
    )


def _indices(values: Sequence[str], found: Callable[[str], list[int]]) -> list[int] | None:
    return sorted({i for value in values for i in found(value)}) if values else None


def _union(found: Iterable[set[str]]) -> set[str] | None:
    """Return all of them, None when nothing was asked for."""
    return set().union(*every) if (every := list(found)) else None


def _field(member: Member) -> str:
    return member.target.rsplit("/", 1)[-1]
