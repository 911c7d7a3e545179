"""Where each pixel is in focus, looked for at five scales, from fine to forgiving.

Duty: the decision signal's planes in, one depth map and its significance out. Must not know: how
images are fused, how channels were joined.

Fine windows place edges; wide ones survive noise. On the simulated stacks (600 to 3000 photons) SML
over 9 x 9 pixels misses the depth by 2.2 planes on average, Laplacian energy of the half-size
planes over 18 x 18 by 0.36, and the finest scale that stands out of the noise by 0.29. Each scale
is a running focus peak; the significance of a scale's peak is how far it stands above the other
planes, in standard deviations of a window sum of noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import INVALID, add_expanded, median_3x3, reduce_plane
from zfuse.pipeline.core import Region
from zfuse.pipeline.methods.parts._peak import PEAK_BYTES, FocusPeak

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Signal

    Plane = NDArray[np.float32]

__all__ = ["SEARCH_BYTES", "SEARCH_REACH", "SURE", "DepthSearch"]

_FINE_WINDOW = 5
_COARSE_WINDOWS = (3, 5, 9, 17)  # of half-size pixels
_STRENGTH = 1  # the window whose score tells strong detail from weak
SEARCH_REACH = 24  # pixels: the widest window and the reduction before it need 2 · 9 + 3
SEARCH_BYTES = PEAK_BYTES + len(_COARSE_WINDOWS) * PEAK_BYTES / 4 + 8
SURE = 3.0
"""Significance from which a peak is believed."""
_SURE_FINE, _SURE_REFINED = 2.0, 6.0
_NEAR = 2.0  # planes
_FINE_SPREAD, _COARSE_SPREAD = 0.6, 0.42  # measured on white noise: 1/σ of a window sum, per side


class DepthSearch:
    """Depth of one region.

    Parameters
    ----------
    region
        Core and window are multiples of 2 (or end at the image's edge); the window is
        `SEARCH_REACH` larger than the core.
    signal
        How the decision signal came about (it says whether the signal is 18 bits).
    """

    def __init__(self, region: Region, signal: Signal, steps: float) -> None:
        self.region = region
        half = Region(
            tuple((n + 1) // 2 for n in region.image),  # type: ignore[arg-type]
            _halved(region.core),
            _halved(region.window),
        )
        dtype = np.dtype(np.uint8)
        self.fine = FocusPeak(region, signal, "sml", _FINE_WINDOW, 0, dtype, wide_sums=True)
        self._coarse = [
            FocusPeak(half, signal, "laplacian-energy", window, 0, dtype)
            for window in _COARSE_WINDOWS
        ]
        self.fine_is_sure = np.zeros((0, 0), np.bool_)
        """After `finish`: where the finest scale stands out clearly enough to be refined."""
        self.strength = np.zeros((0, 0), np.float32)
        """After `finish`: score of the peak at half size, an energy."""
        self._scale = np.float32((2**18 - 1) / steps)

    def add(self, signal: NDArray[Any], z: int, holes: list[Plane | None] | None = None) -> None:
        """Fold planes (n, Y, X) of the decision signal.

        Holes are filled; where `holes` is above 0 a plane can't win. The signal is changed there.
        """
        n, height, width = signal.shape
        marked = np.zeros(n, np.bool_)
        half = np.empty((n, (height + 1) // 2, (width + 1) // 2), np.int32)
        reduced, plane = np.empty(half.shape[1:], np.float32), np.empty((height, width), np.float32)
        for i, target in enumerate(half):
            plane[:] = signal[i]
            reduce_plane(plane, reduced)
            reduced *= self._scale
            np.rint(reduced, out=reduced)
            target[:] = reduced
            hole = holes[i] if holes else None
            if hole is not None:
                marked[i] = True
                reduce_plane(hole, reduced)
                target[reduced > 0] = INVALID
                signal[i][hole > 0] = INVALID
        nothing = np.empty((n, 0, height, width), np.uint8)
        self.fine.add_signal(signal, marked, nothing, z)
        nothing = np.empty((n, 0, *half.shape[1:]), np.uint8)
        for peak in self._coarse:
            peak.add_signal(half, marked, nothing, z)

    def finish(self) -> tuple[Plane, Plane]:
        """Return depth in planes and its significance, both of the core."""
        self.strength = self._coarse[_STRENGTH].best.copy()
        depth: Plane | None = None
        trust: Plane | None = None
        for peak in reversed(self._coarse):
            here, stands_out = peak.finish()
            sure = _significance(stands_out, _COARSE_SPREAD * peak.window)
            if depth is None or trust is None:
                depth, trust = here, sure
            else:
                better = sure > SURE
                np.copyto(depth, here, where=better)
                np.copyto(trust, np.maximum(sure, trust), where=better)
        assert depth is not None
        assert trust is not None
        depth, trust = self._expand(depth), self._expand(trust)
        here, stands_out = self.fine.finish()
        sure = _significance(stands_out, _FINE_SPREAD * _FINE_WINDOW)
        self.fine_is_sure = sure > _SURE_REFINED
        # Among many planes noise makes a fine peak somewhere: far from the coarse one, be strict.
        better = (sure > _SURE_FINE) & ((np.abs(here - depth) < _NEAR) | (sure > _SURE_REFINED))
        np.copyto(depth, here, where=better)
        np.copyto(trust, sure, where=better & (sure > trust))
        clean = np.empty_like(depth)
        median_3x3(depth, clean)
        return clean, trust

    def _expand(self, half: Plane) -> Plane:
        full = np.zeros(self.region.shape, np.float32)
        add_expanded(full, half, full)
        return full


def _halved(cut: tuple[slice, slice]) -> tuple[slice, slice]:
    y, x = (slice(s.start // 2, (s.stop + 1) // 2) for s in cut)
    return y, x


def _significance(stands_out: Plane, spread: float) -> Plane:
    """Turn 1 - others/peak into (peak - others) / (standard deviation of others)."""
    return np.asarray(
        stands_out / np.maximum(np.float32(1) - stands_out, np.float32(1e-6)) * np.float32(spread),
        np.float32,
    )
