"""How one plane lies on its neighbour: coarse to fine, and whether that can be believed.

Duty: two grey planes in, a transform out, with the test that it makes them more alike. Must not
know: files, the stack, which plane is the reference.

Neighbouring planes differ least in defocus. A band of their detail, its contrast evened out, is
what is compared: brightness drops out. Phase correlation gives a first shift on the coarsest level,
and Newton steps on ever finer levels minimise the difference, Huber-weighted so that what moves by
itself has little say.

A fit always makes the pixels that it was made from more alike, be it their noise. So it is made
once from one half of the blocks of a chequerboard and tried on the other half, and the other way
round: whether their correlation grows, and by how many standard errors, says if the fit means
anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import hypot, inf
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from zfuse.kernels import downsample, warp_plane
from zfuse.pipeline.alignment._transform import IDENTITY, Transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.alignment._transform import Freedom

    Plane = NDArray[np.float32]

__all__ = ["SURE", "Fit", "Levels", "fit_pair"]

SURE = 4.0
"""Standard errors beyond which planes became more alike by more than chance."""

_COARSEST = 48  # px: the shorter edge of the coarsest level
_FINE, _COARSE = 1.2, 2.0  # px: standard deviations of the two Gaussians of the band
_WINDOW = 8.0  # px: standard deviation of the window of the local contrast
_STEPS = 12
_ENOUGH = 0.003  # px: a step that moves no corner farther is the last
_HUBER = 1.5  # standard deviations
_BLOCKS, _BLOCK = 12, 24  # blocks along an edge at most, px at least: beyond that they are alike
_LEAST_OVERLAP = 0.25
_LEAST_BLOCKS = 8
_NO_FADE = (0.0, 0.0, 0.0, 0.0)


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
        The same in standard errors.
    errors
        Standard errors of a coordinate of the centre, and of a corner by scale and angle, in px.
    """

    transform: Transform
    gain: float = 0.0
    certainty: float = 0.0
    errors: tuple[float, float] = (inf, inf)

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


class Levels:
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
    fixed: Levels, moving: Levels, freedom: Freedom, start: Transform | None = None
) -> Fit:
    """Find how one plane lies on its neighbour.

    Parameters
    ----------
    fixed, moving
        The planes, of the same size.
    freedom
        ``"translation"``, or ``"similarity"``: with scale and angle.
    start
        Where to begin, if that is known to within a few pixels; otherwise it is searched for.

    Returns
    -------
    Fit
        In pixels of the finest level.
    """
    levels = list(zip(fixed.detail, moving.detail, strict=True))
    if not (levels[0][0].any() and levels[0][1].any()):
        return Fit(IDENTITY)
    if start is None:
        transform = _first_shift(*levels[-1])
    else:
        transform = start.regridded(0.5 ** (len(levels) - 1))
    fits = []
    for depth in range(len(levels) - 1, -1, -1):
        one, other = levels[depth]
        transform = _refine(one, other, transform, freedom)
        fits.append(_tried(one, other, transform, freedom).regridded(2**depth))
        if depth:
            transform = transform.regridded(2)
    # Of blurred planes the finest level shows only noise: the best known fit may be a coarser one.
    for least in (SURE, -inf):
        if known := [fit for fit in fits if fit.certainty > least and fit.error < inf]:
            return min(known, key=lambda fit: fit.error)
    return Fit(IDENTITY)


def _first_shift(fixed: Plane, moving: Plane) -> Transform:
    """Return the shift that phase correlation finds, or none if that is more alike."""
    from skimage.registration import phase_cross_correlation

    (dy, dx), *_ = phase_cross_correlation(fixed, moving, upsample_factor=4, normalization=None)
    found = Transform(shift=complex(-dx, -dy))
    return max((IDENTITY, found), key=lambda t: _alike(fixed, *_warped(moving, t)))


def _warped(plane: Plane, transform: Transform) -> tuple[Plane, NDArray[np.bool_]]:
    """Return the plane under a transform, and where it reaches."""
    out = np.full_like(plane, np.nan)
    size: tuple[int, int] = plane.shape
    limits = (-np.inf, np.inf)
    warp_plane(plane, (0, 0), size, transform.matrix(), (0, 0), False, limits, _NO_FADE, out)
    seen = np.isfinite(out)
    out[~seen] = 0
    return out, seen


def _alike(fixed: Plane, moved: Plane, seen: NDArray[np.bool_]) -> float:
    if seen.mean() < _LEAST_OVERLAP:
        return -1.0
    a, b = fixed[seen], moved[seen]
    return float(np.dot(a, b) / max(np.sqrt(np.dot(a, a) * np.dot(b, b)), 1e-12))


@dataclass(frozen=True)
class _Steps:
    """Gauss-Newton: which steps there are, and how they add up."""

    freedom: Freedom
    shape: tuple[int, int]

    @property
    def size(self) -> float:
        """Half the diagonal: scale and angle count by how far they move a corner."""
        return float(np.hypot(*self.shape)) / 2

    def slopes(self, gy: Plane, gx: Plane) -> list[Plane]:
        """Return the derivatives by dy, dx and, for a similarity, scale and angle."""
        if self.freedom == "translation":
            return [gy, gx]
        height, width = self.shape
        y = ((np.arange(height) - (height - 1) / 2) / self.size).astype(np.float32)[:, None]
        x = ((np.arange(width) - (width - 1) / 2) / self.size).astype(np.float32)[None]
        return [gy, gx, gy * y + gx * x, gy * x - gx * y]

    def transform(self, step: NDArray[np.float64]) -> Transform:
        """Return the transform about the centre that a step stands for."""
        height, width = self.shape
        centre = complex(width - 1, height - 1) / 2
        dy, dx, *more = step.tolist()
        factor = 1 + complex(more[0], more[1]) / self.size if more else 1.0
        return Transform(factor, complex(dx, dy) + centre * (1 - factor))


