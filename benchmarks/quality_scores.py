"""Scores of a fused image: what is measured on which data, on which scale, and what is asked.

Duty: the data sets with their scores and targets. Intensities are scored on 0 to 255, 16-bit ones
divided by 257. Must not know: how anything was fused, how tables are laid out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import quality_data
from quality_tables import Target, mean
from scipy.ndimage import gaussian_filter

from zfuse.pipeline import _metrics as metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from quality_data import Case
    from quality_tables import Results, Scores

OURS = "**adaptive**"
DTCWT, COPIED, SINGLE = "DTCWT (5 levels)", "pixel of the true depth, copied", "best single plane"

# Of real stacks, where methods stand side by side.
_SHOWN = (
    OURS, "adaptive (quantitative)", "complex-wavelet", "guided", "laplacian", "select (smooth 2)",
    "enfuse (hard mask)", "Shine Stacker (pyramid)",
)  # fmt: skip


@dataclass(frozen=True)
class DataSet:
    """Stacks that are scored alike."""

    title: str
    cases: Callable[[], Iterator[Case]]
    score: Callable[[Case, NDArray[Any], NDArray[Any] | None], Scores]
    targets: tuple[Target, ...] = ()
    worst: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    """Scores whose worst case is shown too: ``min`` or ``max``."""
    by_case: bool = False
    """One table a score, one row a case, instead of means over the cases."""
    only: tuple[str, ...] = ()
    """The rows of a table that would else be too wide."""


def data_sets(data: Path) -> dict[str, DataSet]:
    """Return all data sets; those of `data` that is not there have no cases."""
    near = {"SSIM": min, "PSNR dB": min}
    both = {**near, "depth error": max}
    sets = {
        "simulated": DataSet(
            "Simulated stacks", quality_data.simulated, _with_truth, _AGAINST_PEERS, both
        ),
        "unseen": DataSet(
            "Simulated stacks, never tuned on", quality_data.unseen, _with_truth, _AGAINST_PEERS,
            both,
        ),
        "optics": DataSet("Stacks from optics", quality_data.optics, _optics, by_case=True),
        "halo": DataSet("Halo", quality_data.halo, _halo, _NO_HALO, by_case=True),
        "flat": DataSet("Never in focus", quality_data.flat, _flat, _QUIET, by_case=True),
    }  # fmt: skip
    if (data / "pairs").is_dir():
        sets |= {
            "mfi": DataSet(
                "MFI-WHU, pairs 1 to 80", partial(quality_data.mfi, data), _pairs, _MFI, near
            ),
            "lytro": DataSet("Lytro, pairs 1 to 12", partial(quality_data.lytro, data), _pairs,
                             (_mean_target("Q^AB/F", "Q^AB/F", 0.747),)),
        }  # fmt: skip
    if (data / "stacks").is_dir():
        sets |= {
            "relief": DataSet(
                "Rendered relief", partial(quality_data.relief, data), _with_truth,
                _relief_targets(), by_case=True,
            ),
            "real": DataSet(
                "Real stacks", partial(quality_data.real, data), _without_truth, by_case=True,
                only=_SHOWN,
            ),
        }  # fmt: skip
    return sets


def _scaled(image: NDArray[Any], like: np.dtype[Any]) -> NDArray[np.float64]:
    return np.asarray(image, np.float64) * (255 / np.iinfo(like).max)


def _with_truth(case: Case, fused: NDArray[Any], depth: NDArray[Any] | None) -> Scores:
    assert case.image is not None
    kind = case.planes.dtype
    image, true = _scaled(fused[case.inner], kind), _scaled(case.image, kind)
    scores = {
        "SSIM": metrics.ssim(metrics.luma(image), metrics.luma(true), data_range=255),
        "PSNR dB": metrics.psnr(image, true, data_range=255),
    }
    if kind == np.uint16:
        low, span = true.min(), np.ptp(true)
        stretched = ((a - low) * (255 / span) for a in (image, true))
        scores["SSIM, truth's range"] = metrics.ssim(*stretched, data_range=255)
    if depth is not None and case.depth is not None:
        error = np.abs(depth[case.inner] - case.depth)[np.isfinite(case.depth)]
        scores["depth error"] = float(error.mean())
        scores["off by > 1"] = float((error > 1).mean())
    return scores


def _optics(case: Case, fused: NDArray[Any], depth: NDArray[Any] | None) -> Scores:
    """PSNR on the truth's own range: most of these images are dark."""
    assert case.image is not None
    span = float(np.ptp(case.image))
    scores = {
        "SSIM": metrics.ssim(fused, case.image, data_range=span),
        "PSNR dB": metrics.psnr(fused, case.image, data_range=span),
    }
    known = _with_truth(case, fused, depth)
    return scores | {k: v for k, v in known.items() if k == "depth error"}


