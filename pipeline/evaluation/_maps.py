"""Depth and confidence of an output beside the true depth.

Duty: one unit for both depths, where they are known, and the scores of both maps. Must not know:
files, how a score is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.pipeline.evaluation._depth import depth_mae, depth_rmse
from zfuse.pipeline.evaluation._trust import (
    calibration_error,
    ranking,
    reliability,
    surest_error,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.evaluation._scores import Evaluation
    from zfuse.pipeline.sources import FusedImage

__all__ = ["map_of", "score_maps"]


def map_of(values: NDArray[np.float32], channel: int) -> NDArray[np.float32]:
    """Return depth or confidence (Y, X) of a channel, whether it decided for itself or not."""
    return values[channel if len(values) > 1 else 0] if values.ndim == 3 else values


def score_maps(
    opened: FusedImage,
    truth: FusedImage,
    channel: int,
    z_step: float | None,
    result: Evaluation,
) -> None:
    """Score depth, and confidence as the probability that the depth is within one plane.

    Parameters
    ----------
    opened, truth
        What was found and what is true; without depth in both nothing is scored.
    channel
        Whose maps count, where each channel has its own.
    z_step
        µm between planes, if known.
    result
        Scores and notes are added to it.
    """
    if opened.depth is None or truth.depth is None:
        return
    found, wanted = map_of(opened.depth, channel), map_of(truth.depth, channel)
    unit, true_unit = opened.depth_unit, truth.depth_unit
    if unit != true_unit:
        if z_step is None:
            result.notes.append(
                f"depth not compared: it is in {unit}s, the truth in {true_unit}s, and the z step "
                "is unknown; give the stack with --planes"
            )
            return
        found = found * (z_step if unit == "plane" else 1)
        wanted = wanted * (z_step if true_unit == "plane" else 1)
        true_unit = "micrometer"
    known = np.isfinite(found) & np.isfinite(wanted)
    result.scores["depth_rmse"] = depth_rmse(found, wanted, where=known)
    result.scores["depth_mae"] = depth_mae(found, wanted, where=known)
    result.depth_unit = "µm" if true_unit == "micrometer" else "planes"
    if true_unit == "micrometer" and z_step:
        mae = result.scores["depth_mae"] / z_step
        result.notes.append(f"depth MAE is {mae:.3f} planes of {z_step:g} µm")
    if not known.all():
        result.notes.append(f"depth is compared in {known.mean():.1%} of the pixels: where known")
    if opened.confidence is None:
        return
    sure = map_of(opened.confidence, channel)
    known &= np.isfinite(sure)
    sure = sure[known]
    if not sure.size:
        return
    if sure.min() < 0 or sure.max() > 1:
        result.notes.append(
            f"confidence not scored: it reaches from {sure.min():g} to {sure.max():g}, and is no "
            "probability"
        )
        return
    plane = 1.0 if true_unit == "plane" else z_step and abs(z_step)
    _score_confidence(sure, (found - wanted)[known], plane, result)


def _score_confidence(
    sure: NDArray[Any], error: NDArray[Any], plane: float | None, result: Evaluation
) -> None:
    """Score samples; `plane` is the distance of two planes in the unit of the error."""
    result.scores["surest_error"] = surest_error(sure, error)
    least = surest_error(-np.abs(error), error)
    if least > 0:
        result.scores["surest_ratio"] = result.scores["surest_error"] / least
    if plane is None:
        result.notes.append("calibration and ranking need the z step; give the stack with --planes")
        return
    right = np.abs(error) <= plane
    result.reliability = reliability(sure, right)
    result.scores["calibration_error"] = calibration_error(sure, right)
    if np.isfinite(area := ranking(sure, right)):
        result.scores["ranking"] = area
    else:
        said = "all depths are" if right.all() else "no depth is"
        result.notes.append(f"nothing to rank: {said} within one plane of the truth")
