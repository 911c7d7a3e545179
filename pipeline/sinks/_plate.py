"""The groups above the images of a plate: root, rows and wells.

Duty: which rows, columns and wells an output has, as groups with OME-NGFF attributes. Rows and
columns stay as they were in the input, so that a plate keeps its shape; only wells and fields that
are there are declared, so that a reader opens whatever is declared. Must not know: images, tiles,
what failed and why.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from zfuse.pipeline.sinks._ome_version import make_group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from zfuse.pipeline.core import PlateLayout
    from zfuse.pipeline.sinks._ome_version import OmeZarrVersion

__all__ = ["plate_attributes", "well_attributes", "write_plate"]


def write_plate(
    folder: Path,
    images: Sequence[str],
    layout: PlateLayout,
    provenance: Mapping[str, Any] | None = None,
    version: OmeZarrVersion = "0.5",
) -> None:
    """Make the groups of a plate.

    Parameters
    ----------
    folder
        The plate.
    images
        ``"row/column/field"`` of the images that are there, in order; at least one.
    layout
        The plate that they are of.
    provenance
        What goes under ``zfuse`` in the root's attributes.
    version
        Of the format.
    """
    wells: dict[str, list[str]] = defaultdict(list)
    for image in images:
        well, _, field = image.rpartition("/")
        wells[well].append(field)
    said = {"zfuse": dict(provenance)} if provenance else {}
    make_group(folder, plate_attributes(wells, layout) | said, version)
    for row in dict.fromkeys(well.partition("/")[0] for well in wells):
        make_group(folder / row, {}, version)
    for well, fields in wells.items():
        make_group(folder / well, well_attributes(well, fields, layout), version)


def plate_attributes(wells: Mapping[str, Sequence[str]], layout: PlateLayout) -> dict[str, Any]:
    """Attributes of the root: ``ome``.

    Parameters
    ----------
    wells
        Fields of each well that is there.
    layout
        The plate.
    """
    rows, columns = list(layout.rows), list(layout.columns)
    order = {well: i for i, well in enumerate(layout.wells)}
    plate: dict[str, Any] = {
        "columns": [{"name": name} for name in columns],
        "rows": [{"name": name} for name in rows],
        "wells": [
            {
                "path": well,
                "rowIndex": rows.index(well.partition("/")[0]),
                "columnIndex": columns.index(well.partition("/")[2]),
            }
            for well in sorted(wells, key=lambda well: order.get(well, len(order)))
        ],
        "field_count": max(len(fields) for fields in wells.values()),
    }
    if layout.name:
        plate["name"] = layout.name
    if layout.acquisitions:
        plate["acquisitions"] = [dict(entry) for entry in layout.acquisitions]
    return {"ome": {"version": "0.5", "plate": plate}}


def well_attributes(well: str, fields: Sequence[str], layout: PlateLayout) -> dict[str, Any]:
    """Attributes of a well: ``ome``.

    Parameters
    ----------
    well
        ``"row/column"``.
    fields
        Those that are there.
    layout
        Says which acquisition each is of.
    """
    images: list[dict[str, Any]] = [{"path": field} for field in fields]
    for image in images:
        acquisition = layout.acquisition_of.get(f"{well}/{image['path']}")
        if acquisition is not None:
            image["acquisition"] = acquisition
    return {"ome": {"version": "0.5", "well": {"images": images}}}
