"""Calibration out of what bioio's plugins know, which may be wrong, missing, or an exception.

Duty: one record in µm and seconds. Must not know: pixels, axes, which plugin it is.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from zfuse.pipeline.core import Channel
from zfuse.pipeline.sources._ome_xml import Calibration, calibration, children, number, parse
from zfuse.pipeline.sources._units import is_size

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["asked", "bioio_meta"]

T = TypeVar("T")
MOST_PLANES = 2000  # of which bioio may list each in OME-XML, at 1 ms a plane


def asked(question: Callable[[], T], default: T) -> T:
    """Return an answer, or the default where a plugin fails to find one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # xsdata's, on values that a vendor wrote
        try:
            return question()
        except MemoryError:
            raise
        except Exception:  # plugins raise what their libraries raise; the image may be whole
            return default


def bioio_meta(image: Any, scene: int, channels: int, planes: int) -> Calibration:
    """Return the calibration of a scene.

    Parameters
    ----------
    image
        The plugin's reader, its scene set.
    scene
        Number of the scene.
    channels
        How many the pixels have.
    planes
        Y, X planes of all scenes.

    Returns
    -------
    Calibration
        `z_step` below zero where the planes go down.
    """
    colours = _colours(image, channels)
    known = Calibration()
    if colours is None and planes <= MOST_PLANES:  # of a CZI it takes a second and says no more
        known = _ome(image, scene)
    sizes = asked(lambda: image.physical_pixel_sizes, None)
    y, x, z = (number(getattr(sizes, axis, None)) for axis in "YXZ")
    pixel_size = known.pixel_size
    if y is not None and x is not None and is_size(abs(y)) and is_size(abs(x)):
        pixel_size = (abs(y), abs(x))
    z_step = known.z_step
    if z is not None and is_size(abs(z)):  # the sign may be known from positions only
        z_step = -abs(z) if z < 0 or (z_step is not None and z_step < 0) or _falls(image) else z
    interval = asked(lambda: image.time_interval, None)
    seconds = number(getattr(interval, "total_seconds", lambda: interval)())
    names = [str(name) for name in asked(lambda: image.channel_names, None) or ()]
    if len(names) != channels:
        names = [""] * channels
    if colours is None and len(known.channels) == channels:
        # White is what OME says where nobody chose.
        colours = [c.omero if c.omero.get("color") != "FFFFFF" else {} for c in known.channels]
        names = [name or c.name for name, c in zip(names, known.channels, strict=True)]
    return replace(
        known,
        pixel_size=pixel_size,
        z_step=z_step,
        time_step=seconds if is_size(seconds) else known.time_step,
        channels=tuple(
            Channel(name or f"channel {i}", colour)
            for i, (name, colour) in enumerate(zip(names, colours or [{}] * channels, strict=True))
        ),
    )


def _ome(image: Any, scene: int) -> Calibration:
    """Return what the plugin's OME metadata say, as far as it has any that hold together."""
    text = asked(lambda: str(image.ome_metadata.to_xml()), "")
    if not text:
        return Calibration()
    root = asked(lambda: parse(text, ""), None)
    images = [] if root is None else list(children(root, "Image"))
    if len(images) != asked(lambda: len(image.scenes), 0):
        images, scene = images[:1], 0
    return calibration(images[scene]) if images else Calibration()


def _falls(image: Any) -> bool:
    """Whether the planes of a CZI go down; its z step has no sign."""
    places = "./Metadata/Information/Image/Dimensions/Z/Positions/"
    step = number(asked(lambda: image.metadata.findtext(f"{places}Interval/Increment"), None))
    none: list[str] = []
    offsets = asked(lambda: str(image.metadata.findtext(f"{places}List/Offsets")).split(), none)
    first, last = (number(offsets[i]) if offsets else None for i in (0, -1))
    return (step is not None and step < 0) or (
        first is not None and last is not None and last < first
    )


def _colours(image: Any, count: int) -> list[Any] | None:
    """Return the colours in which ZEN shows the channels, None where the file is no CZI."""
    path = "./Metadata/DisplaySetting/Channels/Channel"
    none: list[Any] = []
    found = asked(lambda: [c.findtext("Color") for c in image.metadata.findall(path)], none)
    matches = [re.fullmatch(r"#(?:[0-9A-Fa-f]{2})?([0-9A-Fa-f]{6})", str(c)) for c in found]
    if len(matches) != count or not any(matches):
        return None
    return [{} if match is None else {"color": match[1].upper()} for match in matches]
