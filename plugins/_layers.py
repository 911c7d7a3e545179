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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import BaseReader, Channel, Stack
from zfuse.pipeline.sources import from_array

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Image, Layer
    from numpy.typing import NDArray

    from zfuse.pipeline.core import PlaneReader

__all__ = ["LayerChoice", "layer_choices"]

_AXES = {3: ("zyx",), 4: ("czyx", "tzyx"), 5: ("tczyx",)}
_SMALL = 9  # the first of four axes is rather time if it is this long


@dataclass(frozen=True)
class LayerChoice:
    """One layer, or several that are the channels of one image.

    Attributes
    ----------
    name
        For people.
    layers
        They share axes, scale and units; the first one's count.
    """

    name: str
    layers: tuple[Image, ...]

    @property
    def layer(self) -> Image:
        """The first layer."""
        return self.layers[0]

    def axes_choices(self) -> tuple[str, ...]:
        """Return what the axes can be (letters out of ``tczyx``), the likeliest first.

        Without the colours of RGB; empty where there is no z, or too many axes.
        """
        layer = self.layer
        labels = "".join(str(label).lower() for label in layer.axis_labels)
        if len(labels) == layer.ndim == len(set(labels)) and set(labels) <= set("tczyx"):
            return (labels,) if {"z", "y", "x"} <= set(labels) else ()
        found = _AXES.get(layer.ndim, ())
        if layer.rgb or len(self.layers) > 1:
            return tuple(axes for axes in found if "c" not in axes)
        if layer.ndim == 4 and _finest(layer).shape[0] > _SMALL:
            return found[::-1]
        return found

    def refusal(self) -> str | None:
        """Return why this cannot be fused, and the cure; None if it can."""
        layer = self.layer
        if self.axes_choices():
            return None
        if layer.ndim == 2:
            return f"“{layer.name}” is one plane: choose a layer with a z axis"
        labels = ", ".join(str(label) for label in layer.axis_labels)
        return (
            f"“{layer.name}” has the axes {labels}: name them out of t, c, z, y, x, "
            "with z, y and x among them"
        )

    def shape(self, axes: str) -> dict[str, int]:
        """Return the length of each axis; ``c`` counts layers and colours, too."""
        lengths = dict(zip(axes, _finest(self.layer).shape, strict=False))
        if self.layer.rgb:
            lengths["c"] = 3
        elif len(self.layers) > 1:
            lengths["c"] = len(self.layers)
        return lengths

    @property
    def dtype(self) -> str:
        """Name of the dtype of the pixels."""
        return str(_finest(self.layer).dtype)

    @property
    def rgb(self) -> bool:
        """Whether the channels are the colours of one picture."""
        return bool(self.layer.rgb)

    def channel_names(self, axes: str) -> list[str]:
        """Return one name a channel, one for a stack without that axis."""
        if len(self.layers) > 1 or "c" not in axes:
            return [layer.name for layer in self.layers]
        count = self.shape(axes)["c"]
        names = self.layer.metadata.get("channel_names", ())
        if len(names) == count:
            return [str(name) for name in names]
        return [f"channel {c}" for c in range(count)]

    def calibration(self, axes: str) -> tuple[float | None, float | None]:
        """Return z step and pixel size in µm, None where the layer does not say.

        A scale without a unit is taken for µm unless it is 1: few readers set units.
        """
        found = []
        for axis in "zx":
            i = axes.index(axis)
            size, unit = abs(float(self.layer.scale[i])), self.layer.units[i]
            if unit.is_compatible_with("um"):
                size = float((size * unit).to("um").magnitude)
            elif size == 1:
                size = math.nan
            found.append(size if math.isfinite(size) and size > 0 else None)
        return found[0], found[1]

    def calibrate(self, axes: str, z_step: float | None, pixel_size: float | None) -> None:
        """Write sizes in µm to the layers, so that results lie over them; None leaves theirs."""
        for layer in self.layers:
            scale, units = list(layer.scale), [str(unit) for unit in layer.units]
            translate = list(layer.translate)
            for axis, size in (("z", z_step), ("y", pixel_size), ("x", pixel_size)):
                if size is not None:
                    i = axes.index(axis)
                    translate[i] *= size / scale[i]
                    scale[i], units[i] = size, "um"
            if units != [str(unit) for unit in layer.units] or scale != list(layer.scale):
                layer.units, layer.scale, layer.translate = units, scale, translate

    def open(self, axes: str, z_step: float | None, pixel_size: float | None) -> Stack:
        """Return the stack, as lazy as its layers.

        Raises
        ------
        ZfuseError
            It is no stack, or its pixels cannot be fused.
        """
        if reason := self.refusal():
            raise ZfuseError(reason)
        opened = [_open(layer, axes, z_step, pixel_size) for layer in self.layers]
        if len(opened) == 1:
            names = self.channel_names(axes)
            channels = opened[0].channels if self.rgb else tuple(map(Channel, names))
            return replace(opened[0], channels=channels)
        return replace(
            opened[0],
            reader=_Joined([stack.reader for stack in opened]),
            axes=opened[0].axes.replace("z", "cz"),
            name=self.name.rpartition(" (")[0],
            channels=tuple(Channel(layer.name) for layer in self.layers),
        )


