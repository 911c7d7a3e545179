"""How one network learns: what is built, what is minimised, what counts as better.

Duty: the interface between the trainer and the networks, and the batch that passes through it.
Must not know: optimisers, checkpoints, where scenes come from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zfuse.engines.training._scenes import Scene

__all__ = ["Batch", "Recipe", "collate"]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class Batch:
    """Scenes side by side: B scenes of N planes, values 0..1.

    Attributes
    ----------
    truth
        (B, C, H, W) float32, all in focus, noise-free.
    planes
        (B, N, C, H, W) float32 focal stacks.
    depth
        (B, H, W) float32 in planes; NaN where a scene does not know it.
    noise
        (B, 2) float32; variance of the noise = noise[:, 0] * value + noise[:, 1].
    """

    truth: Tensor
    planes: Tensor
    depth: Tensor
    noise: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the same batch on a device."""
        tensors = (self.truth, self.planes, self.depth, self.noise)
        if device.type == "cuda":  # a copy from pinned memory does not wait for the GPU
            tensors = tuple(t.pin_memory() for t in tensors)  # type: ignore[assignment]
        return Batch(*(t.to(device, non_blocking=True) for t in tensors))


class Recipe(BaseModel, ABC):
    """Everything about training that differs between networks, as a frozen value.

    A subclass has ``network: Literal["its name"]``, its weights of loss terms as fields, and three
    methods. It holds no tensors: networks are handed in, so that the averaged weights (EMA) are
    scored by the same code. Random numbers come from torch's global CPU generator, which the
    trainer seeds anew for every step: a resumed run then draws the same ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str
    channels: ClassVar[int] = 3
    """Of the batches: 3 (grey scenes are repeated) or 1 (colours become luma)."""
    planes: ClassVar[int | None] = None
    """Of every scene; None: as the config says."""

    @abstractmethod
    def build(self) -> nn.ModuleDict:
        """Return what is trained; the entry named like the network is what ships."""

    @abstractmethod
    def loss(self, networks: nn.ModuleDict, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what is minimised, and its terms before they are weighted, for the log.

        Called under autocast when the config asks for it; the losses themselves are computed in
        float32 (`_losses` sees to that).
        """

    def weighted(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the sum of terms, each by the weight of its name."""
        return torch.stack([getattr(self, name) * value for name, value in terms.items()]).sum()

    @abstractmethod
    def score(self, networks: nn.ModuleDict, held_out: Sequence[Scene]) -> Mapping[str, float]:
        """Return how good the networks are on scenes never trained on; "score": higher is better.

        Called in evaluation mode, without gradients and without autocast.
        """


def collate(scenes: Sequence[Scene], channels: int) -> Batch:
    """Join scenes of one size to a batch.

    Parameters
    ----------
    scenes
        Of 1 or 3 channels each, mixed freely.
    channels
        3: grey scenes are repeated; 1: colours become their luma.
    """
    depths = [
        np.full(scene.truth.shape[-2:], np.nan) if scene.depth is None else scene.depth
        for scene in scenes
    ]
    return Batch(
        truth=_stack([_as_channels(scene.truth, channels) for scene in scenes]),
        planes=_stack([_as_channels(scene.planes, channels) for scene in scenes]),
        depth=_stack(depths),
        noise=_stack([np.asarray(scene.noise) for scene in scenes]),
    )


def _stack(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays).astype(np.float32, copy=False))


def _as_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Make (..., C, H, W) have so many channels."""
    present = image.shape[-3]
    if present == channels:
        return image
    if channels == 1:
        return np.asarray(np.einsum("...chw,c->...hw", image, _LUMA)[..., None, :, :])
    return np.repeat(image, channels, axis=-3)
