"""The scores of a fused image, as a value and as lines.

Must not know: how anything is scored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zfuse.pipeline.evaluation._trust import Reliability

__all__ = ["Evaluation"]


@dataclass
class Evaluation:
    """Scores by name, in the order of printing, and lines about how they came about.

    Attributes
    ----------
    scores
        ``ssim``, ``psnr``, ``qabf``, ``q_mi``, ``spatial_frequency``, ``average_gradient``,
        ``depth_rmse``, ``depth_mae``, ``surest_error``, ``surest_ratio``, ``calibration_error``,
        ``ranking``, ``noise_gain``, ``seam_index``, ``depth_seam_index``: those that what was given
        allows. PSNR in dB, depth and the error of the surest 80 % in `depth_unit`.
    notes
        What was assumed or left out.
    depth_unit
        ``"µm"`` or ``"planes"``.
    reliability
        How often depth is within one plane of the truth, by confidence; None where that is unknown.
    """

    scores: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    depth_unit: str = "µm"
    reliability: Reliability | None = None

    def __str__(self) -> str:
        labels = {
            "ssim": ("SSIM", "1 is best"),
            "psnr": ("PSNR", "dB"),
            "qabf": ("Q^AB/F", "edges kept, 1 is best"),
            "q_mi": ("Q_MI", "information kept, 2 is best"),
            "spatial_frequency": ("spatial frequency", "grey levels of 255; noise counts too"),
            "average_gradient": ("average gradient", "grey levels of 255 a px; noise counts too"),
            "depth_rmse": ("depth RMSE", self.depth_unit),
            "depth_mae": ("depth MAE", self.depth_unit),
            "surest_error": ("surest 80 %: MAE", self.depth_unit),
            "surest_ratio": ("the same / oracle's", "least possible is 1"),
            "calibration_error": ("calibration error", "of confidence, 0 is best"),
            "ranking": ("ranking", "of confidence: area under ROC, 1 is best, 0.5 is chance"),
            "noise_gain": ("noise gain", "of a single plane, in flat areas"),
            "seam_index": ("seam index", "jump across tile borders, 1 is none"),
            "depth_seam_index": ("depth seam index", "jump across tile borders, 1 is none"),
        }
        lines = [
            f"{labels[name][0]:<19} {value:>9.4f}  {labels[name][1]}"
            for name, value in self.scores.items()
        ]
        return "\n".join(lines + [f"note: {note}" for note in self.notes])
