"""OME-NGFF 0.5 metadata of a fused image and its maps.

Duty: axes, scales, channels and display windows as the JSON that lies in a group's attributes. It
is made as yaozarrs' models make it, without them, because they take 0.12 s to import: that it is
valid is tested. Must not know: arrays on disk, shards, tiles.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.pipeline.sinks._labels import channel_names, colour_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Stack
    from zfuse.pipeline.sinks._maps import StoredMap

__all__ = [
    "collection_attributes",
    "display_window",
    "image_attributes",
    "image_channels",
    "known_window",
    "map_attributes",
    "map_axes",
    "series_attributes",
]

_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_RGB = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))
# Told apart with the common kinds of colour blindness, unlike red and green.
_COLOURS = ("00FFFF", "FF00FF", "FFFF00", "FF8000", "00FF00", "0080FF")
_MAP_COLOUR = "FDE725"  # the bright end of viridis


def map_axes(stack: Stack, each: bool) -> str:
    """Axes of depth and confidence: those of the stack, with channels if each decided."""
    return stack.axes if each else stack.axes.replace("c", "")


def known_window(stack: Stack, channel: int) -> tuple[float, float] | None:
    """Display limits that the source gives for a channel, if they are plausible."""
    if stack.rgb and stack.dtype.name == "uint8":
        return 0.0, 255.0
    if channel >= len(stack.channels):
        return None
    window = stack.channels[channel].omero.get("window") or {}
    try:
        start, end = float(window["start"]), float(window["end"])
    except (KeyError, TypeError, ValueError):
        return None
    return (start, end) if isfinite(start) and isfinite(end) and start < end else None


def display_window(values: NDArray[Any]) -> tuple[float, float]:
    """Limits that hold all but the darkest and brightest 0.1 % of some pixels."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return 0.0, 1.0
    low, high = (float(limit) for limit in np.percentile(known, (0.1, 99.9)))
    return (low, high) if high > low else (low, low + 1.0)


def image_channels(stack: Stack, windows: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    """Build the "omero" channels of the fused image.

    Parameters
    ----------
    stack
        Whose channel settings are copied; what they lack is supplied.
    windows
        Display limits (start, end) of each channel.

    Returns
    -------
    list of dict
        One entry a channel, valid for OME-NGFF 0.5.
    """
    return [_channel(stack, index, window) for index, window in enumerate(windows)]


def _channel(stack: Stack, index: int, window: tuple[float, float]) -> dict[str, Any]:
    known = stack.channels[index] if index < len(stack.channels) else None
    given = dict(known.omero) if known else {}
    label, colour = "", _colour(stack, index)
    if stack.rgb and index < 3:
        label, colour = _RGB[index]
    if stack.dtype.kind in "iu":
        info = np.iinfo(stack.dtype)
        lowest, highest = float(info.min), float(info.max)
    else:
        lowest, highest = window
    given_window = given.get("window") or {}
    return {
        "family": "linear",
        "coefficient": 1.0,
        "inverted": False,
        "active": True,
        **given,
        "label": str(given.get("label") or (known.name if known else "") or label or index),
        "color": colour,
        "window": {
            "min": _number(given_window.get("min"), lowest),
            "max": _number(given_window.get("max"), highest),
            "start": window[0],
            "end": window[1],
        },
    }


def _colour(stack: Stack, index: int) -> str:
    """Colour of a channel that is none of a colour picture."""
    known = stack.channels[index].omero if index < len(stack.channels) else {}
    own = "FFFFFF" if stack.shape[1] == 1 else _COLOURS[index % len(_COLOURS)]
    return colour_of(known) or own


def _number(value: Any, default: float) -> float:
    try:
        return float(value) if isfinite(float(value)) else default
    except (TypeError, ValueError):
        return default


def image_attributes(
    stack: Stack,
    n_levels: int,
    channels: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Attributes of the group of the fused image: ``ome`` and ``zfuse``."""
    ome = _image(stack, stack.axes, stack.name, n_levels, channels)
    return {"ome": ome, "zfuse": dict(provenance)}


def map_attributes(
    stack: Stack, stored: StoredMap, n_levels: int, *, each: bool = False
) -> dict[str, Any]:
    """Attributes of the group of a map: ``ome``, and what its values mean under ``zfuse``.

    `each`: it has the channels of the image, with their names and colours.
    """
    low, high = stored.limits
    window = {"min": low, "max": high, "start": low, "end": high}
    shown = [(stored.label, _MAP_COLOUR)]
    if each:
        shown = [(label, _colour(stack, c)) for c, label in enumerate(channel_names(stack))]
    channels = [
        {"label": label, "color": colour, "active": True, "window": dict(window)}
        for label, colour in shown
    ]
    name = f"{stack.name} {stored.quantity}".strip()
    ome = _image(stack, map_axes(stack, each), name, n_levels, channels)
    said = stored.attributes()
    if stored.unit == "micrometer":
        said["reference_position"] = stack.origin[0]
    return {"ome": ome, "zfuse": said}


def collection_attributes() -> dict[str, Any]:
    """Attributes of the root of a collection of several images."""
    return {"ome": {"version": "0.5", "bioformats2raw.layout": 3}}


def series_attributes(paths: Sequence[str]) -> dict[str, Any]:
    """Attributes of the ``OME`` group of a collection."""
    return {"ome": {"version": "0.5", "series": list(paths)}}


def _image(
    stack: Stack,
    axes: str,
    name: str,
    n_levels: int,
    channels: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    pixel_y, pixel_x = stack.pixel_size or (1.0, 1.0)
    pixel = {"z": stack.z_step or 1.0, "y": pixel_y, "x": pixel_x, "t": stack.time_step or 1.0}
    units = {
        "t": "second" if stack.time_step else None,
        "z": "micrometer" if stack.z_step else None,
        "y": "micrometer" if stack.pixel_size else None,
        "x": "micrometer" if stack.pixel_size else None,
    }
    origin = dict(zip("zyx", stack.origin, strict=True))
    datasets = []
    for level in range(n_levels):
        step = {axis: float(1 << level) if axis in "yx" else 1.0 for axis in axes}
        scale = [abs(pixel.get(axis, 1.0)) * step[axis] for axis in axes]
        # A pixel of level n is centred on the middle of the 2**n pixels that it is the mean of.
        shift = [
            origin.get(axis, 0.0) + abs(pixel.get(axis, 1.0)) * (step[axis] - 1) / 2
            for axis in axes
        ]
        datasets.append(
            {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": scale},
                    {"type": "translation", "translation": shift},
                ],
            }
        )
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": name,
                "axes": [_axis(axis, units.get(axis)) for axis in axes],
                "datasets": datasets,
                "type": "mean",
                "metadata": {
                    "description": "mean of 2x2 pixels, integers rounded half up",
                    "method": "zfuse.kernels.downsample",
                },
            }
        ],
        "omero": {
            "channels": [dict(channel) for channel in channels],
            "rdefs": {
                "defaultT": 0,
                "defaultZ": 0,
                "model": "color" if len(channels) > 1 else "greyscale",
            },
        },
    }


def _axis(name: str, unit: str | None) -> dict[str, str]:
    axis = {"name": name, "type": _TYPES[name]}
    return axis if unit is None else axis | {"unit": unit}
