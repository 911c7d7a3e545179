"""The frame of an image, which decisions mirror from further inside instead of trusting it.

Frames end in what is not specimen: zero padding of a blur, a resampled or demosaiced rim. Its edge
would win: in the pairs of MFI-WHU the blurred image's two darkened border rows hold 80 % of the
error of an SML argmax, and cost UMIS 1.3 dB. Must not know: how decisions are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["frame_sides", "inside_frame", "mirror_frame"]

_FRAME = 4  # pixels


def inside_frame(size: int, start: int, length: int) -> NDArray[np.intp]:
    """Return which pixels of a cut of an axis to show, so that its frame shows what lies inside.

    The cut begins at pixel `start` of an axis of `size` pixels and may reach beyond the image;
    positions are counted from there.
    """
    i = np.arange(start, start + length)
    if size > 4 * _FRAME:
        last = size - 1 - _FRAME
        i = np.where(i < _FRAME, 2 * _FRAME - i, np.where(i > last, 2 * last - i, i))
    return np.clip(i - start, 0, length - 1)


def frame_sides(image: tuple[int, int], cut: tuple[slice, slice]) -> tuple[int, int, int, int]:
    """Return how wide the frame is in a cut of an image: top, bottom, left, right."""
    sides = []
    for size, part in zip(image, cut, strict=True):
        frame = _FRAME if size > 4 * _FRAME else 0
        sides += [max(frame - part.start, 0), max(part.stop - size + frame, 0)]
    top, bottom, left, right = sides
    return top, bottom, left, right


def mirror_frame(planes: NDArray[Any], image: tuple[int, int], cut: tuple[slice, slice]) -> None:
    """Replace the frame in planes (n, Y, X), a cut of an image (Y, X), by its mirror image."""
    for axis, (size, part) in enumerate(zip(image, cut, strict=True), start=1):
        shown = inside_frame(size, part.start, planes.shape[axis])
        moved = np.flatnonzero(shown != np.arange(len(shown)))
        lines = np.moveaxis(planes, axis, 1)
        lines[:, moved] = lines[:, shown[moved]]
