"""Clipped pixels: where the camera was full sharpness is not known.

Duty: the values at which a stack's channels are clipped, and which pixels of a plane reached them.
Must not know: how depth is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import reduce_plane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Sample

    Plane = NDArray[np.float32]

__all__ = ["ClipLevels"]

_PLATEAU, _LEAST = 1e-4, 9  # of the sample's pixels, and so many
_JPEG = 2.0  # of 255: colours that were compressed
_LEVELS, _BELOW, _ABOVE_THEM = 32, 8, 4  # so many values; so many below the last, so much rarer
# Colours that were clipped, then converted and compressed: 8 bits, of whatever dtype and scale.
_STEPS, _SCATTER, _SHOULDER = 255, 2, 5  # of 255: so far above and below the commonest
_RARER, _AT_LEAST, _NEAR_TOP = 0.01, 0.01, 0.9  # brighter; of all pixels; of the range


@dataclass(frozen=True)
class ClipLevels:
    """What is global to the stack.

    Attributes
    ----------
    least, most
        Of each channel, what a clipped pixel holds; infinite where there is no such value.
    shares
        Of each channel, its share in the decision; all together 1.
    """

    least: tuple[float, ...]
    most: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def calibrate(cls, sample: Sample, weights: tuple[float, ...]) -> ClipLevels:
        """Take the dtype's largest value, or those below it that conspicuously many pixels have."""
        dtype = sample.stack.dtype
        full = float(np.iinfo(dtype).max) if dtype.kind in "iu" else np.inf
        pixels = (*sample.columns, *sample.patches)
        near = _JPEG if dtype == np.uint8 else 0.0
        levels = []
        for c in range(sample.stack.shape[1]):
            values = np.concatenate([p[:, c].ravel() for p in pixels])
            top = _plateau(values, full)
            alike = _cluster(values) if top == full else None
            if alike is None or alike[1] > full:
                alike = top - near * (top == full), top
            levels.append(alike)
        least, most = zip(*levels, strict=True)
        shares = np.abs(weights)
        return cls(least, most, tuple((shares / (shares.sum() or 1)).tolist()))

    def share(self, plane: NDArray[Any]) -> Plane | None:
        """Return how much of each half-size pixel of a plane (C, Y, X) is clipped; None: none."""
        share: Plane | None = None
        for c, (low, high) in enumerate(zip(self.least, self.most, strict=True)):
            if self.shares[c] == 0 or plane[c].max() < low:
                continue
            clipped = plane[c] >= low
            part = np.float32(self.shares[c]) * (clipped & (plane[c] <= high))
            share = part if share is None else share + part
        if share is None:
            return None
        half = np.empty(((share.shape[0] + 1) // 2, (share.shape[1] + 1) // 2), np.float32)
        reduce_plane(share, half)
        return half


def _plateau(values: NDArray[Any], full: float) -> float:
    """Return the largest value if it stands for all that is brighter, else `full`.

    Noise and light thin out towards the brightest pixel; where a camera (12 bits in uint16) or a
    conversion clipped, the last value is far more frequent than those before it. Drawings, with few
    values altogether, have none that is clipped.
    """
    values = values[np.isfinite(values)]
    if values.size == 0:
        return full
    top = values.max()
    if np.count_nonzero(values == top) < max(_PLATEAU * values.size, _LEAST):
        return full
    found, counts = np.unique(values, return_counts=True)
    if found.size < _LEVELS or counts[-1] < _ABOVE_THEM * counts[-1 - _BELOW : -1].max():
        return full
    return float(top)


def _cluster(values: NDArray[Any]) -> tuple[float, float] | None:
    """Return from where to where lie values that are clipped, if they lie close together.

    A conversion of colours makes one level several, compression scatters them. What noise of more
    than .95 levels spreads has more above its commonest value than is allowed here.
    """
    found, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    if not _LEVELS <= found.size <= _STEPS + 1:
        return None
    found = found.astype(np.float64)
    step = np.diff(found).min()
    steps = round(float(found[-1] - found[0]) / step)
    if steps > _STEPS:
        return None
    levels = np.zeros(_STEPS + 1, np.int64)
    levels[np.rint((found - found[0]) / step).astype(np.intp)] = counts
    beyond = np.append(levels[::-1].cumsum()[::-1], np.zeros(_SCATTER + 1, np.int64))
    may = beyond[_SCATTER + 1 :] <= _RARER * levels
    may &= np.arange(_STEPS + 1) >= _NEAR_TOP * steps
    top = int(np.argmax(np.where(may, levels, 0)))
    first = max(top - _SHOULDER, 0)
    least = max(
        _AT_LEAST * counts.sum(),
        _ABOVE_THEM * levels[max(first - _BELOW, 0) : first].max(initial=0),
        levels[first:top].max(initial=0),
    )
    if levels[top] < least:
        return None
    # Half a step further: products of floats are rounded.
    lowest, highest = first - 0.5, top + _SCATTER + 0.5
    return float(found[0] + lowest * step), float(found[0] + highest * step)
