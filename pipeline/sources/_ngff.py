"""What the OME-NGFF attributes of one image mean.

Duty: axes, scale, translation, channels and the level-0 path out of the attributes of 0.4 and 0.5
(0.1 to 0.3 spell the same things). What is slightly wrong but has one meaning is read, with a
warning line. Must not know: stores, arrays, pixels.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from zfuse.pipeline.core import Channel
from zfuse.pipeline.sources._layout import CANONICAL, IGNORED
from zfuse.pipeline.sources._ngff_models import Axis, Image, Transform, complaint, parse
from zfuse.pipeline.sources._units import is_position, is_size, to_micrometer, to_second

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ImageMeta", "channels", "ome_attributes", "read_image", "why_invalid"]

RGB = ["FF0000", "00FF00", "0000FF"]


@dataclass(frozen=True)
class ImageMeta:
    """What the attributes say; `axes` is None when they don't name any.

    `z_step` is below zero when the first plane is the highest; `origin` is its place.
    """

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
        What is needed is missing or of a wrong type.
    """
    multiscale = parse(Image, ome, source).multiscales[0]
    dataset = multiscale.datasets[0]
    axes = _letters(multiscale.axes) if multiscale.axes else None
    units = {a: e.unit for a, e in zip(axes or "", multiscale.axes, strict=True)}
    said: list[str] = []
    steps = (*dataset.coordinateTransformations, *multiscale.coordinateTransformations)
    # before 0.4 the axes were always TCZYX
    scale, origin = _transform(steps, len(axes or CANONICAL), said)
    sizes: dict[str, float | None] = {}
    places: dict[str, float] = {}
    for i, letter in enumerate(axes or CANONICAL):
        step = scale[i] if scale else None
        sizes[letter], places[letter] = _physical(
            letter, units.get(letter, ""), step, origin[i], said
        )
    y, x = sizes.get("y"), sizes.get("x")
    return ImageMeta(
        path=dataset.path,
        axes=axes,
        name=multiscale.name.strip("/"),
        pixel_size=(y, x) if y is not None and x is not None else None,
        z_step=sizes.get("z"),
        time_step=sizes.get("t"),
        origin=(places.get("z", 0.0), places.get("y", 0.0), places.get("x", 0.0)),
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
    settings = [_display(entry) for entry in entries]
    named = tuple(
        Channel(str(entry.get("label") or f"channel {i}"), entry)
        for i, entry in enumerate(settings)
    )
    colours = [str(entry.get("color", "")).lstrip("#").upper() for entry in settings]
    return named, dtype == "uint8" and colours == RGB


def why_invalid(attributes: Mapping[str, Any], zarr_format: int) -> tuple[str, ...]:
    """Return a warning line when yaozarrs does not accept the attributes, else nothing."""
    from yaozarrs import v04, v05, validate_ome_object

    model: Any = v05.OMEAttributes if zarr_format == 3 else v04.Image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its advice on style is for whoever wrote the file
        try:
            validate_ome_object(dict(attributes), model)
        except ValidationError as error:
            said = complaint(error)
            return (f"its OME-Zarr metadata is not quite valid ({said}); read anyway",)
    return ()


def _display(entry: Any) -> dict[str, Any]:
    """Return the settings of a channel without those of a wrong type."""
    from yaozarrs import v05

    if not isinstance(entry, dict):
        return {}
    try:
        v05.OmeroChannel.model_validate(entry)
    except ValidationError as error:
        # What is missing is supplied by the sinks.
        wrong = {fault["loc"][0] for fault in error.errors() if fault["type"] != "missing"}
        return {key: value for key, value in entry.items() if key not in wrong}
    return entry


def _letters(entries: Sequence[Axis]) -> str:
    """Return one canonical letter an axis, by name, then by type."""
    letters = []
    space = [e for e in entries if e.type == "space"]
    for entry in entries:
        name = entry.name.lower()
        by_type = {"time": "t", "channel": "c"}.get(entry.type, IGNORED)
        if entry.type == "space" and len(space) in (2, 3):
            by_type = "zyx"[-len(space) :][next(i for i, s in enumerate(space) if s is entry)]
        letters.append(name if name in tuple(CANONICAL) else by_type)
    return "".join(letters)


def _transform(
    steps: Sequence[Transform], ndim: int, said: list[str]
) -> tuple[list[float] | None, list[float]]:
    """Chain the transformations of the dataset and of the whole multiscale."""
    scale: list[float] | None = None
    origin = [0.0] * ndim
    for step in steps:
        values = {"scale": step.scale, "translation": step.translation}.get(step.type)
        if step.type == "identity":
            continue
        if values is None or len(values) != ndim:
            said.append(
                f"its coordinate transformation {step.type!r} is left out: "
                f"{ndim} numbers are needed, one an axis"
            )
        elif step.type == "scale":
            scale = [a * b for a, b in zip(scale or [1.0] * ndim, values, strict=True)]
            origin = [a * b for a, b in zip(origin, values, strict=True)]
        else:
            origin = [a + b for a, b in zip(origin, values, strict=True)]
    return scale, origin


def _physical(
    letter: str, unit: str, step: float | None, origin: float, said: list[str]
) -> tuple[float | None, float]:
    """Turn step and origin of one axis into µm or s; None when the step is unknown."""
    if letter in ("c", IGNORED) or step is None:
        return None, 0.0
    factor: float | None = 1.0
    if unit:
        factor = (to_second if letter == "t" else to_micrometer)(unit)
    elif step == 1.0:  # what writers put that know no scale
        if origin:
            said.append(f"axis {letter} has no unit; its translation {origin:g} is left out")
        return None, 0.0
    elif letter != "t":
        said.append(f"axis {letter} has no unit; its scale {step:g} is taken as µm")
    if factor is None:
        said.append(f"axis {letter} has the unknown unit {unit!r}; its scale is left out")
        return None, 0.0
    size, place = step * factor, origin * factor
    if not is_size(abs(size)) or (letter == "t" and size < 0):
        said.append(f"axis {letter} has the scale {step:g}, which is no size; it is left out")
        return None, 0.0
    if not is_position(place):
        said.append(f"axis {letter} has the translation {origin:g}; it is left out")
        place = 0.0
    if size < 0 and letter != "z":
        said.append(
            f"axis {letter} has the scale {step:g}: it runs backwards; its pixels keep the order "
            "of the file, and its translation is left out"
        )
        return -size, 0.0
    return size, place
