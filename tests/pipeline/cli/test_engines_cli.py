"""`zfuse engines …` as a person meets it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
from support.engine_cases import toy_in
from typer.testing import CliRunner

from zfuse.engines import _cards, load
from zfuse.engines.runners import RUNNERS
from zfuse.engines.runners.tensorrt import _engine_cache
from zfuse.pipeline.cli._app import app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def zfuse(*arguments: Any) -> Any:
    """Run a command in this process; stderr apart."""
    return CliRunner().invoke(
        app, ["engines", *(str(a) for a in arguments)], catch_exceptions=False
    )


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The toy network's files, and an empty cache of engines."""
    monkeypatch.setenv(_engine_cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    with toy_in(tmp_path / "weights") as folder:
        yield folder


def damage(folder: Path) -> None:
    path = folder / "toy.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def test_list(toy: Path) -> None:
    done = zfuse("list")
    assert done.exit_code == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    runner = load("toy").resolved().runner
    wanted = ["toy", "toy", "toy-fold", "0.0", "MB", "ok", runner, "ssim", "0.5"]
    assert lines["toy"].split() == wanted
    for name in RUNNERS:
        reason = RUNNERS[name].is_incompatible()
        assert (f"no: {reason}" if reason else "yes") in lines[name]
    assert "0 compiled engines in " in done.stdout


def test_list_tells_of_damage_and_fails(toy: Path) -> None:
    damage(toy)
    done = zfuse("list")
    assert done.exit_code == 1
    assert "toy.onnx is damaged or foreign" in done.stdout


def test_list_shows_networks_without_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_cards, "PACKAGED", tmp_path)
    monkeypatch.delenv(_cards.FOLDER_VARIABLE, raising=False)
    done = zfuse("list")
    assert done.exit_code == 0
    assert "network umis has no weights" in done.stdout
    assert zfuse("verify").exit_code == 1


def test_verify(toy: Path) -> None:
    done = zfuse("verify", "toy")
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert {row[0] for row in rows} == {"toy", "toy-fold"}
    assert {row[1] for row in rows} >= {"onnxruntime", "torch"}
    assert {row[2] for row in rows} == {"ok"}


def test_verify_finds_damage_and_fails(toy: Path) -> None:
    damage(toy)
    done = zfuse("verify", "toy")
    assert done.exit_code == 1
    (line,) = [line for line in done.stdout.splitlines() if "FAILED" in line]
    assert "damaged or foreign" in line


def test_verify_finds_runners_that_disagree(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zfuse.engines.runners._torch import TorchRunner

    run = TorchRunner._run

    def wrong(self: TorchRunner, arrays: Any) -> Any:
        return {name: values * 1.01 for name, values in run(self, arrays).items()}

    monkeypatch.setattr(TorchRunner, "_run", wrong)
    done = zfuse("verify", "toy")
    assert done.exit_code == 1
    failed = [line.split()[1] for line in done.stdout.splitlines() if "FAILED" in line]
    assert failed == ["torch", "torch"]


@pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="no tensorrt_rtx")
def test_build(toy: Path) -> None:
    done = zfuse("build", "toy", "--tile", 100, "--batch", 3, "--precision", "fp16")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["toy", "toy-fold"]
    assert all("tiles up to 256 px, 4 planes at a time" in line for line in lines)
    assert "2 compiled engines" in zfuse("list").stdout


def test_export(toy: Path, tmp_path: Path) -> None:
    import torch
    from support.toy_network import Toy

    story = {"steps": 7, "best": {"ssim": 0.9, "psnr": 31.5}, "seed": 4}
    torch.save({"networks": {"toy": Toy().state_dict()}}, tmp_path / "best.pt")
    (tmp_path / "result.json").write_text(json.dumps(story))
    out = tmp_path / "out"
    done = zfuse(
        "export", "toy", "--checkpoint", tmp_path / "best.pt", "--out", out, "--score", "psnr=40.5"
    )
    assert done.exit_code == 0
    assert "toy.json: 2 graphs, 0.01 MB" in done.stdout
    for graph in ("toy", "toy-fold"):  # the same weights make the same file
        assert (out / f"{graph}.onnx").read_bytes() == (toy / f"{graph}.onnx").read_bytes()
    about = _cards.Card.model_validate_json((out / "toy.json").read_text())
    assert about.training == story
    assert about.scores == {"ssim": 0.9, "psnr": 40.5}


def test_checkpoints_are_averaged(toy: Path, tmp_path: Path) -> None:
    import torch
    from support.toy_network import Toy

    first = Toy().state_dict()
    factors = {"one": 0.5, "other": 1.5}  # whose mean is the toy as it is
    for folder, factor in factors.items():
        (tmp_path / folder).mkdir()
        state = {k: v * factor if v.is_floating_point() else v for k, v in first.items()}
        torch.save({"networks": {"toy": state}}, tmp_path / folder / "best.pt")
        (tmp_path / folder / "result.json").write_text(json.dumps({"seed": factor}))
    both = [part for name in factors for part in ("--checkpoint", tmp_path / name / "best.pt")]
    done = zfuse("export", "toy", *both, "--out", tmp_path / "out")
    assert done.exit_code == 0
    assert (tmp_path / "out" / "toy.onnx").read_bytes() == (toy / "toy.onnx").read_bytes()
    about = _cards.Card.model_validate_json((tmp_path / "out" / "toy.json").read_text())
    assert about.training == {"averaged": [{"seed": 0.5}, {"seed": 1.5}]}

    state = {k: v[..., :1] if v.ndim else v for k, v in first.items()}
    torch.save({"networks": {"toy": state}}, tmp_path / "other" / "best.pt")
    done = zfuse("export", "toy", *both, "--out", tmp_path / "out2")
    assert done.exit_code == 1
    assert "checkpoints to be averaged are of different networks" in done.stderr
    assert not (tmp_path / "out2").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("verify zzz", "unknown network 'zzz': choose from "),
        ("build umsi", "unknown network 'umsi': did you mean 'umis'?"),
        (
            "build toy --precision int8",
            "unknown precision 'int8': choose from fp32, fp16, bf16",
        ),
        ("build toy --precision bf16", "TensorRT computes in fp16 or fp32, not bf16"),
        ("build toy --tile 0", "--tile 0: must be 1 or more"),
        ("export toy --checkpoint x.pt", "say where to: either --out FOLDER, or --install"),
        ("export toy --checkpoint x.pt --out y", "checkpoint x.pt cannot be read"),
        ("export toy --checkpoint x.pt --out y --score ssim", "--score 'ssim': write KEY=NUMBER"),
    ],
)
def test_refusals_are_one_line(toy: Path, arguments: str, message: str) -> None:
    if arguments.startswith("build toy --precision bf16") and find_spec("tensorrt_rtx") is None:
        pytest.skip("no tensorrt_rtx")
    done = zfuse(*arguments.split())
    assert done.exit_code == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_install_is_for_a_source_checkout(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zfuse.engines.PACKAGED", tmp_path / "site-packages" / "zfuse" / "weights")
    done = zfuse("export", "toy", "--checkpoint", "x.pt", "--install")
    assert done.exit_code == 1
    assert "--install is for a source checkout" in done.stderr
