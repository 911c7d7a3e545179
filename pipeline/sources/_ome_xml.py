"""What OME-XML says of an image: calibration, channels, and the way its planes go.

Duty: one record an image in µm and seconds. Must not know: files, TIFF pages, pixels.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Channel
from zfuse.pipeline.sources._units import is_position, is_size, to_micrometer, to_second

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

__all__ = ["Calibration", "calibration", "children", "number", "parse", "says_ome"]

UNEVEN = 0.5  # steps between PositionZ may differ from their mean by half of it


@dataclass(frozen=True)
class Calibration:
    """What metadata says of one image; None where it says nothing usable.

    `z_step` is below zero when the first plane is the highest; `z_origin` is the lowest place.
    """

    name: str = ""
    pixel_size: tuple[float, float] | None = None
    z_step: float | None = None
    z_origin: float = 0.0
    time_step: float | None = None
    channels: tuple[Channel, ...] = ()
    warnings: tuple[str, ...] = ()


def says_ome(text: str) -> bool:
    """Whether a description begins like OME-XML."""
    return re.search(r"<(\w+:)?OME[\s>]", text[:4096]) is not None


def parse(text: str | bytes, source: str) -> Element:
    """Parse OME-XML.

    Raises
    ------
    ZfuseError
        It is no XML, or no OME-XML, or declares entities.
    """
    try:
        _check_head(text, source)
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # an encoding nobody knows
        raise ZfuseError(
            f"{source} has OME-XML that cannot be read ({error}); the file is truncated or "
            "damaged: copy it again from the original"
        ) from error
    if _tag(root) != "OME":
        raise ZfuseError(f"{source} holds XML but no OME-XML; give the images themselves")
    return root


def _check_head(text: str | bytes, source: str) -> None:
    """Refuse a document type: its entities unfold to any length, and OME-XML never has one."""
    from xml.parsers import expat

    def refuse(*_: object) -> None:
        raise ZfuseError(
            f"{source} has OME-XML with a document type (<!DOCTYPE>), whose entities could unfold "
            "to any length; remove it"
        )

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    with contextlib.suppress(expat.ExpatError, StopIteration):  # damage is told by the next parser
        parser.StartElementHandler = _stop
        parser.Parse(text, True)


def _stop(*_: object) -> None:
    raise StopIteration  # a document type comes before the first element


def children(element: Element, tag: str) -> Iterator[Element]:
    """Go through the direct children of one tag, whatever their namespace."""
    return (child for child in element if _tag(child) == tag)


def number(value: object) -> float | None:
    """Return a number out of metadata, None when it is none."""
    try:
        return float(str(value))
    except ValueError:
        return None


def calibration(image: Element) -> Calibration:
    """Return the calibration of an Image element."""
    pixels = next(children(image, "Pixels"), None)
    if pixels is None:
        return Calibration(name=image.get("Name") or "")
    said: list[str] = []
    y, x = (_size(pixels, axis, said) for axis in "YX")
    z_step, z_origin = _z(pixels, said)
    time = number(pixels.get("TimeIncrement"))
    second = to_second(pixels.get("TimeIncrementUnit", "s"))
    time_step = time * second if time is not None and second is not None else None
    return Calibration(
        name=image.get("Name") or "",
        pixel_size=(abs(y), abs(x)) if y is not None and x is not None else None,
        z_step=z_step,
        z_origin=z_origin,
        time_step=time_step if is_size(time_step) else None,
        channels=tuple(
            Channel(e.get("Name") or "", _colour(e.get("Color")))
            for e in children(pixels, "Channel")
        ),
        warnings=tuple(said),
    )


def _size(pixels: Element, axis: str, said: list[str]) -> float | None:
    """Return a physical size in µm with its sign."""
    given = pixels.get(f"PhysicalSize{axis}")
    unit = pixels.get(f"PhysicalSize{axis}Unit", "µm")
    size, factor = number(given), to_micrometer(unit)
    if given is None or factor is None:
        return None
    if size is None or not is_size(abs(size * factor)):
        said.append(f"its PhysicalSize{axis} is {given}, which is no size; it is left out")
        return None
    if size < 0 and axis != "Z":
        said.append(f"its PhysicalSize{axis} is {given}; the sign is left out")
    return size * factor


def _z(pixels: Element, said: list[str]) -> tuple[float | None, float]:
    """Return the z step, below zero when planes go down, and the lowest place, both in µm."""
    size = _size(pixels, "Z", said)
    places, is_um = _positions(pixels)
    if not places:
        return size, 0.0
    origin = min(places) if is_um and all(map(is_position, places)) else 0.0
    if len(places) < 2:
        return size, origin
    mean = (places[-1] - places[0]) / (len(places) - 1)
    if mean == 0:
        return size, origin
    steps = [b - a for a, b in itertools.pairwise(places)]
    if any(abs(step - mean) > UNEVEN * abs(mean) for step in steps):
        said.append(
            f"its planes are uneven (PositionZ steps from {min(steps):g} to {max(steps):g}); "
            "they are taken as evenly spaced, in the order of the file"
        )
        return size, origin
    sign = 1 if mean > 0 else -1
    if size is None and is_um and is_size(abs(mean)):
        said.append(f"its z step of {abs(mean):g} µm is that of PositionZ")
        return mean, origin
    if size is not None and is_um and abs(abs(mean) - abs(size)) > 0.1 * abs(size):
        said.append(
            f"its PositionZ are {abs(mean):g} µm apart but PhysicalSizeZ is {abs(size):g} µm; "
            "the latter is taken"
        )
    return (None if size is None else sign * abs(size)), origin


def _positions(pixels: Element) -> tuple[list[float], bool]:
    """Return the PositionZ of each plane of one channel and time, and whether they are in µm."""
    found: dict[int, float] = {}
    factor: float | None = 1.0
    for plane in children(pixels, "Plane"):
        place, z = number(plane.get("PositionZ")), _whole(plane.get("TheZ"))
        if place is None or z in found:
            continue
        factor = to_micrometer(plane.get("PositionZUnit", "µm"))
        found[z] = place * (factor or 1.0)
    if not found or sorted(found) != list(range(_whole(pixels.get("SizeZ")))):
        return [], False
    return [found[z] for z in sorted(found)], factor is not None


def _whole(value: str | None) -> int:
    return int(value) if value and value.isdecimal() else -1


def _colour(value: str | None) -> dict[str, str]:
    """Turn OME's signed RGBA number into the RRGGBB of OME-Zarr."""
    try:
        rgba = int(value or "") & 0xFFFFFFFF
    except ValueError:
        return {}
    return {"color": f"{rgba >> 8:06X}"}


def _tag(element: Element) -> str:
    return element.tag.rsplit("}", 1)[-1]
