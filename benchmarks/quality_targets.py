"""What was asked for, of `adaptive` (issue 3) and of the networks (issue 4).

Duty: one tuple of targets a data set, from the names of rows and scores. Must not know: data, how
anything was measured.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from quality_tables import Target, mean

from zfuse.engines import MODELS

if TYPE_CHECKING:
    from quality_tables import Results

OURS = "**adaptive**"
DTCWT, COPIED = "DTCWT (5 levels)", "pixel of the true depth, copied"
NETWORKS = tuple(MODELS)


def _deficits(results: Results, score: str, of: str = OURS) -> float:
    return (1 - mean(results, of, score)) / (1 - mean(results, DTCWT, score))


def _ahead(results: Results, than: str, of: str = OURS) -> float:
    return mean(results, of, "PSNR dB") - mean(results, than, "PSNR dB")


def _best(results: Results, score: str) -> str:
    """Return the network with the best mean."""
    return max(NETWORKS, key=lambda n: np.nan_to_num(mean(results, n, score), nan=-np.inf))


def _best_mean(results: Results, score: str) -> float:
    return mean(results, _best(results, score), score)


AGAINST_PEERS = (
    Target(
        "`adaptive`: SSIM deficit / DTCWT's", lambda r: _deficits(r, "SSIM"), 0.45, at_most=True
    ),
    Target(
        "`adaptive`: the same, truth's range as 0 to 255",
        lambda r: _deficits(r, "SSIM, truth's range"), 0.45, at_most=True,
    ),
    Target("`adaptive`: PSNR above DTCWT's, dB", lambda r: _ahead(r, DTCWT), 2.0),
    Target("`adaptive`: PSNR above the true depth copied, dB", lambda r: _ahead(r, COPIED), 1.2),
    Target(
        "best network: SSIM deficit / DTCWT's",
        lambda r: _deficits(r, "SSIM", _best(r, "SSIM")), 0.35, at_most=True,
    ),
    Target(
        "best network: PSNR above DTCWT's, dB",
        lambda r: _ahead(r, DTCWT, _best(r, "PSNR dB")), 3.0,
    ),
    Target(
        "best network: PSNR above `adaptive`'s, dB",
        lambda r: _ahead(r, OURS, _best(r, "PSNR dB")), 0.0,
    ),
    Target(
        "best network: SSIM above `adaptive`'s",
        lambda r: _best_mean(r, "SSIM") - mean(r, OURS, "SSIM"), 0.0,
    ),
)  # fmt: skip


def _mean_target(text: str, score: str, limit: float, of: str = OURS) -> Target:
    return Target(text, lambda r: mean(r, of, score), limit)


MFI = (
    _mean_target("`adaptive`: SSIM", "SSIM", 0.9975),
    _mean_target("`adaptive`: PSNR, dB", "PSNR dB", 38.0),
)
HELD_OUT = (
    Target("best network: SSIM", partial(_best_mean, score="SSIM"), 0.998),
    Target("best network: PSNR, dB", partial(_best_mean, score="PSNR dB"), 40.0),
    _mean_target("`pdmnet`: SSIM (StackMFF-V4's)", "SSIM", 0.9962, "pdmnet"),
    _mean_target("`pdmnet`: PSNR, dB (StackMFF-V4's)", "PSNR dB", 36.6, "pdmnet"),
)
LYTRO = (
    _mean_target("`adaptive`: Q^AB/F", "Q^AB/F", 0.747),
    Target("best network: Q^AB/F", partial(_best_mean, score="Q^AB/F"), 0.75),
    _mean_target("`umis`: Q^AB/F", "Q^AB/F", 0.744, "umis"),
)


def _of_case(results: Results, number: int, score: str) -> float:
    return results[OURS][number][score] if OURS in results else float("nan")


def _relief_targets() -> tuple[Target, ...]:
    found = []
    for number, (name, ssim) in enumerate((("cou_1", 0.9976), ("cou_3", 0.9964))):
        for score, limit in (("SSIM", ssim), ("depth error", 0.08)):
            value = partial(_of_case, number=number, score=score)
            text = f"`adaptive`, {name}: {score}"
            found.append(Target(text, value, limit, at_most=score != "SSIM"))
    return tuple(found)


RELIEF = _relief_targets()


def _largest(results: Results, score: str) -> float:
    return max((abs(scores[score]) for scores in results.get(OURS, [])), default=float("nan"))


NO_HALO = (
    Target(
        "`adaptive`: mean error, worst disc, %", partial(_largest, score="mean error"), 2.0,
        at_most=True,
    ),
    Target(
        "`adaptive`: 95 % of errors below, worst disc, %",
        partial(_largest, score="95 % of errors below"), 2.0, at_most=True,
    ),
)  # fmt: skip
QUIET = (
    Target(
        "`adaptive`: noise, worst of the three", partial(_largest, score="noise"), 1.0, at_most=True
    ),
)
