"""A quick check whether the planes of a stack lie on each other.

Duty: from a few planes made very small to how far the stack surely moves. Must not know: how a
stack is aligned, what is done about it.

Up to five planes from the first to the last are fitted to each other, as alignment does with all
(`_estimate.py`), on images of some 128 x 128 pixels. Planes far apart differ in defocus, but so
small they still show the same. Two tests must agree before anything is believed, because a false
alarm is worse than a miss: the steps make planes more alike, in blocks that the fit did not see, by
more than 3.5 standard errors; and a corner moves by more than three standard errors of its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import hypot, inf
from typing import TYPE_CHECKING, Any

from zfuse.pipeline.alignment._estimate import DetailPyramid, Fit, fit_pair, sure
from zfuse.pipeline.alignment._similarity import IDENTITY, joined
from zfuse.pipeline.alignment._thumbnails import read_thumbnails

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zfuse.pipeline.core import Stack

__all__ = ["HARMLESS", "Check", "check_drift", "least_motion"]

HARMLESS = 3.0
"""Pixels by which a corner may move between the middle plane and any other.

Detail is 2 to 4 px wide in what microscopes deliver, and planes that are in focus side by side
share the motion: of 3 px over 8 planes 0.4 px are between neighbours, no more than what resampling
costs. Registered stacks of living or slanted things seem to move by 1 to 2.5 px."""

_SURE = 3.5  # standard errors: stacks that lie still reach 2.6, pairs 2 px apart 3.8
_ALIKE = 0.3  # real planes reach .56 and more, noise .11
_ERRORS = 3.0  # standard errors between what was found and what is believed
_TIMES = 3


@dataclass(frozen=True)
class Check:
    """What a quick look found.

    Attributes
    ----------
    moved
        The farthest that a corner moves from the middle plane, in pixels; three standard errors
        are taken off. 0 if that is not sure.
    found
        The same without anything taken off, 0 where nothing was found.
    breathes
        Whether scale and angle move corners by a third of what is harmless: shifts would not do.
    known
        Whether the planes share enough that a motion would have been found.
    planes, times
        Which ones were looked at.
    """

    moved: float
    found: float
    breathes: bool
    known: bool
    planes: tuple[int, ...]
    times: tuple[int, ...]

    @property
    def record(self) -> dict[str, Any]:
        """Return the check for an output's metadata."""
        return {
            "surely_moved_px": round(self.moved, 2),
            "found_px": round(self.found, 2),
            "enough_detail": self.known,
            "planes": list(self.planes),
            "times": list(self.times),
        }


def check_drift(stack: Stack, channel: int | None = None) -> Check:
    """Look whether a stack moves: at the first, the middle and the last time point.

    Parameters
    ----------
    stack
        A stack of two planes or more.
    channel
        Channel that is looked at; by default all together.

    Returns
    -------
    Check
        Of the time point that moves farthest.
    """
    count = stack.shape[0]
    times = tuple(sorted({0, count // 2, count - 1}))[:_TIMES]
    checks = [_check(stack, channel, t) for t in times]
    worst = max(checks, key=lambda check: (check.moved, check.found))
    return Check(
        worst.moved,
        worst.found,
        any(check.breathes for check in checks if check.moved),
        all(check.known for check in checks),
        worst.planes,
        times,
    )


def _check(stack: Stack, channel: int | None, t: int) -> Check:
    small = read_thumbnails(stack, channel, t)
    details = [DetailPyramid(image) for image in small.images]
    fits = [_fit(a, b).regridded(small.step) for a, b in pairwise(details)]
    found, moved = least_motion(fits, len(details) // 2, small.size)
    return Check(
        moved,
        found,
        _turned(fits, len(details) // 2, small.size) > HARMLESS / 3,
        all(_ERRORS * fit.error < 2 * HARMLESS for fit in fits),
        small.planes,
        (t,),
    )


def _fit(fixed: DetailPyramid, moving: DetailPyramid) -> Fit:
    """Return the fit of two planes, or none if they stay too unlike to be two of one thing."""
    fit = fit_pair(fixed, moving, "similarity", rough=True)
    return fit if fit.alike > _ALIKE else Fit(IDENTITY)


def least_motion(fits: Sequence[Fit], reference: int, size: tuple[int, int]) -> tuple[float, float]:
    """Return how far a corner moves from the reference, and how far it surely moves.

    Parameters
    ----------
    fits
        One a pair of planes side by side, in pixels of the stack.
    reference
        Index of the plane from which is counted.
    size
        Height and width of a plane.

    Returns
    -------
    tuple
        What was found; and the same less three standard errors, of those planes whose steps from
        the reference are sure. All are, if the steps of all planes together are.
    """
    chain = joined([fit.transform if fit.error < inf else IDENTITY for fit in fits], reference)
    found, least = 0.0, 0.0
    for z, transform in enumerate(chain):
        between = fits[min(z, reference) : max(z, reference)]
        error = hypot(*(fit.error for fit in between))
        reach = transform.reach(size)
        if error < inf:
            found = max(found, reach)
            if sure(fits, _SURE) or sure(between, _SURE):
                least = max(least, reach - _ERRORS * error)
    return found, least


def _turned(fits: Sequence[Fit], reference: int, size: tuple[int, int]) -> float:
    """Return how far scale and angle move a corner from the reference plane, round the centre."""
    chain = joined([fit.transform if fit.error < inf else IDENTITY for fit in fits], reference)
    return max(abs(transform.factor - 1) for transform in chain) * hypot(*size) / 2
