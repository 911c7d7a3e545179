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

from typing import ClassVar

import torch
from torch import Tensor, nn

from zfuse.engines.networks._pdmnet_graphs import Merge, Reconstruct, Share, Survey
from zfuse.engines.networks._pdmnet_parts import Chooser, Decoder, Encoder
from zfuse.engines.networks._pdmnet_sums import reconstruct, weigh

__all__ = ["PdmNet"]


class PdmNet(nn.Module):
    """PDMNet; see the module's text.

    `forward` fuses whole stacks at once, for training; `graphs` are the steps of the fold. Both
    are built of the same parts, and of `weigh` and `reconstruct`.
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
        terms = weigh(planes.flatten(0, 1), z, own[0], logits)
        sums = [term.unflatten(0, (stacks, count)).sum(1) for term in terms]
        of_each = noise.repeat_interleave(channels, 0)
        image, depth, spread = reconstruct(self.decoder, sums, of_each)
        return image.unflatten(0, (stacks, channels)).squeeze(2), depth, spread

    def graphs(self) -> dict[str, nn.Module]:
        """Return the fold's steps, by file name."""
        return {
            "pdmnet-survey": Survey(self.encoder),
            "pdmnet-survey-one": Survey(self.encoder, one=True),
            "pdmnet-share": Share(self.chooser),
            "pdmnet-merge": Merge(self.encoder, self.chooser),
            "pdmnet-merge-one": Merge(self.encoder, self.chooser, one=True),
            "pdmnet-reconstruct": Reconstruct(self.decoder),
        }
