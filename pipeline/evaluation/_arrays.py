"""What metrics take: brightness, and pairs of one shape, as float64.

Must not know: metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["luma", "pair"]


def luma(image: ArrayLike) -> NDArray[np.float64]:
    """Brightness of a picture, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).

    Parameters
    ----------
    image
        (Y, X) grey or (Y, X, 3) colour.

    Returns
    -------
    NDArray
        (Y, X) in the unit of the picture.
    """
    # In one order in memory the sum rounds in one way: greys lie on the edges of Q_MI's bins.
    pixels = np.ascontiguousarray(image, np.float64)
    if pixels.ndim == 3:
        pixels = pixels[..., :3] @ np.array([0.299, 0.587, 0.114])
    return pixels


def pair(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both as float64: differences of unsigned integers would wrap round."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"cannot compare shapes {a.shape} and {b.shape}: crop or resize one first")
    return a, b
