"""Differentiable measures of how unlike two images are.

Duty: one function a measure, all in float32 whatever the dtype of the images and also under
autocast. Must not know: networks, weights of terms.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "gradient",
    "l1",
    "log_mse",
    "log_ssim",
    "luma",
    "mse",
    "psnr",
    "spatial_frequency",
    "ssim",
]

_WINDOW = 11
_SIGMA = 1.5


def mse(image: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error."""
    return F.mse_loss(image.float(), truth.float())


def log_mse(image: Tensor, truth: Tensor) -> Tensor:
    """Mean over the images of log(squared error + 1e-6): the mean PSNR, but for a factor.

    Easy images count as much as hard ones; beyond 60 dB there is nothing more to win.

    Parameters
    ----------
    image, truth
        (N, C, H, W).
    """
    error = (image.float() - truth.float()).square().mean((1, 2, 3))
    return (error + 1e-6).log().mean()


def l1(image: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error."""
    return F.l1_loss(image.float(), truth.float())


def gradient(image: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of the differences between neighbours, along rows plus along columns.

    Parameters
    ----------
    image, truth
        (..., H, W), at least 2 x 2 px.
    """
    error = image.float() - truth.float()
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def spatial_frequency(image: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the images' spatial frequencies (Eskicioglu & Fisher 1995).

    SF = sqrt(mean of squared differences along rows + the same along columns), one number for
    each (H, W) image: it tells whether there is as much detail, wherever it lies. UMIS's published
    loss compares shifted images instead of differences; this is the gradient that it means.

    Parameters
    ----------
    image, truth
        (..., H, W), at least 2 x 2 px.
    """
    return (_frequency(image.float()) - _frequency(truth.float())).abs().mean()


def _frequency(image: Tensor) -> Tensor:
    rows, columns = image.diff(dim=-1).square(), image.diff(dim=-2).square()
    # The root's slope is infinite at 0: a flat image must not give NaN.
    return (rows.mean((-2, -1)) + columns.mean((-2, -1)) + 1e-12).sqrt()


def ssim(image: Tensor, truth: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Mean structural similarity with a Gaussian window, 11 px, sigma 1.5 px (Wang et al. 2004).

    Where the window would leave the image nothing is scored, as in scikit-image.

    Parameters
    ----------
    image, truth
        (N, C, H, W), at least 11 x 11 px; every channel is scored by itself.
    data_range
        Difference between the highest and the lowest possible value.

    Returns
    -------
    Tensor
        Scalar, float32; 1 for equal images. The loss is ``1 - ssim``.
    """
    return _ssim_of_each(image, truth, data_range).mean()


def _ssim_of_each(image: Tensor, truth: Tensor, data_range: float) -> Tensor:
    """SSIM of every image (N,)."""
    with torch.autocast(image.device.type, enabled=False):  # variances need float32
        a, b = image.float().flatten(0, 1)[:, None], truth.float().flatten(0, 1)[:, None]
        means = _smooth(torch.cat([a, b, a * a, b * b, a * b]))
        mean_a, mean_b, aa, bb, ab = means.chunk(5)
        c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
        covariance = ab - mean_a * mean_b
        variances = aa - mean_a.square() + bb - mean_b.square()
        luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
        structure = (2 * covariance + c2) / (variances + c2)
        of_each: Tensor = (luminance * structure).view(len(image), -1).mean(1)
        return of_each


def log_ssim(image: Tensor, truth: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Mean over the images of log(1 - SSIM + 1e-4); see `log_mse` for why."""
    deficit = (1 - _ssim_of_each(image, truth, data_range)).clamp(min=0)  # rounding may exceed 1
    return (deficit + 1e-4).log().mean()


def _smooth(images: Tensor) -> Tensor:
    window = _gaussian(images.device)
    return F.conv2d(F.conv2d(images, window[None, None, None]), window[None, None, :, None])


@lru_cache
def _gaussian(device: torch.device) -> Tensor:
    x = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    weights = torch.exp(-(x**2) / (2 * _SIGMA**2))
    return (weights / weights.sum()).to(device, torch.float32)


def psnr(image: Tensor, truth: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio in dB; at most 100, so that equal images average with others."""
    return 10 * torch.log10(data_range**2 / mse(image, truth).clamp(min=1e-10 * data_range**2))


def luma(image: Tensor) -> Tensor:
    """Brightness of (N, C, H, W) as (N, 1, H, W): 0.299 R + 0.587 G + 0.114 B; grey stays."""
    if image.shape[1] == 1:
        return image.float()
    weights = torch.tensor([0.299, 0.587, 0.114], device=image.device)
    return (image.float() * weights[:, None, None]).sum(1, keepdim=True)
