"""Scores of a fused image: how one is measured on one case.

Duty: one function a kind of data, on the scale that tables speak of: 0 to 255, 16-bit intensities
divided by 257. Must not know: which data there are, how anything was fused, how tables are laid
out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter

from zfuse.pipeline import evaluation as metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from quality_data import Case
    from quality_tables import Scores


def _scaled(image: NDArray[Any], like: np.dtype[Any]) -> NDArray[np.float64]:
    return np.asarray(image, np.float64) * (255 / np.iinfo(like).max)


def with_truth(case: Case, fused: NDArray[Any], depth: NDArray[Any] | None) -> Scores:
    """Return SSIM, PSNR and, where both are known, the depth's error."""
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


def optics(case: Case, fused: NDArray[Any], depth: NDArray[Any] | None) -> Scores:
    """PSNR on the truth's own range: most of these images are dark."""
    assert case.image is not None
    span = float(np.ptp(case.image))
    scores = {
        "SSIM": metrics.ssim(fused, case.image, data_range=span),
        "PSNR dB": metrics.psnr(fused, case.image, data_range=span),
    }
    known = with_truth(case, fused, depth)
    return scores | {k: v for k, v in known.items() if k == "depth error"}


def pairs(case: Case, fused: NDArray[Any], depth: NDArray[Any] | None) -> Scores:
    """Edges and information kept of the sources, beside what the truth allows."""
    scores = {} if case.image is None else with_truth(case, fused, None)
    grey, sources = metrics.luma(fused), [metrics.luma(plane) for plane in case.planes]
    scores["Q^AB/F"] = metrics.qabf(grey, sources)
    if case.image is None:
        scores["Q_MI"] = metrics.q_mi(grey, sources)
    return scores


def halo(case: Case, fused: NDArray[Any], depth: NDArray[Any] | None) -> Scores:
    """Errors outside a bright disc, in per cent of its height."""
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


def flat(case: Case, fused: NDArray[Any], depth: NDArray[Any] | None) -> Scores:
    """How much noise is left where nothing is ever in focus."""
    planes = case.planes[:, *case.inner].astype(np.float64)
    image, one = np.asarray(fused, np.float64)[case.inner], planes[len(planes) // 2]
    return {
        "noise": float(image.std() / one.std()),
        "blotches": float(gaussian_filter(image, 3).std() / gaussian_filter(one, 3).std()),
        "bias, % of the background": float((image.mean() / planes.mean() - 1) * 100),
    }


def without_truth(case: Case, fused: NDArray[Any], depth: NDArray[Any] | None) -> Scores:
    """Noise and sharpness relative to single planes."""
    grey = metrics.luma(fused)
    planes = [metrics.luma(plane) for plane in case.planes]
    sharpest = max(planes, key=metrics.average_gradient)
    where = metrics.flat_areas(np.mean(planes, 0))
    return {
        "noise gain": metrics.noise_gain(grey, planes, where),
        "spatial frequency": metrics.spatial_frequency(grey) / metrics.spatial_frequency(sharpest),
        "average gradient": metrics.average_gradient(grey) / metrics.average_gradient(sharpest),
    }


def sharpness(case: Case, fused: NDArray[Any], depth: NDArray[Any] | None) -> Scores:
    """UMIS' two measures, and the noise that raises both."""
    grey = metrics.luma(fused)
    where = metrics.flat_areas(metrics.luma(np.mean(case.planes, 0)))
    return {
        "spatial frequency": metrics.spatial_frequency(grey),
        "average gradient": metrics.average_gradient(grey),
        "noise in flat areas": metrics.noise(grey, where),
    }


def orders(case: Case, fused: NDArray[Any], depth: NDArray[Any] | None) -> Scores:
    """Measure against the truth, or edges kept and noise."""
    scores = {} if case.image is None else with_truth(case, fused, None)
    if case.image is None:
        scores |= without_truth(case, fused, None)
        planes = [_scaled(metrics.luma(plane), case.planes.dtype) for plane in case.planes]
        scores["Q^AB/F"] = metrics.qabf(_scaled(metrics.luma(fused), case.planes.dtype), planes)
    return scores
