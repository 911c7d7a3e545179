"""How good fused images are: PSNR and SSIM of what an 8-bit file would hold.

Must not know: networks, training.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from zfuse.engines.training._losses import luma, psnr, ssim

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

__all__ = ["fusion_score", "joined_score", "round_to_8_bit"]


def fusion_score(pairs: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Score fused images against their truths, on luma after rounding to 8 bit.

    Parameters
    ----------
    pairs
        (fused, truth), each (1, C, H, W) in 0..1.

    Returns
    -------
    dict
        "psnr" in dB and "ssim", means over the images; "score" joins them (`joined_score`).
    """
    psnrs, ssims = [], []
    for fused, truth in pairs:
        image, wanted = luma(round_to_8_bit(fused.float())), luma(truth)
        psnrs.append(psnr(image, wanted))
        ssims.append(ssim(image, wanted))
    mean_psnr, mean_ssim = (float(torch.stack(values).mean()) for values in (psnrs, ssims))
    return {"score": joined_score(mean_psnr, mean_ssim), "psnr": mean_psnr, "ssim": mean_ssim}


def joined_score(psnr: float, ssim: float) -> float:
    """Return PSNR plus the SSIM deficit in dB: halving the deficit adds 3 dB."""
    return psnr - 10 * math.log10(max(1 - ssim, 1e-10))


def round_to_8_bit(image: Tensor) -> Tensor:
    """Round values 0..1 to the 256 levels that an 8-bit file holds."""
    return (image.clamp(0, 1) * 255).round() / 255
