"""Of two planes, which one is sharp where: the one whose blur is the other.

Duty: the decision signal of two planes in, a depth from 0 to 1 out, soft at borders. Must not know:
how images are fused. A stack of two has no third plane that says how noisy a focus measure is; but
each plane is a prediction of the other. Blurring the sharp plane gives something like the other one
there, blurring the blurred plane does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import smooth_signal
from zfuse.pipeline.core import within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Region

    Plane = NDArray[np.float32]
    Whole = NDArray[np.int32]

__all__ = ["PAIR_BYTES", "PairDecision"]

PAIR_BYTES = 16  # both planes, and two steps of the comparison

# Times [1 2 1]/4 in both directions: a Gaussian of 2 px. What it reaches beyond the image's edge
# is made up (and edges are darkened by what padded a blur): no pixel there is asked.
_BLUR = 8
# The depth's: edges that no plane has are .05 % of those of a real pair, with 8 turns .08.
_BORDER = 16
# Far from borders the picture is one plane's: with 1 the other one, blurred, counts in coarse
# bands (MFI-WHU 1.2 dB less), with 10⁴ noise of 10 of 255 costs .1 dB more.
_SURE, _NEAR_WHOLE = 1000.0, 0.01
_BITS = 20  # of a signal: the kernel's sums need four more
_ONE = np.int32(1 << _BITS)
_PLANES = 2


class PairDecision:
    """Depth of one region of two planes.

    With p₀ and p₁ the planes, G a Gaussian of 2 px, H one of 2.8 px, and sgn from -1 to 1::

        e = abs(G p₀ - p₁) - abs(G p₁ - p₀)
        depth = H (1 + sgn G e) / 2

    All in integers: no digit depends on tiles, nor on which way up the image is.

    Parameters
    ----------
    region
        The depth is that of its core; what is shown reaches at least 32 px further.
    steps
        Largest value of the decision signal.
    """

    def __init__(self, region: Region, steps: float) -> None:
        self._region = region
        self._shift = _BITS - int(steps).bit_length()
        self._planes: list[Whole] = []
        self._unknown: list[Plane | None] = []
        self._count = 0

    def add(self, signal: NDArray[Any], invalid: Sequence[Plane | None]) -> None:
        """Take planes (n, Y, X) of the decision signal; more than two are none of its business.

        Where one of `invalid` (each (Y, X), or None) is above 0, the pixel itself says nothing.
        """
        self._count += len(signal)
        if self._count > _PLANES:
            self._planes.clear()
            self._unknown.clear()
            return
        self._planes += [plane.astype(np.int32) << self._shift for plane in signal]
        self._unknown += invalid

    def depth(self) -> Plane | None:
        """Return the depth (h, w) of the core, in planes; None where there are not two."""
        if self._count != _PLANES:
            return None
        first, second = self._planes
        evidence = np.abs(_blurred(first) - second)
        evidence -= np.abs(_blurred(second) - first)
        for unknown in self._unknown:
            if unknown is not None:
                evidence[unknown > 0] = 0
        sign = np.sign(_blurred(evidence))[self._asked()]
        depth = _blurred((_ONE >> 1) * (1 + sign), _BORDER)
        core = within(self._region.core, self._region.shown)
        return np.ascontiguousarray(depth[core], np.float32) * np.float32(1 / _ONE)

    @staticmethod
    def strength(depth: Plane, strength: Plane) -> Plane:
        """Return how much detail speaks for a depth, raised where no border is near."""
        far = np.clip((np.abs(2 * depth - 1) - (1 - _NEAR_WHOLE)) / _NEAR_WHOLE, 0, 1)
        return np.asarray(strength * (1 + (_SURE - 1) * far), np.float32)

    def _asked(self) -> tuple[NDArray[np.intp], ...]:
        """Return which pixel speaks for each: at the image's edge one that is further inside."""
        asked = []
        for size, shown in zip(self._region.image, self._region.shown, strict=True):
            i = np.arange(shown.start, shown.stop)
            if size > 4 * _BLUR:
                i = np.clip(i, _BLUR, size - 1 - _BLUR)
            asked.append(np.clip(i, shown.start, shown.stop - 1) - shown.start)
        return np.ix_(*asked)


def _blurred(plane: Whole, turns: int = _BLUR) -> Whole:
    for _ in range(turns):
        smooth = np.empty_like(plane)
        smooth_signal(plane, 0, len(plane), 4, False, smooth)
        plane = smooth
    return plane