def _pairs(case: Case, fused: NDArray[Any], depth: NDArray[Any] | None) -> Scores:
    scores = {} if case.image is None else _with_truth(case, fused, None)
    grey, sources = metrics.luma(fused), [metrics.luma(plane) for plane in case.planes]
    scores["Q^AB/F"] = metrics.qabf(grey, sources)
    if case.image is None:
        scores["Q_MI"] = metrics.q_mi(grey, sources)
    return scores


def _halo(case: Case, fused: NDArray[Any], depth: NDArray[Any] | None) -> Scores:
    assert case.image is not None
    y, x = np.indices(case.image.shape) - case.image.shape[0] / 2
    distance = np.hypot(y, x) - case.radius
    error = 100 * (np.asarray(fused, np.float64) - case.image) / 20_000
    ring = error[(distance > 1.5) & (distance < 14)]
    return {
        "mean error": float(ring.mean()),
        "95 % of errors below": float(np.quantile(np.abs(ring), 0.95)),
        "mean error in the first 1.5 px": float(error[(distance > 0) & (distance <= 1.5)].mean()),
    }


def _flat(case: Case, fused: NDArray[Any], depth: NDArray[Any] | None) -> Scores:
    planes = case.planes[:, *case.inner].astype(np.float64)
    image, one = np.asarray(fused, np.float64)[case.inner], planes[len(planes) // 2]
    return {
        "noise": float(image.std() / one.std()),
        "blotches": float(gaussian_filter(image, 3).std() / gaussian_filter(one, 3).std()),
        "bias, % of the background": float((image.mean() / planes.mean() - 1) * 100),
    }


def _without_truth(case: Case, fused: NDArray[Any], depth: NDArray[Any] | None) -> Scores:
    grey = metrics.luma(fused)
    planes = [metrics.luma(plane) for plane in case.planes]
    sharpest = max(planes, key=metrics.average_gradient)
    where = metrics.flat_areas(np.mean(planes, 0))
    return {
        "noise gain": metrics.noise_gain(grey, planes, where),
        "spatial frequency": metrics.spatial_frequency(grey) / metrics.spatial_frequency(sharpest),
        "average gradient": metrics.average_gradient(grey) / metrics.average_gradient(sharpest),
    }


def _deficits(results: Results, score: str) -> float:
    return (1 - mean(results, OURS, score)) / (1 - mean(results, DTCWT, score))


def _ahead(results: Results, of: str) -> float:
    return mean(results, OURS, "PSNR dB") - mean(results, of, "PSNR dB")


_AGAINST_PEERS = (
    Target("SSIM deficit / DTCWT's", lambda r: _deficits(r, "SSIM"), 0.45, at_most=True),
    Target(
        "the same, truth's range as 0 to 255", lambda r: _deficits(r, "SSIM, truth's range"),
        0.45, at_most=True,
    ),
    Target("PSNR above DTCWT's, dB", lambda r: _ahead(r, DTCWT), 2.0),
    Target("PSNR above the true depth copied, dB", lambda r: _ahead(r, COPIED), 1.2),
)  # fmt: skip


def _mean_target(text: str, score: str, limit: float) -> Target:
    return Target(text, lambda r: mean(r, OURS, score), limit)


_MFI = (_mean_target("SSIM", "SSIM", 0.9975), _mean_target("PSNR, dB", "PSNR dB", 38.0))


def _of_case(results: Results, number: int, score: str) -> float:
    return results[OURS][number][score]


def _relief_targets() -> tuple[Target, ...]:
    found = []
    for number, (name, ssim) in enumerate((("cou_1", 0.9976), ("cou_3", 0.9964))):
        found.append(Target(f"{name}: SSIM", partial(_of_case, number=number, score="SSIM"), ssim))
        found.append(
            Target(f"{name}: depth error, planes",
                   partial(_of_case, number=number, score="depth error"), 0.08, at_most=True)
        )  # fmt: skip
    return tuple(found)


def _largest(results: Results, score: str) -> float:
    return max(abs(scores[score]) for scores in results[OURS])


_NO_HALO = (
    Target("mean error, worst disc, %", partial(_largest, score="mean error"), 2.0, at_most=True),
    Target(
        "95 % of errors below, worst disc, %", partial(_largest, score="95 % of errors below"),
        2.0, at_most=True,
    ),
)  # fmt: skip
_QUIET = (Target("noise, worst of the three", partial(_largest, score="noise"), 1.0, at_most=True),)
