"""Whether confidence can be trusted: as the probability that the depth is right, and as an order.

Duty: scores of flat samples, exact also where confidences are equal. Must not know: files, maps'
units, how confidence is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Reliability", "calibration_error", "ranking", "reliability", "surest_error"]


class Reliability(NamedTuple):
    """How often samples of about one confidence were right, by bins of equal width.

    Attributes
    ----------
    samples
        (bins,) int64, samples in each bin.
    confidence
        (bins,) float64, their mean confidence; NaN in an empty bin.
    right
        (bins,) float64, which part of them was right; NaN in an empty bin.
    """

    samples: NDArray[np.int64]
    confidence: NDArray[np.float64]
    right: NDArray[np.float64]


def reliability(confidence: ArrayLike, right: ArrayLike, *, bins: int = 10) -> Reliability:
    """Compare confidence with how often it is right (the reliability diagram).

    Parameters
    ----------
    confidence
        Samples in 0..1, any shape.
    right
        Of the same shape: whether the depth is right there.
    bins
        Of equal width over 0..1; a bin holds its lower limit, the last one also 1.

    Returns
    -------
    Reliability
        Counts and means of the bins.

    Raises
    ------
    ValueError
        The shapes differ, or a confidence is not in 0..1.
    """
    sure, hit = _samples(confidence, right)
    if sure.size and not (sure.min() >= 0 and sure.max() <= 1):
        raise ValueError(
            f"confidence reaches from {sure.min():g} to {sure.max():g}; it must lie in 0..1"
        )
    which = np.minimum((sure * bins).astype(np.intp), bins - 1)
    count = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(which, sure, bins) / count
        part = np.bincount(which, hit, bins) / count
    return Reliability(count, mean, part)


def calibration_error(confidence: ArrayLike, right: ArrayLike, *, bins: int = 10) -> float:
    """Find how far confidence is from the part that is right (ECE, Naeini et al. 2015).

    ECE = sum over bins b of n_b / n * |mean confidence of b - part of b that is right|, with bins
    of equal width.

    Parameters
    ----------
    confidence, right, bins
        See `reliability`; `right` for depth is usually |error| <= 1 plane.

    Returns
    -------
    float
        0 when confidence is the probability of being right; NaN without samples.
    """
    found = reliability(confidence, right, bins=bins)
    if not found.samples.sum():
        return float("nan")
    there = found.samples > 0
    gap = np.abs(found.confidence - found.right)[there]
    return float((found.samples[there] * gap).sum() / found.samples.sum())


def ranking(confidence: ArrayLike, right: ArrayLike) -> float:
    """Area under the ROC curve: how well confidence tells right from wrong.

    The probability that a sample that is right has a higher confidence than one that is wrong,
    where equal ones count one half (Mann & Whitney 1947): (R - p (p + 1) / 2) / (p q), with p
    right samples, q wrong ones and R the sum of the ranks of the right ones.

    Parameters
    ----------
    confidence
        Samples, any shape; only their order counts.
    right
        Of the same shape: whether the depth is right there.

    Returns
    -------
    float
        1 is perfect, 0.5 is no better than chance; NaN when all or none are right.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    from scipy.stats import rankdata

    sure, hit = _samples(confidence, right)
    good = int(hit.sum())
    bad = hit.size - good
    if not good or not bad:
        return float("nan")
    ranks = float(rankdata(sure)[hit].sum())
    return (ranks - good * (good + 1) / 2) / (good * bad)


def surest_error(confidence: ArrayLike, error: ArrayLike, *, part: float = 0.8) -> float:
    """Mean absolute error of the surest samples.

    Of samples with equal confidence at the limit each counts by the part of them that is needed,
    which is the mean over all orders. With ``confidence=-abs(error)`` it is the oracle's: the least
    that any confidence can reach.

    Parameters
    ----------
    confidence
        Samples, any shape; only their order counts.
    error
        Of the same shape, in any unit.
    part
        Which part of the samples counts, above 0 and at most 1.

    Returns
    -------
    float
        In the unit of the error; NaN without samples.

    Raises
    ------
    ValueError
        The shapes differ, or `part` is not in 0..1.
    """
    sure, off = np.ravel(np.asarray(confidence)), np.abs(np.ravel(np.asarray(error, np.float64)))
    if sure.shape != off.shape:
        raise ValueError(f"{sure.size} confidences do not fit {off.size} errors")
    if not 0 < part <= 1:
        raise ValueError(f"part is {part}; it must lie above 0 and be at most 1")
    if not sure.size:
        return float("nan")
    wanted = part * sure.size
    limit = np.partition(sure, sure.size - int(np.ceil(wanted)))[sure.size - int(np.ceil(wanted))]
    above, level = sure > limit, sure == limit
    total = float(off[above].sum()) + float(off[level].mean()) * (wanted - int(above.sum()))
    return total / wanted


def _samples(
    confidence: ArrayLike, right: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    sure, hit = np.asarray(confidence, np.float64).ravel(), np.asarray(right, bool).ravel()
    if sure.shape != hit.shape:
        raise ValueError(f"{sure.size} confidences do not fit {hit.size} depths")
    return sure, hit
