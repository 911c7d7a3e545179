"""The two passes of the adaptive method over one region.

Duty: depth search first, then weighted sums of bands (or of pixels, where planes are far apart),
and the picture and depth that they make. Must not know: how the calibration was estimated; files,
tiles. The method itself is explained in `_adaptive.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import (
    MEASURES,
    accumulator,
    add_expanded,
    add_focused,
    add_masked,
    fold_centroid,
    median_3x3,
    reduce_by_strength,
    reduce_plane,
    shrink_band,
    subtract_expanded,
)
from zfuse.pipeline.core import Region
from zfuse.pipeline.methods.parts._depth_search import SEARCH_REACH, SURE, DepthSearch
from zfuse.pipeline.methods.parts._floats import Blend, FloatPlanes, mix
from zfuse.pipeline.methods.parts._optics import NOISE_GAIN, CameraNoise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["ADAPTIVE_HALO", "LEVELS", "AdaptiveState", "Calibration", "to_signal"]

LEVELS = 3  # a fourth changes nothing on the simulated stacks and doubles the halo
# With s = 2^2, the coarsest band's pixel: rebuilding the core needs 3.5 s, shrinking 4 s more,
# a coefficient sees 7 s. Together 58; depths spoken for by a neighbour (6 px) reach less.
PYRAMID_REACH = 8 << LEVELS
ADAPTIVE_HALO = PYRAMID_REACH + SEARCH_REACH
_FRAME = 4  # px at the image's own edge that the decision mirrors instead of trusting
_LEAST_RESPONSE = 0.3  # a plane's coefficient is raised by a factor of 3 at most …
_LEAST_NARROW = 0.8  # … or of 1.25, where half a plane of defocus halves a band's contrast: there
_NARROW = 0.42  # planes of width; a wrong depth would sharpen what is sharp
_SHRINK_RADIUS = 3
_SHRINK_SHARE = 0.5  # 0.6 / 1.2, best on the simulated stacks
_CENTROID_REACH, _CENTROID_WINDOW = 5, 7
_NOISE_PEAK = 2.0  # significance that the highest of many planes reaches in noise alone
_NO_HOLES = np.empty((0, 0), np.float32)


@dataclass(frozen=True)
class Calibration:
    """What is global to the stack: signal, responses, noise."""

    blend: Blend
    steps: float
    widths: tuple[float, ...]
    distrust: tuple[float, ...]
    sparse: bool
    noise: tuple[CameraNoise, ...]
    planes: int


def to_signal(decided: Plane, blend: Blend, steps: float) -> NDArray[Any]:
    """Round float planes of the decision signal to what the focus kernels take."""
    if blend.signal.native:
        return decided.astype(np.int32)
    rounded = np.rint(decided + np.float32(blend.signal.offset))
    return np.asarray(np.clip(rounded, 0, steps), np.int32)


class AdaptiveState:
    """One region in both passes. The depth is known on a wider core than the image."""

    def __init__(
        self,
        region: Region,
        channels: int,
        dtype: np.dtype[Any],
        calibration: Calibration,
        *,
        denoise: float,
        quantitative: bool,
    ) -> None:
        self._c = calibration
        self._denoise = np.float32(denoise)
        # Without bands a value is a mean of its pixel's values: nothing else happens to it.
        self._levels = 0 if calibration.sparse or quantitative else LEVELS
        self._region = region
        self._floats = FloatPlanes(region, ADAPTIVE_HALO, dtype, calibration.blend.fill)
        window = Region.grown(region.core, ADAPTIVE_HALO, region.image)
        wide = Region.grown(region.core, PYRAMID_REACH, region.image)
        self._wide = Region(region.image, wide, window)
        self.search: DepthSearch | None = DepthSearch(
            self._wide, calibration.blend.signal, calibration.steps
        )
        self._channels = channels

    def _decide(self, planes: NDArray[Any]) -> tuple[NDArray[Any], list[Plane | None]]:
        """Return the block's decision signal (n, Y, X), and the holes of its planes."""
        blend = self._c.blend
        if blend.signal.native:  # no float in between: half the time of a pass went there
            y, x = self._floats.window
            signal = planes[:, 0, y, x].astype(np.int32)  # ours to change, and one kernel for all
            self._mirror_frame(signal)
            return signal, [None] * len(planes)
        signal = np.empty((len(planes), *self._floats.shape), np.int32)
        all_holes = []
        for plane, target in zip(planes, signal, strict=True):
            values, holes = self._floats.of(plane)
            target[:] = to_signal(mix(values, blend.weights), blend, self._c.steps)
            all_holes.append(holes)
        self._mirror_frame(signal)
        return signal, all_holes

    def _mirror_frame(self, planes: NDArray[Any]) -> None:
        """Replace the outermost pixels of the image by their mirror image from further inside.

        Frames end in what is not specimen: zero padding of a blur, a resampled or demosaiced rim.
        In MFI-WHU the blurred image's two darkened border rows hold 80 % of SML argmax's error.
        """
        for axis, (window, size) in enumerate(
            zip(self._wide.window, self._region.image, strict=True), start=1
        ):
            if size <= 4 * _FRAME:
                continue
            view = np.moveaxis(planes, axis, 1)
            if window.start == 0:
                view[:, :_FRAME] = view[:, 2 * _FRAME : _FRAME : -1]
            if window.stop == size:
                view[:, -_FRAME:] = view[:, -_FRAME - 2 : -2 * _FRAME - 2 : -1]

    def look(self, planes: NDArray[Any], z: int) -> None:
        """First pass."""
        assert self.search is not None
        signal, holes = self._decide(planes)
        self.search.add(signal, z, holes)

    def settle(self) -> None:
        """Between the passes: one depth map, and the arrays of the second pass."""
        assert self.search is not None
        self._depth, self._trust = self.search.finish()
        self._fine = self.search.fine_is_sure
        strength = self.search.strength
        self.search = None
        shape = self._wide.shape
        # The bands that the core needs; the same window as the depth's.
        shapes = [shape]
        for _ in range(self._levels):
            shapes.append(tuple((n + 1) // 2 for n in shapes[-1]))  # type: ignore[arg-type]
        self._total = [np.zeros((self._channels, *s), np.float32) for s in shapes]
        self._norm = [np.zeros(s, np.float32) for s in shapes]
        self._peak = np.rint(self._depth)  # whole planes: as many on either side
        last = np.float32(self._c.planes - 1)
        self._reach = np.minimum(np.minimum(self._peak, last - self._peak), _CENTROID_REACH)
        self._floor = np.full(shape, np.inf, np.float32)
        self._mass, self._moment = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        if self._c.sparse:
            self._index = self._peak.astype(np.int32)
            quiet = np.asarray(self._trust < SURE, np.float32)
            self._quiet = quiet
            return
        self._square = [np.zeros(s, np.float32) for s in shapes]
        self._low = np.full((self._channels, *shape), np.inf, np.float32)
        self._high = np.full((self._channels, *shape), -np.inf, np.float32)
        self._depths = [self._depth]
        if self._levels:
            self._depths.append(np.ascontiguousarray(self._depth[::2, ::2]))
        for s in shapes[2:]:
            coarse, stronger = np.empty(s, np.float32), np.empty(s, np.float32)
            reduce_by_strength(self._depths[-1], strength, coarse, stronger)
            self._depths.append(coarse)
            strength = stronger
        self._lows = [d.min(1) for d in self._depths]
        self._highs = [d.max(1) for d in self._depths]

    def gather(self, planes: NDArray[Any], z: int) -> None:
        """Second pass."""
        signal, _ = self._decide(planes)
        top, left = self._wide.offset
        fold_centroid(
            signal, top, left, z, MEASURES["sml"], _CENTROID_WINDOW,
            np.empty(0, accumulator("sml")), self._peak, self._reach,
            self._mass, self._moment, self._floor,
        )  # fmt: skip
        height, width = self._wide.shape
        cut = (slice(top, top + height), slice(left, left + width))
        for i, plane in enumerate(planes):
            values, holes = self._floats.of(plane)
            here = np.ascontiguousarray(values[:, *cut])
            gaps = _NO_HOLES if holes is None else np.ascontiguousarray(holes[cut])
            if self._c.sparse:
                add_masked(
                    here, gaps, self._index, self._quiet, 1 / self._c.planes, z + i,
                    self._total[0], self._norm[0],
                )  # fmt: skip
            else:
                self._widen(here, gaps)
                self._add_bands(here, gaps, z + i)

    def _widen(self, plane: Plane, holes: Plane) -> None:
        """Keep the lowest and the highest pixel of all planes."""
        known = plane if holes.size == 0 else np.where(holes > 0, np.float32(np.nan), plane)
        np.fmin(self._low, known, out=self._low)
        np.fmax(self._high, known, out=self._high)

    def _add_bands(self, fine: Plane, holes: Plane, z: int) -> None:
        for level in range(self._levels + 1):
            coarse, wider = fine, holes
            if level < self._levels:
                shape = self._norm[level + 1].shape
                coarse = np.empty((self._channels, *shape), np.float32)
                for plane, reduced in zip(fine, coarse, strict=True):
                    reduce_plane(plane, reduced)
                    subtract_expanded(plane, reduced, plane)
                if holes.size:
                    wider = np.empty(shape, np.float32)
                    reduce_plane(holes, wider)
            add_focused(
                fine, holes, self._depths[level], self._lows[level], self._highs[level], z,
                self._c.widths[level], self._c.distrust[level],
                self._least(level),
                self._total[level], self._norm[level], self._square[level],
            )  # fmt: skip
            fine, holes = coarse, wider

    def _least(self, level: int) -> float:
        """Return the least response that is reckoned with: the low-pass rest is never raised."""
        if level == self._levels:
            return 1.0
        return _LEAST_NARROW if self._c.widths[level] < _NARROW else _LEAST_RESPONSE

    def rebuild(self) -> NDArray[Any]:
        """Return the image (C, h, w) of the core."""
        norms = [np.maximum(norm, np.float32(1e-6)) for norm in self._norm]
        image = np.asarray(self._total[-1] / norms[-1], np.float32)
        for level in range(self._levels - 1, -1, -1):
            noise_share = (
                self._denoise
                * np.float32(NOISE_GAIN[level])
                * self._square[level]
                / (norms[level] * norms[level])
            )
            band = np.asarray(self._total[level] / norms[level], np.float32)
            for c, noise in enumerate(self._c.noise):
                expanded = np.zeros(band.shape[1:], np.float32)
                add_expanded(expanded, image[c], expanded)
                variance = np.float32(noise.gain) * expanded + np.float32(noise.floor)
                shrink_band(
                    band[c], np.maximum(variance, 0) * noise_share, _SHRINK_RADIUS, _SHRINK_SHARE
                )
                band[c] += expanded
            image = band
        if not self._c.sparse:
            self._hold_within_planes(image)
        return self._floats.to_dtype(self._padded(image))

    def _hold_within_planes(self, image: Plane) -> None:
        """Hold each value within the planes' range at its pixel, give or take the noise.

        Bands of different planes can add up to what no plane shows: a dark ring, a black patch.
        """
        for plane, low, high, noise in zip(
            image, self._low, self._high, self._c.noise, strict=True
        ):
            for limit, sign, hold in ((low, -1, np.maximum), (high, 1, np.minimum)):
                known = np.where(np.isfinite(limit), limit, plane)
                variance = np.float32(noise.gain) * known + np.float32(noise.floor)
                spread = np.sqrt(np.maximum(variance, 0), dtype=np.float32)
                hold(plane, known + np.float32(sign) * spread, out=plane)

    def _padded(self, image: Plane) -> Plane:
        """Put the wide core back into the window, which is what `FloatPlanes` cuts from."""
        full = np.zeros((len(image), *self._floats.shape), np.float32)
        top, left = self._wide.offset
        full[:, top : top + image.shape[1], left : left + image.shape[2]] = image
        return full

    def depth_and_confidence(self) -> tuple[Plane, Plane]:
        """Return the core's depth in planes and confidence."""
        last = self._c.planes - 1
        mass = self._mass - (2 * self._reach + 1) * self._floor
        use = (self._reach >= 2) & self._fine & (mass > 0)
        refined = self._peak + self._moment / np.where(use, mass, 1)
        depth = np.where(use, refined, self._depth).astype(np.float32)
        clean = np.empty_like(depth)
        median_3x3(depth, clean)
        above = np.maximum(self._trust - np.float32(_NOISE_PEAK), 0)
        confidence = np.asarray(above / (above + np.float32(SURE)), np.float32)
        if last == 0:
            confidence[:] = 0
        top, left = (
            core.start - wide.start
            for core, wide in zip(self._region.core, self._wide.core, strict=True)
        )
        height, width = self._region.shape
        cut = (slice(top, top + height), slice(left, left + width))
        confidence = np.ascontiguousarray(confidence[cut])
        unknown = self._floats.unknown()
        if unknown is not None:
            confidence[unknown] = 0
        return np.ascontiguousarray(np.clip(clean[cut], 0, last)), confidence
