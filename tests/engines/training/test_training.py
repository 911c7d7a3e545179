"""Training: losses against slow references, runs that repeat and resume, refusals of one line."""

# ruff: noqa: E402 (without torch the file is skipped before its imports fail)
from __future__ import annotations

import csv
import json
import math
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from hypothesis import given, strategies as st
from PIL import Image
from scipy import ndimage
from skimage.metrics import structural_similarity
from support.signals import heeding_ctrl_c
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

import zfuse.configs
from zfuse.engines.training import _losses as losses
from zfuse.engines.training._batches import Batches, Mix
from zfuse.engines.training._config import AnyRecipe, TrainConfig
from zfuse.engines.training._pairwise import Fusion2VoidRecipe, RpsnnRecipe, in_random_order, within
from zfuse.engines.training._recipe import Batch, collate
from zfuse.engines.training._run import train
from zfuse.engines.training._scenes import Scene
from zfuse.engines.training._schedules import Cosine, Exponential, Halving
from zfuse.engines.training._score import fusion_score
from zfuse.engines.training._trainer import Trainer
from zfuse.engines.training._umis import UmisRecipe
from zfuse.errors import ZfuseError
from zfuse.pipeline.cli._app import app
from zfuse.pipeline.evaluation import _metrics
from zfuse.pipeline.scenes._images import cropped
from zfuse.pipeline.scenes._pairs import Recomposed, _objects
from zfuse.pipeline.scenes._stacks import Merged, Simulated, _defocus
from zfuse.pipeline.scenes._train_file import describe_data, load_train_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor

