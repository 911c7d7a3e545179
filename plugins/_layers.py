"""Image layers as focal stacks: which layer can be fused, along which axes, with what calibration.

Duty: from napari's layers to `Stack`, without reading a pixel. Must not know: Qt, how stacks are
fused, what becomes of results.

A layer does not say what its axes are unless its reader set `axis_labels`; else they are taken from
their number, as `zfuse.from_array` does it. Readers cut images into one layer a channel: such
layers are offered together, as one stack.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import BaseReader, Channel, Stack
from zfuse.pipeline.sources import from_array

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from napari.layers import Image, Layer
    from numpy.typing import NDArray

    from zfuse.pipeline.core import PlaneReader

__all__ = ["Choice", "axes_choices", "calibration", "choices", "open_choice", "refusal"]

_AXES = {3: ("zyx",), 4: ("czyx", "tzyx"), 5: ("tczyx",)}


@dataclass(frozen=True)
class Choice:
    """What can be picked: one layer, or several that are the channels of one image."""

    name: str
    layers: tuple[Image, ...]

    @property
    def layer(self) -> Image:
        """The first layer, whose axes, scale and units the others share."""
        return self.layers[0]


def choices(layers: Iterable[Layer]) -> list[Choice]:
    """Return all image layers, from top to bottom, before them those that are channels of one."""
    images = [layer for layer in layers if type(layer).__name__ == "Image"][::-1]
    groups: dict[Any, list[Image]] = {}
    for layer in images:
        groups.setdefault(_family(layer), []).append(layer)
    joined = [
        Choice(f"{_stem(group[0].name)} ({len(group)} channels)", tuple(group[::-1]))
        for group in groups.values()
        if len(group) > 1 and not group[0].rgb and len(axes_choices(group[0])) > 0
    ]
    return joined + [Choice(layer.name, (layer,)) for layer in images]


def _family(layer: Image) -> Any:
    """Return what the layers of one image have in common."""
    path = layer.source.path
    data = _finest(layer)
    stem = path if path else _stem(layer.name)
    if not path and stem == layer.name and " [" not in layer.name:
        stem = (stem,)  # the first of `add_image(channel_axis=)` has no number
    key = stem[0] if isinstance(stem, tuple) else stem
    made = "zfuse" in layer.metadata  # results are not channels of what they came from
    return key, made, layer.rgb, data.shape, str(data.dtype), tuple(layer.scale), id(layer) * made


def _stem(name: str) -> str:
    """Return a layer's name without the number that napari appends to channels."""
    return re.sub(r" \[\d+\]$", "", name)


def _finest(layer: Image) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def axes_choices(layer: Image) -> tuple[str, ...]:
    """Return what the layer's axes can be (letters out of ``tczyx``), the likeliest first.

    Without the colours of RGB layers; empty where there is no z, or too many axes.
    """
    labels = tuple(str(label).lower() for label in layer.axis_labels)
    if len(set(labels)) == len(labels) and set(labels) <= set("tczyx"):
        named = "".join(labels)
        return (named,) if {"z", "y", "x"} <= set(labels) else ()
    found = _AXES.get(layer.ndim, ())
    if layer.rgb:
        return tuple(axes for axes in found if "c" not in axes)
    return found


def refusal(choice: Choice | None) -> str | None:
    """Return why this cannot be fused, and the cure; None if it can."""
    if choice is None:
        return "No image layer: open a focal stack, or choose a file"
    layer = choice.layer
    if not axes_choices(layer):
        if layer.ndim == 2:
            return f"{layer.name!r} is one plane (2-D): choose a layer with a z axis"
        labels = ", ".join(str(label) for label in layer.axis_labels)
        return f"{layer.name!r} has the axes {labels}: a stack has z, y, x, and maybe t and c"
    return None


def calibration(layer: Image, axes: str) -> tuple[float | None, float | None]:
    """Return z step and pixel size in µm, None where the layer does not say.

    A scale without a unit is taken for µm unless it is 1: few readers set units.
    """
    found = []
    for axis in "zy":
        i = axes.index(axis)
        size, unit = float(layer.scale[i]), layer.units[i]
        try:
            um = abs(float((size * unit).to("micrometer").magnitude))
        except Exception:  # pint's DimensionalityError: pixels
            um = size if size != 1 else math.nan
        found.append(um if math.isfinite(um) and um > 0 else None)
    return found[0], found[1]


def open_choice(
    choice: Choice, axes: str, *, z_step: float | None, pixel_size: float | None
) -> Stack:
    """Return the stack of a choice, as lazy as its layers.

    Parameters
    ----------
    choice
        One layer, or several with one channel each.
    axes
        One of `axes_choices`.
    z_step, pixel_size
        In µm, None when unknown.

    Raises
    ------
    ZfuseError
        It is no stack, or its pixels cannot be fused.
    """
    if reason := refusal(choice):
        raise ZfuseError(reason)
    opened = [_one(layer, axes, z_step, pixel_size) for layer in choice.layers]
    if len(opened) == 1:
        return opened[0]
    if "c" in axes:
        raise ZfuseError(f"{choice.name}: each of its layers has channels: choose one of them")
    return Stack(
        reader=_Joined([stack.reader for stack in opened]),
        axes=opened[0].axes.replace("z", "cz"),
        name=_stem(choice.layer.name),
        source=opened[0].source,
        channels=tuple(Channel(layer.name) for layer in choice.layers),
        pixel_size=opened[0].pixel_size,
        z_step=z_step,
    )


def _one(layer: Image, axes: str, z_step: float | None, pixel_size: float | None) -> Stack:
    from dataclasses import replace

    data = _finest(layer)
    if layer.rgb:
        data, axes = data[..., :3], f"{axes}c"  # without opacity
    names = layer.metadata.get("channel_names")
    counted = data.shape[axes.index("c")] if "c" in axes and not layer.rgb else None
    stack = from_array(
        data,
        axes=axes,
        channel_names=names if names is not None and len(names) == counted else None,
        z_step=z_step,
        pixel_size=pixel_size,
        rgb=layer.rgb,
    )
    if counted is None and not layer.rgb:
        stack = replace(stack, channels=(Channel(layer.name),))
    return replace(stack, name=layer.name, source=layer.source.path or f"layer {layer.name}")


class _Joined(BaseReader):
    """Channels that lie in layers of their own."""

    def __init__(self, readers: list[PlaneReader]) -> None:
        times, _, *size = readers[0].shape
        first = readers[0]
        super().__init__((times, len(readers), size[0], size[1], size[2]), first.dtype, first.chunk)
        self._readers = readers

    def fill(self, t: int, z: slice, y: slice, x: slice, out: NDArray[np.generic]) -> None:
        for c, reader in enumerate(self._readers):
            out[:, c : c + 1] = reader.read(t, z, y, x)
