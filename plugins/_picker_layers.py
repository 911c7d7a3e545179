"""What the layers of a viewer are to zfuse: stacks, fused images, depth, confidence.

Duty: recognise layers and read what they say of their units. Must not know: Qt, what is done with
them. Layers are those of napari or anything that has their attributes.

Layers that zfuse's plugin made carry ``metadata["zfuse"]``; others go by their names, as readers of
OME-Zarr give them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

_WORDS = {"depth": "depth", "confidence": "confidence", "fused": "image"}

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "alike",
    "depth_unit",
    "extent",
    "maps",
    "pixel_size",
    "planes",
    "quantity",
    "stack_for",
    "stacks",
    "z_axis",
    "z_step",
]


def quantity(layer: Any) -> str | None:
    """Return ``"depth"``, ``"confidence"``, ``"image"`` (a fused one), or None."""
    said = layer.metadata.get("zfuse")
    if isinstance(said, dict) and "quantity" in said:
        return str(said["quantity"])
    if planes(layer) > 1:
        return None
    words = layer.name.lower().replace("_", " ").split()
    return next((_WORDS[word] for word in words[::-1] if word in _WORDS), None)


def extent(layer: Any) -> tuple[int, int]:
    """Return height and width in pixels, of the finest level."""
    data = layer.data[0] if layer.multiscale else layer.data
    height, width = data.shape[-3:-1] if layer.rgb else data.shape[-2:]
    return int(height), int(width)


def _images(layers: Iterable[Any]) -> list[Any]:
    return [one for one in layers if hasattr(one, "multiscale") and hasattr(one, "rgb")]


def stacks(layers: Iterable[Any]) -> list[Any]:
    """Return the layers that are focal stacks: z is longer than one."""
    return [one for one in _images(layers) if quantity(one) is None and planes(one) > 1]


def planes(layer: Any) -> int:
    """Return the length of the z axis, 1 where there is none."""
    data = layer.data[0] if layer.multiscale else layer.data
    return int(data.shape[z_axis(layer)]) if layer.ndim > 2 else 1


def maps(layers: Iterable[Any], kind: str) -> list[Any]:
    """Return the layers of depth, or of confidence."""
    return [one for one in _images(layers) if quantity(one) == kind]


def alike(layers: Iterable[Any], depth: Any) -> list[Any]:
    """Return the pictures that fit over a depth layer, those that were fused with it first."""
    fitting = [
        one
        for one in _images(layers)
        if quantity(one) in ("image", None) and extent(one) == extent(depth) and planes(one) == 1
    ]
    source = _source(depth)
    return sorted(fitting, key=lambda one: (quantity(one) is None, _source(one) != source))


def stack_for(layers: Iterable[Any], depth: Any) -> Any | None:
    """Return the first stack that a depth layer fits over, None where there is none."""
    return next((one for one in stacks(layers) if extent(one) == extent(depth)), None)


def _source(layer: Any) -> Any:
    said = layer.metadata.get("zfuse")
    return said.get("source") if isinstance(said, dict) else None


def z_axis(stack: Any) -> int:
    """Return which axis of a stack's data is z: the one that says so, or that before y and x."""
    labels = [str(label).lower() for label in stack.axis_labels]
    return labels.index("z") if labels.count("z") == 1 else int(stack.ndim) - 3


def z_step(stack: Any | None) -> float | None:
    """Return the distance of a stack layer's planes in µm, None where it is unknown."""
    if stack is None or stack.ndim < 3:
        return None
    return _micrometers(stack, z_axis(stack))


def pixel_size(layer: Any) -> tuple[float, float] | None:
    """Return the (y, x) size of a layer's pixels in µm, None where it is unknown."""
    y, x = _micrometers(layer, -2), _micrometers(layer, -1)
    return (y, x) if y and x else None


def _micrometers(layer: Any, axis: int) -> float | None:
    """Return a scale; without a unit it is taken for µm unless it is 1: few readers set units."""
    unit, size = layer.units[axis], float(layer.scale[axis])
    if unit.is_compatible_with("um"):
        return abs(float((size * unit).to("um").magnitude))
    return abs(size) if size != 1 else None


def depth_unit(depth: Any, stack: Any | None) -> float | None:
    """Return how many µm a unit of a depth layer is, None where nobody knows.

    Parameters
    ----------
    depth
        The layer. What says nothing of µm is taken for planes.
    stack
        The layer it was made of, whose z step counts where depth is in planes.
    """
    said = depth.metadata.get("zfuse")
    unit = str(said.get("unit", "")) if isinstance(said, dict) else ""
    if unit in ("micrometer", "µm", "um") or "µm" in depth.name:
        return 1.0
    return z_step(stack)
