"""``zfuse submit``: what it writes, what it refuses, and runs of a real SLURM to their end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from support.runs import TCZYX, write_collection, write_image

from zfuse.pipeline import RunConfig, run

if TYPE_CHECKING:
    from pathlib import Path

    from support.slurm import Slurm

pytest.importorskip("dask_jobqueue", reason="needs zfuse[cluster]")

MORE = "  partition: short\n  directives: [--qos=low]\n"
SETTINGS = """\
method: {name: select}
tile: 64
memory: 500MB
cluster:
  kind: slurm
  workers: 2
  cores: 1
  walltime: "00:10:00"
  interface: lo
"""


def zfuse(*words: str, place: Path, environ: Any = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zfuse", *words], cwd=place, env=environ or dict(os.environ),
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def plate(place: Path) -> None:
    """Write several images, and what a run here makes of them."""
    write_collection(place / "in.zarr")
    for i in range(2, 5):
        write_image(place / "in.zarr" / str(i), TCZYX[:, :, :, i:])
    _fused_here(place)


def slide(place: Path) -> None:
    """Write one image of 256 tiles, and what a run here makes of it."""
    pixels = np.random.default_rng(3).integers(0, 4096, (3, 1024, 1024)).astype(np.uint16)
    write_image(place / "in.zarr", pixels, "zyx")
    _fused_here(place)


def _fused_here(place: Path) -> None:
    (place / "mine.yaml").write_text(SETTINGS)
    values = {"input": "in.zarr", "output": "here.ome.zarr", "method": "select", "tile": 64}
    here = os.getcwd()
    os.chdir(place)  # what an output says of its source is the path as it was given
    try:
        run(RunConfig.checked(values))
    finally:
        os.chdir(here)


def test_the_script_and_its_settings(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", TCZYX)
    (tmp_path / "mine.yaml").write_text(
        SETTINGS + "  partition: short\n  directives: [--qos=low]\n"
    )
    done = zfuse("submit", "in.zarr", "out.ome.zarr", "--config", "mine.yaml", "--align", "none",
                 "--cluster", "slurm:7", "--dry-run", place=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    script, _, settings = done.stdout.partition("\n# zfuse-logs/out.yaml\n")
    lines = set(script.splitlines())
    assert {
        "#SBATCH --partition=short",
        "#SBATCH --qos=low",
        "#SBATCH --requeue",
        "#SBATCH --time=00:10:00",
        "#SBATCH --output=zfuse-logs/out-%j.log",
    } <= lines
    assert re.search(r"-m zfuse fuse in\.zarr out\.ome\.zarr .*--resume &\n", script)
    values = yaml.safe_load(settings)
    assert (values["align"], values["tile"]) == ("none", 64)
    assert values["cluster"]["workers"] == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.zarr", "mine.yaml"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.zarr", "out.ome.zarr", "--dry-run"], "nothing.zarr"),
        (["in.zarr", "out.tif", "--dry-run"], "several workers cannot write"),
        (
            ["in.zarr", "out.ome.zarr", "--cluster", "local:2", "--dry-run"],
            "give --cluster slurm:N",
        ),
        (["in.zarr", "out.ome.zarr"], "no sbatch here"),
        (["in.zarr", "out.ome.zarr", "--tile", "64", "--wronk"], "wronk"),
    ],
)
def test_what_is_refused(tmp_path: Path, words: list[str], message: str) -> None:
    write_image(tmp_path / "in.zarr", TCZYX)
    environ = os.environ | {"PATH": str(tmp_path)}
    done = zfuse("submit", *words, place=tmp_path, environ=environ)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.zarr"]


def _submitted(batch: Slurm, place: Path) -> int:
    done = zfuse("submit", "in.zarr", "out.ome.zarr", "--config", "mine.yaml", place=place,
                 environ=batch.environ)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.match(r"job (\d+) is submitted", done.stdout)
    assert found, done.stdout
    return int(found[1])


def _recorded(place: Path) -> bool:
    """Whether a manifest tells of a tile."""
    for path in place.glob("out.ome.zarr.partial/*/manifest*"):
        with suppress(FileNotFoundError):  # the run ends this moment
            return '"tile": [' in path.read_text()
    return False


def _over(batch: Slurm, job: int) -> bool:
    return batch.state(job) not in ("PENDING", "RUNNING", "COMPLETING")


def _log(place: Path, job: int) -> str:
    return (place / "zfuse-logs" / f"out-{job}.log").read_text()


def test_a_run_to_the_end(batch: Slurm, tmp_path: Path) -> None:
    plate(tmp_path)
    job = _submitted(batch, tmp_path)
    batch.wait(lambda: _over(batch, job), 400)
    assert batch.state(job) == "COMPLETED", _log(tmp_path, job)
    assert content(tmp_path / "out.ome.zarr") == content(tmp_path / "here.ome.zarr")
    assert "out.ome.zarr: 5 images" in _log(tmp_path, job)
    batch.wait(lambda: not batch.jobs())  # no worker is left
    assert list((tmp_path / "zfuse-logs").glob("zfuse-worker-*.err"))


@pytest.mark.slow
def test_a_cancelled_run_is_submitted_again_and_goes_on(batch: Slurm, tmp_path: Path) -> None:
    slide(tmp_path)
    job = _submitted(batch, tmp_path)
    batch.wait(lambda: _recorded(tmp_path) or _over(batch, job), 400)
    batch.call("scancel", str(job))
    began = time.monotonic()
    batch.wait(lambda: not batch.jobs(), 60)
    assert time.monotonic() - began < 40
    assert batch.state(job) == "CANCELLED"
    assert not (tmp_path / "out.ome.zarr").exists()
    again = _submitted(batch, tmp_path)
    batch.wait(lambda: _over(batch, again), 400)
    assert batch.state(again) == "COMPLETED", _log(tmp_path, again)
    assert "going on with what is finished" in _log(tmp_path, again)
    assert content(tmp_path / "out.ome.zarr") == content(tmp_path / "here.ome.zarr")


@pytest.mark.slow
def test_a_job_whose_node_is_taken_is_started_again_and_goes_on(
    batch: Slurm, tmp_path: Path
) -> None:
    slide(tmp_path)
    job = _submitted(batch, tmp_path)
    batch.wait(lambda: _recorded(tmp_path) or _over(batch, job), 400)
    batch.call("scontrol", "requeue", str(job))
    batch.wait(lambda: batch.state(job) == "RUNNING", 200)
    batch.wait(lambda: _over(batch, job), 400)
    assert batch.state(job) == "COMPLETED", _log(tmp_path, job)
    assert content(tmp_path / "out.ome.zarr") == content(tmp_path / "here.ome.zarr")
