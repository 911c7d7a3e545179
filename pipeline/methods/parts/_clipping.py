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
        """Take the largest value of the dtype, or one below it that many sampled pixels have."""
        dtype = sample.stack.dtype
        full = float(np.iinfo(dtype).max) if dtype.kind in "iu" else np.inf
        pixels = (*sample.columns, *sample.patches)
        values = [
            _plateau(np.concatenate([p[:, c].ravel() for p in pixels]), full)
            for c in range(sample.stack.shape[1])
        ]
        shares = np.abs(weights)
        near = _JPEG if dtype == np.uint8 else 0.0
        return cls(
            tuple(v - near * (v == full) for v in values),
            tuple(values),
            tuple((shares / (shares.sum() or 1)).tolist()),
        )

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
