"""The relief: a depth map as a surface of triangles, with the fused image laid over it.

Duty: from maps and display settings to vertices, faces and texture. Must not know: viewers, Qt, how
depth was measured.

A surface has at most half a million vertices and a texture of at most 4096 x 4096 pixels: that is
what a laptop's graphics turns smoothly. Larger maps are averaged over square blocks, the picture is
taken from a coarser level of its pyramid or thinned out. Where depth is blank there is a hole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["MOST_VERTICES", "TEXTURE_EDGE", "Mesh", "make_mesh", "picture", "slice_at"]

MOST_VERTICES = 2**19
TEXTURE_EDGE = 4096  # px: every graphics card of the last fifteen years takes this


@dataclass(frozen=True)
class Mesh:
    """A surface of triangles.

    Attributes
    ----------
    vertices
        (N, 3) float32: depth in the map's unit, y and x in pixels of the map.
    faces
        (M, 3) int32, indices of vertices.
    texcoords
        (N, 2) float32 in 0..1: where a vertex lies in a picture of the whole map, x to the right
        and y upwards.
    step
        Pixels of the map along the edge of a block that became one vertex.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    texcoords: NDArray[np.float32]
    step: int


def make_mesh(depth: NDArray[Any], most: int = MOST_VERTICES) -> Mesh:
    """Turn a depth map into a surface.

    Parameters
    ----------
    depth
        (Y, X); what is not finite becomes a hole.
    most
        Vertices that the surface may have. A larger map is averaged over square blocks; a block of
        which less than half has a depth is blank.

    Returns
    -------
    Mesh
        Two triangles for each four neighbours that have a depth, one for three.

    Raises
    ------
    ZfuseError
        No three neighbours have a depth.
    """
    rows, columns = depth.shape
    step = max(1, int(np.ceil(np.sqrt(rows * columns / most))))
    heights = _block_means(np.asarray(depth, np.float32), step)
    known = np.isfinite(heights)
    number = np.cumsum(known.ravel(), dtype=np.int32).reshape(known.shape) - 1
    number[~known] = -1
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    # The diagonal runs where it keeps most: a hole at one corner takes away one triangle only.
    other = ((b < 0) | (c < 0))[..., None]
    upper = np.where(other, np.stack([a, b, d], -1), np.stack([a, b, c], -1))
    lower = np.where(other, np.stack([a, d, c], -1), np.stack([b, d, c], -1))
    faces = np.concatenate([upper.reshape(-1, 3), lower.reshape(-1, 3)])
    faces = faces[(faces >= 0).all(1)]
    if not len(faces):
        raise ZfuseError(
            f"of the depth map's {rows} x {columns} pixels no three neighbours have a depth: "
            "choose another map, or a lower --min-confidence when fusing"
        )
    y, x = np.nonzero(known)
    at = np.stack([y, x], 1).astype(np.float32) * step + np.float32((step - 1) / 2)
    vertices = np.column_stack([heights[known], at]).astype(np.float32)
    texcoords = np.column_stack([(at[:, 1] + 0.5) / columns, 1 - (at[:, 0] + 0.5) / rows])
    return Mesh(vertices, faces.astype(np.int32), texcoords.astype(np.float32), step)


def _block_means(depth: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    if step == 1:
        return depth
    rows, columns = (-(-n // step) for n in depth.shape)
    padded = np.full((rows * step, columns * step), np.nan, np.float32)
    padded[: depth.shape[0], : depth.shape[1]] = depth
    blocks = padded.reshape(rows, step, columns, step)
    finite = np.isfinite(blocks)
    count = finite.sum((1, 3))
    total = np.where(finite, blocks, 0).sum((1, 3))
    means = total / np.maximum(count, 1)
    return np.where(2 * count >= step * step, means, np.nan).astype(np.float32)


def slice_at(layer: Any, point: Iterable[float], edge: int) -> NDArray[Any]:
    """Return what an image layer shows at a point of the world, coarse enough.

    Parameters
    ----------
    layer
        An image layer of napari; of more than two axes the last two are y and x.
    point
        In the world, one number an axis of the viewer: says which time point and plane.
    edge
        Of a pyramid the finest level whose longer edge is not longer is taken, or the coarsest.

    Returns
    -------
    NDArray
        (Y, X), or (Y, X, 3) of colours.
    """
    levels = list(layer.data) if layer.multiscale else [layer.data]
    image = slice(-3, -1) if layer.rgb else slice(-2, None)
    level = next((one for one in levels if max(one.shape[image]) <= edge), levels[-1])
    leading = len(level.shape) - (3 if layer.rgb else 2)
    at = np.asarray(layer.world_to_data(tuple(point)))[-layer.ndim :]
    lengths = level.shape[:leading]
    index = [int(np.clip(round(float(i)), 0, n - 1)) for i, n in zip(at, lengths, strict=False)]
    return np.asarray(level[tuple(index)])


def picture(
    layers: Iterable[Any], point: Iterable[float], edge: int = TEXTURE_EDGE
) -> NDArray[np.uint8]:
    """Return what image layers show together, as one picture in colours.

    Parameters
    ----------
    layers
        Image layers of napari of one size: channels, which are added up, or one of colours.
    point
        See `slice_at`.
    edge
        Longest edge in pixels; what is larger is thinned out.

    Returns
    -------
    NDArray
        (Y, X, 3) uint8, with the layers' colours, limits and gamma.

    Raises
    ------
    ZfuseError
        There are no layers, or they differ in size.
    """
    where, total = tuple(point), None
    for layer in layers:
        pixels = slice_at(layer, where, edge)
        thin = -(-max(pixels.shape[:2]) // edge)
        shown = _coloured(pixels[::thin, ::thin], layer)
        if total is not None and total.shape != shown.shape:
            raise ZfuseError(
                f"{layer.name!r} has {shown.shape[1]} x {shown.shape[0]} pixels, the layers before "
                f"{total.shape[1]} x {total.shape[0]}: lay channels of one image over the relief"
            )
        total = shown if total is None else total + np.minimum(shown, 255 - total)
    if total is None:
        raise ZfuseError("no image was chosen: choose the fused image to lay over the relief")
    return total


def _coloured(pixels: NDArray[Any], layer: Any) -> NDArray[np.uint8]:
    if layer.rgb:
        whole = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1  # as napari has it
        return (pixels[..., :3] * (255 / whole)).clip(0, 255).astype(np.uint8)
    low, high = layer.contrast_limits
    share = (np.nan_to_num(pixels.astype(np.float32), nan=low) - low) / max(high - low, 1e-12)
    # 256 colours are looked up: mapping each of 16 million pixels alone takes seconds.
    colours = layer.colormap.map(np.linspace(0, 1, 256) ** layer.gamma)[:, :3]
    table = np.asarray(colours * 255).round().astype(np.uint8)
    shown: NDArray[np.uint8] = table[(share.clip(0, 1) * 255).astype(np.uint8)]
    return shown
