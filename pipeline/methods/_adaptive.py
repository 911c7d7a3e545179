"""Adaptive: find the depth, then average in every band exactly as many planes as are in focus.

Ours. Two passes over the planes, because the second one pays: once the depth is known and cleaned,
every plane's weight in every band is known too, and the picture is the least-squares estimate from
all planes instead of a choice among noisy ones. On the simulated stacks (600 to 3000 photons) it is
2.3 dB above copying the pixel of the *true* depth (docs/quality.md).

First pass: `DepthSearch`. Second pass, for each band of a Laplacian pyramid (Burt & Adelson 1983)
and each plane at distance d from the depth: the band's response to defocus is g(d), coefficients
are averaged with weight g / (1 + D (1 - g)²), where D compares signal and noise of the band. In
noise all planes in focus share the work; without noise the nearest one decides. The widths of g,
and D, come from the stack itself (`_optics.py`). What is left of the noise is shrunk by a local
Wiener filter with the known variance. A centroid of the focus score round the peak refines the
depth.

Where planes are further apart than the depth of field (g of the neighbour below 1/4) there is
nothing to average: pixels are taken from the chosen plane, with edges softened over two pixels, and
where nothing is in focus from the mean of all planes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

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
from zfuse.pipeline._fused import Fused
from zfuse.pipeline._region import Region
from zfuse.pipeline.methods._depth_search import (
    SEARCH_BYTES,
    SEARCH_REACH,
    SURE,
    DepthSearch,
)
from zfuse.pipeline.methods._floats import Blend, FloatPlanes, mix
from zfuse.pipeline.methods._method import Method
from zfuse.pipeline.methods._optics import (
    NOISE_GAIN,
    CameraNoise,
    estimate_noise,
    estimate_response,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline._sample import Sample

    Plane = NDArray[np.float32]

__all__ = ["Adaptive"]

_LEVELS = 3  # a fourth changes nothing on the simulated stacks and doubles the halo
# With s = 2^2, the coarsest band's pixel: rebuilding the core needs 3.5 s, shrinking 4 s more,
# a coefficient sees 7 s. Together 58; depths spoken for by a neighbour (6 px) reach less.
_PYRAMID_REACH = 8 << _LEVELS
_FRAME = 4  # px at the image's own edge that the decision mirrors instead of trusting
_FIRST_WIDTH, _WIDER = 0.39, 2.2  # of the measured width; each coarser band is so much wider
_DISTRUST = 0.03
_LEAST_RESPONSE = 0.3  # a plane's coefficient is raised by a factor of 3 at most …
_LEAST_NARROW = 0.8  # … or of 1.25, where half a plane of defocus halves a band's contrast: there
_NARROW = 0.42  # planes of width; a wrong depth would sharpen what is sharp
_SPARSE = 0.6  # planes: below, neighbours share less than 1/4 of their contrast
_SHRINK_RADIUS = 3
_SHRINK_SHARE = 0.5  # 0.6 / 1.2, best on the simulated stacks
_CENTROID_REACH, _CENTROID_WINDOW = 5, 7
_NOISE_PEAK = 2.0  # significance that the highest of many planes reaches in noise alone
_NO_HOLES = np.empty((0, 0), np.float32)


@dataclass(frozen=True)
class _Calibration:
    blend: Blend
    steps: float
    widths: tuple[float, ...]
    distrust: tuple[float, ...]
    sparse: bool
    noise: tuple[CameraNoise, ...]
    planes: int


class Adaptive(Method):
    """Least-squares average of what is in focus, band by band."""

    family: ClassVar[str] = "transform"
    copies_pixels: ClassVar[bool] = False
    passes: ClassVar[int] = 2

    name: Literal["adaptive"] = "adaptive"
    denoise: float = Field(
        1.2, ge=0, le=4, description="noise variance that is shrunk away, in units of the estimate"
    )
    quantitative: bool = Field(
        False, description="only average pixels of planes in focus: nothing sharpened or shrunk"
    )

    @property
    def align(self) -> int:
        """A pixel of the coarsest level."""
        return 1 << _LEVELS

    @property
    def halo(self) -> int:
        """The pyramid's reach, and round that the depth search's."""
        return _PYRAMID_REACH + SEARCH_REACH

    def state_bytes(self, channels: int, itemsize: int) -> float:
        """Peaks at five scales; after them sums of the bands, depth at all levels, one plane."""
        first = SEARCH_BYTES
        second = 4 / 3 * 4 * (2 * channels + 4) + 40 + 24 * channels
        return max(first, second) + channels * itemsize

    def calibrate(self, sample: Sample) -> _Calibration:
        """Estimate noise and response from columns of pixels through all planes."""
        blend = Blend.calibrate(sample)
        channels, planes = sample.stack.shape[1:3]
        steps = float(np.iinfo(sample.stack.dtype).max) if blend.signal.native else 2.0**18 - 1
        stacks, depths = [], []
        for column in sample.columns:
            whole = Region.whole(*column.shape[2:])
            floats = FloatPlanes(whole, 0, sample.stack.dtype, blend.fill)
            decided = np.stack([mix(floats.of(p)[0], blend.weights) for p in column])
            search = DepthSearch(whole, blend.signal, steps)
            search.add(_to_signal(decided, blend, steps), 0)
            stacks.append(decided)
            depths.append(search.finish()[0])
        response = estimate_response(stacks, depths, _LEVELS) if planes > 1 else None
        width = response.width if response else 1.5
        ratios = response.signal_to_noise if response else (0.0,) * _LEVELS
        return _Calibration(
            blend,
            steps,
            tuple(_FIRST_WIDTH * width * _WIDER**level for level in range(_LEVELS + 1)),
            tuple(_DISTRUST * r for r in (*ratios, ratios[-1])),
            planes <= 2 or (response is not None and width < _SPARSE),
            tuple(estimate_noise(sample.columns, c) for c in range(channels)),
            planes,
        )

    def start(
        self, region: Region, channels: int, dtype: np.dtype[Any], calibration: _Calibration
    ) -> _State:
        """Allocate the depth search."""
        return _State(self, region, channels, dtype, calibration)

    def add(self, state: _State, planes: NDArray[Any], z: int) -> None:
        """Fold a block of planes: first for depth, then for the picture."""
        if state.search is not None:
            state.look(planes, z)
        else:
            state.gather(planes, z)

    def next_pass(self, state: _State) -> None:
        """Settle the depth."""
        state.settle()

    def finish(self, state: _State) -> Fused:
        """Rebuild the image and refine the depth.

        Confidence is t / (t + 3), where t is how far the significance of the peak (in standard
        deviations of noise) exceeds the 2 that noise alone reaches.
        """
        return Fused(state.rebuild(), *state.depth_and_confidence())


def _to_signal(decided: Plane, blend: Blend, steps: float) -> NDArray[Any]:
    """Round float planes of the decision signal to what the focus kernels take."""
    if blend.signal.native:
        return decided.astype(np.int32)
    rounded = np.rint(decided + np.float32(blend.signal.offset))
    return np.asarray(np.clip(rounded, 0, steps), np.int32)


class _State:
    """One region in both passes. The depth is known on a wider core than the image."""

    def __init__(
        self,
        method: Adaptive,
        region: Region,
        channels: int,
        dtype: np.dtype[Any],
        calibration: _Calibration,
    ) -> None:
        self._c = calibration
        self._denoise = np.float32(method.denoise)
        # Without bands a value is a mean of its pixel's values: nothing else happens to it.
        self._levels = 0 if calibration.sparse or method.quantitative else _LEVELS
        self._region = region
        self._floats = FloatPlanes(region, method.halo, dtype, calibration.blend.fill)
        window = Region.grown(region.core, method.halo, region.image)
        wide = Region.grown(region.core, _PYRAMID_REACH, region.image)
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
            target[:] = _to_signal(mix(values, blend.weights), blend, self._c.steps)
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
