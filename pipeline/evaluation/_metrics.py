"""How good a fused image and a depth map are, by a known truth or by the planes they came from.

Duty: one function a metric, for one image in memory; SSIM and PSNR take an explicit data range.
Must not know: where truth and result come from, files, methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "average_gradient",
    "depth_mae",
    "depth_rmse",
    "flat_areas",
    "luma",
    "noise",
    "noise_gain",
    "psnr",
    "q_mi",
    "qabf",
    "seam_index",
    "spatial_frequency",
    "ssim",
]


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


def qabf(fused: ArrayLike, sources: Iterable[ArrayLike]) -> float:
    """Edge preservation Q^AB/F (Xydeas & Petrovic 2000), for any number of sources.

    How much of the strength and direction of the sources' edges the fused image kept, weighted by
    their strength.

    Parameters
    ----------
    fused
        (Y, X) in 0..255.
    sources
        Planes (Y, X) in 0..255; one at a time is kept.

    Returns
    -------
    float
        1 when every edge of every source is kept; NaN when no source has an edge.
    """
    strength_f, angle_f = _edges(np.asarray(fused, np.float64))
    total = weight = 0.0
    for source in sources:
        strength, angle = _edges(np.asarray(source, np.float64))
        high, low = np.maximum(strength, strength_f), np.minimum(strength, strength_f)
        ratio = np.divide(low, high, out=np.zeros_like(low), where=high > 0)
        alignment = 1 - np.abs(angle - angle_f) / (np.pi / 2)
        # Sigmoids with the constants of the paper: gamma, kappa, sigma.
        q_strength = 0.9994 / (1 + np.exp(-15 * (ratio - 0.5)))
        q_angle = 0.9879 / (1 + np.exp(-22 * (alignment - 0.8)))
        total += float((q_strength * q_angle * strength).sum())
        weight += float(strength.sum())
    return total / weight if weight else float("nan")


def _edges(image: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Strength of the Sobel gradient, and its direction modulo π in -π/2..π/2."""
    from scipy import ndimage

    gx, gy = ndimage.sobel(image, axis=1), ndimage.sobel(image, axis=0)
    flat = gx == 0
    angle = np.where(flat, np.pi / 2, np.arctan(gy / np.where(flat, 1, gx)))
    return np.hypot(gx, gy), angle


def q_mi(fused: ArrayLike, sources: Iterable[ArrayLike]) -> float:
    """Normalised mutual information Q_MI (Hossny 2008), on the scale for two sources.

    Four times the mean over the sources of MI(fused, source) / (H(fused) + H(source)), from
    histograms with 256 bins.

    Parameters
    ----------
    fused
        (Y, X); what lies outside of 0..255 is clipped.
    sources
        Planes (Y, X), likewise.

    Returns
    -------
    float
        2 when all sources equal the fused image; 0 when they have nothing in common.
    """
    f = np.asarray(fused, np.float64).clip(0, 255).ravel()
    scores = []
    for source in sources:
        s = np.asarray(source, np.float64).clip(0, 255).ravel()
        joint, _, _ = np.histogram2d(f, s, bins=256, range=[[0, 256], [0, 256]])
        joint /= joint.sum()
        h_fused, h_source = _entropy(joint.sum(1)), _entropy(joint.sum(0))
        both = h_fused + h_source
        scores.append((both - _entropy(joint)) / both if both else float("nan"))
    return 4 * float(np.mean(scores))


def _entropy(p: NDArray[Any]) -> float:
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


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


def flat_areas(reference: ArrayLike, part: float = 0.1) -> NDArray[np.bool_]:
    """Find the pixels round which an image has the least detail.

    Parameters
    ----------
    reference
        (Y, X): the truth, or failing that the mean of all planes, in which noise averages out.
    part
        Part of the pixels that count as flat.

    Returns
    -------
    NDArray
        (Y, X) mask.
    """
    from scipy import ndimage

    image = ndimage.gaussian_filter(np.asarray(reference, np.float64), 1.0)
    detail = ndimage.uniform_filter(ndimage.gaussian_gradient_magnitude(image, 1.0) ** 2, 15)
    return np.asarray(detail <= np.quantile(detail, part))


def noise(image: ArrayLike, where: NDArray[np.bool_]) -> float:
    """Estimate the standard deviation of the noise in flat areas (Immerkaer 1996).

    It is what the second difference in y of the second difference in x leaves, divided by 6: any
    plane a + b x + c y + d x y becomes 0, and white noise keeps its own deviation.

    Parameters
    ----------
    image
        (Y, X).
    where
        Flat pixels.

    Returns
    -------
    float
        In the unit of the image. Noise that is smooth over pixels is underestimated.
    """
    from scipy import ndimage

    second = ndimage.convolve1d(np.asarray(image, np.float64), [1, -2, 1], axis=0)
    left = ndimage.convolve1d(second, [1, -2, 1], axis=1) / 6
    return float(np.sqrt((left[where] ** 2).mean()))


def noise_gain(fused: ArrayLike, sources: Iterable[ArrayLike], where: NDArray[np.bool_]) -> float:
    """Noise of the fused image over that of a typical single plane, in flat areas.

    Parameters
    ----------
    fused
        (Y, X).
    sources
        Planes (Y, X).
    where
        Flat pixels, see `flat_areas`.

    Returns
    -------
    float
        Below 1 when fusion averaged, above 1 when it picked noise; NaN without noise.
    """
    single = float(np.median([noise(source, where) for source in sources]))
    return noise(fused, where) / single if single > 0 else float("nan")


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
