"""How near a fused image is to a known truth.

Duty: SSIM and PSNR of images in memory, with an explicit data range. Must not know: files, methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zfuse.pipeline.evaluation._arrays import pair

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["psnr", "ssim"]


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

    a, b = pair(fused, truth)
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
    from skimage.metrics import peak_signal_noise_ratio  # slow to import

    a, b = pair(fused, truth)
    _check_range(data_range)
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(b, a, data_range=data_range))


def _check_range(data_range: float) -> None:
    if not data_range > 0:
        raise ValueError(f"data_range is {data_range}; it must be above 0, for example 65535")
