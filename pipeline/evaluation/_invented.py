"""Edges in a fused image that no plane has: the outlines of patches of a wrong plane.

Duty: one number for an image and the planes it came from; of the planes one at a time is held.
Must not know: files, methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

__all__ = ["invented_edges"]

_BORDER = 8  # px that do not count: there filters see reflected pixels


def invented_edges(fused: ArrayLike, planes: Iterable[ArrayLike]) -> float:
    """Slope that the fused image has beyond that of any plane near by, in per cent of theirs.

    With g(f) the length of the Sobel gradient (weights / 8) of f after a Gaussian of 1 px, and
    B the largest g of all planes in 3 x 3 pixels, it is 100 * mean(max(0, g(fused) - B)) / mean(B)
    over all pixels that lie at least 8 px inside.

    Parameters
    ----------
    fused
        (Y, X), one channel or brightness, larger than 16 x 16 px.
    planes
        (Y, X) each, on the scale of `fused`; one at a time is kept.

    Returns
    -------
    float
        Per cent; 0 when every edge is one of a plane, NaN when no plane has any.

    Raises
    ------
    ValueError
        There is no plane, the shapes differ, or the image is too small.
    """
    from scipy import ndimage

    own = _slope(fused)
    if min(own.shape) <= 2 * _BORDER:
        raise ValueError(
            f"the image has {own.shape[0]} x {own.shape[1]} px; invented edges are counted "
            f"{_BORDER} px inside: give one larger than {2 * _BORDER} px"
        )
    steepest = np.zeros_like(own)
    for number, plane in enumerate(planes):
        slope = _slope(plane)
        if slope.shape != own.shape:
            raise ValueError(f"plane {number} is {slope.shape}, the fused image {own.shape}")
        np.maximum(steepest, slope, out=steepest)
    near = ndimage.maximum_filter(steepest, 3)
    inner = (slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    usual = float(near[inner].mean())
    beyond = np.maximum(own - near, 0)[inner]
    return 100 * float(beyond.mean()) / usual if usual else float("nan")


def _slope(image: ArrayLike) -> NDArray[np.float32]:
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(np.asarray(image, np.float32), 1.0)
    slope: NDArray[np.float32] = np.hypot(ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1)) / 8
    return slope
