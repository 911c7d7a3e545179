"""One depth of what several scales say: each pixel decides together with its neighbours.

Duty: choose among the scales, then among what the neighbours say, and put on top what the
finest scale places. Must not know: how the scales look for the depth.

The finest scale that stands out speaks for a pixel. Where only a wide window does, the finer ones
have a vote all the same: a faint peak of one pixel says nothing, the faint peaks of many that agree
are right where the window sees but the bright speck beside them. What few pixels say against all
others is noise, and a pixel that nothing is known of takes the depth of the surest ones nearby.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zfuse.kernels import FineLimits, ScaleVariance, choose_scale, place_fine, vote_depth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["SURE", "VOTE_RADIUS", "settled", "with_fine"]

SURE = 2.5
"""Significance from which a peak is believed."""
VOTE_RADIUS = 3  # half-size pixels, twice
_FINE = FineLimits(same=(0.4, 0.8), sure=(1.5, 2.5), near=2.0, refined=6.0)

# Variance of a scale's depth with significance s, in planes²: of its window + (1.5 / s)² + 30 / s⁴,
# as measured on rendered reliefs. The last term stands for peaks that are noise.
_VARIANCE = ScaleVariance(
    sure=SURE,
    window=np.array([0.02, 0.03, 0.07, 0.15], np.float32),
    noise=1.5,
    chance=30.0,
    unknown=0.3,
    silent=1e-3,
)
_NONE = np.empty((0, 0), np.float32)
_ROUGHNESS = 0.2  # planes² a half-size pixel away
# Planes: tolerance. Other peaks lie further off than slopes; 1.4 chooses 6 % more wrong ones.
_CHOOSING, _SETTLING = 2.0, 0.7


def settled(
    depths: Sequence[Plane], stand_out: Sequence[Plane], known: Plane | None
) -> tuple[Plane, Plane]:
    """Return the depth that pixels and their neighbours settle on, and its significance.

    Parameters
    ----------
    depths, stand_out
        Of each scale, from fine to wide, its depth in planes and how significant that is (h, w).
    known
        How much of what the widest scale says counts in votes (h, w), 0 … 1; None: all.
    """
    shape = depths[0].shape
    voters, variances, candidates = (np.empty((3, *shape), np.float32) for _ in range(3))
    trust = np.empty(shape, np.float32)
    choose_scale(
        tuple(depths), tuple(stand_out), _NONE if known is None else known, _VARIANCE, voters,
        variances, candidates, trust,
    )  # fmt: skip
    chosen = _voted(voters, variances, candidates, _CHOOSING)
    return _voted(chosen[None], variances[:1], chosen[None], _SETTLING), trust


def with_fine(depth: Plane, fine: Plane, significance: Plane) -> tuple[Plane, NDArray[np.bool_]]:
    """Return the depth where the finest scale knows better, without single pixels; and where.

    Within half a plane the neighbours know it better. Among many planes noise makes a fine peak
    somewhere: far from the coarse one, be strict. Up to there the one passes into the other, so
    that what all but ties does not turn with a rounding.

    Parameters
    ----------
    depth
        (h, w), in planes, or of half that size.
    fine, significance
        What the finest scale says, and how surely, (h, w).
    """
    clean, better = np.empty_like(fine), np.empty(fine.shape, np.bool_)
    place_fine(depth, fine, significance, _FINE, clean, better)
    return clean, better


def _voted(depths: Plane, variances: Plane, candidates: Plane, tolerance: float) -> Plane:
    out: Plane = np.empty(depths.shape[1:], np.float32)
    vote_depth(depths, variances, candidates, VOTE_RADIUS, _ROUGHNESS, tolerance, out)
    return out
