"""The relief picture: the fused image laid over its depth map, seen at a slant.

Duty: from a fused OME-Zarr to one PNG. Must not know: how depth was measured.

An orthographic view from above the lower edge: every pixel becomes a small vertical wall as high as
its depth, drawn from back to front, so that near relief hides what lies behind it. Light from the
upper left shades the slopes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["relief_picture", "render_relief"]

_LARGEST = 1024  # px: the level of the output's pyramid that is drawn
_MARGIN = 24
_DARK = 17  # grey level of the background, as in the demo's picture
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
    """Draw the relief of a fused OME-Zarr to a PNG.

    Parameters
    ----------
    fused
        Output of `zfuse fuse`, OME-Zarr.
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
    from PIL import Image

    target = Path(output)
    if target.suffix.lower() != ".png":
        raise ZfuseError(f"picture {target}: its name must end in .png")
    if target.exists() and not overwrite:
        raise ZfuseError(f"{target} exists; give another name, or --overwrite")
    image, depth, pixel = _open(fused)
    if pixel is None:
        span = float(np.nanmax(depth) - np.nanmin(depth)) or 1.0
        pixel = span / (0.25 * depth.shape[1])
    height = (depth - np.float32(np.nanmin(depth))) / np.float32(pixel) * np.float32(exaggerate)
    picture = relief_picture(_colours(image), height, tilt=tilt)
    partial = target.with_name(target.stem + ".partial.png")
    try:
        Image.fromarray(picture).save(partial)
        os.replace(partial, target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ZfuseError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def _open(fused: str | Path) -> tuple[NDArray[Any], NDArray[np.float32], float | None]:
    """Return image (C, Y, X), depth (Y, X) and the pixel's size in the depth's unit, if known."""
    import zarr

    try:
        group: Any = zarr.open_group(fused, mode="r")
        depth_group: Any = group["depth"]
        attributes: Any = group.attrs["ome"]
        unit: Any = depth_group.attrs["zfuse"]
        datasets = attributes["multiscales"][0]["datasets"]
        axes = "".join(axis["name"] for axis in attributes["multiscales"][0]["axes"])
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ZfuseError(
            f"{fused} is no OME-Zarr that zfuse fuse wrote, with a depth map inside; fuse to a "
            "name that ends in .ome.zarr first"
        ) from error
    level = 0
    while level + 1 < len(datasets) and max(group[datasets[level]["path"]].shape[-2:]) > _LARGEST:
        level += 1
    path = datasets[level]["path"]
    pixels = np.asarray(group[path][...])
    if "t" in axes:
        pixels = pixels[0]
    image = pixels.reshape(-1, *pixels.shape[-2:])
    depth = np.asarray(depth_group[path][...], np.float32)
    depth = depth[0] if "t" in axes else depth
    depth = depth.reshape(depth.shape[-2:])
    scale = datasets[level]["coordinateTransformations"][0]["scale"][-1]
    spatial = attributes["multiscales"][0]["axes"][-1].get("unit")
    known = unit.get("unit") == "micrometer" and spatial == "micrometer"
    return image, depth, float(scale) if known else None


def _colours(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Stretch an image (C, Y, X) to (Y, X, 3) uint8; three 8-bit channels are colours already."""
    if len(image) == 3 and image.dtype == np.uint8:
        return np.ascontiguousarray(np.moveaxis(image, 0, -1))
    grey = np.zeros(image.shape[1:], np.float64)
    for channel in image.astype(np.float64):
        low, high = np.nanpercentile(channel, (0.3, 99.7))
        grey += np.clip((np.nan_to_num(channel) - low) / ((high - low) or 1), 0, 1) / len(image)
    return np.repeat((grey * 255).astype(np.uint8)[..., None], 3, axis=2)
