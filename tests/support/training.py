"""What the tests of training share: scenes, a network that learns at once, runs of a few steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from zfuse.engines.training._batches import BatchSource
from zfuse.engines.training._config import TrainConfig
from zfuse.engines.training._pairwise import RpsnnRecipe
from zfuse.engines.training._run import train
from zfuse.engines.training._scenes import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tests that share cores are fastest so, and sums are always made in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pair_scene(rng: np.random.Generator, size: int = 32, channels: int = 3) -> Scene:
    """A texture of which each plane shows one half in focus."""
    truth = rng.random((channels, size, size)).astype(np.float32)
    soft = ndimage.gaussian_filter(truth, (0, 2, 2))
    left = np.arange(size) < rng.integers(8, size - 8)
    planes = np.stack([np.where(left, truth, soft), np.where(left, soft, truth)])
    return Scene(truth, planes, None, (0.0, 0.0))


class PairSource:
    """A source without memory, as the contract asks for."""

    def draw(self, rng: np.random.Generator, step: int) -> Scene:
        return pair_scene(rng)


class Small(torch.nn.Module):
    """A network that learns at once."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(6, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU()
        )
        self.end = torch.nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return (first + second) / 2 + self.end(self.body(torch.cat([first, second], 1)))


class SmallRecipe(RpsnnRecipe):
    def build(self) -> torch.nn.ModuleDict:
        return torch.nn.ModuleDict({"rpsnn": Small()})


class Rows:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.fractions: list[float] = []

    def stepped(self, fraction: float) -> None:
        self.fractions.append(fraction)

    def validated(self, row: Mapping[str, float], *, best: bool) -> None:
        self.rows.append({**row, "best": best})


def config(**settings: Any) -> TrainConfig:
    recipe = SmallRecipe(l1=0.1, ssim=0.1)
    return TrainConfig(**{"recipe": recipe, "steps": 12, "validate_every": 4} | settings)


def validation_scenes() -> list[Scene]:
    rng = np.random.default_rng(99)
    return [pair_scene(rng) for _ in range(2)]


def run(out: Path, settings: TrainConfig, rows: Rows | None = None, **options: Any) -> dict:
    sources = [BatchSource([PairSource()], [1.0], 2)]
    options = {"held_out": validation_scenes()} | options
    return train(settings, sources, options.pop("held_out"), out, rows or Rows(), **options)


def checkpoint(out: Path, name: str = "last.pt") -> Any:
    return torch.load(out / name, weights_only=True)


def assert_same_state(one: Any, other: Any) -> None:
    """Nested states are the same to the last bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same_state(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same_state(a, b)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other
