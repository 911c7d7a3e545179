"""A few planes of a stack made very small: what tells quickly whether a stack moves.

Duty: which planes, which part of them, and one small grey image of each, read chunk by chunk so
that nothing is decoded twice. Must not know: what is done with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Stack

    Plane = NDArray[np.float32]

__all__ = ["Thumbnails", "read_thumbnails"]

_PLANES = 5
_PIXELS = 128 * 128  # 3 px of a plane of 2048 x 2048 are 0.19 of these, which are known to 0.05
_WHOLE = 16_000_000  # pixels: larger planes are looked at through a window …
_WINDOW = 2048  # px: … of this edge
_PLACES, _PATCH = 4, 128  # windows that may be chosen, in a row; px: what is looked at to choose
_ROWS = 512  # read at once, at least
_LEAST = 8  # px of a thumbnail: in less there is nothing to see
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Thumbnails:
    """Small images of a few planes.

    Attributes
    ----------
    planes
        Indices of the planes, rising.
    images
        One a plane, (Y, X) float32: brightness without scale and offset.
    step
        Edge of the squares of pixels that became one.
    size
        Height and width in pixels of what was looked at.
    """

    planes: tuple[int, ...]
    images: tuple[Plane, ...]
    step: int
    size: tuple[int, int]


def read_thumbnails(stack: Stack, channel: int | None, t: int) -> Thumbnails:
    """Read the thumbnails of up to five planes of a time point, evenly from first to last.

    Parameters
    ----------
    stack
        The stack. Of planes beyond 16 Mpx that are stored in chunks only one window of 2048 x 2048
        px is read, where the middle plane shows most.
    channel
        Channel that is looked at; by default all, each as strong as its contrast to noise.
    t
        Time point.
    """
    depth = stack.shape[2]
    planes = tuple(sorted({round(z) for z in np.linspace(0, depth - 1, min(depth, _PLANES))}))
    y, x = _window(stack, t)
    size = (y.stop - y.start, x.stop - x.start)
    step = ceil(sqrt(size[0] * size[1] / _PIXELS))
    chunk_z, chunk_rows, _ = stack.reader.chunk
    rows = max(step, max(_ROWS, chunk_rows) // step * step)
    small = np.zeros((len(planes), stack.shape[1], size[0] // step, size[1] // step))
    right = x.start + size[1] // step * step
    bottom = y.start + size[0] // step * step
    for _, same in groupby(range(len(planes)), lambda n: planes[n] // chunk_z):
        some = list(same)
        first = planes[some[0]]
        for top in range(y.start, bottom, rows):
            band = slice(top, min(top + rows, bottom))
            block = stack.reader.read(
                t, slice(first, planes[some[-1]] + 1), band, slice(x.start, right)
            )
            at = slice((top - y.start) // step, (band.stop - y.start) // step)
            for n in some:
                small[n, :, at] = _means(block[planes[n] - first], step)
    return Thumbnails(planes, tuple(_mixed(small, stack.rgb, channel)), step, size)


def _window(stack: Stack, t: int) -> tuple[slice, slice]:
    """Return the part of a plane that is looked at."""
    height, width = stack.shape[3:]
    _, rows, columns = stack.reader.chunk
    if height * width <= _WHOLE or (2 * rows > height and 2 * columns > width):
        return slice(0, height), slice(0, width)
    size = min(_WINDOW, height), min(_WINDOW, width)
    z = stack.shape[2] // 2
    best, chosen = -1.0, (0, 0)
    for i in range(_PLACES):
        for j in range(_PLACES):
            place = tuple(
                round((length - edge) * k / (_PLACES - 1)) // chunk * chunk
                for length, edge, k, chunk in zip(
                    (height, width), size, (i, j), (rows, columns), strict=True
                )
            )
            corner = [at + edge // 2 for at, edge in zip(place, size, strict=True)]
            cut = [
                slice(at, min(at + _PATCH, n))
                for at, n in zip(corner, (height, width), strict=True)
            ]
            patch = stack.reader.read(t, slice(z, z + 1), cut[0], cut[1])[0]
            small = _means(patch[:, : patch.shape[1] // 4 * 4, : patch.shape[2] // 4 * 4], 4)
            shows = float(np.var(np.diff(small, axis=-1))) if small.shape[-1] > 1 else 0.0
            if shows > best:
                best, chosen = shows, (place[0], place[1])
    return (
        slice(chosen[0], min(chosen[0] + size[0], height)),
        slice(chosen[1], min(chosen[1] + size[1], width)),
    )


def _means(pixels: NDArray[Any], step: int) -> NDArray[np.float64]:
    """Return the means of squares of (C, Y, X); of those pixels that are finite."""
    channels, height, width = pixels.shape
    if pixels.dtype.kind != "f":
        rows = pixels.reshape(channels, height // step, step, width).sum(2, np.int64)
        return np.asarray(rows.reshape(channels, height // step, -1, step).mean(-1) / step)
    finite = np.isfinite(pixels)
    values = np.where(finite, pixels, 0).astype(np.float64)
    shape = (channels, height // step, step, width // step, step)
    with np.errstate(over="ignore", invalid="ignore"):
        count = finite.reshape(shape).sum((2, 4))
        means = values.reshape(shape).sum((2, 4)) / np.maximum(count, 1)
        usual = means[count > 0].mean() if count.any() else 0.0
    return np.where(count > 0, means, usual)


def _mixed(small: NDArray[np.float64], rgb: bool, channel: int | None) -> list[Plane]:
    """Make one grey image of the channels, without scale and offset."""
    if channel is not None:
        small = small[:, channel : channel + 1]
    channels = small.shape[1]
    if min(small.shape[2:]) < _LEAST:
        return [np.zeros(plane.shape[1:], np.float32) for plane in small]
    with np.errstate(over="ignore", invalid="ignore"):
        if rgb and channels == len(_LUMA):
            weights = np.array(_LUMA)
        else:
            noise = (
                np.abs(np.diff(small, 2, axis=-1)).reshape(len(small), channels, -1).mean((0, 2))
            )
            weights = np.where(noise > 0, 1 / np.where(noise > 0, noise, 1), 0.0)
        grey = np.tensordot(small, weights, (1, 0))
        grey -= grey.mean()
        grey /= grey.std() or 1.0
    if not np.isfinite(grey).all():  # numbers beyond what a sum can hold
        grey = np.zeros_like(grey)
    return [np.ascontiguousarray(plane, np.float32) for plane in grey]