READY_MADE = sorted(Path(zfuse.configs.__file__).parent.glob("train-*.yaml"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
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


class Pairs:
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


def held_out() -> list[Scene]:
    rng = np.random.default_rng(99)
    return [pair_scene(rng) for _ in range(2)]


def run(out: Path, settings: TrainConfig, rows: Rows | None = None, **options: Any) -> dict:
    mixes = [Mix([Pairs()], [1.0], 2)]
    options = {"held_out": held_out()} | options
    return train(settings, mixes, options.pop("held_out"), out, rows or Rows(), **options)


def checkpoint(out: Path, name: str = "last.pt") -> Any:
    return torch.load(out / name, weights_only=True)


def assert_same(one: Any, other: Any) -> None:
    """Nested states are the same to the last bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


# Losses


def images(seed: int, *shape: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(rng.random(shape), (0,) * (len(shape) - 2) + (1, 1))
    noisy = truth + 0.05 * rng.standard_normal(shape)
    return torch.tensor(noisy, dtype=torch.float32), torch.tensor(truth, dtype=torch.float32)


@pytest.mark.parametrize("data_range", [1.0, 2.0])
def test_ssim_is_that_of_skimage(data_range: float) -> None:
    image, truth = images(0, 2, 3, 40, 33)
    wanted = np.mean(
        [
            structural_similarity(
                a.double().numpy(),
                b.double().numpy(),
                data_range=data_range,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for a, b in zip(image.flatten(0, 1), truth.flatten(0, 1), strict=True)
        ]
    )
    assert float(losses.ssim(image, truth, data_range=data_range)) == pytest.approx(
        wanted, abs=1e-5
    )


def test_losses_are_float32_under_autocast() -> None:
    image, truth = images(1, 2, 1, 32, 32)
    for loss in (losses.mse, losses.l1, losses.gradient, losses.spatial_frequency, losses.ssim):
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(image, truth)
        assert value.dtype == torch.float32
        assert torch.equal(value, loss(image, truth))
        assert loss(image.bfloat16(), truth).dtype == torch.float32


def test_gradient_and_spatial_frequency_by_slow_loops() -> None:
    image, truth = images(2, 2, 1, 9, 7)
    a, b = image.double().numpy(), truth.double().numpy()
    across = [
        abs((x[i, j + 1] - x[i, j]) - (y[i, j + 1] - y[i, j]))
        for x, y in zip(a[:, 0], b[:, 0], strict=True)
        for i in range(9)
        for j in range(6)
    ]
    down = [
        abs((x[i + 1, j] - x[i, j]) - (y[i + 1, j] - y[i, j]))
        for x, y in zip(a[:, 0], b[:, 0], strict=True)
        for i in range(8)
        for j in range(7)
    ]
    wanted = np.mean(across) + np.mean(down)
    assert float(losses.gradient(image, truth)) == pytest.approx(wanted, rel=1e-5)
    frequencies = [
        abs(_metrics.spatial_frequency(x[0]) - _metrics.spatial_frequency(y[0]))
        for x, y in zip(a, b, strict=True)
    ]
    assert float(losses.spatial_frequency(image, truth)) == pytest.approx(
        np.mean(frequencies), rel=1e-4
    )


def test_flat_images_have_finite_slopes() -> None:
    flat = torch.full((1, 1, 16, 16), 0.5, requires_grad=True)
    _, truth = images(3, 1, 1, 16, 16)
    for loss in (losses.spatial_frequency, losses.gradient, losses.log_mse, losses.log_ssim):
        (slope,) = torch.autograd.grad(loss(flat, truth), flat)
        assert torch.isfinite(slope).all()


def test_the_logs_are_the_scores() -> None:
    image, truth = images(4, 3, 1, 32, 32)
    psnrs = [_metrics.psnr(a, b, data_range=1) for a, b in zip(image, truth, strict=True)]
    from_loss = -10 / math.log(10) * float(losses.log_mse(image, truth))
    assert from_loss == pytest.approx(np.mean(psnrs), abs=0.02)
    deficits = [float(1 - losses.ssim(a[None], b[None])) for a, b in zip(image, truth, strict=True)]
    assert float(losses.log_ssim(image, truth)) == pytest.approx(
        np.mean(np.log(np.add(deficits, 1e-4))), abs=1e-4
    )


def test_descending_the_losses_finds_the_truth() -> None:
    image, truth = images(5, 1, 1, 24, 24)
    found = image.clone().requires_grad_()
    optimiser = torch.optim.Adam([found], lr=5e-3)
    for _ in range(80):
        loss = 1 - losses.ssim(found, truth) + losses.gradient(found, truth)
        optimiser.zero_grad()
        (loss + losses.mse(found, truth)).backward()
        optimiser.step()
    assert losses.psnr(found, truth) > losses.psnr(image, truth) + 8


def test_scores_are_those_of_the_package() -> None:
    image, truth = images(6, 2, 3, 40, 48)
    score = fusion_score((a[None], b[None]) for a, b in zip(image, truth, strict=True))
    psnrs, ssims = [], []
    for a, b in zip(image, truth, strict=True):
        stored = np.rint(a.permute(1, 2, 0).numpy().clip(0, 1) * 255)
        one, two = _metrics.luma(stored), _metrics.luma(b.permute(1, 2, 0).numpy() * 255)
        psnrs.append(_metrics.psnr(one, two, data_range=255))
        ssims.append(_metrics.ssim(one, two, data_range=255))
    assert score["psnr"] == pytest.approx(np.mean(psnrs), abs=1e-3)
    assert score["ssim"] == pytest.approx(np.mean(ssims), abs=1e-5)
    assert score["score"] == pytest.approx(
        score["psnr"] - 10 * math.log10(1 - score["ssim"]), abs=1e-6
    )


# Batches


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
    luma = _metrics.luma(colour.planes[0].transpose(1, 2, 0))
    np.testing.assert_allclose(single.planes[1, 0, 0], luma, atol=1e-6)


def drawn(count: int, **options: Any) -> list[Batch]:
    mixes = [Mix([Pairs()], [1.0], 2), Mix([Pairs(), Pairs()], [1.0, 3.0], 3, share=2.0)]
    with Batches(mixes, **{"channels": 3, "seed": 5} | options) as batches:
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
    assert {len(batch.truth) for batch in drawn(30)} == {2, 3}  # both mixes


@pytest.mark.parametrize("kind", [Simulated, Merged])
def test_stacks_depend_on_the_step_alone(kind: type[Simulated | Merged]) -> None:
    """A resumed run draws what the first one would have, whatever is kept in memory."""
    first, resumed = (kind().open(48, 2) for _ in range(2))
    for step in range(0, 40, 13):
        first.draw(np.random.default_rng(step), step)
    one, other = (source.draw(np.random.default_rng(9), 41) for source in (first, resumed))
    assert np.array_equal(one.planes, other.planes)
    assert np.array_equal(one.truth, other.truth)


def test_merged_runs_hold_all_that_is_asked_for() -> None:
    source = Merged(clean=1, grain=0).open(64, 2)
    better = 0
    for step in range(12):
        scene = source.draw(np.random.default_rng(step), step)
        error = np.abs(scene.planes - scene.truth)
        assert error.min(0).max() < 0.5 / 255 + 1e-6  # some are rounded to 8 bits
        better += bool((error.mean((1, 2, 3)) > 1e-3).all())
    assert better >= 6  # in most scenes neither plane is the truth


def test_noise_of_stacks_is_what_they_say() -> None:
    clean, noisy = Simulated(clean=1, grain=0), Simulated(clean=0, photons=(500, 5000))
    for seed in range(6):
        scenes = [s.open(96, 6).draw(np.random.default_rng(seed), 0) for s in (clean, noisy)]
        gain, floor = scenes[1].noise
        assert scenes[0].noise == (0, 0)
        # Both draw the same stack and stretch it alike.
        error = scenes[1].planes - scenes[0].planes
        variance = gain * scenes[0].planes + floor
        assert (error**2).mean() == pytest.approx(variance.mean(), rel=0.1)


def test_grain_is_not_told() -> None:
    still, grainy = (Simulated(clean=1, grain=g).open(96, 6) for g in (0, 0.01))
    deviations = []
    for seed in range(8):
        scenes = [s.draw(np.random.default_rng(seed), 0) for s in (still, grainy)]
        assert scenes[1].noise == (0, 0)
        assert np.array_equal(scenes[0].truth, scenes[1].truth)
        deviations.append(float((scenes[1].planes - scenes[0].planes).std()))
    assert min(deviations) < 0.005 < max(deviations) < 0.0115  # 0.0011: rounding of both


@pytest.mark.parametrize("disc", [0.0, 0.5, 1.0])
def test_defocus_has_the_variance_it_says(disc: float) -> None:
    field, planes, blur = 128, 5, 0.9
    transfer = _defocus(blur, disc, planes, field)
    assert np.allclose(transfer[0], 1)  # in focus
    spread = np.fft.fftshift(np.fft.irfft2(transfer[-1], (field, field)))
    x = np.arange(field) - field // 2
    assert spread.sum() == pytest.approx(1, abs=1e-5)
    variance = float((spread.sum(0) * x**2).sum())
    # The discs' ripples reach the field's end, where they count with x².
    assert variance == pytest.approx((blur * (planes - 1)) ** 2, rel=0.05)


def test_crops_reach_beyond_the_far_edge_as_the_pipeline_does() -> None:
    image = np.arange(40.0)[None, :, None, None] * np.ones((1, 40, 40, 1))
    ends = set()
    for seed in range(200):
        rows = cropped(image, 16, np.random.default_rng(seed), edges=1.0)[0, :, 0, 0]
        if rows[0] != 0:
            beyond = int((rows[8:] != np.arange(rows[0], rows[0] + 16)[8:]).sum())
            ends.add(beyond)
            assert rows[15 - beyond] == 39
            if beyond:  # as NumPy's "symmetric"
                assert list(rows[-beyond:]) == list(range(39, 39 - beyond, -1))
    assert ends == set(range(8))


def test_objects_are_whole_segments_and_a_little_more() -> None:
    rows, columns = np.indices((64, 64)) // 16
    segments = (7 * rows + columns).astype(np.int32)  # labels with gaps, as crops have
    chosen = []
    for seed in range(20):
        inside = _objects(segments, np.random.default_rng(seed))
        shares = ndimage.mean(inside, segments, np.unique(segments))
        assert ((shares == 1) | (shares < 0.8)).all()  # a rim of 4 px at most
        chosen.append((shares == 1).mean())
    assert 0 < np.mean(chosen) < 1


def test_recomposed_planes_hold_the_truth_between_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    blobs = ndimage.gaussian_filter(rng.random((90, 110, 3)), (3, 3, 0))
    image = (255 * (blobs > 0.5)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "sharp.png")
    source = Recomposed(folders=(Path(),), jpeg=0).open(48, 2, tmp_path)
    shares = []
    for seed in range(12):
        scene = source.draw(np.random.default_rng(seed), 0)
        assert scene.truth.shape == (3, 48, 48)
        errors = np.abs(scene.planes - scene.truth).max(1)
        sharp = errors < 1 / 255 + 1e-6
        shares.append(sharp.any(0).mean())
        assert not sharp.all(0).all()
    assert np.median(shares) == 1  # all, unless the outline itself is out of focus


def test_an_error_in_a_source_is_not_lost() -> None:
    class Broken:
        def draw(self, rng: np.random.Generator, step: int) -> Scene:
            raise OSError("disk gone")

    with (
        Batches([Mix([Broken()], [1.0], 1)], channels=3, seed=0) as batches,
        pytest.raises(OSError, match="disk gone"),
    ):
        next(batches)


# Recipes


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
    batch = collate(held_out(), 3)
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
    total, terms = recipe.loss(recipe.build(), collate(held_out(), 1))
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
    batch = collate(held_out(), settings.recipe.channels)
    trainer.advance(batch, 0.0)
    first = trainer.mean_losses()
    for _ in range(10):
        trainer.advance(batch, 0.5)
    trainer.mean_losses()
    for _ in range(4):
        trainer.advance(batch, 0.5)
    assert trainer.mean_losses()["loss"] < first["loss"]
    assert math.isfinite(trainer.validate(held_out())["score"])
    assert recipe["network"] in trainer.weights()


def test_every_shipped_config_loads_and_names_its_network(tmp_path: Path) -> None:
    known = {model.model_fields["network"].default for model in AnyRecipe.__origin__.__args__}
    names = {path.stem.removeprefix("train-"): path for path in READY_MADE}
    assert known <= names.keys()
    for name in known:
        settings = load_train_file(names[name], name, [], {})
        numbers = [
            source.numbers[1]
            for batch in settings.batches
            for source in batch.sources
            if getattr(source, "numbers", None)
        ]
        assert numbers
        assert max(numbers) <= 70  # 71 to 80 are held out


# Schedules


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


# Runs

STYLES: list[dict[str, Any]] = [
    {"ema": 0.9, "schedule": {"kind": "exponential", "every": 5}, "clip_norm": 0.5},
    {"amp": "bf16", "optimiser": {"kind": "adamw"}, "schedule": {"kind": "halving", "every": 3}},
]


@pytest.mark.parametrize("style", STYLES, ids=["ema", "bf16"])
def test_a_resumed_run_gives_the_same_numbers(tmp_path: Path, style: dict[str, Any]) -> None:
    whole, parts = Rows(), Rows()
    run(tmp_path / "whole", config(**style), whole)

    count = 0

    def in_the_middle() -> bool:
        nonlocal count
        count += 1
        return count % 5 == 0

    results = [run(tmp_path / "parts", config(**style), parts, stop=in_the_middle)]
    while results[-1]["ended"] == "stopped":
        results.append(
            run(tmp_path / "parts", config(**style), parts, stop=in_the_middle, resume=True)
        )
    assert [r["steps"] for r in results] == [5, 10, 12]
    one, other = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts")
    one.pop("seconds"), other.pop("seconds")
    assert_same(one, other)
    assert_same(
        checkpoint(tmp_path / "whole", "best.pt"), checkpoint(tmp_path / "parts", "best.pt")
    )
    for row in (*whole.rows, *parts.rows):
        row.pop("seconds")
    assert whole.rows == parts.rows
    assert [row["step"] for row in whole.rows] == [4, 8, 12]


def test_a_finished_run_can_be_made_longer(tmp_path: Path) -> None:
    run(tmp_path / "a", config(steps=6))
    longer = run(tmp_path / "a", config(), resume=True)
    run(tmp_path / "b", config())
    assert longer["steps"] == 12
    assert_same(
        checkpoint(tmp_path / "a")["trainer"]["networks"],
        checkpoint(tmp_path / "b")["trainer"]["networks"],
    )
    with (tmp_path / "a" / "log.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["4", "6", "8", "12"]


def test_weights_of_another_run_can_be_the_start(tmp_path: Path) -> None:
    run(tmp_path / "a", config(ema=0.5))
    best = tmp_path / "a" / "best.pt"
    still = config(seed=9, learning_rate=1e-30, steps=1, ema=0.5)
    run(tmp_path / "b", still, start=best)
    one, other = (checkpoint(tmp_path / n, "best.pt")["networks"]["rpsnn"] for n in ("a", "b"))
    torch.testing.assert_close(one["end.weight"], other["end.weight"])
    with pytest.raises(ZfuseError, match="do not fit the network 'fusion2void'"):
        run(tmp_path / "c", config(recipe=Fusion2VoidRecipe()), start=best)
    with pytest.raises(ZfuseError, match="cannot read weights"):
        run(tmp_path / "c", still, start=tmp_path / "none.pt")
    damage(best)
    with pytest.raises(ZfuseError, match="damaged or none of ours"):
        run(tmp_path / "c", still, start=best)
    assert not (tmp_path / "c").exists()


def test_seeds_decide(tmp_path: Path) -> None:
    states = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(tmp_path / name, config(seed=seed, steps=3))
        states.append(checkpoint(tmp_path / name)["trainer"]["networks"])
    assert_same(states[0], states[1])
    assert not torch.equal(states[0]["rpsnn.end.weight"], states[2]["rpsnn.end.weight"])


def test_training_betters_the_score_and_best_is_what_was_scored(tmp_path: Path) -> None:
    rows = Rows()
    settings = config(steps=60, validate_every=15, learning_rate=0.01, ema=0.8)
    result = run(tmp_path / "out", settings, rows)
    scores = [row["score"] for row in rows.rows]
    assert max(scores) > scores[0] + 1
    assert result["best"]["score"] == max(scores)
    best = checkpoint(tmp_path / "out", "best.pt")
    networks = settings.recipe.build().eval()
    networks["rpsnn"].load_state_dict(best["networks"]["rpsnn"])
    with torch.no_grad():
        again = settings.recipe.score(networks, held_out())
    assert again["score"] == pytest.approx(best["scores"]["score"], abs=1e-4)
    assert json.loads(best["config"])["steps"] == 60
    assert rows.fractions == pytest.approx([(i + 1) / 60 for i in range(60)])


def test_the_result_says_how_it_came_about(tmp_path: Path) -> None:
    run(tmp_path / "out", config(seed=3, steps=2), about={"command": "zfuse train"})
    result = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert result["network"] == "rpsnn"
    assert (result["seed"], result["steps"], result["ended"]) == (3, 2, "steps")
    assert result["torch"] == torch.__version__
    assert "1 threads" in result["hardware"]
    assert result["command"] == "zfuse train"
    assert result["config"]["recipe"]["l1"] == 0.1
    assert not list((tmp_path / "out").glob("*.new"))


def test_no_better_score_ends_the_run(tmp_path: Path) -> None:
    settings = config(steps=1000, validate_every=2, patience=3, learning_rate=1e-30)
    result = run(tmp_path / "out", settings)
    assert result["ended"] == "patience"
    assert result["steps"] <= 2 * (3 + 3)  # batch norms settle, then nothing changes
    again = run(tmp_path / "out", settings, resume=True)
    assert again["steps"] == result["steps"]


def test_minutes_end_the_run(tmp_path: Path) -> None:
    settings = config(steps=None, minutes=0.01, schedule={"kind": "cosine", "warm_up": 0})
    rows = Rows()
    result = run(tmp_path / "out", settings, rows)
    assert result["ended"] == "minutes"
    assert result["seconds"] >= 0.6
    assert rows.rows[-1]["learning_rate"] == pytest.approx(1e-5)
    assert run(tmp_path / "out", settings, resume=True)["steps"] == result["steps"]


def test_without_held_out_scenes_the_loss_decides(tmp_path: Path) -> None:
    rows = Rows()
    run(tmp_path / "out", config(), rows, held_out=[])
    assert all(row["score"] == -row["loss"] for row in rows.rows)


def test_a_checkpoint_of_another_config_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "out", config(steps=2))
    before = (tmp_path / "out" / "last.pt").read_bytes()
    for other, said in [
        ({"learning_rate": 0.5}, "learning_rate = 0.001, now 0.5"),
        ({"recipe": SmallRecipe(l1=0.2, ssim=0.1)}, "recipe.l1 = 0.1, now 0.2"),
        ({"schedule": {"kind": "halving", "every": 3}}, "schedule.kind = 'constant', now 'halving"),
    ]:
        with pytest.raises(ZfuseError, match=said) as caught:
            run(tmp_path / "out", config(**other), resume=True)
        assert "\n" not in str(caught.value)
    assert (tmp_path / "out" / "last.pt").read_bytes() == before


def damage(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def foreign(path: Path) -> None:
    torch.save({"weights": torch.ones(2)}, path)


def malicious(path: Path) -> None:
    torch.save({"config": Path("/etc/passwd")}, path)  # only tensors and plain values are read


@pytest.mark.parametrize("spoil", [damage, foreign, malicious])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    run(tmp_path / "out", config(steps=1))
    spoil(tmp_path / "out" / "last.pt")
    with pytest.raises(ZfuseError, match=r"last\.pt is damaged or none of ours"):
        run(tmp_path / "out", config(steps=1), resume=True)


def test_folders_are_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ZfuseError, match="nothing to resume in"):
        run(tmp_path / "none", config(), resume=True)
    assert not (tmp_path / "none").exists()
    (tmp_path / "there").mkdir()
    with pytest.raises(ZfuseError, match="exists already: add --resume"):
        run(tmp_path / "there", config())


def test_an_infinite_loss_is_refused_and_the_best_weights_stay(tmp_path: Path) -> None:
    class Spoilt(Pairs):
        def draw(self, rng: np.random.Generator, step: int) -> Scene:
            scene = super().draw(rng, step)
            return scene if rng.bit_generator.seed_seq.entropy[1] < 4 else spoilt(scene)

    def spoilt(scene: Scene) -> Scene:
        return Scene(scene.truth * np.float32(np.inf), scene.planes, None, (0, 0))

    with pytest.raises(ZfuseError, match=r"the loss is (nan|inf) at step 8: give a lower"):
        train(config(), [Mix([Spoilt()], [1.0], 2)], held_out(), tmp_path / "out", Rows())
    best = checkpoint(tmp_path / "out", "best.pt")["networks"]["rpsnn"]
    assert all(bool(torch.isfinite(value).all()) for value in best.values())
    assert checkpoint(tmp_path / "out")["trainer"]["step"] == 4


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said(tmp_path: Path) -> None:
    with pytest.raises(ZfuseError, match="torch sees no GPU here; use --device cpu"):
        run(tmp_path / "out", config(device="cuda"))
    assert not (tmp_path / "out").exists()


# The command


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with pairs 1 to 3 and 71 to 72."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for number in (1, 2, 3, 71, 72):
        scene = pair_scene(rng, 48)
        for name, image in zip(
            ("full_clear", "source_1", "source_2"), (scene.truth, *scene.planes), strict=True
        ):
            folder = root / "pairs" / "mfi_whu" / name
            folder.mkdir(parents=True, exist_ok=True)
            pixels = (image.transpose(1, 2, 0) * 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.jpg")
    (root / "pairs" / "mfi_whu" / "SOURCE.txt").write_text("name: ours\nlicence: CC0\n")
    return root


FILE: dict[str, Any] = {
    "recipe": {"network": "fusion2void", "patch": 8},
    "batches": [
        {
            "size": 1,
            "crop": 16,
            "sources": [{"kind": "pairs", "folder": "pairs/mfi_whu", "numbers": [1, 70]}],
        }
    ],
    "steps": 4,
    "validate_every": 2,
    "device": "cpu",
}


@pytest.fixture
def command(tmp_path: Path, data: Path) -> Callable[..., Any]:
    """`zfuse train` with a config of these settings."""

    def call(*arguments: Any, name: str = "fusion2void", **settings: Any) -> Any:
        path = tmp_path / "train.yaml"
        path.write_text(yaml.safe_dump(FILE | settings))
        words = ["train", name, "--config", path, "--out", tmp_path / "out", "--data", data]
        runner = CliRunner()
        return runner.invoke(app, [str(w) for w in (*words, *arguments)], catch_exceptions=False)

    return call


def test_train_from_the_command_line(command: Callable[..., Any], tmp_path: Path) -> None:
    done = command("--set", "recipe.gradient=0.5", "--set", "batches.0.size=2")
    assert done.exit_code == 0, done.output
    out = tmp_path / "out"
    names = sorted(path.name for path in out.iterdir())
    assert names == ["best.pt", "last.pt", "log.csv", "result.json"]
    assert done.stdout.startswith(f"{out / 'best.pt'}: 4 steps in ")
    assert "ended by steps; best at step" in done.stdout
    lines = done.stderr.splitlines()
    assert [line.split(":")[0].split()[:2] for line in lines] == [["step", "2"], ["step", "4"]]
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert result["config"]["recipe"]["gradient"] == 0.5
    assert result["config"]["batches"][0]["size"] == 2
    assert result["data"] == {"pairs/mfi_whu": ["name: ours", "licence: CC0"]}
    assert result["held_out"] == 2
    again = command()
    assert again.exit_code == 1
    assert again.stderr == f"error: {out} exists already: add --resume, or give another --out\n"
    longer = command(
        "--resume", "--steps", 6, "--set", "recipe.gradient=0.5", "--set", "batches.0.size=2"
    )
    assert longer.stdout.startswith(f"{out / 'best.pt'}: 6 steps in ")


@heeding_ctrl_c()
def test_ctrl_c_leaves_a_checkpoint(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = Trainer.advance
    handler = signal.getsignal(signal.SIGINT)

    def interrupted(self: Trainer, batch: Batch, fraction: float) -> None:
        if self.step == 2:
            signal.raise_signal(signal.SIGINT)
        advance(self, batch, fraction)

    monkeypatch.setattr(Trainer, "advance", interrupted)
    done = command()
    assert done.exit_code == 130
    assert done.stderr.splitlines()[-1].startswith("interrupted after 3 steps in ")
    assert signal.getsignal(signal.SIGINT) is handler
    assert checkpoint(tmp_path / "out")["trainer"]["step"] == 3
    monkeypatch.undo()
    assert command("--resume").exit_code == 0
    assert checkpoint(tmp_path / "out")["trainer"]["step"] == 4


def test_missing_validation_pairs_are_said(command: Callable[..., Any], data: Path) -> None:
    done = command(held_out={"numbers": [90, 95]}, steps=1)
    assert done.exit_code == 0
    assert done.stderr.splitlines()[0] == (
        f"no pairs 90 to 95 in {data / 'pairs' / 'mfi_whu'}: the training loss decides which "
        "weights are best"
    )


def test_missing_torch_is_one_line(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zfuse.pipeline.cli._train.find_spec", lambda name: None)
    done = command()
    assert done.exit_code == 1
    assert done.stderr == "error: training needs torch. Install with: pip install zfuse[train]\n"


SOURCE = FILE["batches"][0]["sources"][0]
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"stepz": 3}, "unknown key 'stepz': did you mean 'steps'?"),
    (
        {"recipe": {"network": "fusion2void", "inpaintng": 1}},
        "unknown key 'recipe.fusion2void.inpaintng': did you mean 'inpainting'?",
    ),
    (
        {"batches": [{"crops": 16, "sources": [SOURCE]}]},
        "unknown key 'batches.0.crops': did you mean 'crop'?",
    ),
    (
        {"batches": [{"sources": [SOURCE | {"wieght": 2}]}]},
        "unknown key 'batches.0.sources.0.pairs.wieght': did you mean 'weight'?",
    ),
    ({"schedule": {"kind": "cosine", "warmup": 2}}, "did you mean 'warm_up'?"),
    ({"schedule": {"kind": "cos"}}, "'cos'"),
    ({"recipe": {"network": "umiss"}}, "'umiss'"),
    ({"recipe": {"network": "umis"}}, "trains 'umis', not 'fusion2void': give its own config"),
    ({"steps": None}, "the run would never end: give steps, minutes, or both"),
    ({"learning_rate": -1}, "learning_rate = -1: must be more than 0"),
    ({"ema": 1.0}, "ema = 1.0: must be less than 1"),
    ({"amp": "fp8"}, "amp = 'fp8': must be 'none', 'bf16' or 'fp16'"),
    ({"batches": [{"planes": 5, "sources": [SOURCE]}]}, "planes = 5, but pairs have 2"),
    (
        {"batches": [{"planes": 5, "sources": [{"kind": "simulated"}]}]},
        "planes = 5, but fusion2void fuses 2 at a time",
    ),
    ({"batches": [{"sources": [SOURCE | {"folder": "nowhere"}]}]}, "nowhere"),
]


@pytest.mark.parametrize(("settings", "said"), WRONG)
def test_a_wrong_config_is_one_line(
    command: Callable[..., Any], tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    done = command(**settings)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "batch"], "write KEY=VALUE, e.g. --set learning_rate=0.001"),
        (["--set", "batches.7.size=1"], "there is no such key"),
        (["--set", "steps.x=1"], "there is no such key"),
        (["--set", "steps=[1"], "the value is no number, word or list"),
        (["--set", "steps=many"], "steps = 'many': must be a whole number"),
        (["--steps", "0"], "steps = 0: must be 1 or more"),
        (["--minutes", "-1"], "minutes = -1.0: must be more than 0"),
        (["--device", "tpu"], "device = 'tpu': must be 'auto', 'cpu' or 'cuda'"),
        (["--resume"], "nothing to resume in"),
        (["--config", "nowhere.yaml"], "cannot read config nowhere.yaml"),
    ],
)
def test_a_wrong_option_is_one_line(
    command: Callable[..., Any], tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = command(*arguments)
    assert done.exit_code == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_origins_of_the_data_are_told_once(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    other = {"kind": "recomposed", "folders": ["pairs/mfi_whu/full_clear"]}
    settings = FILE | {"batches": [{"sources": [SOURCE, other, {"kind": "simulated"}]}]}
    path.write_text(yaml.safe_dump(settings))
    described = describe_data(load_train_file(path, "fusion2void", [], {}), data)
    assert described == {"pairs/mfi_whu": ["name: ours", "licence: CC0"]}
    with pytest.raises(ZfuseError, match="not 'umis'"):
        load_train_file(path, "umis", [], {})
