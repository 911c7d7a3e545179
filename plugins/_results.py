"""Results as layers: the fused image, its depth and its confidence, where the stack lies.

Duty: names, scale and units, colours, links. Must not know: Qt, how results are made, when they are
looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.plugins._files import FileChoice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel
    from napari.layers import Image
    from numpy.typing import NDArray

    from zfuse.plugins._canvas import Canvas
    from zfuse.plugins._layers import LayerChoice

__all__ = ["adjust_contrast", "link", "quantity_of", "result_layers"]

_LINKED = ("scale", "translate", "rotate", "shear", "affine")
_TWO, _MORE = ("green", "magenta"), ("blue", "green", "red", "cyan", "magenta", "yellow")
_LOOKED_AT = 256  # pixels along an edge that contrast is taken from


def result_layers(
    canvas: Canvas, choice: LayerChoice | FileChoice, axes: str
) -> Iterator[dict[str, Any]]:
    """Yield the layers of a canvas, which grow with it, as what `add_image` takes.

    Confidence and depth first, hidden; over them the fused image, one layer a channel.

    Parameters
    ----------
    canvas
        The results.
    choice
        What is fused: of layers the results take place, colours and contrast.
    axes
        What its axes were taken for.
    """
    stack, name = canvas.stack, canvas.stack.name
    place = _place(canvas, choice, axes)
    depth_unit = "µm" if canvas.unit == "micrometer" else "planes"
    maps = canvas.depth[0].shape[1]

    def layer(levels: list[NDArray[Any]], quantity: str, of: str, **look: Any) -> dict[str, Any]:
        several = len(levels) > 1
        said = {"source": stack.source, "quantity": quantity}
        if quantity == "depth":
            said["unit"] = canvas.unit
        return {
            "data": levels if several else levels[0],
            "multiscale": several,
            "name": " ".join(f"{name} {quantity.replace('image', 'fused')} {of}".split()),
            "metadata": {"zfuse": said},
            "visible": False,
            **place,
            **look,
        }

    def channel(levels: list[NDArray[Any]], c: int) -> list[NDArray[Any]]:
        return [_shown(level[:, c], stack.axes) for level in levels]

    for m in range(maps):
        of = stack.channels[m].name if maps > 1 else ""
        confidence, depth = channel(canvas.confidence, m), channel(canvas.depth, m)
        yield layer(confidence, "confidence", of, colormap="gray", contrast_limits=(0.0, 1.0))
        yield layer(
            depth, "depth", f"{of} ({depth_unit})",
            colormap="viridis", contrast_limits=canvas.depth_limits,
        )  # fmt: skip
    if stack.rgb:
        colours = [_shown(np.moveaxis(level, 1, -1), stack.axes) for level in canvas.image]
        yield layer(colours, "image", "", rgb=True)
    else:
        names = [one.name for one in stack.channels] if len(stack.channels) > 1 else [""]
        for c, of in enumerate(names):
            yield layer(channel(canvas.image, c), "image", of, **_look(canvas, choice, c))


def link(viewer: ViewerModel, layers: list[Image]) -> None:
    """Let layers of one run lie on each other wherever one is moved; depth gets a colour bar."""
    viewer.layers.link_layers(layers, _LINKED)
    for layer in layers:
        if quantity_of(layer) == "depth" and hasattr(layer, "colorbar"):  # since napari 0.6.5
            layer.colorbar.visible = True


def quantity_of(layer: Image) -> str:
    """Return ``"image"``, ``"depth"`` or ``"confidence"``."""
    return str(layer.metadata["zfuse"]["quantity"])


def adjust_contrast(layers: list[Image], canvas: Canvas, choice: LayerChoice | FileChoice) -> None:
    """Spread the contrast of fused images over what has come so far, where no layer gave it."""
    if not isinstance(choice, FileChoice) and len(choice.layers) == len(canvas.stack.channels):
        return
    pictures = [one for one in layers if quantity_of(one) == "image"]
    for c, layer in enumerate(pictures):
        level = canvas.image[-1][:, c]
        step = max(1, max(level.shape) // _LOOKED_AT)
        seen = level[:, ::step, ::step]
        seen = seen[np.isfinite(seen) & (seen != 0)]
        if seen.size and not layer.rgb:
            low, high = (float(v) for v in np.percentile(seen, (0.1, 99.9)))
            layer.contrast_limits = (low, high if high > low else low + 1)


def _shown(pixels: NDArray[Any], axes: str) -> NDArray[Any]:
    """Return (T, Y, X) as a viewer takes it: (Y, X), or a plane at every z where there is time."""
    shown: NDArray[Any] = pixels[:, np.newaxis] if "t" in axes else pixels[0]
    return shown


def _place(canvas: Canvas, choice: LayerChoice | FileChoice, axes: str) -> dict[str, Any]:
    """Return scale, translation, units and names of axes.

    With a time axis there must be one for z, too, along which the one plane fills the stack.
    """
    stack = canvas.stack
    size = stack.pixel_size or (1.0, 1.0)
    unit = "um" if stack.pixel_size else "pixel"
    place = {axis: (s, 0.0, unit) for axis, s in zip("yx", size, strict=True)}
    place["z"] = (stack.z_step or 1.0, 0.0, "um" if stack.z_step else "pixel")
    place["t"] = (stack.time_step or 1.0, 0.0, "s" if stack.time_step else "pixel")
    if isinstance(choice, FileChoice):
        for axis, origin in zip("yx", stack.origin[1:], strict=True):
            place[axis] = (place[axis][0], origin, unit)
    else:
        layer = choice.layer
        for axis, *at in zip(axes, layer.scale, layer.translate, layer.units, strict=True):
            place[axis] = (float(at[0]), float(at[1]), str(at[2]))
    step, first, unit = place["z"]
    place["z"] = (step * canvas.planes, first + step * (canvas.planes - 1) / 2, unit)
    kept = "tzyx" if "t" in stack.axes else "yx"
    scale, translate, units = zip(*(place[axis] for axis in kept), strict=True)
    return {"scale": scale, "translate": translate, "units": units, "axis_labels": tuple(kept)}


def _look(canvas: Canvas, choice: LayerChoice | FileChoice, c: int) -> dict[str, Any]:
    """Return colours, contrast limits and blending of one channel of the image."""
    channels = canvas.stack.channels
    several = len(channels) > 1
    # The lowest one hides the stack below it, whose light would add up with theirs.
    look: dict[str, Any] = {"blending": "additive" if c else "translucent_no_depth"}
    if isinstance(choice, FileChoice):
        colour = str(channels[c].omero.get("color", "")).lstrip("#")
        if several and len(colour) == 6:
            look["colormap"] = f"#{colour}"
        return look | {"contrast_limits": (0.0, 1.0)}  # until something has come
    apart = len(choice.layers) > 1
    layer = choice.layers[c] if apart else choice.layer
    look |= {"contrast_limits": layer.contrast_limits, "gamma": layer.gamma}
    if apart or not several:
        look["colormap"] = layer.colormap
    else:
        look["colormap"] = (_TWO if len(channels) == 2 else _MORE)[c % len(_MORE)]
    return look
