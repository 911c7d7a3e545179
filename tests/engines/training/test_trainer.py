"""What a step of training is made of: batches, recipes, schedules."""

# ruff: noqa: E402 (without torch the file is skipped before its imports fail)

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

torch = pytest.importorskip("torch")

from support.training import (
    PairSource,
    config,
    one_thread as one_thread,
    pair_scene,
    validation_scenes,
)

from zfuse.engines.training._batches import Batches, BatchSource
from zfuse.engines.training._pairwise import Fusion2VoidRecipe, in_random_order, within
from zfuse.engines.training._recipe import Batch, collate
from zfuse.engines.training._scenes import Scene
from zfuse.engines.training._schedules import Cosine, Exponential, Halving
from zfuse.engines.training._trainer import Trainer
from zfuse.engines.training._umis import UmisRecipe
from zfuse.pipeline import evaluation

if TYPE_CHECKING:
    from torch import Tensor


def test_collate_joins_grey_and_colour() -> None:
    rng = np.random.default_rng(1)
    grey, colour = pair_scene(rng, channels=1), pair_scene(rng)
    grey = Scene(grey.truth, grey.planes, np.ones((32, 32), np.float32), (0.1, 0.2))
    batch = collate([grey, colour], 3)
    assert batch.planes.shape == (2, 2, 3, 32, 32)
    assert torch.equal(batch.truth[0, 0], batch.truth[0, 2])
    assert torch.equal(batch.truth[1], torch.from_numpy(colour.truth))
    assert bool(batch.depth[0].eq(1).all())
    assert bool(batch.depth[1].isnan().all())
    assert batch.noise.tolist() == [pytest.approx([0.1, 0.2]), [0.0, 0.0]]
    single = collate([grey, colour], 1)
    luma = evaluation.luma(colour.planes[0].transpose(1, 2, 0))
    np.testing.assert_allclose(single.planes[1, 0, 0], luma, atol=1e-6)


def drawn(count: int, **options: Any) -> list[Batch]:
    sources = [
        BatchSource([PairSource()], [1.0], 2),
        BatchSource([PairSource(), PairSource()], [1.0, 3.0], 3, share=2.0),
    ]
    with Batches(sources, **{"channels": 3, "seed": 5} | options) as batches:
        return [next(batches) for _ in range(count)]


def test_batches_depend_on_seed_and_step_alone() -> None:
    plain, threads, later = drawn(6), drawn(6, workers=3), drawn(4, first=2)
    for one, two in [*zip(plain, threads, strict=True), *zip(plain[2:], later, strict=True)]:
        assert torch.equal(one.planes, two.planes)
        assert torch.equal(one.truth, two.truth)
    other = drawn(6, seed=6)
    assert not any(
        one.truth.shape == two.truth.shape and torch.equal(one.truth, two.truth)
        for one, two in zip(plain, other, strict=True)
    )
    assert {len(batch.truth) for batch in drawn(30)} == {2, 3}  # both kinds


def test_an_error_in_a_source_is_not_lost() -> None:
    class Broken:
        def draw(self, rng: np.random.Generator, step: int) -> Scene:
            raise OSError("disk gone")

    with (
        Batches([BatchSource([Broken()], [1.0], 1)], channels=3, seed=0) as batches,
        pytest.raises(OSError, match="disk gone"),
    ):
        next(batches)


def test_pairs_change_places_at_random() -> None:
    planes = torch.arange(64.0).view(64, 1, 1, 1, 1) + torch.tensor([0.0, 0.5]).view(2, 1, 1, 1)
    torch.manual_seed(0)
    first, second = in_random_order(planes)
    assert torch.equal(first + second, planes.sum(1))
    assert torch.equal(first.minimum(second), planes[:, 0])
    assert 10 < int((first < second).sum()) < 54