def layer_choices(layers: Iterable[Layer]) -> list[LayerChoice]:
    """Return what of a viewer's layers can be picked, from top to bottom.

    Image layers but for results of zfuse; before them, as one, those that are channels of an image:
    from one file or sample, or named as napari names channels, and alike.
    """
    images = [
        layer
        for layer in layers
        if type(layer).__name__ == "Image" and "quantity" not in _said(layer)
    ][::-1]
    families: dict[Any, list[Image]] = {}
    for layer in images:
        families.setdefault(_family(layer), []).append(layer)
    joined = []
    for family in families.values():
        one = LayerChoice(_common(family), tuple(family[::-1]))
        if len(family) > 1 and not one.rgb and one.axes_choices():
            joined.append(replace(one, name=f"{one.name} ({len(family)} channels)"))
    return joined + [LayerChoice(layer.name, (layer,)) for layer in images]


def _said(layer: Image) -> dict[str, Any]:
    said = layer.metadata.get("zfuse")
    return said if isinstance(said, dict) else {}


def _family(layer: Image) -> Any:
    """Return what the layers of one image have in common."""
    source, data = layer.source, _finest(layer)
    origin = source.path or source.sample or _stem(layer.name)
    return origin, layer.rgb, data.shape, str(data.dtype), tuple(layer.scale)


def _stem(name: str) -> str:
    """Return a layer's name without the number that napari appends to those of channels."""
    return re.sub(r" \[\d+\]$", "", name)


def _common(layers: list[Image]) -> str:
    """Return a name for layers together."""
    stems = {_stem(layer.name) for layer in layers}
    if len(stems) == 1:
        return stems.pop()
    return " + ".join(layer.name for layer in layers[::-1][:3])


def _finest(layer: Image) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _open(layer: Image, axes: str, z_step: float | None, pixel_size: float | None) -> Stack:
    data = _finest(layer)
    if layer.rgb:
        data, axes = data[..., :3], f"{axes}c"  # without opacity
    stack = from_array(data, axes=axes, z_step=z_step, pixel_size=pixel_size, rgb=layer.rgb)
    return replace(stack, name=layer.name, source=str(layer.source.path or f"layer {layer.name}"))


class _Joined(BaseReader):
    """Channels that lie in layers of their own."""

    def __init__(self, readers: list[PlaneReader]) -> None:
        times, _, *size = readers[0].shape
        first = readers[0]
        super().__init__((times, len(readers), size[0], size[1], size[2]), first.dtype, first.chunk)
        self._readers = readers

    def fill(self, t: int, z: slice, y: slice, x: slice, out: NDArray[Any]) -> None:
        for c, reader in enumerate(self._readers):
            out[:, c : c + 1] = reader.read(t, z, y, x)
