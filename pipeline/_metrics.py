"""How far a fused image and a depth map are from a known truth.

Duty: SSIM, PSNR and depth errors with an explicit data range.
Must not know: where truth and result come from, files, methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["depth_mae", "depth_rmse", "psnr", "ssim"]


def ssim(fused: ArrayLike, truth: ArrayLike, *, data_range: float) -> float:
    """Structural similarity with a Gaussian window of sigma 1.5 px (Wang et al. 2004).

    Parameters
    ----------
    fused, truth
        (Y, X) images of one channel, at least 11 x 11 px, any real dtype.
    data_range
        Difference between the highest and the lowest possible value, in the images' unit (255 for
        8-bit images). The score depends on it, so it is never guessed.

    Returns
    -------
    float
        1 for equal images; less for others.

    Raises
    ------
    ValueError
        The shapes differ, are not 2-D or too small, or the range is not positive.
    """
    from skimage.metrics import structural_similarity  # slow to import

    a, b = _pair(fused, truth)
    _check_range(data_range)
    score = structural_similarity(
        a,
        b,
        data_range=data_range,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(score)


def psnr(fused: ArrayLike, truth: ArrayLike, *, data_range: float) -> float:
    """Peak signal-to-noise ratio, 10 log10(data_range² / mean squared error), in dB.

    Parameters
    ----------
    fused, truth
        Images of the same shape, any real dtype.
    data_range
        See `ssim`.

    Returns
    -------
    float
        dB; infinite for equal images.

    Raises
    ------
    ValueError
        The shapes differ, or the range is not positive.
    """
    a, b = _pair(fused, truth)
    _check_range(data_range)
    error = float(np.mean((a - b) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(data_range**2 / error))


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
    a, b = _pair(depth, truth)
    error: NDArray[Any] = a - b
    return error.ravel() if where is None else error[where]


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both as float64: differences of unsigned integers would wrap round."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"cannot compare shapes {a.shape} and {b.shape}: crop or resize one first")
    return a, b


def _check_range(data_range: float) -> None:
    if not data_range > 0:
        raise ValueError(f"data_range is {data_range}; it must be above 0, for example 65535")