@dataclass(frozen=True)
class _Equations:
    """The difference of two planes at a transform, how it changes with a step, and weights.

    The curvature is the product of one plane's slopes with the other's: their noise has nothing in
    common and drops out. With squares of slopes the noise would shorten every step, and the steps
    would end before the goal.
    """

    fixed_slopes: list[Plane]
    moved_slopes: list[Plane]
    difference: Plane
    weight: Plane

    def curvature(self, part: NDArray[np.bool_] | None = None) -> NDArray[np.float64] | None:
        """Return the curvature, None where it is none: the planes have nothing in common."""
        weight = self.weight if part is None else np.where(part, self.weight, np.float32(0))
        left = np.array(
            [[np.vdot(weight * a, b) for b in self.moved_slopes] for a in self.fixed_slopes],
            np.float64,
        )
        left = (left + left.T) / 2
        values = np.linalg.eigvalsh(left)
        return left if values[0] > 1e-4 * values[-1] > 0 else None

    def pulls(self) -> list[Plane]:
        """Return what each pixel asks for."""
        share = self.weight * self.difference / 2
        return [share * (a + b) for a, b in zip(self.fixed_slopes, self.moved_slopes, strict=True)]

    def step(self, part: NDArray[np.bool_] | None = None) -> NDArray[np.float64] | None:
        """Return the step to the minimum of the pixels in `part`."""
        left = self.curvature(part)
        if left is None:
            return None
        right = [
            (pull if part is None else pull[part]).sum(dtype=np.float64) for pull in self.pulls()
        ]
        return np.asarray(np.linalg.solve(left, right))


def _equations(fixed: Plane, moving: Plane, transform: Transform, steps: _Steps) -> _Equations:
    moved, seen = _warped(moving, transform)
    a, b = fixed[seen], moved[seen]
    gain = np.sqrt(np.dot(a, a) / max(float(np.dot(b, b)), 1e-12)).astype(np.float32)
    moved *= gain
    difference = np.where(seen, fixed - moved, np.float32(0))
    spread = np.float32(1.4826 * _HUBER * np.median(np.abs(difference[::3, ::3]))) or np.float32(1)
    weight = (spread / np.maximum(np.abs(difference), spread)).astype(np.float32)
    inner = seen if seen.all() else ndimage.binary_erosion(seen, iterations=2)
    weight = np.where(inner, weight, np.float32(0))
    weight[[0, -1]] = weight[:, [0, -1]] = 0
    return _Equations(
        steps.slopes(*np.gradient(fixed)), steps.slopes(*np.gradient(moved)), difference, weight
    )


def _refine(fixed: Plane, moving: Plane, start: Transform, freedom: Freedom) -> Transform:
    """Gauss-Newton at one level."""
    shape: tuple[int, int] = fixed.shape
    steps = _Steps(freedom, shape)
    transform = start
    for _ in range(_STEPS):
        step = _equations(fixed, moving, transform, steps).step()
        if step is None:
            break
        move = steps.transform(step)
        transform = transform.after(move)
        if move.reach(shape) < _ENOUGH:
            break
    # It has gone astray, or there was nothing to go by.
    if transform.after(start.inverse()).reach(shape) > min(shape) / 8:
        return start
    return transform


def _tried(fixed: Plane, moving: Plane, transform: Transform, freedom: Freedom) -> Fit:
    """Fit each half of the blocks alone, and see what it does to the other half."""
    shape: tuple[int, int] = fixed.shape
    steps = _Steps(freedom, shape)
    equations = _equations(fixed, moving, transform, steps)
    row, column = ((np.arange(n) * min(_BLOCKS, n // _BLOCK or 1)) // n for n in shape)
    odd = (row[:, None] + column[None]) % 2 == 1
    columns = int(column[-1]) + 1
    block = row[:, None] * columns + column[None]
    before = _block_alike(fixed, *_warped(moving, IDENTITY), block)
    gains = np.full(before.shape, np.nan)
    for half in (odd, ~odd):
        step = equations.step(half)
        if step is None:
            return Fit(IDENTITY)
        tried = transform.after(steps.transform(step))
        after = _block_alike(fixed, *_warped(moving, tried), block)
        others = np.zeros(before.shape, np.bool_)
        others[block[~half]] = True
        gains[others] = (after - before)[others]
    # What a block holds decides what it counts: most of a sparse image is empty.
    energy = np.bincount(block.ravel(), (fixed * fixed).ravel())
    gains *= energy / energy.mean()
    gains = gains[np.isfinite(gains)]
    if len(gains) < _LEAST_BLOCKS:
        return Fit(IDENTITY)
    mean, error = float(gains.mean()), float(gains.std(ddof=1)) / len(gains) ** 0.5
    return Fit(transform, mean, mean / max(error, 1e-9), _errors(equations, block))


def _errors(equations: _Equations, block: NDArray[np.int64]) -> tuple[float, float]:
    """Return standard errors from how blocks disagree: pixels of a block are not independent."""
    left = equations.curvature()
    if left is None:
        return inf, inf
    pulls = np.array([np.bincount(block.ravel(), pull.ravel()) for pull in equations.pulls()])
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
