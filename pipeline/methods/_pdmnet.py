"""PDMNet: a network in the wavelet domain that weighs the bands of all planes, and removes noise.

All arithmetic is in four graphs; here is what carries arrays between them. In the first pass over
the planes ``pdmnet-survey`` pools their features, ``pdmnet-share`` makes of these what all planes
share, in the second pass ``pdmnet-merge`` compares every plane with that and adds up its pixels and
bands, and ``pdmnet-reconstruct`` turns the sums into the image. What is carried is found by name:
an output ``x_out`` is the input ``x`` of later calls, and begins with zeros. Must not know: what
the arrays mean.

The network knows the noise, estimated once a stack: in clean data it invents nothing, in noise it
averages the planes that are in focus.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from zfuse.pipeline.core import Fused
from zfuse.pipeline.methods.parts import (
    FILL_REACH,
    Batch,
    Blend,
    Carried,
    ChannelRange,
    DecisionRange,
    Evidence,
    FloatPlanes,
    Graph,
    NetworkMethod,
    ScalePeak,
    Trust,
    camera_noise,
    doubled,
    halved,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Region, Sample

    Plane = NDArray[np.float32]

__all__ = ["PdmNet"]

# Of the range, in mid-grey. 8-bit and JPEG rounding look like 0.001 to 0.003, and grain so small
# belongs to a photograph: told of it, the network takes it out (.983 instead of .997 in pair 78 of
# MFI-WHU). At 0.005, 1.3 of 255 grey levels, noise begins to be seen.
_NO_NOISE = 0.005
_RADII = (1, 3)  # half-size pixels at which trust looks
_NO_CONFIDENCE = 1e-3  # equal weights of all planes, but for rounding


@dataclass(frozen=True)
class _Calibration:
    blend: Blend
    decision: DecisionRange
    limits: ChannelRange
    noise: Plane
    plane_noise: Plane
    planes: int


class PdmNet(NetworkMethod):
    """Average the bands of a wavelet transform as a network says, and let it take out the noise."""

    family: ClassVar[str] = "transform"
    copies_pixels: ClassVar[bool] = False
    passes: ClassVar[int] = 2
    activation_bytes: ClassVar[int] = 340

    name: Literal["pdmnet"] = "pdmnet"
    batch: Batch = 1

    @property
    def graph_suffix(self) -> str:
        """End of the names of the graphs that take one plane a call, which are faster."""
        return "-one" if self.batch == 1 else ""

    @property
    def halo(self) -> int:
        """What the network sees, and round that what invalid pixels are filled from."""
        return self._aligned(self._card.halo + FILL_REACH)

    def state_bytes(self, channels: int, itemsize: int) -> float:
        """Count the network's features, what is carried, planes as floats, the picture."""
        return self.batch * (self.activation_bytes + 8 * channels) + (40 + itemsize) * channels

    def calibrate(self, sample: Sample) -> _Calibration:
        """Estimate the range of values, and the noise of the decision signal and of channels."""
        blend = Blend.calibrate(sample)
        decision = DecisionRange.calibrate(sample, blend.signal)
        limits = ChannelRange.calibrate(sample)
        signals = [decision.signal(np.moveaxis(column, 1, 0))[:, None] for column in sample.columns]
        planes = [limits.scale(np.moveaxis(c, 1, 0).astype(np.float32)) for c in sample.columns]
        channels = [[p[c][:, None] for p in planes] for c in range(len(limits.low))]
        return _Calibration(
            blend,
            decision,
            limits,
            _noise(signals),
            np.stack([_noise(columns) for columns in channels]),
            sample.stack.shape[2],
        )

    def start(
        self, region: Region, channels: int, dtype: np.dtype[Any], calibration: _Calibration
    ) -> _SurveyPass | _OnePlane:
        """Open the graph; the network's own state is allocated by its first plane."""
        floats = FloatPlanes(region, self.halo, dtype, calibration.blend.fill, 0, self.grid_step)
        if calibration.planes == 1:
            return _OnePlane(floats, channels)
        height, width = floats.shape
        carried = Carried(
            {"channels": channels, "height": height, "width": width},
            {"noise": calibration.noise, "plane_noise": calibration.plane_noise},
        )
        graph = self.open("pdmnet-survey" + self.graph_suffix)
        return _SurveyPass(graph, self.batch, floats, calibration, carried)

    def next_pass(self, state: _SurveyPass | _OnePlane) -> _MergePass | _OnePlane:
        """Pooled features are known; what is made of them is made once."""
        return state.next_pass(self)


