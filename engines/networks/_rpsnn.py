"""R-PSNN: a pseudo-Siamese network of residual atrous pyramids.

Source: Jiang, Fan, Li, Tu, "Pseudo-Siamese residual atrous pyramid network for multi-focus image
fusion", IET Image Processing 2021, doi 10.1049/ipr2.12326.
Must not know of files, ONNX, runners or training.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from zfuse.engines.networks._blocks import Pairwise, ResidualBlock, conv, he_start

_SLOPE = 0.1
_DILATIONS = (1, 4, 8)


class _AtrousGroup(nn.Module):
    """Three 3x3 convolutions side by side, at dilations 1, 4 and 8, joined by a 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            conv(channels, channels, dilation=dilation, bias=False) for dilation in _DILATIONS
        )
        self.activation = nn.LeakyReLU(_SLOPE)
        self.join = conv(len(_DILATIONS) * channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = self.join(torch.cat([self.activation(c(x)) for c in self.convs], 1))
        return joined


class _AtrousPyramid(nn.Module):
    """RACP: three groups in a chain, each seeing wider; all their outputs summed with the input.

    The facts leave the chain open. Side by side, three groups that see the same input through the
    same dilations would be one group with more channels, and no pyramid.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.groups = nn.ModuleList(_AtrousGroup(channels) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        total = x
        for group in self.groups:
            x = group(x)
            total = total + x
        return total


def _branch() -> nn.Sequential:
    activation = nn.LeakyReLU(_SLOPE)
    return nn.Sequential(
        conv(3, 16, 7, bias=False),
        activation,
        conv(16, 64, bias=False),
        activation,
        ResidualBlock(64, activation, bias=False),
        _AtrousPyramid(64),
        ResidualBlock(64, activation, bias=False),
        _AtrousPyramid(64),
        ResidualBlock(64, activation, bias=False),
    )


class Rpsnn(Pairwise):
    """Two branches of the same shape with separate weights, and a generator that fuses them.

    ``forward(first, second) -> fused``, all (N, 3, H, W), any H and W. 0..1 in gives about 0..1
    out: the last layer is linear (the facts name no other), so clip before storing.

    Without biases the network is homogeneous: inputs times k > 0 give the output times k.
    """

    name: ClassVar[str] = "rpsnn"
    multiple: ClassVar[int] = 1
    # From the layers: branch 3 + 1 + 3·2 + 2·24, generator 1 + 4·2 + 3 + 1: 71.
    # Measured at the start: 40 px leave 0.04 % of the effect outside.
    halo: ClassVar[int] = 40

    def __init__(self) -> None:
        super().__init__()
        activation = nn.LeakyReLU(_SLOPE)
        last = conv(3, 3, bias=False)
        self.branch_first = _branch()
        self.branch_second = _branch()
        self.generator = nn.Sequential(
            conv(128, 64, bias=False),
            activation,
            *(ResidualBlock(64, activation, bias=False) for _ in range(4)),
            conv(64, 64, 1, bias=False),
            activation,
            conv(64, 3, 7, bias=False),
            activation,
            last,
        )
        he_start(self, _SLOPE)
        with torch.no_grad():
            # As a residual block's last layer (see he_start): a pyramid starts as nearly nothing.
            for module in self.modules():
                if isinstance(module, _AtrousGroup):
                    module.join.weight.mul_(0.3)
        # Three channels are too few for chance: a colour that starts below 0 learns through the
        # leak only. From the identity the loss falls ten times faster over the first 40 steps.
        nn.init.dirac_(last.weight)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Fuse two images; the order matters to this network."""
        features = [self.branch_first(first), self.branch_second(second)]
        fused: Tensor = self.generator(torch.cat(features, 1))
        return fused
