"""Results as layers: the fused image, its depth and its confidence, where the stack lies.

Duty: names, scale and units, colours, links. Must not know: Qt, how results are made, when they are
looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image
    from numpy.typing import NDArray

    from zfuse.plugins._canvas import Canvas
    from zfuse.plugins._layers import Choice

__all__ = ["add_results"]

_LINKED = ("scale", "translate", "rotate", "shear", "affine")


def add_results(viewer: ViewerModel, canvas: Canvas, choice: Choice | None) -> list[Image]:
    """Add the layers of a canvas, which grow with it.

    Parameters
    ----------
    viewer
        Shows them.
    canvas
        The results.
    choice
        The layers that were fused, from which place, colours and contrast come; None: a file.

    Returns
    -------
    list of Image
        From bottom to top: confidence and depth, hidden and shown, under the fused image … the
        image is on top, and the only one that is visible while it grows.
    """
    stack, name = canvas.stack, canvas.stack.name
    place = _place(canvas, choice)
    made: list[Image] = []
    maps = canvas.depth[0].shape[1]

    def add(levels: list[NDArray[Any]], channel: int, **more: Any) -> None:
        shown = [_shown(level[:, channel], stack.axes) for level in levels]
        many = len(shown) > 1
        layer = viewer.add_image(
            shown if many else shown[0],
            multiscale=many,
            metadata={"zfuse": {"source": stack.source}},
            **place,
            **more,
        )
        made.append(layer)

    for m in range(maps):
        of = f" {stack.channels[m].name}" if maps > 1 else ""
        add(
            canvas.confidence, m, name=f"{name} confidence{of}", colormap="gray",
            contrast_limits=(0.0, 1.0), visible=False,
        )  # fmt: skip
        add(
            canvas.depth, m, name=f"{name} depth{of} ({canvas.unit})", colormap="viridis",
            contrast_limits=canvas.depth_limits, visible=False,
        )  # fmt: skip
        if hasattr(made[-1], "colorbar"):  # napari 0.9
            made[-1].colorbar.visible = True
    if stack.rgb:
        levels = [_shown(np.moveaxis(level, 1, -1), stack.axes) for level in canvas.image]
        many = len(levels) > 1
        made.append(
            viewer.add_image(
                levels if many else levels[0],
                multiscale=many,
                rgb=True,
                name=f"{name} fused",
                metadata={"zfuse": {"source": stack.source}},
                **place,
            )
        )
    else:
        for c, channel in enumerate(stack.channels):
            of = f" {channel.name}" if len(stack.channels) > 1 else ""
            add(canvas.image, c, name=f"{name} fused{of}", **_colours(canvas, choice, c))
    viewer.layers.link_layers(made, _LINKED)
    return made


def _shown(pixels: NDArray[Any], axes: str) -> NDArray[Any]:
    """Return (T, Y, X) as a viewer takes it: (Y, X), or a plane at every z where there is time."""
    shown: NDArray[Any] = pixels[:, np.newaxis] if "t" in axes else pixels[0]
    return shown


def _place(canvas: Canvas, choice: Choice | None) -> dict[str, Any]:
    """Return scale, translation and units.

    With a time axis there must be one for z, too, along which the one plane fills the stack.
    """
    stack = canvas.stack
    size = stack.pixel_size or (1.0, 1.0)
    unit = "um" if stack.pixel_size else "pixel"
    scale, translate, units = list(size), [0.0, 0.0], [unit, unit]
    if choice is not None:
        layer = choice.layer
        scale, translate = list(layer.scale[-2:]), list(layer.translate[-2:])
        units = [str(u) for u in layer.units[-2:]]
    if "t" in stack.axes:
        thick = canvas.planes * canvas.step
        scale = [1.0, thick, *scale]
        translate = [0.0, (canvas.planes - 1) / 2 * canvas.step, *translate]
        units = ["pixel", units[0], *units]
    return {"scale": scale, "translate": translate, "units": units}


def _colours(canvas: Canvas, choice: Choice | None, c: int) -> dict[str, Any]:
    """Return colormap, contrast limits and blending of one channel of the image."""
    several = len(canvas.stack.channels) > 1
    found: dict[str, Any] = {"blending": "additive" if several else "translucent_no_depth"}
    if choice is not None:
        layer = choice.layers[c] if len(choice.layers) > 1 else choice.layer
        found |= {"contrast_limits": layer.contrast_limits, "gamma": layer.gamma}
        if len(choice.layers) > 1 or not several:
            found["colormap"] = layer.colormap
    return found
