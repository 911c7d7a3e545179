"""How far a depth map is from the true one.

Must not know: files, methods, units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.pipeline.evaluation._arrays import pair

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["depth_mae", "depth_rmse"]


def depth_rmse(
    depth: ArrayLike, truth: ArrayLike, *, where: NDArray[np.bool_] | None = None
) -> float:
    """Root of the mean squared depth error, in the unit of the maps.

    Parameters
    ----------
    depth, truth
        (Y, X) depth maps in the same unit.
    where
        (Y, X) pixels that count, for example those with enough confidence; all by default.

    Returns
    -------
    float
        The error; NaN when no pixel counts.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    error = _depth_error(depth, truth, where)
    return float(np.sqrt(np.mean(error**2))) if error.size else float("nan")


def depth_mae(
    depth: ArrayLike, truth: ArrayLike, *, where: NDArray[np.bool_] | None = None
) -> float:
    """Mean absolute depth error, in the unit of the maps. Parameters and errors: `depth_rmse`.

    Parameters
    ----------
    depth, truth
        (Y, X) depth maps in the same unit.
    where
        (Y, X) pixels that count; all by default.

    Returns
    -------
    float
        The error; NaN when no pixel counts.
    """
    error = _depth_error(depth, truth, where)
    return float(np.mean(np.abs(error))) if error.size else float("nan")


def _depth_error(
    depth: ArrayLike, truth: ArrayLike, where: NDArray[np.bool_] | None
) -> NDArray[Any]:
    a, b = pair(depth, truth)
    error: NDArray[Any] = a - b
    return error.ravel() if where is None else error[where]
