"""What an image says of itself: detail, and seams where tiles met.

Duty: one function a metric, for one image in memory. Must not know: files, methods, tiles' plans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["average_gradient", "seam_index", "spatial_frequency"]


def spatial_frequency(image: ArrayLike) -> float:
    """Root of the mean squared differences along rows plus those along columns.

    From Eskicioglu & Fisher 1995.

    Parameters
    ----------
    image
        (Y, X). Noise counts like detail: compare only images of one noise.

    Returns
    -------
    float
        In the unit of the image.
    """
    pixels = np.asarray(image, np.float64)
    rows, columns = np.diff(pixels, axis=0), np.diff(pixels, axis=1)
    return float(np.sqrt((rows**2).mean() + (columns**2).mean()))


def average_gradient(image: ArrayLike) -> float:
    """Mean of sqrt((gx² + gy²) / 2) with central differences.

    Parameters
    ----------
    image
        (Y, X). Noise counts like detail: compare only images of one noise.

    Returns
    -------
    float
        In the unit of the image, a pixel.
    """
    gy, gx = np.gradient(np.asarray(image, np.float64))
    return float(np.sqrt((gx**2 + gy**2) / 2).mean())


def seam_index(image: ArrayLike, tile: int) -> float:
    """Mean jump across tile borders over the mean jump two to five pixels beside them.

    Parameters
    ----------
    image
        (Y, X) fused image or depth map; pairs with a NaN do not count.
    tile
        Edge of the tiles in pixels.

    Returns
    -------
    float
        About 1 without seams; NaN when no border lies inside the image.
    """
    pixels = np.asarray(image, np.float64)
    across: list[NDArray[Any]] = []
    beside: list[NDArray[Any]] = []
    for axis in (0, 1):
        jumps = np.moveaxis(np.abs(np.diff(pixels, axis=axis)), axis, 0)
        for border in range(tile - 1, len(jumps), tile):  # jump i lies between i and i + 1
            near = [border + d for d in (-5, -4, -3, -2, 2, 3, 4, 5)]
            across.append(jumps[border])
            beside += [jumps[i] for i in near if 0 <= i < len(jumps)]
    if not across or not beside:
        return float("nan")
    usual = float(np.nanmean(np.concatenate(beside)))
    return float(np.nanmean(np.concatenate(across))) / usual if usual else float("nan")
