"""How UMIS learns: as an auto-encoder of single planes, without any truth.

Duty: its loss (UMIS-Fusion: MSE, SSIM, gradient and spatial frequency as 1 : 3 : 1 : 2). Must not
know: how batches are made, how planes are fused later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from zfuse.engines.networks import Umis
from zfuse.engines.training import _losses as losses
from zfuse.engines.training._recipe import Batch, Recipe, collate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zfuse.engines.training._scenes import Scene

__all__ = ["UmisRecipe"]


class UmisRecipe(Recipe):
    """UMIS: a nested U-Net that must give back the plane it was given."""

    channels: ClassVar[int] = 1

    network: Literal["umis"] = "umis"
    mse: float = Field(1.0, ge=0, description="weight of the squared error")
    ssim: float = Field(3.0, ge=0, description="weight of 1 - SSIM")
    gradient: float = Field(1.0, ge=0, description="weight of the error of differences")
    spatial_frequency: float = Field(2.0, ge=0, description="weight of the lack of detail")

    def build(self) -> nn.ModuleDict:
        """Return the network."""
        return nn.ModuleDict({"umis": Umis()})

    def loss(self, networks: nn.ModuleDict, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted errors of the planes that the auto-encoder gives back."""
        network = networks["umis"]
        assert isinstance(network, Umis)
        planes = batch.planes.flatten(0, 1) * 2 - 1
        image = network.reconstruct(planes)
        terms = {
            "mse": losses.mse(image, planes),
            "ssim": 1 - losses.ssim(image, planes, data_range=2),
            "gradient": losses.gradient(image, planes),
            "spatial_frequency": losses.spatial_frequency(image, planes),
        }
        return self.weighted(terms), terms

    def score(self, networks: nn.ModuleDict, held_out: Sequence[Scene]) -> dict[str, float]:
        """Return the negative loss on held-out planes: there is no truth to compare with."""
        device = next(networks.parameters()).device
        values = [
            float(self.loss(networks, collate([scene], self.channels).to(device))[0])
            for scene in held_out
        ]
        return {"score": -sum(values) / len(values)}
