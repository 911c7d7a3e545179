"""How one plane lies on its neighbour: coarse to fine, and whether that can be believed.

Duty: two grey planes in, a transform out, with the test that it makes them more alike. Must not
know: files, the stack, which plane is the reference.

Neighbouring planes differ least in defocus. A band of their detail, its contrast evened out, is
what is compared: brightness drops out. Correlation gives a first shift on the coarsest level,
and Newton steps on ever finer levels minimise the difference, Huber-weighted so that what moves by
itself has little say.

A fit always makes the pixels that it was made from more alike, be it their noise. So it is made
once from one half of the blocks of a chequerboard and tried on the other half, and the other way
round: whether their correlation grows, and by how many standard errors, says if the fit means
anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import copysign, hypot, inf, log1p, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from zfuse.kernels import downsample
from zfuse.pipeline.alignment._newton import Steps, equations, refined, warped
from zfuse.pipeline.alignment._similarity import IDENTITY, Similarity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from zfuse.pipeline.alignment._newton import Equations
    from zfuse.pipeline.alignment._similarity import MotionModel

    Plane = NDArray[np.float32]

__all__ = ["DetailPyramid", "Fit", "fit_pair", "holds", "sure"]

_SURE = 4.0  # standard errors beyond which planes became more alike by more than chance
_WORSE = -2.5  # standard errors: a step that makes planes less alike
_VAGUE = 0.15  # px of a reduced plane: a step that is known no better must be sure
_COARSEST = 48  # px: the shorter edge of the coarsest level
_FINE, _COARSE = 1.2, 2.0  # px: standard deviations of the two Gaussians of the band
_WINDOW = 8.0  # px: standard deviation of the window of the local contrast
_BLOCKS, _BLOCK = 12, 24  # blocks along an edge at most, px at least: beyond that they are alike
_LEAST_OVERLAP = 0.25
_LEAST_BLOCKS = 8


@dataclass(frozen=True)
class Fit:
    """A transform between two planes.

    Attributes
    ----------
    transform
        Place of the moving plane that shows what the fixed plane shows at a place.
    gain
        Growth of the correlation in blocks that the fit did not see, mean over blocks.
    certainty
        The same in standard errors, as many as are as unlikely for a normal distribution.
    alike
        The correlation itself after the fit, in blocks that it did not see.
    errors
        Standard errors of a coordinate of the centre, and of a corner by scale and angle, in px.
    """

    transform: Similarity
    gain: float = 0.0
    certainty: float = 0.0
    errors: tuple[float, float] = (inf, inf)
    alike: float = 0.0

    @property
    def error(self) -> float:
        """Standard error of the place of a corner, in px."""
        return hypot(*self.errors)

    def regridded(self, step: float) -> Fit:
        """Return the same for pixels `step` times as small."""
        shift, corner = self.errors
        return replace(
            self, transform=self.transform.regridded(step), errors=(step * shift, step * corner)
        )


def holds(fit: Fit) -> bool:
    """Whether a step is known well enough to be taken, given that the stack moves at all."""
    return fit.certainty > _SURE or (fit.certainty > _WORSE and fit.error < _VAGUE)


def sure(fits: Sequence[Fit], least: float = _SURE) -> bool:
    """Whether planes become more alike by more than chance: together, or somewhere at once."""
    certainties = [fit.certainty for fit in fits]
    together = sum(certainties) / max(len(certainties), 1) ** 0.5
    return together > least or max(certainties, default=0.0) > least + 1


class DetailPyramid:
    """A plane's detail at half, a quarter … of the resolution, finest first.

    Parameters
    ----------
    plane
        (Y, X) float32.
    """

    def __init__(self, plane: Plane) -> None:
        self.detail = [_detail(plane)]
        while min(plane.shape) >= 2 * _COARSEST:
            plane = downsample(plane)
            self.detail.append(_detail(plane))


def _detail(plane: Plane) -> Plane:
    """Return a band of the plane, its contrast evened out where it is above the average.

    So a few bright things don't decide alone, and noise between them is not raised.
    """
    fine = ndimage.gaussian_filter(plane, _FINE, mode="nearest")
    band = fine - ndimage.gaussian_filter(plane, _COARSE, mode="nearest")
    contrast = ndimage.gaussian_filter(band * band, _WINDOW, mode="nearest")
    usual = float(np.mean(contrast))
    if not usual > 0:
        return np.zeros_like(band)
    return np.asarray(band / np.sqrt(contrast + 3 * usual), np.float32)


def fit_pair(
    fixed: DetailPyramid, moving: DetailPyramid, model: MotionModel, *, rough: bool = False
) -> Fit:
    """Find how one plane lies on its neighbour.

    Parameters
    ----------
    fixed, moving
        The planes, of the same size.
    model
        ``"translation"``, or ``"similarity"``: with scale and angle.
    rough
        Some hundredths of a pixel are near enough.

    Returns
    -------
    Fit
        In pixels of the finest level.
    """
    levels = list(zip(fixed.detail, moving.detail, strict=True))
    if not (levels[0][0].any() and levels[0][1].any()):
        return Fit(IDENTITY)
    transform = _first_shift(*levels[-1])
    fits = []
    for depth in range(len(levels) - 1, -1, -1):
        one, other = levels[depth]
        steps = Steps(model, one.shape)
        slopes = steps.slopes(*np.gradient(one))
        transform = refined(one, slopes, other, transform, steps, rough=rough)
        fits.append(_tried(one, slopes, other, transform, steps).regridded(2**depth))
        if depth:
            transform = transform.regridded(2)
    # Of blurred planes the finest level shows only noise: the best known fit may be a coarser one.
    for least in (_SURE, -inf):
        if known := [fit for fit in fits if fit.certainty > least and fit.error < inf]:
            return min(known, key=lambda fit: fit.error)
    return Fit(IDENTITY)


def _first_shift(fixed: Plane, moving: Plane) -> Similarity:
    """Return the shift, in whole pixels, of the highest correlation, or none if that is higher."""
    product = np.fft.rfft2(fixed).conj() * np.fft.rfft2(moving)
    correlation = np.fft.irfft2(product, fixed.shape)
    peak = np.unravel_index(int(correlation.argmax()), fixed.shape)
    dy, dx = ((int(p) + n // 2) % n - n // 2 for p, n in zip(peak, fixed.shape, strict=True))
    found = Similarity(shift=complex(dx, dy))
    return max((IDENTITY, found), key=lambda t: _alike(fixed, *warped(moving, t)))


def _alike(fixed: Plane, moved: Plane, seen: NDArray[np.bool_]) -> float:
    if seen.mean() < _LEAST_OVERLAP:
        return -1.0
    a, b = fixed[seen], moved[seen]
    return float(np.dot(a, b) / max(np.sqrt(np.dot(a, a) * np.dot(b, b)), 1e-12))


def _tried(
    fixed: Plane, slopes: list[Plane], moving: Plane, transform: Similarity, steps: Steps
) -> Fit:
    """Fit each half of the blocks alone, and see what it does to the other half."""
    shape: tuple[int, int] = fixed.shape
    at_fit = equations(fixed, slopes, moving, transform, steps)
    row, column = ((np.arange(n) * min(_BLOCKS, n // _BLOCK or 1)) // n for n in shape)
    odd = (row[:, None] + column[None]) % 2 == 1
    columns = int(column[-1]) + 1
    block = row[:, None] * columns + column[None]
    before = _block_alike(fixed, *warped(moving, IDENTITY), block)
    gains, reached = (np.full(before.shape, np.nan) for _ in range(2))
    for half in (odd, ~odd):
        step = at_fit.step(half)
        if step is None:
            return Fit(IDENTITY)
        tried = transform.after(steps.transform(step))
        after = _block_alike(fixed, *warped(moving, tried), block)
        others = np.zeros(before.shape, np.bool_)
        others[block[~half]] = True
        gains[others] = (after - before)[others]
        reached[others] = after[others]
    # What a block holds decides what it counts: most of a sparse image is empty.
    energy = np.bincount(block.ravel(), (fixed * fixed).ravel())
    share = energy / energy.mean()
    here = np.isfinite(gains)
    if here.sum() < _LEAST_BLOCKS:
        return Fit(IDENTITY)
    gains, reached = (gains * share)[here], (reached * share)[here]
    mean, error = float(gains.mean()), float(gains.std(ddof=1)) / len(gains) ** 0.5
    certainty = _normal(mean / max(error, 1e-9), len(gains) - 1)
    return Fit(transform, mean, certainty, _errors(at_fit, block), float(reached.mean()))


def _normal(t: float, freedom: int) -> float:
    """Return the normal deviate that is as unlikely as Student's t (Wallace 1959).

    A mean of few blocks lies several of its standard errors from 0 by chance.
    """
    size = sqrt(freedom * log1p(t * t / freedom))
    return copysign((8 * freedom + 1) / (8 * freedom + 3) * size, t)


def _errors(at_fit: Equations, block: NDArray[np.int64]) -> tuple[float, float]:
    """Return standard errors from how blocks disagree: pixels of a block are not independent."""
    left = at_fit.curvature()
    if left is None:
        return inf, inf
    pulls = np.array([np.bincount(block.ravel(), pull.ravel()) for pull in at_fit.pulls()])
    inverse = np.linalg.inv(left)
    variance = np.diag(inverse @ (pulls @ pulls.T) @ inverse)
    return float(variance[:2].mean() ** 0.5), float(variance[2:].sum() ** 0.5)


def _block_alike(
    fixed: Plane, moved: Plane, seen: NDArray[np.bool_], block: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Correlation in each block; NaN where half of it or more is not seen."""
    at = block[seen]
    a, b = fixed[seen], moved[seen]
    count = int(block.max()) + 1
    ab, aa, bb = (np.bincount(at, p, count) for p in (a * b, a * a, b * b))
    alike = ab / np.maximum(np.sqrt(aa * bb), 1e-9)
    share = np.bincount(at, minlength=count) / np.bincount(block.ravel(), minlength=count)
    alike[share < 0.5] = np.nan
    return np.asarray(alike)
