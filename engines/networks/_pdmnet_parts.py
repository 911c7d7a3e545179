"""Parts of PDMNet: the Haar transform, the noise of a pixel, encoder, chooser and decoder.

Must not know: how many planes there are, what is carried from one to the next.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "COARSE", "DEEP", "FINE", "Chooser", "Decoder", "Encoder", "cells", "haar", "haar_of_cells",
    "inverse_haar", "noise_deviation", "up",
]  # fmt: skip

FINE, COARSE, DEEP = 24, 48, 64
"""Features at half, quarter and eighth of the resolution."""

_BOUND = 8.0  # of logits: e^16 between planes is as good as a choice, and 200 e^8 is no overflow
_DECODER = 48


def cells(image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Take (…, H, W) apart into the four pixels of each 2 x 2 cell, (…, H/2, W/2) each."""
    top, bottom = image[..., ::2, :], image[..., 1::2, :]
    return top[..., ::2], top[..., 1::2], bottom[..., ::2], bottom[..., 1::2]


def haar(image: Tensor) -> tuple[Tensor, Tensor]:
    """Split (N, C, H, W) into means (N, C, H/2, W/2) and details (N, 3C, H/2, W/2)."""
    return haar_of_cells(*cells(image))


def haar_of_cells(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Do the same from the pixels of each cell.

    Orthonormal Haar wavelets, but the low-pass keeps the mean: values stay in the image's range.
    """
    low = (a + b + c + d) * 0.25
    details = torch.cat([a - b + c - d, a + b - c - d, a - b - c + d], 1) * 0.25
    return low, details


def inverse_haar(low: Tensor, details: Tensor) -> Tensor:
    """Join what `haar` split of one channel: (N, 1, h, w) and (N, 3, h, w) to (N, 1, 2h, 2w)."""
    h, v, d = details[:, :1], details[:, 1:2], details[:, 2:]  # `split` exports as a sequence
    pixels = [low + h + v + d, low - h + v - d, low + h - v - d, low - h - v + d]
    return functional.pixel_shuffle(torch.cat(pixels, 1), 2)


def noise_deviation(level: Tensor, noise: Tensor) -> Tensor:
    """Return the standard deviation of a pixel at each level: sqrt(gain · level + floor).

    `noise` (N, 2) or (2,) holds gain and floor; `level` is (N, C, H, W).
    """
    gain, floor = noise[..., 0], noise[..., 1]
    shape = (-1, 1, 1, 1)
    variance = gain.reshape(shape) * level + floor.reshape(shape)
    return variance.clamp(min=1e-8).sqrt()  # not + 1e-8: exporters take that for adding nothing


def _conv(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU())


def _down(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 2, 2), nn.ReLU())


def up(image: Tensor) -> Tensor:
    return functional.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)


class Encoder(nn.Module):
    """Features of one plane at half and at quarter resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(_conv(5, FINE), _conv(FINE, FINE))
        self.coarse = nn.Sequential(_down(FINE, COARSE), _conv(COARSE, COARSE))

    def forward(self, signal: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        low, details = haar(signal)
        deviation = noise_deviation(low, noise)
        # Details and noise are small beside the range of an image; 8 brings them to its size.
        fine = self.fine(torch.cat([low - 0.5, details * 8, deviation * 8], 1))
        return fine, self.coarse(fine)


class Chooser(nn.Module):
    """Logits of a plane from its own features and those pooled over all planes.

    At half resolution: the four pixels of each cell, depth; at quarter resolution: coarse details,
    means. An outline in focus runs between pixels, not between cells: weights for whole cells cost
    0.4 dB at outlines. The coarser a band, the more planes can be averaged in noise. The pooled
    features are brought in by a sum, so what is made of them is made once for all planes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.own_fine = nn.Conv2d(FINE, FINE, 1)
        self.own_coarse = nn.Conv2d(COARSE, COARSE, 1)
        self.pooled_fine = nn.Conv2d(2 * FINE, FINE, 1, bias=False)
        self.pooled_coarse = nn.Conv2d(2 * COARSE, COARSE, 1, bias=False)
        self.coarse = _conv(COARSE, COARSE)
        self.deep = nn.Sequential(_down(COARSE, DEEP), _conv(DEEP, DEEP), _conv(DEEP, DEEP))
        self.from_deep = nn.Conv2d(DEEP, COARSE, 1)
        self.join_coarse = _conv(COARSE, COARSE)
        self.from_coarse = nn.Conv2d(COARSE, FINE, 1)
        self.join_fine = _conv(FINE, FINE)
        self.fine_logits = nn.Conv2d(FINE, 5, 1)
        self.coarse_logits = nn.Conv2d(COARSE, 2, 1)

    def context(
        self, fine_top: Tensor, fine_mean: Tensor, coarse_top: Tensor, coarse_mean: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what all planes share."""
        fine = self.pooled_fine(torch.cat([fine_top, fine_mean], 1))
        return fine, self.pooled_coarse(torch.cat([coarse_top, coarse_mean], 1))

    def forward(
        self, own: tuple[Tensor, Tensor], shared: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        fine, coarse = self.own_fine(own[0]) + shared[0], self.own_coarse(own[1]) + shared[1]
        coarse = self.coarse(functional.relu(coarse))
        coarse = self.join_coarse(coarse + up(self.from_deep(self.deep(coarse))))
        fine = self.join_fine(functional.relu(fine + up(self.from_coarse(coarse))))
        return _bounded(self.fine_logits(fine)), _bounded(self.coarse_logits(coarse))


def _bounded(logits: Tensor) -> Tensor:
    return _BOUND * torch.tanh(logits / _BOUND)


class Decoder(nn.Module):
    """Corrects merged sub-bands, knowing the features and the noise that is left in them.

    The means of the 2 x 2 cells are known twice: merged by the coarse weights (`low`, with less
    noise) and from the merged pixels (`near`, true at outlines). A gate mixes the two.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(_conv(7 + FINE, _DECODER), _conv(_DECODER, _DECODER))
        self.deep = nn.Sequential(
            _down(_DECODER, DEEP), _conv(DEEP, DEEP), _conv(DEEP, DEEP), _conv(DEEP, DEEP)
        )
        self.from_deep = nn.Conv2d(DEEP, _DECODER, 1)
        out = nn.Conv2d(_DECODER, 5, 3, padding=1)
        self.last = nn.Sequential(_conv(_DECODER, _DECODER), out)
        nn.init.zeros_(out.weight)  # an untrained network merges and corrects nothing
        assert out.bias is not None
        nn.init.zeros_(out.bias)

    def forward(
        self, low: Tensor, near: Tensor, details: Tensor, noise: Tensor, features: Tensor
    ) -> Tensor:
        apart = near - low
        seen = torch.cat([low - 0.5, apart * 8, details * 8, noise * 8, features], 1)
        first = self.first(seen)
        made = self.last(first + up(self.from_deep(self.deep(first))))
        low = low + torch.sigmoid(made[:, 4:]) * apart + made[:, :1] / 8
        return inverse_haar(low, details + made[:, 1:4] / 8)
