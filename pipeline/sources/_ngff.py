"""The OME-NGFF attributes of one image, read leniently.

Duty: axes, scale, translation, channels and the level-0 path out of the attributes of 0.4 and 0.5
(0.1 to 0.3 spell the same things). What is slightly wrong but has one meaning is read, with a
warning line. Must not know: stores, arrays, pixels.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Channel
from zfuse.pipeline.sources._layout import CANONICAL, IGNORED
from zfuse.pipeline.sources._units import is_size, to_micrometer, to_second

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ImageMeta", "channels", "ome_attributes", "read_image", "why_invalid"]

RGB = ["FF0000", "00FF00", "0000FF"]


@dataclass(frozen=True)
class ImageMeta:
    """What the attributes say; `axes` is None when they don't name any."""

    path: str
    axes: str | None
    name: str
    pixel_size: tuple[float, float] | None
    z_step: float | None
    time_step: float | None
    origin: tuple[float, float, float]
    warnings: tuple[str, ...]


def ome_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the OME part of a group's attributes: under "ome" in 0.5, at the top before."""
    ome = attributes.get("ome")
    return dict(ome) if isinstance(ome, dict) else dict(attributes)


def read_image(ome: Mapping[str, Any], source: str) -> ImageMeta:
    """Read the first multiscale entry.

    Parameters
    ----------
    ome
        See `ome_attributes`.
    source
        Path, for the refusals.

    Returns
    -------
    ImageMeta
        In µm and seconds.

    Raises
    ------
    ZfuseError
        There is no dataset in it.
    """
    try:
        multiscale = ome["multiscales"][0]
        dataset = multiscale["datasets"][0]
        path = str(dataset["path"])
    except (LookupError, TypeError) as error:
        raise ZfuseError(
            f"{source} declares multiscales but no dataset in them; its metadata is damaged: "
            "give the array itself, such as its folder '0'"
        ) from error
    declared = multiscale.get("axes")
    # 0.3 has plain letters, 0.1 and 0.2 have none and are always TCZYX
    entries = [{"name": a} if isinstance(a, str) else a for a in declared or ()]
    axes = _letters(entries) if entries else None
    scale, origin = _transform(dataset, multiscale, len(entries) or 5)
    said: list[str] = []
    per_axis: dict[str, tuple[float | None, float]] = {}
    for i, letter in enumerate(axes or CANONICAL):
        unit = entries[i].get("unit") if entries else None
        step = scale[i] if scale else None
        per_axis[letter] = _physical(letter, unit, step, origin[i], said)
    known = {axis: step for axis, (step, _) in per_axis.items()}
    y, x = known.get("y"), known.get("x")
    return ImageMeta(
        path=path,
        axes=axes,
        name=str(multiscale.get("name") or "").strip("/"),
        pixel_size=(y, x) if y is not None and x is not None else None,
        z_step=known.get("z"),
        time_step=known.get("t"),
        origin=(
            per_axis.get("z", (None, 0.0))[1],
            per_axis.get("y", (None, 0.0))[1],
            per_axis.get("x", (None, 0.0))[1],
        ),
        warnings=tuple(said),
    )


def channels(
    ome: Mapping[str, Any], count: int, dtype: str
) -> tuple[tuple[Channel, ...] | None, bool]:
    """Return the omero channels, None when there are not `count` of them, and whether it is RGB.

    Three uint8 channels in pure red, green and blue are the colours of one picture; fluorescence
    channels may have the same colours but come with 16 bits or with names of their own.
    """
    omero = ome.get("omero")
    entries = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(entries, list) or len(entries) != count:
        return None, False
    entries = [entry if isinstance(entry, dict) else {} for entry in entries]
    named = tuple(
        Channel(str(entry.get("label") or f"channel {i}"), entry) for i, entry in enumerate(entries)
    )
    colours = [str(entry.get("color", "")).lstrip("#").upper() for entry in entries]
    return named, dtype == "uint8" and colours == RGB


def why_invalid(attributes: Mapping[str, Any], zarr_format: int) -> tuple[str, ...]:
    """Return a warning line when yaozarrs does not accept the attributes, else nothing."""
    from pydantic import ValidationError
    from yaozarrs import v04, v05, validate_ome_object

    model: Any = v05.OMEAttributes if zarr_format == 3 else v04.Image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its advice on style is for whoever wrote the file
        try:
            validate_ome_object(dict(attributes), model)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"] if isinstance(part, (str, int)))
            return (
                f"its OME-Zarr metadata is not quite valid ({where}: {first['msg']}); read anyway",
            )
    return ()


def _letters(entries: list[Any]) -> str:
    """Return one canonical letter an axis, by name, then by type."""
    letters = []
    space = [e for e in entries if str(e.get("type", "")) == "space"]
    for entry in entries:
        name = str(entry.get("name", "")).lower()
        kind = str(entry.get("type", ""))
        by_type = {"time": "t", "channel": "c"}.get(kind, IGNORED)
        if kind == "space" and len(space) in (2, 3):
            by_type = "zyx"[-len(space) :][next(i for i, s in enumerate(space) if s is entry)]
        letters.append(name if name in tuple(CANONICAL) else by_type)
    return "".join(letters)


def _transform(
    dataset: Mapping[str, Any], multiscale: Mapping[str, Any], ndim: int
) -> tuple[list[float] | None, list[float]]:
    """Chain the transformations of the dataset and of the whole multiscale."""
    scale: list[float] | None = None
    origin = [0.0] * ndim
    for level in (dataset, multiscale):
        for step in level.get("coordinateTransformations") or ():
            values = step.get(step.get("type"))
            if not isinstance(values, list) or len(values) != ndim:
                continue
            if step["type"] == "scale":
                scale = [a * float(b) for a, b in zip(scale or [1.0] * ndim, values, strict=True)]
                origin = [a * float(b) for a, b in zip(origin, values, strict=True)]
            elif step["type"] == "translation":
                origin = [a + float(b) for a, b in zip(origin, values, strict=True)]
    return scale, origin


def _physical(
    letter: str, unit: Any, step: float | None, origin: float, said: list[str]
) -> tuple[float | None, float]:
    """Turn step and origin of one axis into µm or s; None when the step is unknown."""
    if letter in ("c", IGNORED) or not is_size(step) or step is None:
        return None, 0.0
    convert = to_second if letter == "t" else to_micrometer
    if not unit:
        if step == 1.0:  # what writers put that know no scale
            return None, 0.0
        if letter != "t":
            said.append(f"axis {letter} has no unit; its scale {step:g} is taken as µm")
        return step, origin
    factor = convert(str(unit))
    if factor is None:
        said.append(f"axis {letter} has the unknown unit {unit!r}; its scale is left out")
        return None, 0.0
    return step * factor, origin * factor
