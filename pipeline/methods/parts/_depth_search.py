"""Where each pixel is in focus, looked for at five scales, from fine to forgiving.

Duty: the decision signal's planes in, one depth map and what speaks for it out. Must not know: how
scales agree, how images are fused, how channels were joined.

Fine windows place edges; wide ones survive noise. Each scale is a running focus peak; its
significance is how far the peak stands above the other planes, in standard deviations of a window
sum of noise. Which scale is believed where, the neighbours decide too (`_depth_vote.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import INVALID, NO_FRAME, reduce_plane, reduce_signal
from zfuse.pipeline.core import Region, within
from zfuse.pipeline.methods.parts._depth_vote import SURE, settled, with_fine
from zfuse.pipeline.methods.parts._found_depth import FoundDepth, half_region
from zfuse.pipeline.methods.parts._frame import frame_sides
from zfuse.pipeline.methods.parts._peak import PEAK_BYTES, FocusPeak
from zfuse.pipeline.methods.parts._pyramid import expanded
from zfuse.pipeline.methods.parts._trust import Evidence, ScalePeak, halved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Signal

    Plane = NDArray[np.float32]

__all__ = ["SEARCH_BYTES", "SEARCH_REACH", "DepthSearch", "least_scores"]

_FINE_WINDOW = 5
_HALF_WINDOWS, _QUARTER_WINDOWS = (3, 5), (5, 9)  # of half-size and quarter-size pixels
_VOTERS = 16  # pixels: two votes of 3 half-size pixels each, and being enlarged and cleaned
# A window of 9 quarter-size pixels, the reductions before it and the voters need 26 + 16.
SEARCH_REACH = 48
SEARCH_BYTES = PEAK_BYTES * (1 + len(_HALF_WINDOWS) / 4 + len(_QUARTER_WINDOWS) / 16) + 48
ROUGHNESS_RADII = (1, 2, 4, 8)  # half-size pixels
_FINE_SPREAD, _COARSE_SPREAD = 0.6, 0.42  # measured on white noise: 1/σ of a window sum, per side
_QUIET = 0.1  # share of the sample
_SURE_FALLOFF = 6.0  # significance
_MANY_FREE = 2  # half of the other planes


class DepthSearch:
    """Depth of one region.

    Parameters
    ----------
    region
        Core and what is shown are multiples of 4 (or end at the image's edge); the latter is at
        least `SEARCH_REACH` larger than the core.
    signal
        How the decision signal came about.
    steps
        Largest value of the decision signal.
    dtype
        Of the pixels.
    framed
        Planes show the image's frame, and what lies inside of it is to be mirrored there.
    """

    def __init__(
        self,
        region: Region,
        signal: Signal,
        steps: float,
        dtype: np.dtype[Any],
        *,
        framed: bool = False,
    ) -> None:
        self._region = region
        core = Region.grown(region.core, _VOTERS, region.image)
        self._wide = wide = Region(region.image, core, region.shown)
        reached = Region.grown(region.core, SEARCH_REACH, region.image)
        # Whole rows: no copy has to be made.
        near = Region(region.image, core, (reached[0], region.shown[1]))
        self._near = within(near.shown, region.shown)
        self._frames = [
            frame_sides(region.image, shown) if framed else NO_FRAME
            for shown in (region.shown, near.shown)
        ]
        self._half = half = half_region(near)
        self._reached = half_region(Region(region.image, core, reached))
        quarter = half_region(half)
        self._reduced = [
            np.empty([s.stop - s.start for s in part.shown], np.float32) for part in (half, quarter)
        ]
        self._small: list[NDArray[np.int32]] = []
        # It copies no pixels; with their dtype the compiled kernel is that of `select`.
        self._fine = FocusPeak(wide, signal, "sml", _FINE_WINDOW, 0, dtype)
        self._coarse = [
            FocusPeak(part, signal, "laplacian-energy", window, 0, np.dtype(np.uint8))
            for part, windows in ((half, _HALF_WINDOWS), (quarter, _QUARTER_WINDOWS))
            for window in windows
        ]
        self._scale = float(np.float32((2**18 - 1) / steps))
        self._clipped: Plane | None = None
        self._ever_clipped: Plane | None = None

    def add(
        self,
        signal: NDArray[Any],
        z: int,
        invalid: Sequence[Plane | None] = (),
        clipped: Sequence[Plane | None] = (),
    ) -> None:
        """Fold planes (n, Y, X) of the decision signal.

        Where one of `invalid` (each (Y, X), or None) is above 0 its plane can't win. The signal
        holds a filled value there, and is changed. `clipped` says how much of each half-size pixel
        of a plane, `SEARCH_REACH` round the core, is.
        """
        n = len(signal)
        has_invalid = np.zeros(n, np.bool_)
        if not self._small or len(self._small[0]) < n:  # once: memory is slow when first touched
            self._small = [np.empty((n, *plane.shape), np.int32) for plane in self._reduced]
        for i, plane in enumerate(signal):
            fine, frame = plane[self._near], self._frames[1]
            for coarse, small in zip(self._reduced, self._small, strict=True):
                reduce_signal(fine, frame, self._scale, coarse, small[i])
                fine, frame = coarse, NO_FRAME
            unknown = invalid[i] if invalid else None
            if unknown is not None:
                has_invalid[i] = True
                fine = unknown
                for coarse, small in zip(self._reduced, self._small, strict=True):
                    reduce_plane(fine, coarse)
                    small[i][coarse > 0] = INVALID
                    fine = coarse
                plane[unknown > 0] = INVALID
        self._fine.add_signal(
            signal, has_invalid, _no_pixels(signal, self._fine), z, self._frames[0]
        )
        for number, peak in enumerate(self._coarse):
            planes = self._small[number // len(_HALF_WINDOWS)][:n]
            peak.add_signal(planes, has_invalid, _no_pixels(planes, peak), z)
        self._note_clipped(clipped, z)

    def falloff(self) -> tuple[float, float]:
        """Return the energy in focus and a plane beside it, above the floor, where a peak is sure.

        Sums over all pixels, of half-size planes; before `finish`.
        """
        peak = self._coarse[1]
        others = peak.out_of_focus()
        above = peak.best - others
        inner = (peak.index > 0) & (peak.index < peak.planes - 1)
        sure = inner & (above * (_COARSE_SPREAD * peak.window) > _SURE_FALLOFF * others)
        beside = peak.beside() - others
        return float(above[sure].sum()), float(beside[sure].sum())

    def out_of_focus(self) -> list[Plane]:
        """Return the scores of planes out of focus that are not 0, of each scale; before `finish`.

        Flat: what is clipped, or a field of one value, has no noise.
        """
        scores = [peak.out_of_focus() for peak in (*self._coarse, self._fine)]
        return [score[score > 0] for score in scores]

    def _note_clipped(self, clipped: Sequence[Plane | None], z: int) -> None:
        """Keep how much is clipped in the plane that the widest window prefers.

        A highlight is clipped and flat in the plane of its focus; planes out of focus, over which
        its edge spreads, look sharper. The widest window sees the edge itself. What only the blur
        of a highlight covers is known: from there the plane in focus is not clipped. So that the
        blur of something dark in a bright field, which alone is not clipped, is no focus, how much
        all planes are is added up, see `_known`.
        """
        shown = within(self._half.core, self._reached.shown)
        height, width = self._half.shape
        for number, share in enumerate(clipped, z):
            if share is None and self._clipped is None:
                continue
            if self._clipped is None or self._ever_clipped is None:
                self._clipped, self._ever_clipped = np.zeros((2, *self._half.shape), np.float32)
            won = self._coarse[-1].index == number
            won = won.repeat(2, 0).repeat(2, 1)[:height, :width]
            np.copyto(self._clipped, 0 if share is None else share[shown], where=won)
            if share is not None:
                self._ever_clipped += share[shown]

    def _known(self) -> Plane | None:
        """Return how much of each half-size pixel is not clipped in its best plane; None: all is.

        Less where more than half of the others are clipped: they might be in focus as well.
        """
        if self._clipped is None or self._ever_clipped is None or not self._ever_clipped.any():
            return None
        known = np.clip(1 - self._clipped, 0, 1)
        others = self._fine.planes - 1
        if others > 1:
            free = others - (self._ever_clipped - self._clipped)
            known *= np.clip(free * np.float32(_MANY_FREE / others), 0, 1)
        return known

    def finish(self, quiet: Sequence[float]) -> FoundDepth:
        """Return the depth of the core.

        Of each scale (as `out_of_focus`) `quiet` is a score that no plane is taken to lie below: a
        field of one value in all planes but one, where it is not clipped, has no peak of detail. Of
        what is clipped only the widest window says anything, and that has no vote: the depth
        comes from round about.
        """
        inside = within(self._region.core, self._wide.core)
        shape = self._wide.shape
        half_inside = within(half_region(self._region).core, self._half.core)
        strength, floor = self._coarse[1].best.copy(), self._floor()
        found = [
            _finished(peak, self._half.shape, least)
            for peak, least in zip(self._coarse, quiet, strict=False)
        ]
        known = self._known()
        if known is not None:
            for _, stands_out, _ in found[:-1]:
                stands_out *= known
        fine, stands_out, finest = _finished(self._fine, shape, quiet[-1], _FINE_SPREAD)
        if known is not None:
            stands_out *= np.clip(expanded(known, shape), 0, 1)
        depth, trust = settled([scale[0] for scale in found], [scale[1] for scale in found], known)
        whole, better = with_fine(depth, fine, stands_out)
        trust = expanded(trust, shape)
        np.copyto(trust, stands_out, where=better & (stands_out > trust))
        whole, trust, fine, stands_out = (
            np.ascontiguousarray(m[inside]) for m in (whole, trust, fine, stands_out)
        )
        strength, depth, floor = (
            np.ascontiguousarray(m[half_inside]) for m in (strength, depth, floor)
        )
        peaks = [
            ScalePeak(
                np.ascontiguousarray(p.depth[half_inside]),
                np.ascontiguousarray(p.stands_out[half_inside]),
                p.gain,
            )
            for _, _, p in found
        ]
        peaks.append(ScalePeak(halved(fine), halved(finest.stands_out[inside]), finest.gain))
        evidence = Evidence(halved(whole), peaks, self._fine.planes, ROUGHNESS_RADII)
        if known is not None:
            known = np.ascontiguousarray(known[half_inside])
        return FoundDepth(whole, trust, strength, depth, floor, fine, stands_out, evidence, known)

    def _floor(self) -> Plane:
        peak, radius = self._coarse[1], _HALF_WINDOWS[1] // 2
        count = [
            (np.minimum(at + radius, size - 1) - np.maximum(at - radius, 0) + 1).astype(np.float32)
            for size, cut in zip(self._half.image, self._half.core, strict=True)
            for at in [np.arange(cut.start, cut.stop)]
        ]
        floor = peak.out_of_focus()
        floor /= np.outer(*count)
        return floor


def least_scores(searches: Sequence[DepthSearch]) -> tuple[float, ...]:
    """Return of each scale what planes out of focus seldom lie below, over regions of a sample."""
    scales = zip(*[search.out_of_focus() for search in searches], strict=True)
    scores = [np.concatenate(scale) for scale in scales]
    return tuple(float(np.quantile(s, _QUIET)) if s.size else 0.0 for s in scores)


def _no_pixels(signal: NDArray[Any], peak: FocusPeak) -> NDArray[Any]:
    return np.empty((len(signal), 0, *signal.shape[1:]), peak.image.dtype)


def _finished(
    peak: FocusPeak, shape: tuple[int, int], least: float, spread: float = _COARSE_SPREAD
) -> tuple[Plane, Plane, ScalePeak]:
    """Return depth and significance of a peak in a plane (h, w) of its size or twice it, and it.

    Its window sums spread so much per side. Its confidence is 1 - others/peak, its significance
    (peak - others) / (deviation of others).
    """
    peak.quiet = least
    depth, stands_out = peak.finish()
    gain = spread * peak.window
    ratio = np.float32(1) - stands_out
    np.maximum(ratio, np.float32(1e-6), out=ratio)
    np.divide(stands_out, ratio, out=ratio)
    ratio *= np.float32(gain)
    if depth.shape != shape:
        depth, stands_out, ratio = (expanded(m, shape) for m in (depth, stands_out, ratio))
    return depth, ratio, ScalePeak(depth, stands_out, gain / SURE)
