"""The relief picture: the fused image laid over its depth map, seen at a slant.

Duty: from a fused image to one PNG. Must not know: how depth was measured, formats.

An orthographic view from above the lower edge: every pixel becomes a small vertical wall as high as
its depth, drawn from back to front, so that near relief hides what lies behind it. Light from the
upper left shades the slopes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["relief_picture", "render_relief"]

_LARGEST = 1024  # px: the level of the output's pyramid that is drawn
_MARGIN = 24
_DARK = 17  # grey level of the background, as in the demo's picture
_UNKNOWN = np.array((70, 20, 30), np.float32)  # the sheet's dark red for what is not known
_SHADE = 0.65  # how dark the steepest slope away from the light gets


def relief_picture(
    colours: NDArray[np.uint8], height: NDArray[np.float32], *, tilt: float = 45.0
) -> NDArray[np.uint8]:
    """Draw a height field.

    Parameters
    ----------
    colours
        (Y, X, 3) uint8, what lies on the surface.
    height
        (Y, X) float32 in pixels; NaN is drawn at height 0.
    tilt
        Angle between the line of sight and the plane of the image's normal, in degrees: 0 looks
        straight down, 80 is nearly level.

    Returns
    -------
    ndarray
        (rows, X + margins, 3) uint8.
    """
    height = np.nan_to_num(np.asarray(height, np.float32))
    rows, columns = height.shape
    slope_y, slope_x = np.gradient(height) if min(height.shape) > 1 else (height * 0, height * 0)
    light = (1 + 0.5 * (slope_x + slope_y)) / np.sqrt(1 + slope_x**2 + slope_y**2)
    shade = np.clip(1 - _SHADE * (1 - np.clip(light, 0, 1.4)), 0.25, 1.25)
    lit = np.clip(colours * shade[..., None], 0, 255).astype(np.uint8)

    down, up = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    base = np.arange(rows, dtype=np.float32)[:, None] * down
    top = base - height * up
    lift = float(np.ceil(max(0.0, -top.min()))) + _MARGIN
    total = int(np.ceil(lift + rows * down + max(0.0, -height.min() * up))) + _MARGIN
    picture = np.full((total, columns + 2 * _MARGIN, 3), _DARK, np.uint8)
    starts = np.rint(top + lift).astype(int)
    floor = int(np.ceil(lift + rows * down))
    for y in range(rows):
        # Each wall reaches down to where the next row's wall will cover it, or to the floor.
        ends = starts[y + 1] if y + 1 < rows else np.full(columns, floor)
        first = starts[y]
        longest = int(max((ends - first).max(), 1))
        for k in range(longest):
            at = first + k
            inside = (at < np.maximum(ends, first + 1)) & (at >= 0) & (at < total)
            picture[at[inside], np.flatnonzero(inside) + _MARGIN] = lit[y][inside]
    return picture


def render_relief(
    fused: str | Path,
    output: str | Path,
    *,
    exaggerate: float = 1.0,
    tilt: float = 45.0,
    overwrite: bool = False,
) -> Path:
    """Draw the relief of a fused image to a PNG; where depth is blank it is veiled in dark red.

    Where each channel has its own depth, each is drawn alone, in order from left to right and to
    one scale.

    Parameters
    ----------
    fused
        Output of `zfuse fuse`.
    output
        Path that ends in ``.png``.
    exaggerate
        Factor on the height. 1 is true to scale when pixel size and z step are known; otherwise the
        relief is made a quarter as high as the image is wide.
    tilt
        See `relief_picture`.
    overwrite
        Replace a picture that exists.

    Returns
    -------
    Path
        The picture.

    Raises
    ------
    ZfuseError
        No depth map there, or the picture exists.
    """
    from matplotlib.image import imsave

    from zfuse.pipeline.figures._contrast import coloured, contrast
    from zfuse.pipeline.figures._picture import check_picture, new_picture
    from zfuse.pipeline.sources import open_fused

    target = check_picture(output, overwrite=overwrite)
    opened = open_fused(fused, largest=_LARGEST)
    depth = opened.depth
    if depth is None or not np.isfinite(depth).any():
        raise ZfuseError(
            f"{fused} has no depth map inside or beside it: draw an output of zfuse fuse"
        )
    low, high = float(np.nanmin(depth)), float(np.nanmax(depth))
    if opened.depth_unit == "micrometer" and opened.pixel_size:
        pixel = opened.pixel_size[1]
    else:
        pixel = ((high - low) or 1.0) / (0.25 * depth.shape[-1])
    height = (depth - np.float32(low)) / np.float32(pixel) * np.float32(exaggerate)
    parts = [(opened.image, height)] if height.ndim == 2 else zip(opened.image, height, strict=True)
    pictures = []
    for image, surface in parts:
        colours = coloured(image, contrast(image, rgb=opened.rgb), rgb=opened.rgb)
        pictures.append(relief_picture(*_veiled(colours, surface), tilt=tilt))
    with new_picture(target) as new:
        imsave(new, _side_by_side(pictures))
    return target


def _veiled(
    colours: NDArray[np.uint8], height: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Lay what has no height at the height of the nearest pixel that has one, and veil it."""
    from scipy.ndimage import distance_transform_edt

    blank = ~np.isfinite(height)
    if not blank.any():
        return colours, height
    veiled = np.where(blank[..., None], 0.25 * colours + 0.75 * _UNKNOWN, colours)
    if blank.all():  # another channel has a depth
        return veiled.astype(np.uint8), height
    nearest = distance_transform_edt(blank, return_distances=False, return_indices=True)
    return veiled.astype(np.uint8), height[tuple(nearest)]


def _side_by_side(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Join pictures that stand on one line."""
    rows = max(len(picture) for picture in pictures)
    return np.concatenate(
        [
            np.pad(picture, ((rows - len(picture), 0), (0, 0), (0, 0)), constant_values=_DARK)
            for picture in pictures
        ],
        axis=1,
    )
