"""Metrics, and the scores of an output."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.pipeline.evaluation._evaluate import evaluate as evaluate
    from zfuse.pipeline.evaluation._metrics import (
        depth_mae as depth_mae,
        depth_rmse as depth_rmse,
        psnr as psnr,
        ssim as ssim,
    )

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_evaluate": ["evaluate"],
        "_metrics": ["depth_mae", "depth_rmse", "psnr", "ssim"],
    },
)
