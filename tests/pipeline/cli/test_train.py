"""`zfuse train`: a config to a network, Ctrl-C, refusals of one line."""

# ruff: noqa: E402 (without torch the file is skipped before its imports fail)

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from PIL import Image
from support.signals import heeding_ctrl_c
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from support.training import (
    checkpoint,
    one_thread as one_thread,
    pair_scene,
)

from zfuse.engines.training._trainer import Trainer
from zfuse.errors import ZfuseError
from zfuse.pipeline.cli._app import app
from zfuse.pipeline.scenes._train_file import describe_data, load_train_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from zfuse.engines.training._recipe import Batch


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
