"""PDMNet: wavelet-domain focal stack fusion as a fold that does not care about the order of planes.

Our design inside the published description (ICDSA 2024: a wavelet transform in the network,
focused regions of several inputs encoded, features merged, the image reconstructed):

    survey       every plane's features, from its Haar sub-bands; kept are their maximum and sum
    share        what is made of the pooled features once for all planes
    merge        every plane again: features beside the pooled ones give logits; all planes are
                 averaged with softmax weights, one map for pixels and one for each coarser band
    reconstruct  a decoder corrects the merged sub-bands, knowing the noise that is left in them;
                 the inverse transform ends it

Logits are bounded, so the softmax over planes is plain sums of exponentials: a stack of any length
is one fold, its state a fixed number of maps that begin as zeros. One decision, made on one signal,
serves all channels. Must not know: training, tiles, files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from zfuse.engines.networks._pdmnet_graphs import Merge, Reconstruct, Share, Survey
from zfuse.engines.networks._pdmnet_parts import (
    Chooser,
    Decoder,
    Encoder,
    cells,
    haar,
    haar_of_cells,
    inverse_haar,
    noise_deviation,
    up,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PdmNet"]

_TINY = 1e-20  # of a sum of weights: no plane had a value here


class PdmNet(nn.Module):
    """PDMNet; see the module's text.

    `forward` fuses whole stacks at once, for training; `graphs` are the steps of the fold. Both
    are built of the same methods, `weigh` and `reconstruct`.
    """

    name: ClassVar[str] = "pdmnet"
    multiple: ClassVar[int] = 8
    halo: ClassVar[int] = 32  # trained: 0.1 of 255 grey levels, in noise; 24 px: 0.7

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.chooser = Chooser()
        self.decoder = Decoder()

    def forward(
        self, signal: Tensor, planes: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fuse stacks of equal length.

        Parameters
        ----------
        signal
            (B, N, H, W), what the decision is made on, 0..1.
        planes
            (B, N, C, H, W), 0..1.
        noise
            (B, 2), gain and floor of the noise: variance = gain · value + floor.

        Returns
        -------
        image
            (B, C, H, W).
        depth, spread
            (B, H, W), in planes: mean and standard deviation of the depth weights.
        """
        stacks, count, channels, height, width = planes.shape
        together = signal.reshape(-1, 1, height, width), noise.repeat_interleave(count, 0)
        own = self.encoder(*together)
        apart = [m.unflatten(0, (stacks, count)) for m in own]
        shared = self.chooser.context(*(p for m in apart for p in (m.amax(1), m.mean(1))))
        fine, coarse = (p.repeat_interleave(count, 0) for p in shared)
        logits = self.chooser(own, (fine, coarse))
        z = torch.arange(count, device=planes.device, dtype=torch.float32).repeat(stacks)
        terms = self.weigh(planes.flatten(0, 1), z, own[0], logits)
        sums = [term.unflatten(0, (stacks, count)).sum(1) for term in terms]
        of_each = noise.repeat_interleave(channels, 0)
        image, depth, spread = self.reconstruct(sums, of_each)
        return image.unflatten(0, (stacks, channels)).squeeze(2), depth, spread

    def weigh(
        self, planes: Tensor, z: Tensor, features: Tensor, logits: tuple[Tensor, Tensor]
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

    def reconstruct(self, sums: Sequence[Tensor], noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
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
        image = self.decoder(low, near, details, left, seen)
        depth = first / place
        spread = (second / place - depth * depth).clamp(min=0).sqrt()
        return image, up(depth)[:, 0], up(spread)[:, 0]

    def graphs(self) -> dict[str, nn.Module]:
        """Return the fold's steps, by file name."""
        return {
            "pdmnet-survey": Survey(self),
            "pdmnet-survey-one": Survey(self, one=True),
            "pdmnet-share": Share(self),
            "pdmnet-merge": Merge(self),
            "pdmnet-merge-one": Merge(self, one=True),
            "pdmnet-reconstruct": Reconstruct(self),
        }
