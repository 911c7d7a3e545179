"""OME-Zarr plates: rows, columns, wells and their fields, from metadata alone.

Duty: which images a plate declares, in its order, and names that are safe as paths. Each well is
one small file; all are asked for at once, so that a plate in a bucket is listed in seconds. Must
not know: multiscale metadata, arrays, pixels.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError, reason
from zfuse.pipeline.core import PlateLayout
from zfuse.pipeline.sources import _ngff
from zfuse.pipeline.sources._members import Listing, Member
from zfuse.pipeline.sources._ngff_models import Plate, Well, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    import zarr

    from zfuse.pipeline.sources._ngff_models import PlateWell, PlateWells

__all__ = ["attributes_below", "list_plate"]

AT_ONCE = 64
MOST_WELLS = 100_000
_SAFE = re.compile(r"[^\W_][\w+-]*(\.[\w+-]+)*")  # "B", "03", "field_1.2"; never "..", "a/b", "C:"


def list_plate(group: zarr.Group, ome: dict[str, Any], place: str) -> Listing:
    """List the fields of all wells.

    Parameters
    ----------
    group
        The plate.
    ome
        Its OME attributes.
    place
        Its path, for the refusals.

    Returns
    -------
    Listing
        A well that is missing or damaged is one member with a fault.

    Raises
    ------
    ZfuseError
        The plate declares no well, or one whose path leads elsewhere.
    """
    declared = parse(Plate, ome, place).plate
    if not declared.wells:
        raise ZfuseError(f"{place} is a plate without wells: nothing to fuse")
    if len(declared.wells) > MOST_WELLS:
        raise ZfuseError(
            f"{place} declares {len(declared.wells)} wells, the most is {MOST_WELLS}; "
            "its metadata is damaged"
        )
    wells = {_name(well, declared, place): well.path.strip("/") for well in declared.wells}
    said = []
    if len(wells) < len(declared.wells):
        said.append(f"{place} declares wells twice, which are taken once")
    found = attributes_below(group, list(wells.values()))
    members: list[Member] = []
    for (name, path), attributes in zip(wells.items(), found, strict=True):
        members += _fields(name, path, attributes, f"{place}/{path}", len(members))
    layout = _layout(declared, list(wells), members, said, place)
    return Listing(tuple(members), layout, tuple(said))


def attributes_below(group: zarr.Group, paths: Sequence[str]) -> list[dict[str, Any] | str]:
    """Return the attributes of groups below a group, or why there are none."""
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    prototype = default_buffer_prototype()
    file = "zarr.json" if group.metadata.zarr_format == 3 else ".zattrs"

    async def one(gate: asyncio.Semaphore, path: str) -> dict[str, Any] | str:
        async with gate:
            try:
                key = f"{group.path}/{path}/{file}".lstrip("/")
                found = await group.store.get(key, prototype)
            except Exception as error:  # stores raise whatever their transport raises
                return f"cannot be read ({reason(error)})"
        if found is None:
            return "is missing"
        try:
            said = json.loads(found.to_bytes())
        except (ValueError, RecursionError) as error:
            return f"has damaged metadata ({reason(error)})"
        if isinstance(said, dict) and file == "zarr.json":
            said = said.get("attributes")
        return said if isinstance(said, dict) else "has damaged metadata (no attributes)"

    async def all_of_them() -> list[dict[str, Any] | str]:
        gate = asyncio.Semaphore(AT_ONCE)
        return list(await asyncio.gather(*(one(gate, path) for path in paths)))

    return sync(all_of_them())


def _fields(
    well: str, path: str, attributes: dict[str, Any] | str, source: str, number: int
) -> list[Member]:
    """Return the members of one well, or the one that says why there are none."""
    try:
        if isinstance(attributes, str):
            raise ZfuseError(f"{source} belongs to its plate but {attributes}; copy it again")
        images = parse(Well, _ngff.ome_attributes(attributes), source).well.images
        if not images:
            raise ZfuseError(f"{source} is a well without fields")
        fields = {_safe(image.path.strip("/"), source): image for image in images}
    except ZfuseError as error:
        return [Member(path, f"{well} (whole well)", number, well, fault=str(error))]
    return [
        Member(
            f"{path}/{field}",
            f"{well} field {field}",
            number + i,
            f"{well}/{field}",
            image.acquisition,
        )
        for i, (field, image) in enumerate(fields.items())
    ]


def _name(well: PlateWell, plate: PlateWells, place: str) -> str:
    """Return "row/column" of a well, by its path, or else by its indices."""
    parts = well.path.strip("/").split("/")
    if len(parts) != 2:
        try:
            if (row := well.rowIndex) is None or (column := well.columnIndex) is None:
                raise IndexError
            if min(row, column) < 0:
                raise IndexError
            parts = [plate.rows[row].name, plate.columns[column].name]
        except IndexError:
            raise ZfuseError(
                f"{place} has damaged OME-Zarr metadata (its well {well.path!r} is no row/column); "
                "correct it"
            ) from None
    for part in (*parts, *well.path.strip("/").split("/")):
        _safe(part, place)
    return "/".join(parts)


def _safe(name: str, place: str) -> str:
    if not _SAFE.fullmatch(name) or len(name) > 100 or name == "zarr.json":
        raise ZfuseError(
            f"{place} has damaged OME-Zarr metadata ({name[:100]!r} is no name of a row, column or "
            "field: letters and digits are needed); correct it"
        )
    return name


def _layout(
    plate: PlateWells, wells: list[str], members: list[Member], said: list[str], place: str
) -> PlateLayout:
    """Return the drawing of the plate; rows and columns that it does not name are of its wells."""
    rows = list(dict.fromkeys(row.name for row in plate.rows))
    columns = list(dict.fromkeys(column.name for column in plate.columns))
    for names, i, what in ((rows, 0, "rows"), (columns, 1, "columns")):
        lacking = {well.split("/")[i] for well in wells} - set(names)
        if lacking:
            said.append(f"{place} does not name all {what} of its wells; they are added")
            names += sorted(lacking, key=lambda name: (len(name), name))
    known = {entry["id"] for entry in plate.acquisitions}
    of = {m.target: m.acquisition for m in members if m.acquisition in known}
    return PlateLayout(
        plate.name,
        tuple(rows),
        tuple(columns),
        tuple(wells),
        tuple(plate.acquisitions),
        {target: number for target, number in of.items() if number is not None},
    )
