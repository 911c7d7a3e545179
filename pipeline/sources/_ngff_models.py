"""The parts of OME-NGFF attributes that are read, as pydantic models.

Duty: whatever JSON lies in a file, it is checked once, here, and has its types behind. The models
of yaozarrs say what is valid (see `_ngff.why_invalid`); these accept what is slightly wrong but has
one meaning: plain letters as axes, missing units, entries that nobody reads. Must not know: what
the values mean, stores, pixels.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import inside

__all__ = [
    "Axis", "Image", "Multiscale", "Plate", "PlateWell", "PlateWells", "Series", "Transform",
    "Well", "complaint", "parse",
]  # fmt: skip

M = TypeVar("M", bound=BaseModel)


def _word(value: Any) -> Any:
    """Take null for no word, and a number for its digits."""
    if value is None:
        return ""
    return str(value) if isinstance(value, (int, float)) else value


def _axes(value: Any) -> Any:
    """Take plain letters (0.3) for names, null for no axes (0.1, 0.2)."""
    entries = list(value) if isinstance(value, str) else value or []
    if not isinstance(entries, list):
        return entries
    return [{"name": entry} if isinstance(entry, str) else entry for entry in entries]


def _first(value: Any) -> Any:
    """Drop what is not read: other multiscales, coarser levels."""
    return value[:1] if isinstance(value, list) else value


def _count(value: Any) -> Any:
    """Take whatever is no number from 0 for none: it is only an index or an identifier."""
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    return value if good else None


def _listed(value: Any) -> Any:
    return value or []


def _acquisitions(value: Any) -> list[dict[str, Any]]:
    """Keep what a valid entry has, of entries with an identifier: they go on to the output."""
    kept = []
    for entry in value if isinstance(value, list) else []:
        if not isinstance(entry, dict) or _count(entry.get("id")) is None:
            continue
        numbers = {key: entry[key] for key in _NUMBERS if _count(entry.get(key)) is not None}
        words = {key: entry[key] for key in _WORDS if isinstance(entry.get(key), str)}
        kept.append({"id": entry["id"], **words, **numbers})
    return kept


def _below(path: str, info: ValidationInfo) -> str:
    """Refuse a path that leads out of the group; drop what only says that it does not: ``./0``."""
    source = (info.context or {}).get("source", "the metadata")
    parts = inside(path, source).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))


_NUMBERS = ("maximumfieldcount", "starttime", "endtime")
_WORDS = ("name", "description")
Word = Annotated[str, BeforeValidator(_word)]
Below = Annotated[Word, AfterValidator(_below)]
Count = Annotated[int | None, BeforeValidator(_count)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Axis(_Part):
    """One axis."""

    name: Word = ""
    type: Word = ""
    unit: Word = ""


class Transform(_Part):
    """One coordinate transformation."""

    type: Word = ""
    scale: list[float] | None = None
    translation: list[float] | None = None


Transforms = Annotated[list[Transform], BeforeValidator(lambda value: value or [])]


class Dataset(_Part):
    """One level of a multiscale."""

    path: Below
    coordinateTransformations: Transforms = []


class Multiscale(_Part):
    """One multiscale, with its level 0."""

    axes: Annotated[list[Axis], BeforeValidator(_axes)] = []
    datasets: Annotated[list[Dataset], BeforeValidator(_first), Field(min_length=1)]
    name: Word = ""
    coordinateTransformations: Transforms = []


class Image(_Part):
    """The attributes of an image."""

    multiscales: Annotated[list[Multiscale], BeforeValidator(_first), Field(min_length=1)]


class WellImage(_Part):
    """A field of a well."""

    path: Below
    acquisition: Count = None


class WellImages(_Part):
    """The fields of a well."""

    images: list[WellImage]


class Well(_Part):
    """The attributes of a well."""

    well: WellImages


class PlateWell(_Part):
    """A well as its plate declares it."""

    path: Below
    rowIndex: Count = None
    columnIndex: Count = None


class _Name(_Part):
    name: Word


class PlateWells(_Part):
    """A plate."""

    name: Word = ""
    rows: Annotated[list[_Name], BeforeValidator(_listed)] = []
    columns: Annotated[list[_Name], BeforeValidator(_listed)] = []
    wells: list[PlateWell] = []
    acquisitions: Annotated[list[dict[str, Any]], BeforeValidator(_acquisitions)] = []


class Plate(_Part):
    """The attributes of a plate."""

    plate: PlateWells


class Series(_Part):
    """The attributes of the OME folder of a collection."""

    series: list[Below] | None = None


def parse(model: type[M], attributes: Any, source: str) -> M:
    """Check attributes.

    Raises
    ------
    ZfuseError
        Something that is needed is missing or of a wrong type, or a path leads out of `source`.
    """
    try:
        return model.model_validate(attributes, context={"source": source})
    except ValidationError as error:
        raise ZfuseError(
            f"{source} has damaged OME-Zarr metadata ({complaint(error)}); correct it, "
            "or give an array itself, such as its folder '0'"
        ) from error


def complaint(error: ValidationError) -> str:
    """Say where the first fault lies, and what is wrong."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"] if isinstance(part, (str, int)))
    return f"{where}: {first['msg']}"
