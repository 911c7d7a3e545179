"""The scores of a fused image, as a value and as lines.

Must not know: how anything is scored.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Evaluation"]


@dataclass
class Evaluation:
    """Scores by name, in the order of printing, and lines about how they came about.

    Attributes
    ----------
    scores
        ``ssim``, ``psnr``, ``qabf``, ``q_mi``, ``spatial_frequency``, ``average_gradient``,
        ``depth_rmse``, ``depth_mae``, ``noise_gain``, ``seam_index``, ``depth_seam_index``: those
        that what was given allows. PSNR in dB, depth in `depth_unit`.
    notes
        What was assumed or left out.
    depth_unit
        ``"µm"`` or ``"planes"``.
    """

    scores: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    depth_unit: str = "µm"

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
            "noise_gain": ("noise gain", "of a single plane, in flat areas"),
            "seam_index": ("seam index", "jump across tile borders, 1 is none"),
            "depth_seam_index": ("depth seam index", "jump across tile borders, 1 is none"),
        }
        lines = [
            f"{labels[name][0]:<18} {value:>9.4f}  {labels[name][1]}"
            for name, value in self.scores.items()
        ]
        return "\n".join(lines + [f"note: {note}" for note in self.notes])
