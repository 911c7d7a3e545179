"""An image put together of planes by a map that says which is best where.

Duty: copy each pixel from its plane, or mix planes near the borders between them. Must not know:
how the map was made, files, tiles.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.pipeline.methods.parts._floats import to_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Patchwork", "softness"]

_TAIL = 3  # standard deviations of a softened border that are kept
_LEAST = 1e-5  # of a weight, in float32: no plane is known


def softness(feather: float) -> int:
    """Return how many pixels a softened border reaches."""
    return ceil(_TAIL * feather)


class Patchwork:
    """Planes go in one by one.

    Parameters
    ----------
    index
        (Y, X) uint16, the plane of each pixel: of the image, and `softness` pixels round it.
    inside
        Where in it the image lies.
    channels, dtype
        Of the image.
    feather
        Standard deviation in pixels of the Gaussian that softens borders; 0 copies bit for bit.
    """

    def __init__(
        self,
        index: NDArray[np.uint16],
        inside: tuple[slice, slice],
        channels: int,
        dtype: np.dtype[Any],
        feather: float,
    ) -> None:
        self._index, self._inside = index, inside
        self._dtype, self._feather = dtype, feather
        shape = index[inside].shape
        self._sum = np.zeros((channels, *shape), "f4" if feather else dtype)
        self._weight = np.zeros(shape if feather else (0, 0), np.float32)

    def add(self, pixels: NDArray[Any], z: int) -> None:
        """Take what is wanted of plane `z`, (C, Y, X) of the image."""
        from scipy.ndimage import gaussian_filter

        chosen = self._index == z
        if not chosen.any():
            return
        if not self._feather:
            np.copyto(self._sum, pixels, where=chosen[self._inside])
            return
        soft = gaussian_filter(
            chosen.astype(np.float32), self._feather, mode="nearest", truncate=_TAIL
        )
        weight, values = soft[self._inside], pixels.astype(np.float32)
        known = np.isfinite(values).all(0)
        if not known.all():  # what is invalid has no weight
            weight, values = weight * known, np.where(known, values, 0)
        self._sum += weight * values
        self._weight += weight

    @property
    def image(self) -> NDArray[Any]:
        """What was put together, (C, Y, X); NaN where no plane is known."""
        if not self._feather:
            return self._sum
        known = np.where(self._weight > _LEAST, self._weight, np.float32(np.nan))
        return to_dtype(np.asarray(self._sum / known, np.float32), self._dtype)
