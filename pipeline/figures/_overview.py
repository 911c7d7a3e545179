"""One picture that shows what a fusion did: planes, the best of them beside the result, the maps.

Duty: what goes where. Must not know: files, stacks, methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.pipeline.figures._contrast import coloured, contrast, robust_range
from zfuse.pipeline.figures._sheet import Sheet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["overview"]

_PANEL, _WIDEST = 512, 896  # px: height of a panel, and its largest width
_MARGIN, _GAP, _TITLE, _HEAD, _BAR = 24, 16, 40, 30, 66


def overview(
    planes: Mapping[int, NDArray[Any]],
    best: int,
    image: NDArray[Any],
    depth: NDArray[np.float32],
    confidence: NDArray[np.float32],
    *,
    z_step: float | None = None,
    pixel_size: float | None = None,
    title: str = "",
    channels: Sequence[str] = (),
    rgb: bool = False,
) -> Figure:
    """Draw planes, the best of them beside the fused image, the depth map and the confidence.

    Of images that are larger than a panel the middle is shown, pixel for pixel; the maps are shown
    as a whole.

    Parameters
    ----------
    planes
        Up to six planes of the stack, (C, Y, X) or (Y, X), keyed by their number from 0; they are
        shown with the contrast of the fused image.
    best
        Number of the one that is shown beside the fused image.
    image
        Fused image, (C, Y, X) or (Y, X), any real dtype. Contrast is stretched between robust
        percentiles.
    depth
        (Y, X) depth in planes, or (C, Y, X) of each channel; NaN is drawn in dark red.
    confidence
        In 0..1, of the shape of `depth`.
    z_step
        µm between planes; without one depth is shown in planes.
    pixel_size
        µm, for the scale bar; none is drawn when unknown.
    title
        One line above everything.
    channels
        Their names, if each has its own depth.
    rgb
        Three channels are red, green and blue; otherwise channels are blended in distinct colours.

    Returns
    -------
    matplotlib.figure.Figure
        Its canvas is Agg's: ``savefig`` writes it, ``canvas.buffer_rgba()`` returns its pixels.
    """
    rows, columns = depth.shape[-2:]
    maps = list(zip(depth.reshape(-1, rows, columns), confidence.reshape(-1, rows, columns),
                    strict=True))  # fmt: skip
    height = min(_PANEL, max(64, round(_WIDEST * rows / columns)))
    width = max(1, round(height * columns / rows))
    crop = (..., _middle(rows, height), _middle(columns, width))
    below = height + _GAP + _HEAD
    tall = len(maps) * below + height
    each = min(height // 2, (tall - _GAP * (len(planes) - 1)) // max(1, len(planes)))
    wide = round(each * columns / rows) if planes else -_GAP
    top = _MARGIN + (_TITLE if title else 0) + _HEAD
    left = _MARGIN + wide + _GAP
    right = left + width + _BAR + _GAP
    sheet = Sheet(right + width + _BAR + _MARGIN, top + tall + _MARGIN)
    if title:
        sheet.text(_MARGIN, _MARGIN + 18, title, 22)

    limits = contrast(image, rgb=rgb)
    for row, (number, plane) in enumerate(planes.items()):
        box = (_MARGIN, top + row * (each + _GAP), wide, each)
        axes = sheet.picture(box, coloured(plane, limits, rgb=rgb), "" if row else "Planes")
        sheet.label(axes, _place(number, z_step))
    size = ", its middle at 100 %" if rows > height else ""
    for x, pixels, what in (
        (left, planes[best], f"Best single plane, {_place(best, z_step)}{size}"),
        (right, image, f"Fused: all in focus{size}"),
    ):
        axes = sheet.picture((x, top, width, height), coloured(pixels[crop], limits, rgb=rgb), what)
        if pixel_size:
            sheet.scale_bar(axes, pixel_size)

    unit = "µm" if z_step else "planes"
    for row, (its_depth, its_confidence) in enumerate(maps, 1):
        whose = f" of {channels[row - 1]}" if len(channels) == len(maps) > 1 else ""
        scaled = its_depth * np.float32(z_step or 1)
        box = (left, top + row * below, width, height)
        limits_of_depth = robust_range(scaled, 0.2, 99.8)
        sheet.map(box, scaled, limits_of_depth, title=f"Depth{whose}", unit=unit)
        box = (right, top + row * below, width, height)
        sheet.map(box, its_confidence, (0, 1), colours="gray", title=f"Confidence{whose}")
    return sheet.figure


def _middle(whole: int, shown: int) -> slice:
    shown = min(whole, shown)
    return slice((whole - shown) // 2, (whole - shown) // 2 + shown)


def _place(number: int, z_step: float | None) -> str:
    return f"z = {number * z_step:.4g} µm" if z_step else f"plane {number}"
