"""Fusion2Void (Lin et al., TCSVT 2024): fusion learned without truth, by inpainting the sources.

Must not know of files, ONNX, runners or training (which patches are dropped is the trainer's).
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from zfuse.engines.networks._blocks import Pairwise, ResidualBlock, conv, he_start


def _residuals(channels: int, count: int) -> list[nn.Module]:
    return [ResidualBlock(channels, nn.ReLU()) for _ in range(count)]


class Fusion2Void(Pairwise):
    """The fusion network: two encoders, joined, three residual blocks, sigmoid.

    ``forward(first, second) -> fused``, all (N, 3, H, W) in 0..1, any H and W. The answer is the
    mean over both input orders, so it is the same, to the last bit, when the inputs change places.
    """

    name: ClassVar[str] = "fusion2void"
    multiple: ClassVar[int] = 1
    # From the layers: encoder 1 + 5·2, joining 1, three blocks 6, out 1: 19.
    halo: ClassVar[int] = 19

    def __init__(self) -> None:
        super().__init__()
        self.encoder_first = nn.Sequential(conv(3, 32), *_residuals(32, 5))
        self.encoder_second = nn.Sequential(conv(3, 32), *_residuals(32, 5))
        self.decoder = nn.Sequential(conv(64, 32), *_residuals(32, 3), conv(32, 3), nn.Sigmoid())
        he_start(self)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Fuse two images, whatever their order."""
        return (self._ordered(first, second) + self._ordered(second, first)) / 2

    def _ordered(self, first: Tensor, second: Tensor) -> Tensor:
        features = [self.encoder_first(first), self.encoder_second(second)]
        fused: Tensor = self.decoder(torch.cat(features, 1))
        return fused


class Inpainter(nn.Module):
    """Restores dropped patches of both sources; needed to train `Fusion2Void`, not to fuse.

    It can do so only when the fused image holds everything that is sharp in either source.
    The sigmoid at its end is our choice: sources are in 0..1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv(9, 32), *_residuals(32, 8), conv(32, 6), nn.Sigmoid())
        he_start(self)

    def forward(
        self, masked_first: Tensor, masked_second: Tensor, fused: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return both sources, restored.

        Parameters
        ----------
        masked_first, masked_second
            (N, 3, H, W), values in 0..1, 0 where dropped.
        fused
            (N, 3, H, W), values in 0..1.
        """
        first, second = self.layers(torch.cat([masked_first, masked_second, fused], 1)).chunk(2, 1)
        return first, second
