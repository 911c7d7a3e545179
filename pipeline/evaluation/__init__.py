"""Metrics, and the scores of an output."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.pipeline.evaluation._arrays import luma as luma
    from zfuse.pipeline.evaluation._depth import depth_mae as depth_mae, depth_rmse as depth_rmse
    from zfuse.pipeline.evaluation._evaluate import evaluate as evaluate
    from zfuse.pipeline.evaluation._invented import invented_edges as invented_edges
    from zfuse.pipeline.evaluation._no_reference import (
        average_gradient as average_gradient,
        seam_index as seam_index,
        spatial_frequency as spatial_frequency,
    )
    from zfuse.pipeline.evaluation._planes import (
        flat_areas as flat_areas,
        noise as noise,
        noise_gain as noise_gain,
        q_mi as q_mi,
        qabf as qabf,
    )
    from zfuse.pipeline.evaluation._reference import psnr as psnr, ssim as ssim
    from zfuse.pipeline.evaluation._scores import Evaluation as Evaluation
    from zfuse.pipeline.evaluation._trust import (
        Reliability as Reliability,
        calibration_error as calibration_error,
        ranking as ranking,
        reliability as reliability,
        surest_error as surest_error,
    )

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_arrays": ["luma"],
        "_depth": ["depth_mae", "depth_rmse"],
        "_evaluate": ["evaluate"],
        "_invented": ["invented_edges"],
        "_no_reference": ["average_gradient", "seam_index", "spatial_frequency"],
        "_planes": ["flat_areas", "noise", "noise_gain", "q_mi", "qabf"],
        "_reference": ["psnr", "ssim"],
        "_scores": ["Evaluation"],
        "_trust": [
            "Reliability",
            "calibration_error",
            "ranking",
            "reliability",
            "surest_error",
        ],
    },
)