class _OnePlane:
    """A region of a stack of one plane: it is what it is."""

    def __init__(self, floats: FloatPlanes, channels: int) -> None:
        self._floats = floats
        self._image = np.zeros((channels, *floats.shape), np.float32)

    def add(self, planes: NDArray[Any], z: int) -> None:
        """Take the plane."""
        self._image[:], _ = self._floats.to_float(planes[0])

    def next_pass(self, method: PdmNet) -> _OnePlane:
        """Return the state as it is."""
        return self

    def finish(self) -> Fused:
        """Return the plane; nothing is known of its depth."""
        depth = np.zeros(self._floats.shape, np.float32)[self._floats.core]
        return Fused(self._floats.to_dtype(self._image), depth, depth.copy())


class _Pass:
    """A region while a graph takes its planes, halo included."""

    def __init__(
        self,
        graph: Graph,
        batch: int,
        floats: FloatPlanes,
        calibration: _Calibration,
        carried: Carried,
    ) -> None:
        self._graph, self._batch = graph, batch
        self._floats, self._c, self._carried = floats, calibration, carried

    def add(self, planes: NDArray[Any], z: int) -> None:
        """Run the graph on a block of planes; those with invalid pixels go one by one."""
        for i in range(0, len(planes), self._batch):
            self._add_batch(planes[i : i + self._batch], z + i)

    def _add_batch(self, planes: NDArray[Any], z: int) -> None:
        values, invalid = zip(*(self._floats.to_float(pixels) for pixels in planes), strict=True)
        if len(planes) > 1 and any(mask is not None for mask in invalid):
            for i, plane in enumerate(planes):
                self._add_batch(plane[None], z + i)
            return
        given = {
            "signal": np.stack([self._c.decision.signal(plane)[None] for plane in values]),
            "planes": np.stack([self._c.limits.scale(plane) for plane in values]),
            "z": np.arange(z, z + len(planes), dtype=np.float32),
        }
        if invalid[0] is None:
            self._carried.run(self._graph, **given)
        else:
            self._carried.run_where(1 - invalid[0], self._graph, **given)


class _SurveyPass(_Pass):
    """First pass: pool features of all planes."""

    def next_pass(self, method: PdmNet) -> _MergePass:
        """Run the graph between the passes; what it takes is not needed any more."""
        share = method.open("pdmnet-share")
        self._carried.run(share)
        self._carried.drop(share.inputs)
        graph = method.open("pdmnet-merge" + method.graph_suffix)
        reconstruct = method.open("pdmnet-reconstruct")
        return _MergePass(reconstruct, graph, self._batch, self._floats, self._c, self._carried)


class _MergePass(_Pass):
    """Second pass: weigh the bands of all planes and add them up."""

    def __init__(self, reconstruct: Graph, *made: Any) -> None:
        super().__init__(*made)
        self._reconstruct = reconstruct

    def finish(self) -> Fused:
        """Rebuild the image.

        Depth is the mean of the network's weights over the planes.
        """
        images = []
        inputs = self._reconstruct.inputs.items()
        for channel in range(self._carried.lengths["channels"]):  # together: much more memory
            parts = {name: self._carried.channel(channel, name, axes) for name, axes in inputs}
            made = self._reconstruct(**parts)
            images.append(made["image"][0])
        core = self._floats.core
        depth = np.clip(made["depth"], 0, self._c.planes - 1)
        confidence = np.ascontiguousarray(self._trust(depth, made["spread"])[core])
        unknown = self._floats.never_valid()
        if unknown is not None:
            confidence[unknown] = 0
        image = self._floats.to_dtype(self._c.limits.restore(np.stack(images)))
        return Fused(image, np.ascontiguousarray(depth[core]), confidence)

    def _trust(self, depth: Plane, spread: Plane) -> Plane:
        """Return how likely the depth is right, of the spread of the weights, both (h, w)."""
        unsure = np.float32(sqrt((self._c.planes**2 - 1) / 12))
        narrow = np.asarray(np.clip(1 - halved(spread) / unsure, 0, 1), np.float32)
        narrow[narrow < _NO_CONFIDENCE] = 0
        settled = halved(depth)
        share = settled - np.rint(settled)
        further = halved(spread) / (halved(spread) + 1), 2 * np.abs(share)
        peaks = [ScalePeak(settled, narrow, 1.0)]
        evidence = Evidence(settled, peaks, self._c.planes, _RADII, further)
        noise = np.log1p(1e3 * float(np.sqrt(max(self._c.noise[0] / 2 + self._c.noise[1], 0))))
        trust = Trust("pdmnet", (np.log(self._c.planes), noise))
        return doubled(trust.probability(evidence), depth.shape)


def _noise(columns: list[Plane]) -> Plane:
    """Return gain and floor of scaled columns (n, 1, h, w)."""
    noise = camera_noise(columns, 0, black=0.0)
    if sqrt(max(0.0, noise.gain / 2 + noise.floor)) < _NO_NOISE:
        return np.zeros(2, np.float32)
    return np.array([noise.gain, noise.floor], np.float32)
