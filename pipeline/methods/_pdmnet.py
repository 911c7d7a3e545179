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

from zfuse.engines import shape_of
from zfuse.pipeline.core import Fused
from zfuse.pipeline.methods.parts import (
    FILL_REACH,
    Batch,
    Blend,
    Decision,
    FloatPlanes,
    Graph,
    Limits,
    NetworkMethod,
    estimate_noise,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Region, Sample

    Plane = NDArray[np.float32]

__all__ = ["PdmNet"]

_OUT = "_out"
# Of the range, in mid-grey. 8-bit and JPEG rounding look like 0.001 to 0.003, and grain so small
# belongs to a photograph: told of it, the network takes it out (.983 instead of .997 in pair 78 of
# MFI-WHU). At 0.005, 1.3 of 255 grey levels, noise begins to be seen.
_NO_NOISE = 0.005
_TRACE = 1e-10  # of a weight: weights lie e^16 = 9e6 apart at most
_NO_CONFIDENCE = 1e-3  # equal weights of all planes, but for rounding


@dataclass(frozen=True)
class _Calibration:
    blend: Blend
    decision: Decision
    limits: Limits
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
    def number(self) -> str:
        """End of the names of the graphs that take one plane a call, which are faster."""
        return "-one" if self.batch == 1 else ""

    @property
    def halo(self) -> int:
        """What the network sees, and round that what a hole is filled from."""
        return self._aligned(self._card.halo + FILL_REACH)

    def state_bytes(self, channels: int, itemsize: int) -> float:
        """Count the network's features, what is carried, planes as floats, the picture."""
        return self.batch * (self.activation_bytes + 8 * channels) + (40 + itemsize) * channels

    def calibrate(self, sample: Sample) -> _Calibration:
        """Estimate the range of values, and the noise of the decision signal and of channels."""
        blend = Blend.calibrate(sample)
        decision = Decision.calibrate(sample, blend.signal)
        limits = Limits.calibrate(sample)
        signals = [decision.of(np.moveaxis(column, 1, 0))[:, None] for column in sample.columns]
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
    ) -> _State:
        """Open the graphs; the network's own state is allocated by its first plane."""
        return _State(self, region, channels, dtype, calibration)

    def add(self, state: _State, planes: NDArray[Any], z: int) -> None:
        """Fold a block of planes: first to pool features, then to weigh bands."""
        for i in range(0, len(planes), self.batch):
            state.add(planes[i : i + self.batch], z + i)

    def next_pass(self, state: _State) -> _State:
        """Pooled features are known; what is made of them is made once."""
        state.share(self.open("pdmnet-share"))
        state.graph = self.open("pdmnet-merge" + self.number)
        return state

    def finish(self, state: _State) -> Fused:
        """Rebuild the image.

        Depth is the mean of the network's weights over the planes. Confidence is by how much they
        are narrower than if they knew nothing: 1 - spread / (that of equal weights).
        """
        return state.finish(self.open("pdmnet-reconstruct"))


class _State:
    """What is carried for one region, halo included."""

    def __init__(
        self,
        method: PdmNet,
        region: Region,
        channels: int,
        dtype: np.dtype[Any],
        calibration: _Calibration,
    ) -> None:
        self.graph = method.open("pdmnet-survey" + method.number)
        self._c = calibration
        self._floats = FloatPlanes(
            region, method.halo, dtype, calibration.blend.fill, 0, method.align
        )
        height, width = self._floats.shape
        self._lengths = {"channels": channels, "height": height, "width": width}
        self._carried: dict[str, NDArray[Any]] = {
            "noise": calibration.noise,
            "plane_noise": calibration.plane_noise,
        }
        self._only: Plane | None = None

    def add(self, planes: NDArray[Any], z: int) -> None:
        """Run the pass's graph on planes (n, C, Y, X); those with holes go one by one."""
        values, holes = zip(*(self._floats.of(pixels) for pixels in planes), strict=True)
        if self._c.planes == 1:  # it is what it is
            self._only = values[0]
            return
        if len(planes) > 1 and any(hole is not None for hole in holes):
            for i, plane in enumerate(planes):
                self.add(plane[None], z + i)
            return
        before = dict(self._carried)
        self._run(
            self.graph,
            signal=np.stack([self._c.decision.of(plane)[None] for plane in values]),
            planes=np.stack([self._c.limits.scale(plane) for plane in values]),
            z=np.arange(z, z + len(planes), dtype=np.float32),
        )
        if holes[0] is not None:
            self._forget(holes[0], before)

    def _forget(self, hole: Plane, before: Mapping[str, NDArray[Any]]) -> None:
        """Leave out what a plane added in its hole, all but a trace: all may have one there."""
        for name, now in self._carried.items():
            if now.ndim == 4 and now is not before.get(name):
                step = hole.shape[0] // now.shape[2]
                cells = hole.reshape(now.shape[2], step, now.shape[3], step)
                known = np.maximum(1 - cells.max((1, 3)), np.float32(_TRACE))
                old = before.get(name, np.float32(0))
                self._carried[name] = old + known * (now - old)

    def share(self, graph: Graph) -> None:
        """Run the graph between the passes; what it takes is not needed any more."""
        if self._only is None:
            self._run(graph)
            for name in graph.inputs:
                del self._carried[name]

    def _run(self, graph: Graph, **given: NDArray[Any]) -> dict[str, NDArray[Any]]:
        known = self._carried | given
        arrays = {
            name: known[name] if name in known else np.zeros(shape_of(axes, self._lengths), "f4")
            for name, axes in graph.inputs.items()
        }
        outputs = graph(**arrays)
        for name in [name for name in outputs if name.endswith(_OUT)]:
            self._carried[name.removesuffix(_OUT)] = outputs.pop(name)
        return outputs

    def finish(self, reconstruct: Graph) -> Fused:
        """Return image, depth and confidence of the core."""
        core, inputs = self._floats.core, list(reconstruct.inputs.items())
        if self._only is not None:
            nothing = np.zeros(self._floats.shape, np.float32)[core]
            return Fused(self._floats.to_dtype(self._only), nothing, nothing.copy())
        images = []
        for channel in range(self._lengths["channels"]):  # together they would need more memory
            made = reconstruct(**{name: self._of(channel, name, axes) for name, axes in inputs})
            images.append(made["image"][0])
        depth = np.clip(made["depth"][core], 0, self._c.planes - 1)
        unsure = np.float32(sqrt((self._c.planes**2 - 1) / 12))
        confidence = np.clip(1 - made["spread"][core] / unsure, 0, 1)
        confidence[confidence < _NO_CONFIDENCE] = 0
        unknown = self._floats.unknown()
        if unknown is not None:
            confidence[unknown] = 0
        image = self._floats.to_dtype(self._c.limits.restore(np.stack(images)))
        return Fused(image, np.ascontiguousarray(depth), confidence.astype(np.float32))

    def _of(self, channel: int, name: str, axes: tuple[int | str, ...]) -> NDArray[Any]:
        """Return a channel's part of something carried; an axis "4*channels" holds 4 of each."""
        step = self._lengths["channels"]
        every = slice(channel, None, step)
        at = tuple(every if "channels" in str(axis) else slice(None) for axis in axes)
        return np.ascontiguousarray(self._carried[name][at])


def _noise(columns: list[Plane]) -> Plane:
    """Return gain and floor of scaled columns (n, 1, h, w)."""
    noise = estimate_noise(columns, 0)
    if sqrt(max(0.0, noise.gain / 2 + noise.floor)) < _NO_NOISE:
        return np.zeros(2, np.float32)
    return np.array([noise.gain, noise.floor], np.float32)
