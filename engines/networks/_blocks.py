"""Pieces that several networks share: residual block, He's start, the face of a pairwise network.

Must not know of files, ONNX, runners or training.
"""

from typing import ClassVar, Self

import torch
from torch import Tensor, nn


def conv(
    channels_in: int, channels_out: int, side: int = 3, *, dilation: int = 1, bias: bool = True
) -> nn.Conv2d:
    """Return a convolution that keeps the image's size (zeros outside, as papers have it)."""
    return nn.Conv2d(
        channels_in,
        channels_out,
        side,
        padding=dilation * (side // 2),
        dilation=dilation,
        bias=bias,
    )


class ResidualBlock(nn.Module):
    """``x + conv(activation(conv(x)))``, 3x3, the same number of channels in and out."""

    def __init__(self, channels: int, activation: nn.Module, *, bias: bool = True) -> None:
        super().__init__()
        self.first = conv(channels, channels, bias=bias)
        self.activation = activation
        self.second = conv(channels, channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, channels, H, W) from features of the same shape."""
        change: Tensor = self.second(self.activation(self.first(x)))
        return x + change


def he_start(network: nn.Module, slope: float = 0.0) -> None:
    """Initialise every convolution after He (2015) for leaky ReLUs of that slope, biases at 0.

    A residual block's second convolution starts ten times smaller: without batch norm a chain of
    blocks would otherwise double the variance at each one, and the first steps only undo that.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, a=slope, nonlinearity="leaky_relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            with torch.no_grad():
                module.second.weight.mul_(0.1)


class Pairwise(nn.Module):
    """A network that fuses two colour images; its subclasses define ``forward``.

    ``forward(first, second) -> fused``, all (N, 3, H, W), values in 0..1, H and W multiples of
    `multiple`. A halo of `halo` pixels makes tiles agree.
    """

    name: ClassVar[str]
    multiple: ClassVar[int]
    halo: ClassVar[int]
    output_names: ClassVar[tuple[str, ...]] = ("fused",)
    dynamic_axes: ClassVar[dict[str, dict[int, str]]] = {
        name: {0: "batch", 2: "height", 3: "width"} for name in ("first", "second", "fused")
    }

    def example_inputs(self) -> dict[str, Tensor]:
        """Return small inputs of the right shapes: what an exporter traces with."""
        return {"first": torch.rand(2, 3, 64, 48), "second": torch.rand(2, 3, 64, 48)}

    def graphs(self) -> dict[str, Self]:
        """Return the graphs to export, by file name: one."""
        return {self.name: self}
