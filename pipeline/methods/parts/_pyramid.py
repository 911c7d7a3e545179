"""Steps of Burt & Adelson's pyramid on arrays that are allocated here.

P. J. Burt & E. H. Adelson, The Laplacian Pyramid as a Compact Image Code, IEEE Trans. Commun. 31,
1983. Arrays are (…, Y, X) float32, the steps are those of `zfuse.kernels`. Must not know: what the
levels mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zfuse.kernels import add_expanded, reduce_plane, subtract_expanded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["expanded", "join_band", "level_shapes", "reduced", "split_band"]


def level_shapes(shape: tuple[int, ...], levels: int) -> list[tuple[int, int]]:
    """Return (Y, X) of a plane and of so many levels below it."""
    height, width = shape
    shapes = [(height, width)]
    for _ in range(levels):
        height, width = (height + 1) // 2, (width + 1) // 2
        shapes.append((height, width))
    return shapes


def reduced(planes: Plane, levels: int = 1) -> Plane:
    """Return planes smoothed and halved, so many times."""
    for shape in level_shapes(planes.shape[-2:], levels)[1:]:
        coarse = np.empty((*planes.shape[:-2], *shape), np.float32)
        for at in np.ndindex(planes.shape[:-2]):
            reduce_plane(planes[at], coarse[at])
        planes = coarse
    return planes


def expanded(coarse: Plane, shape: tuple[int, ...]) -> Plane:
    """Return planes of the next coarser level interpolated to `shape` (Y, X)."""
    # np.zeros asks for no huge pages: a tenth of `gaussian`'s time.
    fine = np.empty((*coarse.shape[:-2], *shape), np.float32)
    fine[...] = 0
    join_band(fine, coarse)
    return fine


def split_band(planes: Plane) -> Plane:
    """Return the next coarser level, and leave in `planes` the band that it does not hold."""
    coarse = reduced(planes)
    for at in np.ndindex(planes.shape[:-2]):
        subtract_expanded(planes[at], coarse[at], planes[at])
    return coarse


def join_band(band: Plane, coarse: Plane) -> None:
    """Undo `split_band`: add to `band` what the next coarser level holds."""
    for at in np.ndindex(band.shape[:-2]):
        add_expanded(band[at], coarse[at], band[at])
