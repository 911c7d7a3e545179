"""UMIS: a network without truth says how sharp each pixel is; the sharpest plane's is taken.

UMIS-Fusion: a nested U-Net, trained to restore single planes, has learned 16 features of every
pixel. The magnitude of their gradients, summed over the features and over a window, is the
activity; the plane with the highest wins; a vote of the neighbours cleans the map of winners; the
pixels of the plane that is left are copied. Two passes over the planes, because only the first one
knows the map; the network runs in the first.

Its channel attention pools over the image, so that tiles would disagree. Here it is measured once a
stack, on a sample of its planes, and every tile uses that: see `Umis.calibrate`.

The published window has 31 px. One of 9 to 13 follows outlines better: + 0.9 dB on MFI-WHU 71 to
80, + 0.8 dB on noisy simulated stacks, whose depth is 0.13 planes truer.

Published is a copy, bit for bit (``feather: 0``); it leaves outlines where the plane changes. Here
the borders between planes are softened by a Gaussian of 2 px: + 0.6 dB on noisy simulated stacks,
+ 0.3 to 0.5 dB on other optics. With 5 px outlines in focus begin to blur.

The published vote is that of a square with 1/20 of the image's shorter side, for pairs. With n
planes in the place of two, the region that is sharp in one plane is so much smaller, and a vote
would flatten the relief; see `Umis.vote_radius` for what we make of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from zfuse.kernels import INVALID, majority_filter
from zfuse.pipeline.core import Fused, Region, within
from zfuse.pipeline.methods.parts import (
    PEAK_BYTES,
    TRUST_REACH,
    Batch,
    Blend,
    DecisionRange,
    FloatPlanes,
    FocusPeak,
    NetworkMethod,
    Patchwork,
    Trust,
    doubled,
    halved,
    inside_frame,
    peak_evidence,
    softness,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Sample

    Plane = NDArray[np.float32]

__all__ = ["Umis"]

# Pixels. The network sees five times as far, but what lies there changes the activity of all planes
# alike: with 64 px it is off by 0.03 %, and the winner differs at 0.001 % of the pixels (measured).
_REACH = 64
_SHARE = 20  # of the shorter side: side of the published vote
_WIDEST = 51  # pixels; of the images that it was published for, 1/20 is less
_NARROWEST = 5
_SAMPLED = 8  # planes that the attention is measured on
# 16 features between 0 and 6, gradients in two directions: nothing is above.
_STEPS = np.float32((2**18 - 1) / (16 * 6 * 2**0.5))
_SOFTEST = 8.0  # px: of `feather`
_ROUNDING = 1e-5  # of sums over planes in float32


@dataclass(frozen=True)
class _Calibration:
    blend: Blend
    decision: DecisionRange
    attention: Plane
    planes: int


class Umis(NetworkMethod):
    """Take each pixel from the plane where the gradients of learned features are strongest."""

    family: ClassVar[str] = "selection"
    keeps_intensities: ClassVar[dict[str, Any] | None] = {"feather": 0}
    passes: ClassVar[int] = 2
    activation_bytes: ClassVar[int] = 1850

    name: Literal["umis"] = "umis"
    batch: Batch = 1
    window: int = Field(
        11, ge=1, le=45, description="side in pixels, odd, of where sharpness is measured"
    )
    majority: Literal["auto"] | int = Field(
        "auto",
        description="side in pixels, odd, of where pixels vote on the plane; 1: no vote; "
        "auto: by the size of the stack",
    )
    feather: float = Field(
        2.0,
        ge=0,
        le=_SOFTEST,
        description="pixels by which borders between planes are softened; "
        "0: every pixel is copied from one plane",
    )

    @field_validator("window", "majority")
    @classmethod
    def _odd(cls, side: int | str) -> int | str:
        if isinstance(side, int) and (side % 2 == 0 or not 1 <= side <= _WIDEST):
            raise ValueError(f"must be odd, from 1 to {_WIDEST}, got {side}")
        return side

    @property
    def copies_pixels(self) -> bool:
        """Each pixel is one plane's, unless borders are softened."""
        return self.feather == 0

    @property
    def pixels(self) -> str:
        """Nothing is re-synthesised here."""
        return "copied" if self.copies_pixels else "blended"

    @property
    def halo(self) -> int:
        """Reach of decisions, and round that the window's, the vote's, soft borders' or trust's."""
        vote = (_WIDEST if self.majority == "auto" else self.majority) // 2
        return self._aligned(_REACH + self.window // 2 + 1 + vote + self.near)

    @property
    def near(self) -> int:
        """Pixels round a core whose plane is voted on, too: soft borders and trust look there."""
        return max(softness(self.feather) + 1, TRUST_REACH) // 2 * 2

    def state_bytes(self, channels: int, itemsize: int) -> float:
        """Count the network's features, the peak, planes as floats, the picture."""
        network = self.batch * (self.activation_bytes + 12)
        picture = 8 * channels + 12 if self.feather else channels * itemsize
        return network + PEAK_BYTES + 4 * (channels + 4) + picture

    def vote_radius(self, image: tuple[int, int], planes: int) -> int:
        """Return how far the vote on each pixel reaches.

        The published side is for two planes; it shrinks as the regions do that are sharp in one of
        `planes`. At least 5 pixels clean single wrong ones; 51 are enough for any.
        """
        if self.majority != "auto":
            return self.majority // 2
        side = min(image) / _SHARE * 2 / max(planes, 2)
        return int(min(max(side, _NARROWEST), _WIDEST)) // 2

    def calibrate(self, sample: Sample) -> _Calibration:
        """Settle the range of values, and measure the channel attention.

        The network computes it as the mean over all pixels of the planes that it is given: here of
        a few planes from the first to the last, at four places.
        """
        blend = Blend.calibrate(sample)
        decision = DecisionRange.calibrate(sample, blend.signal)
        planes = sample.stack.shape[2]
        chosen = np.unique(np.linspace(0, planes - 1, min(planes, _SAMPLED)).round().astype(int))
        floats = [
            FloatPlanes(Region.whole(*c.shape[2:]), 1, c.dtype, blend.fill, 0, self.grid_step)
            for c in sample.columns
        ]
        patches = [
            decision.signal(cut.to_float(plane)[0])
            for cut, column in zip(floats, sample.columns, strict=True)
            for plane in column[chosen]
        ]
        height, width = np.min([patch.shape for patch in patches], 0)
        batch = np.stack([patch[None, :height, :width] for patch in patches])
        graph = self.open()
        attention = np.zeros([int(n) for n in graph.inputs["attention"]], np.float32)
        if planes > 1:
            attention = graph(plane=batch * 2 - 1, attention=attention, measure=np.array(True))[
                "attention_out"
            ]
        return _Calibration(blend, decision, attention, planes)

    def start(
        self, region: Region, channels: int, dtype: np.dtype[Any], calibration: _Calibration
    ) -> _SharpnessPass:
        """Allocate the peak."""
        return _SharpnessPass(self, region, channels, dtype, calibration)

    def next_pass(self, state: _SharpnessPass) -> _PicturePass:
        """Settle which plane is taken where, by the vote."""
        return state.voted()


class _SharpnessPass:
    """First pass over a region, its core wider by the reach of the vote and of soft borders."""

    def __init__(
        self,
        method: Umis,
        region: Region,
        channels: int,
        dtype: np.dtype[Any],
        calibration: _Calibration,
    ) -> None:
        self._c = calibration
        self._region = region
        self._radius = method.vote_radius(region.image, calibration.planes)
        self._graph, self._batch = method.open(), method.batch
        self._floats = FloatPlanes(
            region, method.halo, dtype, calibration.blend.fill, 0, method.grid_step
        )
        self._inside = np.ix_(*_inside(self._floats, region))
        self._near = Region.grown(region.core, method.near, region.image)
        self._wide = Region(
            region.image,
            Region.grown(self._near, self._radius, region.image),
            Region.grown(region.core, method.halo, region.image),
        )
        self._peak = FocusPeak(self._wide, calibration.blend.signal, None, method.window, 0, dtype)
        self._invalid = np.zeros(self._wide.shape if dtype.kind == "f" else (0, 0), np.bool_)
        self._made = (channels, dtype, method.feather)

    def add(self, planes: NDArray[Any], z: int) -> None:
        """Fold a block of planes."""
        if self._c.planes == 1:  # nothing to decide
            return
        for i in range(0, len(planes), self._batch):
            self._add_batch(planes[i : i + self._batch], z + i)

    def _add_batch(self, planes: NDArray[Any], z: int) -> None:
        height, width = (s.stop - s.start for s in self._wide.shown)
        signal = np.empty((len(planes), 1, *self._floats.shape), np.float32)
        all_invalid = []
        for pixels, target in zip(planes, signal, strict=True):
            values, invalid = self._floats.to_float(pixels)
            target[0] = self._c.decision.signal(values)[self._inside] * 2 - 1
            all_invalid.append(invalid)
        activity = self._graph(plane=signal, attention=self._c.attention, measure=np.array(False))[
            "activity"
        ]
        steps = np.rint(activity[:, 0, :height, :width] * _STEPS).astype(np.int32)
        for plane, invalid in zip(steps, all_invalid, strict=True):
            if invalid is not None:
                plane[invalid[:height, :width] > 0] = INVALID
                self._invalid |= invalid[within(self._wide.core, self._wide.shown)] > 0
        nothing = np.empty((len(planes), 0, height, width), np.uint8)
        self._peak.add_signal(steps, np.array([i is not None for i in all_invalid]), nothing, z)

    def voted(self) -> _PicturePass:
        """Return the second pass, which takes what the vote says."""
        own = self._peak.index
        depth, stands_out = self._peak.finish()
        near = within(self._near, self._wide.core)
        index = np.empty(tuple(part.stop - part.start for part in near), np.uint16)
        majority_filter(own, near[0].start, near[1].start, self._radius, self._c.planes, index)
        if self._invalid.size:  # the winner may be unknown here, the pixel's own never is
            np.copyto(index, own[near], where=self._invalid[near])
        inside = within(self._region.core, self._near)
        peak, stands_out = (np.ascontiguousarray(m[near]) for m in (depth, stands_out))
        depth = np.where(index == own[near], peak, index).astype(np.float32)
        stands_out[stands_out < _ROUNDING] = 0
        evidence = peak_evidence(self._peak, peak, halved(depth), stands_out, near)
        confidence = doubled(
            Trust("umis", (np.log(self._c.planes),)).probability(evidence), depth.shape
        )
        np.multiply(confidence, stands_out > 0, out=confidence)
        if self._c.planes == 1:
            confidence[:] = 0
        self._peak.fit_ends(peak, stands_out, near)
        np.copyto(depth, peak, where=index == own[near])
        depth, confidence = (np.ascontiguousarray(m[inside]) for m in (depth, confidence))
        shown = within(self._region.core, self._region.shown)
        return _PicturePass(shown, Patchwork(index, inside, *self._made), depth, confidence)


class _PicturePass:
    """Second pass over a region: what each plane gives to the picture.

    Depth is that of the pixel's own peak; where the vote overruled it, a whole plane.
    """

    def __init__(
        self, core: tuple[slice, slice], picture: Patchwork, depth: Plane, confidence: Plane
    ) -> None:
        self._core, self._picture = core, picture
        self._depth, self._confidence = depth, confidence

    def add(self, planes: NDArray[Any], z: int) -> None:
        """Fold a block of planes."""
        for i, pixels in enumerate(planes):
            self._picture.add(pixels[:, *self._core], z + i)

    def finish(self) -> Fused:
        """Return what was copied or blended."""
        return Fused(self._picture.image, self._depth, self._confidence)


def _inside(floats: FloatPlanes, region: Region) -> list[NDArray[np.intp]]:
    """Return rows and columns of planes that the decision is made on, none of the image's frame."""
    cuts = zip(region.image, region.core, floats.core, floats.shape, strict=True)
    return [inside_frame(size, core.start - at.start, n) for size, core, at, n in cuts]
