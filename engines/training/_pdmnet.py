"""How PDMNet learns: whole stacks of any length, pairs among them, against the truth.

Duty: its loss and its score. Must not know: how batches are made, optimisers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from zfuse.engines.networks import PdmNet
from zfuse.engines.training import _losses as losses
from zfuse.engines.training._recipe import Batch, Recipe, collate
from zfuse.engines.training._score import fusion_score

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from zfuse.engines.training._scenes import Scene

__all__ = ["PdmNetRecipe"]


class PdmNetRecipe(Recipe):
    """PDMNet: log of the squared error of each scene, log of its SSIM deficit, log of depth error.

    The mean logarithm is the mean PSNR: clean pairs at 42 dB and stacks of 300 photons at 30 dB
    teach alike, where the mean squared error would hear the noisy ones only.
    """

    network: Literal["pdmnet"] = "pdmnet"
    channels: ClassVar[int] = 3

    error: float = Field(0.5, ge=0, description="weight of the log of the squared error")
    ssim: float = Field(0.25, ge=0, description="weight of the log of 1 - SSIM")
    depth: float = Field(0.1, ge=0, description="weight of the log of the depth's error in planes")

    def build(self) -> nn.ModuleDict:
        """Return the network."""
        return nn.ModuleDict({"pdmnet": PdmNet()})

    def loss(self, networks: nn.ModuleDict, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted logarithms of the scenes' errors."""
        truth, planes, signal = _one_channel(batch)
        image, depth, _ = networks["pdmnet"](signal, planes, batch.noise)
        terms = {"error": losses.log_mse(image, truth), "ssim": losses.log_ssim(image, truth)}
        known = torch.isfinite(batch.depth).all(-1).all(-1)
        if known.any():
            off = (depth.float()[known] - batch.depth[known]).abs().mean((1, 2))
            terms["depth"] = torch.log(off + 0.02).mean()
        return self.weighted(terms), terms

    def score(self, networks: nn.ModuleDict, held_out: Sequence[Scene]) -> dict[str, float]:
        """Score fused images in colour, as the pipeline gives them."""
        device = next(networks.parameters()).device

        def fused() -> Iterator[tuple[Tensor, Tensor]]:
            for scene in held_out:
                batch = collate([scene], self.channels).to(device)
                signal = losses.luma(batch.planes.flatten(0, 1))[:, 0][None]
                yield networks["pdmnet"](signal, batch.planes, batch.noise)[0], batch.truth

        return fusion_score(fused())


def _one_channel(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return truth (B, 1, H, W), planes (B, N, 1, H, W) and signal (B, N, H, W).

    The decision is made on luma and serves every channel. Half of the batches learn on luma itself,
    the others on a random mixture of the colours: the decoder must know channels that did not
    decide. One channel instead of three makes a step twice as fast.
    """
    signal = losses.luma(batch.planes.flatten(0, 1)).unflatten(0, batch.planes.shape[:2])[:, :, 0]
    if torch.rand(()) < 0.5:
        return losses.luma(batch.truth), signal[:, :, None], signal
    mixture = -torch.log(torch.rand(len(batch.truth), 3).clamp(min=1e-6))
    mixture = (mixture / mixture.sum(1, keepdim=True)).to(signal.device)[:, :, None, None]
    planes = (batch.planes * mixture[:, None]).sum(2, keepdim=True)
    return (batch.truth * mixture).sum(1, keepdim=True), planes, signal
