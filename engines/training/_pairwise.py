"""How the networks that fuse two images learn: R-PSNN, FusionNet and Fusion2Void.

Duty: their losses and their score. Must not know: how batches are made, optimisers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from zfuse.engines.networks import Fusion2Void, FusionNet, Inpainter, Rpsnn
from zfuse.engines.training import _losses as losses
from zfuse.engines.training._recipe import Batch, Recipe, collate
from zfuse.engines.training._score import fusion_score

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from zfuse.engines.training._scenes import Scene

__all__ = ["Fusion2VoidRecipe", "FusionNetRecipe", "PairwiseRecipe", "RpsnnRecipe"]


class PairwiseRecipe(Recipe):
    """Two images in random order to one; published is the squared error alone."""

    planes: ClassVar[int | None] = 2

    mse: float = Field(1.0, ge=0, description="weight of the squared error, as published")
    l1: float = Field(0.0, ge=0, description="weight of the absolute error")
    gradient: float = Field(0.0, ge=0, description="weight of the absolute error of differences")
    ssim: float = Field(0.0, ge=0, description="weight of 1 - SSIM")
    log_mse: float = Field(0.0, ge=0, description="weight of the mean log of each squared error")
    log_ssim: float = Field(0.0, ge=0, description="weight of the mean log of each 1 - SSIM")

    def loss(self, networks: nn.ModuleDict, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted errors of the fused image, before any clamp."""
        first, second = in_random_order(batch.planes)
        return self._errors(networks[self.network](first, second), batch.truth)

    def _errors(self, fused: Tensor, truth: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        terms = {"mse": losses.mse(fused, truth)}  # always logged: it is the PSNR
        if self.l1:
            terms["l1"] = losses.l1(fused, truth)
        if self.gradient:
            terms["gradient"] = losses.gradient(fused, truth)
        if self.ssim:
            terms["ssim"] = 1 - losses.ssim(fused, truth)
        if self.log_mse:
            terms["log_mse"] = losses.log_mse(fused, truth)
        if self.log_ssim:
            terms["log_ssim"] = losses.log_ssim(fused, truth)
        return self.weighted(terms), terms

    def score(self, networks: nn.ModuleDict, held_out: Sequence[Scene]) -> dict[str, float]:
        """Score the fused image as the pipeline gives it: within the values of its two sources."""
        device = next(networks.parameters()).device

        def fused() -> Iterator[tuple[Tensor, Tensor]]:
            for scene in held_out:
                batch = collate([scene], self.channels).to(device)
                first, second = batch.planes.unbind(1)
                yield within(networks[self.network](first, second), first, second), batch.truth

        return fusion_score(fused())


class RpsnnRecipe(PairwiseRecipe):
    """R-PSNN (Jiang et al., IET Image Processing 2021)."""

    network: Literal["rpsnn"] = "rpsnn"

    def build(self) -> nn.ModuleDict:
        """Return the network."""
        return nn.ModuleDict({"rpsnn": Rpsnn()})


class FusionNetRecipe(PairwiseRecipe):
    """FusionNet, an encoder and decoder."""

    network: Literal["fusionnet"] = "fusionnet"

    def build(self) -> nn.ModuleDict:
        """Return the network."""
        return nn.ModuleDict({"fusionnet": FusionNet()})


class Fusion2VoidRecipe(PairwiseRecipe):
    """Fusion2Void (Lin et al., TCSVT 2024): restore what was dropped from both sources.

    An inpainting network sees both sources with patches dropped, and the fused image; it can
    restore them only if the fused image holds everything sharp. Published is that alone (``mse``
    0). Where the truth is at hand it helps: ``mse`` 1 is the default here.
    """

    network: Literal["fusion2void"] = "fusion2void"
    inpainting: float = Field(1.0, ge=0, description="weight of the error of what was restored")
    patch: int = Field(16, ge=1, description="edge in px of the patches that are dropped")
    dropped: float = Field(0.5, gt=0, lt=1, description="share of the patches that is dropped")

    def build(self) -> nn.ModuleDict:
        """Return the fusion network and the inpainting network that teaches it."""
        return nn.ModuleDict({"fusion2void": Fusion2Void(), "inpainter": Inpainter()})

    def loss(self, networks: nn.ModuleDict, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the inpainting error plus the weighted errors of the fused image."""
        first, second = in_random_order(batch.planes)
        fused = networks["fusion2void"](first, second)
        _, terms = self._errors(fused, batch.truth)
        if self.inpainting:
            kept = [self._kept(first), self._kept(second)]
            restored = networks["inpainter"](first * kept[0], second * kept[1], fused)
            # Only what was dropped counts: what was kept need only be copied.
            errors = [
                ((image.float() - source) * (1 - mask)).square().mean() / (1 - mask).mean()
                for image, source, mask in zip(restored, (first, second), kept, strict=True)
            ]
            terms["inpainting"] = torch.stack(errors).sum()
        return self.weighted(terms), terms

    def _kept(self, image: Tensor) -> Tensor:
        """Draw a mask (N, 1, H, W): 0 in dropped patches, 1 elsewhere; at least one is dropped."""
        count, _, height, width = image.shape
        rows, columns = -(-height // self.patch), -(-width // self.patch)
        draw = torch.rand(count, 1, rows, columns)
        draw[0, 0, 0, 0] *= self.dropped
        kept = (draw >= self.dropped).float()
        kept = F.interpolate(kept, scale_factor=self.patch, mode="nearest")
        return kept[..., :height, :width].to(image.device)


def in_random_order(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Split (N, 2, C, H, W) in two batches (N, C, H, W), the order drawn for each pair."""
    swap = (torch.rand(len(planes), 1, 1, 1) < 0.5).to(planes.device)
    first, second = planes.unbind(1)
    return torch.where(swap, second, first), torch.where(swap, first, second)


def within(fused: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Clamp each value between those of the two sources: nothing that was in neither.

    The pipeline does the same; it stops the drift in long cascades.
    """
    return fused.maximum(torch.minimum(first, second)).minimum(torch.maximum(first, second))
