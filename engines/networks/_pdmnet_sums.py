"""What PDMNet sums over planes, and the image that is made of the sums.

Must not know: how many planes there are, where their weights come from, training, tiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zfuse.engines.networks._pdmnet_parts import (
    cells,
    haar,
    haar_of_cells,
    inverse_haar,
    noise_deviation,
    up,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zfuse.engines.networks._pdmnet_parts import Decoder

__all__ = ["reconstruct", "weigh"]

_TINY = 1e-20  # of a sum of weights: no plane had a value here


def weigh(
    planes: Tensor, z: Tensor, features: Tensor, logits: tuple[Tensor, Tensor]
) -> tuple[Tensor, ...]:
    """Return what planes (N, C, H, W) add to the sums that `reconstruct` takes."""
    fine, coarse = (torch.exp(m.float()) for m in logits)
    pixel, place = fine[:, :4], fine[:, 4:]
    detail2, mean = coarse[:, :1], coarse[:, 1:]
    parts = cells(planes)
    low2, details2 = haar((parts[0] + parts[1] + parts[2] + parts[3]) * 0.25)
    z = z.reshape(-1, 1, 1, 1)
    return (
        mean * low2,
        detail2 * details2,
        torch.cat([pixel[:, i : i + 1] * part for i, part in enumerate(parts)], 1),
        pixel.mean(1, keepdim=True) * features,
        torch.cat([pixel, pixel * pixel, place, place * z, place * z * z], 1),
        torch.cat([mean, detail2, detail2 * detail2], 1),
    )


def reconstruct(
    decoder: Decoder, sums: Sequence[Tensor], noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Decode the sums over planes (B, kC, h, w), all channels by the same network.

    Returns the image (B·C, 1, H, W), depth and spread (B, H, W).
    """
    low2, details2, pixels, features, fine_weights, coarse_weights = sums
    channels = low2.shape[1]

    def apart(band: Tensor, count: int) -> Tensor:  # (B, kC) to (B·C, k)
        by_kind: Tensor = band.unflatten(1, (count, channels))
        return by_kind.transpose(1, 2).flatten(0, 1)

    fine, coarse = fine_weights.clamp(min=_TINY), coarse_weights.clamp(min=_TINY)
    pixel, squared = fine[:, :4], fine[:, 4:8]
    place, first, second = (fine[:, i : i + 1] for i in range(8, 11))
    mean, detail2, squared2 = (coarse[:, i : i + 1] for i in range(3))
    low = inverse_haar(apart(low2 / mean, 1), apart(details2 / detail2, 3))
    merged = apart(pixels, 4) / pixel.repeat_interleave(channels, 0)
    near, details = haar_of_cells(*(merged[:, i : i + 1] for i in range(4)))
    # The part of a plane's noise that is left in a weighted mean: sqrt(Σ w²) / Σ w.
    of_pixels = (squared.sqrt() / pixel).mean(1, keepdim=True)
    left = torch.cat([of_pixels, up(squared2.sqrt() / detail2)], 1)
    left = noise_deviation(low, noise) * left.repeat_interleave(channels, 0)
    seen = (features / pixel.mean(1, keepdim=True)).repeat_interleave(channels, 0)
    image = decoder(low, near, details, left, seen)
    depth = first / place
    spread = (second / place - depth * depth).clamp(min=0).sqrt()
    return image, up(depth)[:, 0], up(spread)[:, 0]
