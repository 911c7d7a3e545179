"""The step between the values that pixels can have: a camera's counts, whatever scale they are on.

Duty: find the step in a sample of values. Must not know: why it matters, which unit values have.

Whatever is said of counts ("rounding adds noise of 0.3 of them") has to be said of this step. A
stack of counts divided by 65535, multiplied by 257 or put on an offset is the same stack, and
must give the same result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["value_step"]

_OFF = 0.1  # of a step: what rounding to the dtype may move a value
_DIGITS = 4  # of float32 that a step has, at least
_FEWEST = 3  # integers that differ, from which on a common divisor means anything


def value_step(values: NDArray[Any]) -> float:
    """Return the largest step of which all differences between values are multiples.

    Parameters
    ----------
    values
        Pixels, any shape and real dtype; those that are not finite are left out.

    Returns
    -------
    float
        Above 0. Of integers 1 where too few of them differ to tell. Of floats 0 where there is no
        such step: they are not counts.
    """
    found = np.unique(values)
    if found.dtype.kind in "iu":
        return float(np.gcd.reduce(np.diff(found.astype(np.int64)))) if found.size >= _FEWEST else 1
    found = found[np.isfinite(found)].astype(np.float64)
    if found.size < 2:
        return 0.0
    gaps = np.diff(found)
    # Rounding to the dtype makes gaps differ a little; a mean of many is near the step …
    usual = gaps[gaps < 1.5 * gaps.min()].mean()
    steps = np.cumsum(np.rint(gaps / usual))
    # … and the whole range is an exact number of steps, if there is a step at all.
    step = float((found[-1] - found[0]) / steps[-1])
    fits = np.abs(found[1:] - found[0] - step * steps).max() < _OFF * step
    # The digits of floats are steps, too, but nobody counted in them.
    digit = np.spacing(np.float32(np.abs(found[[0, -1]]).max()))
    return step if fits and step > _DIGITS * digit else 0.0
