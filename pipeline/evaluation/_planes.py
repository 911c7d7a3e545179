"""What a fused image kept of the planes it came from: edges, information, noise.

Duty: one function a metric; of the planes one at a time is held. Must not know: files, methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

__all__ = ["flat_areas", "noise", "noise_gain", "q_mi", "qabf"]


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
