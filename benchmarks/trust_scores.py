"""Scores of trust: beads, channels, and confidence against the true depth.

Must not know: which data there are, how anything was fused, how tables are laid out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.pipeline import evaluation as metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from quality_data import Case
    from quality_tables import Scores
    from trust_data import Beads
    from trust_fuse import Result

ECE, ROC, SUREST = "calibration error", "area under ROC", "surest 80 % / oracle's"


def depth_samples(case: Case, fused: Result) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return depth errors in planes and their confidence, where both depths are known."""
    assert case.depth is not None
    error = np.abs(fused.depth[case.inner] - case.depth)
    known = np.isfinite(error)
    return error[known], fused.confidence[case.inner][known]


def confidence_scores(error: NDArray[Any], confidence: NDArray[Any]) -> Scores:
    """Score confidence as the probability that the depth is within one plane of the truth."""
    best = metrics.surest_error(-error, error)
    return {
        ECE: metrics.calibration_error(confidence, error <= 1),
        ROC: metrics.ranking(confidence, error <= 1),
        SUREST: metrics.surest_error(confidence, error) / best if best else float("nan"),
    }


def bead_brightness(beads: Beads, image: NDArray[Any]) -> Scores:
    """Return how much brighter beads are than in the reference, median in %, in discs of two sizes.

    Above the median of the reference, which is the background.
    """
    ground = float(np.median(beads.reference))
    found = {}
    for radius in (2, 4):
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        disc = np.hypot(y, x) <= radius
        gains = []
        for row, column in beads.places:
            at = (
                slice(row - radius, row + radius + 1),
                slice(column - radius, column + radius + 1),
            )
            now, then = (np.asarray(p[at], float)[disc] - ground for p in (image, beads.reference))
            gains.append(now.sum() / then.sum() - 1)
        found[f"{radius} px"] = 100 * float(np.median(gains)) if gains else float("nan")
    return found


def channel_scores(together: NDArray[Any], alone: NDArray[Any], planes: NDArray[Any]) -> Scores:
    """Compare one channel of a fused stack with what that channel alone gives.

    Parameters
    ----------
    together, alone
        (Y, X) of the whole stack's fused image, and of the channel fused for itself.
    planes
        (Z, Y, X) of the channel.
    """
    best = max(planes, key=lambda p: np.hypot(*np.gradient(p.astype(np.float32))).var())
    bright = best >= np.quantile(best, 0.99)
    return {
        "pixels that differ, %": 100 * float((together != alone).mean()),
        "brightest 1 % / best plane's": float(together[bright].mean() / best[bright].mean()),
    }
