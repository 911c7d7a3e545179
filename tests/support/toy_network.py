"""A tiny network with the face of the real ones: two graphs, a state at half resolution, a flag."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional


class Toy(nn.Module):
    name: ClassVar[str] = "toy"
    multiple: ClassVar[int] = 4
    halo: ClassVar[int] = 8

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Conv2d(1, 8, 7, padding=3)
        self.norm = nn.BatchNorm2d(8)
        self.gate = nn.Linear(8, 8, bias=False)
        self.deep = nn.Conv2d(8, 12, 3, padding=1)
        self.last = nn.Conv2d(20, 1, 3, padding=1)
        self.unused = nn.Conv2d(1, 1, 1)  # as UMIS' decoder: trained with, but not exported
        nn.init.uniform_(self.norm.running_mean, -0.2, 0.2)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)
        nn.init.uniform_(self.norm.weight, 0.5, 2)

    def graphs(self) -> dict[str, nn.Module]:
        return {"toy": _Plane(self), "toy-fold": _Fold(self)}


class _Plane(nn.Module):
    output_names: ClassVar[tuple[str, ...]] = ("image", "attention_out")
    dynamic_axes: ClassVar[dict[str, dict[int, str]]] = {
        "plane": {0: "batch", 2: "height", 3: "width"},
        "image": {0: "batch", 2: "height", 3: "width"},
    }

    def __init__(self, net: Toy) -> None:
        super().__init__()
        self.net = net

    def forward(self, plane: Tensor, attention: Tensor, measure: Tensor) -> tuple[Tensor, Tensor]:
        net = self.net
        fine = functional.relu6(net.norm(net.first(plane)))
        scales = torch.where(measure, torch.sigmoid(net.gate(fine.mean((0, 2, 3)))), attention)
        fine = fine * scales[None, :, None, None]
        deep = functional.relu(net.deep(functional.max_pool2d(fine, 2)))
        deep = functional.interpolate(deep, scale_factor=2.0, mode="bilinear", align_corners=False)
        return torch.sigmoid(net.last(torch.cat([fine, deep], 1))), scales

    def example_inputs(self) -> dict[str, Tensor]:
        return {
            "plane": torch.rand(2, 1, 24, 32),
            "attention": torch.full((8,), 0.5),
            "measure": torch.tensor(True),
        }


class _Fold(nn.Module):
    output_names: ClassVar[tuple[str, ...]] = ("total_out", "weight_out", "best_out")
    dynamic_axes: ClassVar[dict[str, dict[int, str]]] = {
        "planes": {0: "batch", 1: "channels", 2: "height", 3: "width"},
        "z": {0: "batch"},
        "total": {0: "channels", 1: "height/2", 2: "width/2"},
        "weight": {0: "height/2", 1: "width/2"},
        "best": {1: "height/4", 2: "width/4"},
        "total_out": {0: "channels", 1: "height/2", 2: "width/2"},
        "weight_out": {0: "height/2", 1: "width/2"},
        "best_out": {1: "height/4", 2: "width/4"},
    }

    def __init__(self, net: Toy) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, planes: Tensor, z: Tensor, total: Tensor, weight: Tensor, best: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        features = functional.relu(self.net.first(planes.mean(1, keepdim=True)))
        small = functional.avg_pool2d(features, 2)
        weights = torch.exp(small.mean(1)) * (1 + z)[:, None, None]
        halves = planes[..., ::2, ::2] + planes[..., 1::2, 1::2]
        total = total + (weights[:, None] * halves).sum(0)
        best = torch.maximum(best, functional.avg_pool2d(small, 2).amax(0))
        return total, weight + weights.sum(0), best

    def example_inputs(self) -> dict[str, Tensor]:
        return {
            "planes": torch.rand(3, 2, 24, 32),
            "z": torch.rand(3),
            "total": torch.rand(2, 12, 16),
            "weight": torch.rand(12, 16),
            "best": torch.rand(8, 6, 8),
        }
