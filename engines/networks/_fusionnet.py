"""FusionNet: a small encoder-decoder that maps two stacked images to the fused one.

Must not know of files, ONNX, runners or training.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from zfuse.engines.networks._blocks import Pairwise, conv, he_start


def _double(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        conv(channels_in, channels_out), nn.ReLU(), conv(channels_out, channels_out), nn.ReLU()
    )


class FusionNet(Pairwise):
    """Encoder-decoder on six channels: double convolutions of 64, 128, 256, then 128, 64, and 3.

    ``forward(first, second) -> fused``, all (N, 3, H, W) in 0..1, H and W multiples of 4.

    Where its description is silent, we chose: skips by concatenation, as in U-Net (Ronneberger
    2015); bilinear up-sampling, which draws no chequerboard; no batch norm, so that a tile knows
    nothing of its neighbours; a 1x1 convolution before the sigmoid.
    """

    name: ClassVar[str] = "fusionnet"
    multiple: ClassVar[int] = 4
    # From the layers, for a core aligned to 4: 26.
    # Measured at the start: 24 px leave 0.02 % of the effect outside.
    halo: ClassVar[int] = 24

    def __init__(self) -> None:
        super().__init__()
        self.down1 = _double(6, 64)
        self.down2 = _double(64, 128)
        self.bottom = _double(128, 256)
        self.up2 = _double(256 + 128, 128)
        self.up1 = _double(128 + 64, 64)
        self.out = conv(64, 3, 1)
        he_start(self)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Fuse two images; the order matters to this network."""
        fine = self.down1(torch.cat([first, second], 1))
        middle = self.down2(max_pool2d(fine, 2))
        coarse = self.bottom(max_pool2d(middle, 2))
        middle = self.up2(torch.cat([_twice(coarse), middle], 1))
        fine = self.up1(torch.cat([_twice(middle), fine], 1))
        fused: Tensor = torch.sigmoid(self.out(fine))
        return fused


def _twice(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
