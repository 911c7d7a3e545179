"""Pairwise networks: two images in, one out; a stack is fused one pair after another.

R-PSNN (Jiang et al., IET Image Process. 2021), Fusion2Void (Lin et al., IEEE Trans. Circuits Syst.
Video Technol. 2024) and FusionNet know two images. Every plane is fused into what was fused before
(``cascade``), or fused images of equally many planes are fused with each other (``tree``): then a
value passes through log2(n) networks instead of up to n - 1, and as many images wait. The tree is
the default: 4 to 9 dB better on 16 simulated planes (docs/quality.md).

Networks drift: over many merges small errors of brightness add up, and what one invents the next
takes for an edge. So each merge is held within its two sources, pixel by pixel (`clamp`): no value
comes out that was in neither. Values beyond the stack's robust limits are cut off for the network,
which never saw such, and given back in the shares in which it mixed.

These networks decide no depth: it is that of a focus measure beside them, as for other methods that
blend in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from zfuse.pipeline.methods.parts import (
    DEPTH_REACH,
    FILL_REACH,
    Blend,
    BlendingMethod,
    BlendingState,
    ChannelRange,
    FloatPlanes,
    Graph,
    NetworkMethod,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Region, Sample

    Plane = NDArray[np.float32]

__all__ = ["Fusion2Void", "FusionNet", "Rpsnn"]

_TREE_IMAGES = 8  # that wait at most in a stack of 2^8 planes


@dataclass(frozen=True)
class _Calibration:
    blend: Blend
    limits: ChannelRange
    rgb: bool


class _Pairwise(NetworkMethod, BlendingMethod):
    family: ClassVar[str] = "pairwise"

    order: Literal["cascade", "tree"] = Field(
        "tree", description="tree: pairs, then pairs of pairs; cascade: plane after plane"
    )
    clamp: bool = Field(True, description="keep each pixel between the two that it is made of")

    @property
    def halo(self) -> int:
        """Reach of a merge, and half of it again: what earlier merges saw fades quickly."""
        return self._aligned(max(1.5 * self._card.halo + FILL_REACH, DEPTH_REACH))

    def sums_bytes(self, channels: int) -> tuple[float, float]:
        """Count the network's features, images that wait and those of a merge."""
        waiting = _TREE_IMAGES if self.order == "tree" else 1
        return self.activation_bytes + 4 * channels * (waiting + 6), 0

    def calibrate(self, sample: Sample) -> _Calibration:
        """Choose the decision signal for the depth, and the range of values."""
        return _Calibration(
            Blend.calibrate(sample), ChannelRange.calibrate(sample), sample.stack.rgb
        )

    def start(
        self, region: Region, channels: int, dtype: np.dtype[Any], calibration: _Calibration
    ) -> _State:
        """Allocate the focus peak; images come with the planes."""
        return _State(self, region, dtype, calibration)


class Rpsnn(_Pairwise):
    """Fuse planes by R-PSNN."""

    activation_bytes: ClassVar[int] = 2800
    name: Literal["rpsnn"] = "rpsnn"


class Fusion2Void(_Pairwise):
    """Fuse planes by Fusion2Void, for which the order of a pair makes no difference."""

    activation_bytes: ClassVar[int] = 1050
    name: Literal["fusion2void"] = "fusion2void"


class FusionNet(_Pairwise):
    """Fuse planes by FusionNet."""

    activation_bytes: ClassVar[int] = 2400
    name: Literal["fusionnet"] = "fusionnet"


@dataclass
class _Image:
    """A fused image (C, Y, X) of 2^rank planes; invalid (Y, X) is 1 where it is unknown."""

    pixels: Plane
    invalid: Plane | None
    rank: int = 0


class _State(BlendingState):
    """Images of one region that wait to be fused, halo included."""

    def __init__(
        self, method: _Pairwise, region: Region, dtype: np.dtype[Any], calibration: _Calibration
    ) -> None:
        blend = calibration.blend
        floats = FloatPlanes(region, method.halo, dtype, blend.fill, 0, method.grid_step)
        super().__init__(region, floats, dtype, blend)
        self._limits, self._rgb = calibration.limits, calibration.rgb
        self._tree, self._clamp = method.order == "tree", method.clamp
        self._graph: Graph = method.open()
        self._waiting: list[_Image] = []

    def add_plane(self, pixels: NDArray[Any]) -> None:
        """Fold one plane (C, Y, X): a binary counter whose digits are fused images."""
        values, invalid = self._floats.to_float(pixels)
        image = _Image(values, invalid)
        while self._waiting and not (self._tree and self._waiting[-1].rank > image.rank):
            image = self._merge(self._waiting.pop(), image)
        self._waiting.append(image)

    def image(self) -> Plane:
        """Fuse what waits."""
        image = self._waiting.pop()
        while self._waiting:
            image = self._merge(self._waiting.pop(), image)
        return image.pixels

    def _merge(self, first: _Image, second: _Image) -> _Image:
        """Fuse two images; where one is unknown, with itself."""
        a, b, invalid = first.pixels, second.pixels, None
        if first.invalid is not None:
            a = np.where(first.invalid > 0, second.pixels, a)
        if second.invalid is not None:
            b = np.where(second.invalid > 0, first.pixels, b)
        if first.invalid is not None and second.invalid is not None:
            invalid = first.invalid * second.invalid
        scaled = [self._limits.scale(x.copy()) for x in (a, b)]
        inside = [np.clip(x, 0, 1) for x in scaled]
        fused = self._limits.restore(_give_back(self._fuse(*inside), scaled, inside))
        if self._clamp:
            fused = np.clip(fused, np.minimum(a, b), np.maximum(a, b))
        return _Image(fused, invalid, first.rank + 1)

    def _fuse(self, first: Plane, second: Plane) -> Plane:
        """Fuse as one RGB image, or each channel as a grey one."""
        if self._rgb:
            fused: Plane = self._graph(first=first[None], second=second[None])["fused"][0]
            return fused
        channels = []
        for pair in zip(first, second, strict=True):
            grey = [np.repeat(plane[None, None], 3, 1) for plane in pair]
            channels.append(self._graph(first=grey[0], second=grey[1])["fused"][0].mean(0))
        return np.stack(channels)


def _give_back(fused: Plane, whole: list[Plane], cut: list[Plane]) -> Plane:
    """Add what was cut off two images, in the shares in which the network mixed what was left.

    Where nothing was left to tell them apart, of the one that was cut more.
    """
    rests = [a - b for a, b in zip(whole, cut, strict=True)]
    if not any(rest.any() for rest in rests):
        return fused
    apart = cut[0] - cut[1]
    share = np.clip((fused - cut[1]) / np.where(apart == 0, 1, apart), 0, 1)
    share = np.where(apart == 0, np.abs(rests[0]) > np.abs(rests[1]), share)
    return np.asarray(fused + share * rests[0] + (1 - share) * rests[1], np.float32)
