"""PDMNet's fold as graphs: survey and merge are run for every plane, share and reconstruct once.

Duty: names and axes of what goes in and out, and what is carried: an output ``x_out`` is the input
``x`` of later calls. Must not know: the network as a whole, files, runners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from zfuse.engines._axes import Axis, shape_of
from zfuse.engines.networks._pdmnet_parts import COARSE, FINE
from zfuse.engines.networks._pdmnet_sums import reconstruct, weigh

if TYPE_CHECKING:
    from zfuse.engines.networks._pdmnet_parts import Chooser, Decoder, Encoder

__all__ = ["Merge", "Reconstruct", "Share", "Survey"]

Tensors: TypeAlias = dict[str, tuple[Axis, ...]]

_WHOLE = ("height", "width")
_HALF = ("height/2", "width/2")
_QUARTER = ("height/4", "width/4")
_SIGNAL: Tensors = {"signal": ("batch", 1, *_WHOLE)}
_NOISE: Tensors = {"noise": (2,)}
_POOLED: Tensors = {
    "fine_top": (1, FINE, *_HALF),
    "fine_sum": (1, FINE, *_HALF),
    "coarse_top": (1, COARSE, *_QUARTER),
    "coarse_sum": (1, COARSE, *_QUARTER),
    "count": (1, 1, *_HALF),
}
_SHARED: Tensors = {
    "shared_fine": (1, FINE, *_HALF),
    "shared_coarse": (1, COARSE, *_QUARTER),
}
_SUMS: Tensors = {
    "low2": (1, "channels", *_QUARTER),
    "details2": (1, "3*channels", *_QUARTER),
    "pixels": (1, "4*channels", *_HALF),
    "features": (1, FINE, *_HALF),
    "fine_weights": (1, 11, *_HALF),
    "coarse_weights": (1, 3, *_QUARTER),
}
_EXAMPLE = {"batch": 3, "channels": 2, "height": 64, "width": 48}


def _out(tensors: Tensors) -> Tensors:
    return {f"{name}_out": axes for name, axes in tensors.items()}


class _Graph(nn.Module):
    """What an exporter asks of a graph, from two tables; a graph of `one` plane has no batch.

    ONNX Runtime takes a third of the survey's time to find that the sum of one plane is that plane.
    """

    inputs: ClassVar[Tensors]
    outputs: ClassVar[Tensors]

    def __init__(self, *, one: bool = False) -> None:
        super().__init__()
        self.one = one

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of what `forward` returns, in its order."""
        return tuple(self.outputs)

    @property
    def dynamic_axes(self) -> dict[str, dict[int, str]]:
        """Names of free axes, by tensor and place."""
        found = {
            name: {i: axis for i, axis in enumerate(self._axes(axes)) if isinstance(axis, str)}
            for name, axes in {**self.inputs, **self.outputs}.items()
        }
        return {name: free for name, free in found.items() if free}

    def example_inputs(self) -> dict[str, Tensor]:
        """Return small inputs of the right shapes: what an exporter traces with."""
        return {
            name: torch.rand(shape_of(self._axes(axes), _EXAMPLE))
            for name, axes in self.inputs.items()
        }

    def _axes(self, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        return tuple(1 if self.one and axis == "batch" else axis for axis in axes)

    def _top(self, planes: Tensor) -> Tensor:
        return planes if self.one else planes.amax(0, keepdim=True)

    def _sum(self, planes: Tensor) -> Tensor:
        return planes if self.one else planes.sum(0, keepdim=True)


class Survey(_Graph):
    """First pass: what all planes of a stack have, whatever their order."""

    inputs: ClassVar[Tensors] = {**_SIGNAL, **_NOISE, **_POOLED}
    outputs: ClassVar[Tensors] = _out(_POOLED)

    def __init__(self, encoder: Encoder, *, one: bool = False) -> None:
        super().__init__(one=one)
        self.encoder = encoder

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


class Share(_Graph):
    """Between the passes: what is made of the pooled features once for all planes."""

    inputs: ClassVar[Tensors] = _POOLED
    outputs: ClassVar[Tensors] = _out(_SHARED)

    def __init__(self, chooser: Chooser) -> None:
        super().__init__()
        self.chooser = chooser

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
        """Return the same, but a count of at least one plane."""
        return {name: value + 1 for name, value in super().example_inputs().items()}


class Merge(_Graph):
    """Second pass: the sums over planes, weighted by what each is beside all others."""

    inputs: ClassVar[Tensors] = {
        **_SIGNAL,
        "planes": ("batch", "channels", *_WHOLE),
        "z": ("batch",),
        **_NOISE,
        **_SHARED,
        **_SUMS,
    }
    outputs: ClassVar[Tensors] = _out(_SUMS)

    def __init__(self, encoder: Encoder, chooser: Chooser, *, one: bool = False) -> None:
        super().__init__(one=one)
        self.encoder = encoder
        self.chooser = chooser

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
        terms = weigh(planes, z, own[0], logits)
        return tuple(old + self._sum(new) for old, new in zip(sums, terms, strict=True))


class Reconstruct(_Graph):
    """The end: the image of the sums; depth and its spread in planes."""

    inputs: ClassVar[Tensors] = {**_SUMS, "plane_noise": ("channels", 2)}
    outputs: ClassVar[Tensors] = {"image": ("channels", *_WHOLE), "depth": _WHOLE, "spread": _WHOLE}

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

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
        image, depth, spread = reconstruct(self.decoder, sums, plane_noise)
        return image[:, 0], depth[0], spread[0]

    def example_inputs(self) -> dict[str, Tensor]:
        """Return sums as of planes: values in 0..1, depths that differ.

        A spread of next to nothing is the root of a difference that rounding decides.
        """
        values = super().example_inputs()
        fine, coarse = values["fine_weights"] + 0.5, values["coarse_weights"] + 0.5
        z = 5 * torch.rand_like(fine[:, :1])
        fine[:, 9:10], fine[:, 10:11] = fine[:, 8:9] * z, fine[:, 8:9] * (z * z + 1)
        return {
            "low2": coarse[:, :1] * values["low2"],
            "details2": coarse[:, 1:2] * (values["details2"] - 0.5) / 4,
            "pixels": fine[:, :4].repeat_interleave(2, 1) * values["pixels"],
            "features": fine[:, :1] * values["features"],
            "fine_weights": fine,
            "coarse_weights": coarse,
            "plane_noise": torch.tensor([[1e-3, 1e-4], [0.0, 0.0]]),
        }
