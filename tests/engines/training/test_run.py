"""Runs repeat, resume, end when they should, and refuse in one line."""

# ruff: noqa: E402 (without torch the file is skipped before its imports fail)

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.training import (
    PairSource,
    Rows,
    SmallRecipe,
    assert_same_state,
    checkpoint,
    config,
    one_thread as one_thread,
    run,
    validation_scenes,
)

from zfuse.engines.training._batches import BatchSource
from zfuse.engines.training._pairwise import Fusion2VoidRecipe
from zfuse.engines.training._run import train
from zfuse.engines.training._scenes import Scene
from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Callable


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
    assert_same_state(one, other)
    assert_same_state(
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
    assert_same_state(
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
    assert_same_state(states[0], states[1])
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
        again = settings.recipe.score(networks, validation_scenes())
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
    assert not list((tmp_path / "out").glob(".*"))


def test_no_better_score_ends_the_run(tmp_path: Path) -> None:
    settings = config(steps=1000, validate_every=2, patience=3, learning_rate=1e-30)
    result = run(tmp_path / "out", settings)
    assert result["ended"] == "patience"
    assert result["steps"] <= 2 * (3 + 3)  # batch norms settle, then nothing changes
    again = run(tmp_path / "out", settings, resume=True)
    assert again["steps"] == result["steps"]


def test_minutes_end_the_run(tmp_path: Path) -> None:
    schedule = {"kind": "cosine", "warm_up": 0}
    settings = config(steps=None, minutes=0.01, schedule=schedule, validate_every=10**6)
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


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "out", config(steps=1, ema=0.5))
    state = checkpoint(tmp_path / "out")
    state["trainer"]["average"].pop("n_averaged")  # as zfuse 0.1 of 2026-11-20 wrote it
    torch.save(state, tmp_path / "out" / "last.pt")
    with pytest.raises(ZfuseError, match="of another version of zfuse: start anew"):
        run(tmp_path / "out", config(steps=2, ema=0.5), resume=True)


def test_folders_are_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ZfuseError, match="nothing to resume in"):
        run(tmp_path / "none", config(), resume=True)
    assert not (tmp_path / "none").exists()
    (tmp_path / "there").mkdir()
    with pytest.raises(ZfuseError, match="exists already: add --resume"):
        run(tmp_path / "there", config())


def test_an_infinite_loss_is_refused_and_the_best_weights_stay(tmp_path: Path) -> None:
    class Spoilt(PairSource):
        def draw(self, rng: np.random.Generator, step: int) -> Scene:
            scene = super().draw(rng, step)
            return scene if rng.bit_generator.seed_seq.entropy[1] < 4 else spoilt(scene)

    def spoilt(scene: Scene) -> Scene:
        return Scene(scene.truth * np.float32(np.inf), scene.planes, None, (0, 0))

    with pytest.raises(ZfuseError, match=r"the loss is (nan|inf) at step 8: give a lower"):
        train(
            config(),
            [BatchSource([Spoilt()], [1.0], 2)],
            validation_scenes(),
            tmp_path / "out",
            Rows(),
        )
    best = checkpoint(tmp_path / "out", "best.pt")["networks"]["rpsnn"]
    assert all(bool(torch.isfinite(value).all()) for value in best.values())
    assert checkpoint(tmp_path / "out")["trainer"]["step"] == 4


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said(tmp_path: Path) -> None:
    with pytest.raises(ZfuseError, match="torch sees no GPU here; use --device cpu"):
        run(tmp_path / "out", config(device="cuda"))
    assert not (tmp_path / "out").exists()