def test_within_keeps_to_the_sources() -> None:
    first, second = torch.rand(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    fused = within(torch.randn(1, 3, 8, 8), first, second)
    assert bool((fused >= first.minimum(second)).all() and (fused <= first.maximum(second)).all())
    assert torch.equal(within((first + second) / 2, first, second), (first + second) / 2)


def test_fusion2void_must_restore_what_was_dropped() -> None:
    recipe = Fusion2VoidRecipe(patch=8, mse=0)
    batch = collate(validation_scenes(), 3)
    seen: list[Tensor] = []

    class Cheat(torch.nn.Module):
        """Gives back the masked sources, right only where nothing was dropped."""

        offset = 0.0

        def forward(self, first: Tensor, second: Tensor, fused: Tensor) -> tuple[Tensor, Tensor]:
            seen.extend([first, second])
            return first + self.offset * (first != 0), second

    networks = recipe.build()
    networks["inpainter"] = Cheat()
    torch.manual_seed(3)
    total, terms = recipe.loss(networks, batch)
    assert total.item() == pytest.approx(terms["inpainting"].item())
    gone = seen[0].eq(0).all(1)
    blocks = gone.view(2, 4, 8, 4, 8).sum((2, 4))
    assert set(blocks.unique().tolist()) == {0, 64}  # whole patches
    assert 0.2 < float(gone.float().mean()) < 0.8
    assert not torch.equal(gone, seen[1].eq(0).all(1))  # each source loses others
    assert total.item() == pytest.approx(2 * float(batch.planes.square().mean()), rel=0.3)
    networks["inpainter"].offset = 9.0  # what was kept does not count
    torch.manual_seed(3)
    assert torch.equal(recipe.loss(networks, batch)[0], total)


def test_umis_weighs_its_terms_1_3_1_2() -> None:
    recipe = UmisRecipe()
    torch.manual_seed(0)
    total, terms = recipe.loss(recipe.build(), collate(validation_scenes(), 1))
    weights = {"mse": 1, "ssim": 3, "gradient": 1, "spatial_frequency": 2}
    assert total.item() == pytest.approx(
        sum(weights[name] * value.item() for name, value in terms.items()), rel=1e-5
    )


RECIPES = [
    {"network": "fusion2void", "patch": 8},
    {"network": "fusionnet", "gradient": 0.1},
    {"network": "pdmnet"},
    {"network": "rpsnn", "log_mse": 0.1, "log_ssim": 0.1},
    {"network": "umis"},
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe["network"])
def test_every_network_learns(recipe: dict[str, Any]) -> None:
    settings = config(recipe=recipe, learning_rate=3e-4, amp="bf16", clip_norm=1.0, ema=0.9)
    trainer = Trainer(settings)
    batch = collate(validation_scenes(), settings.recipe.channels)
    trainer.advance(batch, 0.0)
    first = trainer.mean_losses()
    for _ in range(10):
        trainer.advance(batch, 0.5)
    trainer.mean_losses()
    for _ in range(4):
        trainer.advance(batch, 0.5)
    assert trainer.mean_losses()["loss"] < first["loss"]
    assert math.isfinite(trainer.validate(validation_scenes())["score"])
    assert recipe["network"] in trainer.weights()


@given(st.integers(0, 5000), st.floats(0, 2), st.integers(0, 500), st.floats(0, 1))
def test_cosine_stays_within_its_limits(
    step: int, fraction: float, warm_up: int, final: float
) -> None:
    factor = Cosine(warm_up=warm_up, final=final).factor(step, fraction)
    assert 0 <= factor <= 1
    if step >= warm_up:
        assert factor >= final - 1e-12
        if fraction >= 1:
            assert factor == pytest.approx(final)
        if fraction == 0:
            assert factor == pytest.approx(1)


def test_halving_and_exponential() -> None:
    assert [Halving(every=10).factor(s, 0) for s in (0, 9, 10, 25)] == [1, 1, 0.5, 0.25]
    assert Exponential(decay=0.9, every=7).factor(14, 0) == pytest.approx(0.81)
