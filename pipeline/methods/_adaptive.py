"""Adaptive: find the depth, then average in every band exactly as many planes as are in focus.

Ours. Two passes over the planes, because the second one pays: once the depth is known and cleaned,
every plane's weight in every band is known too, and the picture is the least-squares estimate from
all planes instead of a choice among noisy ones. On the simulated stacks (600 to 3000 photons) it is
2.3 dB above copying the pixel of the *true* depth (docs/quality.md).

First pass: `DepthSearch`; of two planes `PairDecision`. Second pass, for each band of a Laplacian
pyramid (Burt & Adelson 1983) and each plane at distance d from the depth: the band's response to
defocus is g(d), coefficients are averaged with weight g / (1 + D (1 - g)²), where D compares signal
and noise of the band there. In noise all planes in focus share the work; without noise the nearest
one decides. The widths of g, and D, come from the stack itself (`_response.py`). What is left of
the noise is shrunk by a local Wiener filter with the known variance. What all planes near the peak
say, at half size and together with the neighbours, refines the depth.

Where planes are further apart than the depth of field g of all planes but the nearest is 0 in the
fine bands: each coefficient is one plane's. Coarse bands still pass from plane to plane over their
own width, so that no outline appears that no plane has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from zfuse.pipeline.core import Fused, Region, within
from zfuse.pipeline.methods._method import Method
from zfuse.pipeline.methods.parts import (
    PAIR_BYTES,
    SEARCH_BYTES,
    SEARCH_REACH,
    BandAverage,
    Blend,
    CameraNoise,
    ClipLevels,
    DecisionPlanes,
    DepthOffset,
    DepthSearch,
    FloatPlanes,
    MeasuredAverage,
    PairDecision,
    Trust,
    band_reach,
    camera_noise,
    doubled,
    estimate_response,
    least_scores,
    mix,
    peak_width,
    to_signal,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Sample
    from zfuse.pipeline.methods.parts import FoundDepth

    Plane = NDArray[np.float32]

__all__ = ["Adaptive"]

# Where planes differ in brightness (macro stacks that breathe) a patch of another plane shows as a
# block, softened over as far as the bands reach: with three, up to .36 % of edges are of no plane,
# with four .13, with five .06 for a halo of 64 px more.
_LEVELS = 4
_PYRAMID_REACH = band_reach(_LEVELS)
_FIRST_WIDTH, _WIDER = 0.39, 2.2  # of the measured width; each coarser band is so much wider
_DISTRUST = 0.03
_MEASURED = 1.0  # instead, where intensities are measured: a mean may be noisy, but not too low
_LEAST_STRENGTH = 1.0  # energy of one step
_LEAST_WIDTH = 0.25  # planes: a depth half-way between two planes is still reached by both
# Of two planes, whose depth is soft at borders. With .41, where the weight of one ends at the
# other, blur leaks into what is sharp (.9 of 255 in the tests); with .33 there are more outlines.
_PAIR_WIDTH = 0.37
_AT_ONCE = 4  # planes in the picture's pyramid
# Planes, or as many as there are. The low-pass rest holds exposure and far blur more than detail:
# joined over fewer, it draws pale patches round specks of another plane.
_LEAST_REST = 4.0  # with 5 beads, whose light lies in one plane, lose 1 %


@dataclass(frozen=True)
class _Calibration:
    """What is global to the stack; widths (in planes) and distrust of each band.

    The picture is made in units of which the decision signal has 1 to 2 steps, and so is the noise:
    squares of pixels need not fit float32.
    """

    blend: Blend
    clipped: ClipLevels
    steps: float
    widths: tuple[float, ...]
    distrust: tuple[float, ...]
    unit: float
    noise: tuple[CameraNoise, ...]
    planes: int
    trust: Trust
    peak_width: float
    quiet: tuple[float, ...]


class Adaptive(Method):
    """Least-squares average of what is in focus, band by band."""

    family: ClassVar[str] = "transform"
    copies_pixels: ClassVar[bool] = False
    keeps_intensities: ClassVar[dict[str, Any] | None] = {"quantitative": True}
    passes: ClassVar[int] = 2

    name: Literal["adaptive"] = "adaptive"
    denoise: float = Field(
        1.2,
        ge=0,
        le=4,
        description="how much noise is removed: 0 none, 1 what was estimated",
    )
    quantitative: bool = Field(
        False, description="only average planes in focus, so that intensities can be measured"
    )

    @property
    def grid_step(self) -> int:
        """A pixel of the coarsest level."""
        return 1 << _LEVELS

    @property
    def halo(self) -> int:
        """The pyramid's reach, and round that the depth search's."""
        return _PYRAMID_REACH + SEARCH_REACH

    def state_bytes(self, channels: int, itemsize: int) -> float:
        """Peaks at five scales; after them sums of the bands, depth at all levels, one plane."""
        first = SEARCH_BYTES + PAIR_BYTES
        second = 4 / 3 * 4 * (2 * channels + 4) + 40 + 24 * channels
        return max(first, second) + channels * itemsize

    def calibrate(self, sample: Sample) -> _Calibration:
        """Estimate noise and response from columns of pixels through all planes."""
        blend = Blend.calibrate(sample)
        channels, planes = sample.stack.shape[1:3]
        steps = float(np.iinfo(sample.stack.dtype).max) if blend.signal.native else 2.0**18 - 1
        stacks, searches, depths, strengths, evidence = [], [], [], [], []
        for column in sample.columns:
            whole = Region.whole(*column.shape[2:])
            floats = FloatPlanes(whole, 0, sample.stack.dtype, blend.fill)
            filled = [floats.to_float(p)[0] for p in column]
            search = DepthSearch(whole, blend.signal, steps, sample.stack.dtype)
            if blend.signal.native:
                signal = np.ascontiguousarray(column[:, 0])
            else:
                signal = np.stack([to_signal(p, blend, steps) for p in filled])
            search.add(signal, 0)
            stacks.append(np.stack([mix(p, blend.weights) for p in filled]))
            searches.append(search)
        falloffs = [search.falloff() for search in searches]
        quiet = least_scores(searches)
        for search in searches:
            found = search.finish(quiet)
            depths.append(found.depth)
            strengths.append(float(found.strength.mean()))
            evidence.append(found.evidence.means())
        response = estimate_response(stacks, depths, _LEVELS, blend.step) if planes > 1 else None
        width = response.width if response else 1.5
        ratios = response.signal_to_noise if response else (0.0,) * _LEVELS
        # Both hold noise: the energy of a band over its noise, for each unit of strength.
        strength = max(float(np.mean(strengths)), _LEAST_STRENGTH)
        first = max(_FIRST_WIDTH * width, _LEAST_WIDTH if planes != 2 else _PAIR_WIDTH)
        widths = [first * _WIDER**level for level in range(_LEVELS + 1)]
        widths[-1] = max(widths[-1], min(_LEAST_REST, planes))
        # A power of two: no digit of a float changes.
        whole_numbers = sample.stack.dtype.kind != "f"
        unit = 1.0 if whole_numbers else 2.0 ** -np.floor(np.log2(max(blend.signal.weights)))
        noise = [camera_noise(sample.columns, c) for c in range(channels)]
        return _Calibration(
            blend,
            ClipLevels.calibrate(sample, blend.signal.weights),
            steps,
            tuple(widths),
            tuple(_DISTRUST * (1 + r) / strength for r in (*ratios, ratios[-1])),
            float(unit),
            tuple(CameraNoise(n.gain / unit, n.floor / unit / unit) for n in noise),
            planes,
            Trust(
                "adaptive",
                (np.log(planes), np.log(width), np.log1p(ratios[0]), *np.mean(evidence, 0)),
            ),
            peak_width(falloffs),
            quiet,
        )

    def start(
        self, region: Region, channels: int, dtype: np.dtype[Any], calibration: _Calibration
    ) -> _DepthPass:
        """Allocate the depth search."""
        return _DepthPass(self, region, dtype, calibration)

    def recalibrated(self, state: _DepthPass, old: _Calibration, new: _Calibration) -> bool:
        """Change what the picture is made with; the depth pass knows the signal and clipping."""
        return state.recalibrated(new)

    def next_pass(self, state: _DepthPass) -> _PicturePass:
        """Take the depth that was found, allocate sums."""
        return _PicturePass(self, state)


class _DepthPass:
    """First pass: where the planes of a region are in focus.

    Attributes
    ----------
    region
        The region that the image is made of.
    wide
        The region that the depth is known of: its core is larger by the pyramid's reach.
    """

    def __init__(
        self, method: Adaptive, region: Region, dtype: np.dtype[Any], calibration: _Calibration
    ) -> None:
        self.calibration = calibration
        self.region = region
        self.wide = Region(
            region.image,
            Region.grown(region.core, _PYRAMID_REACH, region.image),
            Region.grown(region.core, method.halo, region.image),
        )
        blend, steps = calibration.blend, calibration.steps
        self.floats = FloatPlanes(region, method.halo, dtype, blend.fill)
        shown = Region(region.image, self.wide.core, region.shown)
        self.decision = DecisionPlanes(shown, self.floats, blend, steps)
        self.search = DepthSearch(
            self.decision.region, blend.signal, steps, dtype, framed=self.decision.framed
        )
        self._near = within(self.wide.shown, self.decision.region.shown)
        self._pair = PairDecision(self.wide, steps)
        self._was_clipped, self._may_fill = False, dtype.kind == "f"

    def add(self, planes: NDArray[Any], z: int) -> None:
        """Fold a block of planes."""
        signal, invalid = self.decision.with_frame(planes)
        self._pair.add(signal[:, *self._near], invalid)
        self.decision.hide_frame(signal)
        levels = self.calibration.clipped
        clipped = [levels.share(plane[:, *self.floats.cut]) for plane in planes]
        self._was_clipped |= any(share is not None for share in clipped)
        self.search.add(signal, z, invalid, clipped)

    def found(self) -> FoundDepth:
        """Return the depth; of two planes what comparing them says."""
        found = self.search.finish(self.calibration.quiet)
        depth = self._pair.depth()
        if depth is None:
            return found
        half, unsure = np.ascontiguousarray(depth[::2, ::2]), np.zeros_like(depth)
        strength = self._pair.strength(half, found.strength)
        return found._replace(
            depth=depth, strength=strength, half=half, fine=depth, fine_significance=unsure
        )

    def recalibrated(self, new: _Calibration) -> bool:
        """Go on with another calibration, if with it the planes so far had been the same."""
        old = self.calibration
        if (old.blend.signal, old.steps) != (new.blend.signal, new.steps):
            return False
        if self._may_fill and old.blend.fill != new.blend.fill:
            return False
        if old.clipped != new.clipped:
            levels = zip(old.clipped.least, new.clipped.least, strict=True)
            if self._was_clipped or any(later < first for first, later in levels):
                return False
        self.calibration = new
        return True


class _PicturePass:
    """Second pass: the picture of that depth, and the depth between planes."""

    def __init__(self, method: Adaptive, first: _DepthPass) -> None:
        self._region, self._wide = first.region, first.wide
        self._floats, self._decision = first.floats, first.decision
        self._calibration = calibration = first.calibration
        self._unit = np.float32(calibration.unit)
        found = first.found()
        self._confidence = calibration.trust.probability(found.evidence)
        if found.known is not None:
            self._confidence *= found.known
        self._offset = DepthOffset(
            first.region, first.wide, found, calibration.planes, calibration.peak_width,
            self._decision, calibration.steps,
        )  # fmt: skip
        channels = len(calibration.noise)
        self._picture: BandAverage | MeasuredAverage
        if method.quantitative:
            self._picture = MeasuredAverage(
                channels, calibration.planes, found, calibration.widths[0],
                calibration.distrust[0] * _MEASURED / _DISTRUST,
            )  # fmt: skip
        else:
            denoise = method.denoise if calibration.planes > 1 else 0.0  # one plane is copied
            self._picture = BandAverage(
                found.depth, found.strength, calibration.widths, calibration.distrust,
                calibration.noise, denoise,
            )  # fmt: skip

    def add(self, planes: NDArray[Any], z: int) -> None:
        """Fold a block of planes."""
        signal, _ = self._decision.signal(planes)
        self._offset.add(signal, z)
        rows, columns = within(self._wide.core, self._region.shown)
        if planes.dtype.kind != "f":  # the pixels themselves: most of the time went into copies
            for i in range(0, len(planes), _AT_ONCE):
                part = planes[i : i + _AT_ONCE]
                self._picture.add(part, (rows.start, columns.start), None, z + i)
            return
        rows, columns = cut = within(self._wide.core, self._wide.shown)
        for i, plane in enumerate(planes):
            values, invalid = self._floats.to_float(plane)
            if self._unit != 1:
                values *= 1 / self._unit
            if invalid is not None:
                invalid = np.ascontiguousarray(invalid[cut])
            self._picture.add(values[None], (rows.start, columns.start), invalid, z + i)

    def finish(self) -> Fused:
        """Rebuild the image and refine the depth."""
        core = within(self._region.core, self._wide.core)
        image = self._picture.image()[:, *core]
        if self._unit != 1:
            image *= self._unit
        confidence = doubled(self._confidence, self._wide.shape)
        confidence = np.ascontiguousarray(confidence[core])
        unknown = self._floats.never_valid()
        if unknown is not None:
            confidence[unknown] = 0
        if self._calibration.planes == 1:
            confidence[:] = 0
        return Fused(self._floats.core_to_dtype(image), self._offset.refined(), confidence)
