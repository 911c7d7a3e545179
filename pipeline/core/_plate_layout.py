"""A plate as its metadata draw it: the one value of it that sources give and sinks write.

Duty: names of rows and columns, wells, acquisitions. Must not know: files, formats, images.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PlateLayout"]


@dataclass(frozen=True)
class PlateLayout:
    """Rows, columns and wells of a plate.

    Attributes
    ----------
    name
        May be empty.
    rows, columns
        Their names, in order, also of those without a well.
    wells
        All that are declared, as ``"row/column"``.
    acquisitions
        As OME-NGFF has them: identifiers, names, times.
    acquisition_of
        Identifier of the acquisition of each field that says it, by ``"row/column/field"``.
    """

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    wells: tuple[str, ...]
    acquisitions: tuple[Mapping[str, Any], ...] = ()
    acquisition_of: Mapping[str, int] = field(default_factory=dict)
