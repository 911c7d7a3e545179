"""PDMNet's fold as graphs: survey and merge are run for every plane, share and reconstruct once.

Duty: what is carried, by name: an output ``x_out`` is the input ``x`` of later calls. Must not
know: what the network computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from zfuse.engines.networks._pdmnet_parts import COARSE, FINE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zfuse.engines.networks._pdmnet import PdmNet

__all__ = ["Merge", "Reconstruct", "Share", "Survey"]

_BATCH = {0: "batch", 2: "height", 3: "width"}
_HALF = {2: "height/2", 3: "width/2"}
_QUARTER = {2: "height/4", 3: "width/4"}
_POOLED: dict[str, dict[int, str]] = {
    "fine_top": _HALF,
    "fine_sum": _HALF,
    "coarse_top": _QUARTER,
    "coarse_sum": _QUARTER,
    "count": _HALF,
}
_SHARED: dict[str, dict[int, str]] = {"shared_fine": _HALF, "shared_coarse": _QUARTER}
_SUMS: dict[str, dict[int, str]] = {
    "low2": {1: "channels", **_QUARTER},
    "details2": {1: "3*channels", **_QUARTER},
    "pixels": {1: "4*channels", **_HALF},
    "features": _HALF,
    "fine_weights": _HALF,
    "coarse_weights": _QUARTER,
}


def _zeros(names: Iterable[str]) -> dict[str, Tensor]:
    """Return the state at the start: two channels, 64 x 48 px."""
    half, quarter = (32, 24), (16, 12)
    maps = {
        "fine_top": (1, FINE, *half),
        "fine_sum": (1, FINE, *half),
        "coarse_top": (1, COARSE, *quarter),
        "coarse_sum": (1, COARSE, *quarter),
        "count": (1, 1, *half),
        "shared_fine": (1, FINE, *half),
        "shared_coarse": (1, COARSE, *quarter),
        "low2": (1, 2, *quarter),
        "details2": (1, 6, *quarter),
        "pixels": (1, 8, *half),
        "features": (1, FINE, *half),
        "fine_weights": (1, 11, *half),
        "coarse_weights": (1, 3, *quarter),
    }
    return {name: torch.zeros(maps[name]) for name in names}


class _OfPlanes(nn.Module):
    """A graph that takes several planes a call, or one.

    ONNX Runtime takes a third of the survey's time to find that the sum of one plane is that plane.
    """

    carried: ClassVar[dict[str, dict[int, str]]]
    given: ClassVar[dict[str, dict[int, str]]]
    """Axes of what is carried in and out, and of all else that comes in."""

    def __init__(self, *, one: bool) -> None:
        super().__init__()
        self.one = one

    @property
    def dynamic_axes(self) -> dict[str, dict[int, str]]:
        axes = {**self.given, **self.carried, **{f"{k}_out": v for k, v in self.carried.items()}}
        if self.one:
            axes = {k: {i: n for i, n in v.items() if n != "batch"} for k, v in axes.items()}
        return {k: v for k, v in axes.items() if v}

    def _top(self, planes: Tensor) -> Tensor:
        return planes if self.one else planes.amax(0, keepdim=True)

    def _sum(self, planes: Tensor) -> Tensor:
        return planes if self.one else planes.sum(0, keepdim=True)

    def _planes(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Keep the first of the planes where one is taken."""
        return {k: v[:1] for k, v in inputs.items()} if self.one else inputs


class Survey(_OfPlanes):
    """First pass: what all planes of a stack have, whatever their order."""

    output_names: ClassVar[tuple[str, ...]] = tuple(f"{name}_out" for name in _POOLED)
    carried = _POOLED
    given: ClassVar[dict[str, dict[int, str]]] = {"signal": _BATCH}

    def __init__(self, network: PdmNet, *, one: bool = False) -> None:
        super().__init__(one=one)
        self.encoder = network.encoder

    def forward(
        self,
        signal: Tensor,
        noise: Tensor,
        fine_top: Tensor,
        fine_sum: Tensor,
        coarse_top: Tensor,
        coarse_sum: Tensor,
        count: Tensor,
    ) -> tuple[Tensor, ...]:
        """Take planes (N, 1, H, W) and the noise (2,); features are never below zero.

        Planes are counted pixel by pixel, for callers that take out what was unknown.
        """
        fine, coarse = self.encoder(signal, noise)
        return (
            torch.maximum(fine_top, self._top(fine)),
            fine_sum + self._sum(fine),
            torch.maximum(coarse_top, self._top(coarse)),
            coarse_sum + self._sum(coarse),
            count + self._sum(torch.ones_like(signal[:, :, ::2, ::2])),
        )

    def example_inputs(self) -> dict[str, Tensor]:
        """Return small inputs of the right shapes: what an exporter traces with."""
        return {
            **self._planes(signal=torch.rand(3, 1, 64, 48)),
            "noise": torch.tensor([1e-3, 1e-4]),
            **_zeros(_POOLED),
        }


class Share(nn.Module):
    """Between the passes: what is made of the pooled features once for all planes."""

    output_names: ClassVar[tuple[str, ...]] = tuple(f"{name}_out" for name in _SHARED)
    dynamic_axes: ClassVar[dict[str, dict[int, str]]] = {
        **_POOLED,
        **{f"{k}_out": v for k, v in _SHARED.items()},
    }

    def __init__(self, network: PdmNet) -> None:
        super().__init__()
        self.chooser = network.chooser

    def forward(
        self,
        fine_top: Tensor,
        fine_sum: Tensor,
        coarse_top: Tensor,
        coarse_sum: Tensor,
        count: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Take what `Survey` carries."""
        shared: tuple[Tensor, Tensor] = self.chooser.context(
            fine_top, fine_sum / count, coarse_top, coarse_sum / avg_pool2d(count, 2)
        )
        return shared

    def example_inputs(self) -> dict[str, Tensor]:
        """Return small inputs of the right shapes: what an exporter traces with."""
        return {k: v + 1 for k, v in _zeros(_POOLED).items()}


class Merge(_OfPlanes):
    """Second pass: the sums over planes, weighted by what each is beside all others."""

    output_names: ClassVar[tuple[str, ...]] = tuple(f"{name}_out" for name in _SUMS)
    carried = _SUMS
    given: ClassVar[dict[str, dict[int, str]]] = {
        "signal": _BATCH,
        "planes": {**_BATCH, 1: "channels"},
        "z": {0: "batch"},
        **_SHARED,
    }

    def __init__(self, network: PdmNet, *, one: bool = False) -> None:
        super().__init__(one=one)
        self.encoder = network.encoder
        self.chooser = network.chooser
        self._weigh = network.weigh

    def forward(
        self,
        signal: Tensor,
        planes: Tensor,
        noise: Tensor,
        z: Tensor,
        shared_fine: Tensor,
        shared_coarse: Tensor,
        low2: Tensor,
        details2: Tensor,
        pixels: Tensor,
        features: Tensor,
        fine_weights: Tensor,
        coarse_weights: Tensor,
    ) -> tuple[Tensor, ...]:
        """Take planes (N, C, H, W), their signal (N, 1, H, W) and places z (N,)."""
        own = self.encoder(signal, noise)
        logits = self.chooser(own, (shared_fine, shared_coarse))
        sums = low2, details2, pixels, features, fine_weights, coarse_weights
        terms = self._weigh(planes, z, own[0], logits)
        return tuple(old + self._sum(new) for old, new in zip(sums, terms, strict=True))

    def example_inputs(self) -> dict[str, Tensor]:
        """Return small inputs of the right shapes: what an exporter traces with."""
        planes = self._planes(
            signal=torch.rand(3, 1, 64, 48), planes=torch.rand(3, 2, 64, 48), z=torch.arange(3.0)
        )
        noise = {"noise": torch.tensor([1e-3, 1e-4])}
        return {**planes, **noise, **_zeros(_SHARED), **_zeros(_SUMS)}


class Reconstruct(nn.Module):
    """The end: the image of the sums; depth and its spread in planes."""

    output_names: ClassVar[tuple[str, ...]] = ("image", "depth", "spread")
    dynamic_axes: ClassVar[dict[str, dict[int, str]]] = {
        **_SUMS,
        "plane_noise": {0: "channels"},
        "image": {0: "channels", 1: "height", 2: "width"},
        "depth": {0: "height", 1: "width"},
        "spread": {0: "height", 1: "width"},
    }

    def __init__(self, network: PdmNet) -> None:
        super().__init__()
        self.decoder = network.decoder
        self._decode = network.reconstruct

    def forward(
        self,
        low2: Tensor,
        details2: Tensor,
        pixels: Tensor,
        features: Tensor,
        fine_weights: Tensor,
        coarse_weights: Tensor,
        plane_noise: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Take the sums of `Merge` and each channel's noise (C, 2)."""
        sums = low2, details2, pixels, features, fine_weights, coarse_weights
        image, depth, spread = self._decode(sums, plane_noise)
        return image[:, 0], depth[0], spread[0]

    def example_inputs(self) -> dict[str, Tensor]:
        """Return small inputs of the right shapes: what an exporter traces with."""
        sums = {k: torch.rand_like(v) + 0.5 for k, v in _zeros(_SUMS).items()}
        fine, coarse = sums["fine_weights"], sums["coarse_weights"]
        # As of planes: values in 0..1, depths that differ. A spread of next to nothing is the root
        # of a difference that rounding decides.
        z = 5 * torch.rand_like(fine[:, :1])
        fine[:, 9:10], fine[:, 10:11] = fine[:, 8:9] * z, fine[:, 8:9] * (z * z + 1)
        values = {k: torch.rand_like(v) for k, v in sums.items()}
        return {
            "low2": coarse[:, :1] * values["low2"],
            "details2": coarse[:, 1:2] * (values["details2"] - 0.5) / 4,
            "pixels": fine[:, :4].repeat_interleave(2, 1) * values["pixels"],
            "features": fine[:, :1] * values["features"],
            "fine_weights": fine,
            "coarse_weights": coarse,
            "plane_noise": torch.tensor([[1e-3, 1e-4], [0.0, 0.0]]),
        }
