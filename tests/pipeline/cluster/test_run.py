"""Runs on workers of a cluster: the same bytes as here, whatever dies on the way."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.runs import TCZYX, Listener, write_collection, write_image

from zfuse.errors import ZfuseError
from zfuse.pipeline import RunConfig, run
from zfuse.pipeline.cluster import _runner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from zfuse.pipeline import RunSummary

psutil = pytest.importorskip("psutil", reason="needs zfuse[cluster]")
pytest.importorskip("distributed", reason="needs zfuse[cluster]")

SETTINGS: dict[str, Any] = {"method": "select", "tile": 64}


def content(folder: Path) -> dict[str, str]:
    """Hash of every file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def fuse(source: Path, output: Path, progress: Listener | None = None, **more: Any) -> RunSummary:
    config = RunConfig.checked({"input": source, "output": output, **SETTINGS, **more})
    return run(config, progress)


def recorded(output: Path) -> int:
    """Tiles that the manifest of an interrupted run tells of, if there is one."""
    found = 0
    for path in output.parent.glob(f"{output.name}.partial/*/manifest*"):
        with suppress(FileNotFoundError):  # the run ends this moment
            found += path.read_text().count('"tile": [')
    return found


class At(Listener):
    """Do something once, when so many tiles are told of."""

    def __init__(self, count: int, action: Callable[[], None]) -> None:
        super().__init__()
        self.left, self.action = count, action

    def advance(self, voxels: int) -> None:
        super().advance(voxels)
        self.left -= 1
        if self.left == 0:
            self.action()


def workers(process: Any = None) -> list[Any]:
    """Processes that fuse for a process, by default for this one."""
    found = (process or psutil.Process()).children(recursive=True)
    return [one for one in found if "--multiprocessing-fork" in one.cmdline()]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """An image of 24 tiles, and what a run in this process makes of it."""
    place = tmp_path_factory.mktemp("image")
    write_image(place / "in.ome.zarr", TCZYX)
    fuse(place / "in.ome.zarr", place / "here.ome.zarr")
    return place / "in.ome.zarr", content(place / "here.ome.zarr")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """An image of 256 tiles, some seconds of work, and what a run in this process makes of it."""
    place = tmp_path_factory.mktemp("large")
    pixels = np.random.default_rng(3).integers(0, 4096, (3, 1024, 1024)).astype(np.uint16)
    write_image(place / "in.ome.zarr", pixels, "zyx")
    fuse(place / "in.ome.zarr", place / "here.ome.zarr")
    return place / "in.ome.zarr", content(place / "here.ome.zarr")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"align": "translation"},
        {"min_confidence": 0.5, "channel": "together"},
    ],
    ids=["select", "moved", "blank"],
)
def test_the_same_bytes_as_here(
    scheduler: str, tmp_path: Path, image: tuple[Path, Any], settings: dict[str, Any]
) -> None:
    source, _ = image
    told = Listener(), Listener()
    here = fuse(source, tmp_path / "here.ome.zarr", told[0], **settings)
    there = fuse(source, tmp_path / "there.ome.zarr", told[1], **settings, cluster=scheduler)
    assert content(tmp_path / "there.ome.zarr") == content(tmp_path / "here.ome.zarr")
    assert (here.images, here.voxels) == (there.images, there.voxels)
    assert told[0].lines == told[1].lines
    assert told[0].total == told[0].done == told[1].total == told[1].done
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.ome.zarr", "there.ome.zarr"]


@pytest.mark.parametrize("few", [64, 2], ids=["an image a task", "a tile a task"])
def test_a_collection(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(_runner, "_FEW", few)
    write_collection(tmp_path / "in.zarr")
    write_image(tmp_path / "in.zarr" / "2", TCZYX[:, :, :4])
    write_image(tmp_path / "in.zarr" / "3", TCZYX[0], "czyx")
    here = fuse(tmp_path / "in.zarr", tmp_path / "here.ome.zarr")
    there = fuse(tmp_path / "in.zarr", tmp_path / "there.ome.zarr", cluster=scheduler)
    assert content(tmp_path / "there.ome.zarr") == content(tmp_path / "here.ome.zarr")
    assert here.images == there.images == 4


@pytest.mark.parametrize("few", [64, 2], ids=["an image a task", "a tile a task"])
def test_an_image_that_fails_does_not_stop_the_others(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(_runner, "_FEW", few)
    write_collection(tmp_path / "in.zarr")
    write_image(tmp_path / "in.zarr" / "2", TCZYX)
    write_image(tmp_path / "in.zarr" / "3", TCZYX)
    chunk = next(p for p in sorted((tmp_path / "in.zarr" / "2" / "0").rglob("*")) if p.is_file()
                 and p.name != "zarr.json")  # fmt: skip
    chunk.write_bytes(b"torn")
    here = fuse(tmp_path / "in.zarr", tmp_path / "here.ome.zarr")
    there = fuse(tmp_path / "in.zarr", tmp_path / "there.ome.zarr", cluster=scheduler)
    assert list(there.failed) == list(here.failed) == ["2"]
    assert content(tmp_path / "there.ome.zarr") == content(tmp_path / "here.ome.zarr")


def test_a_worker_is_killed(tmp_path: Path, image: tuple[Path, dict[str, str]]) -> None:
    source, expected = image
    killed = At(6, lambda: workers()[-1].kill())
    fuse(source, tmp_path / "out.ome.zarr", killed, cluster="local:2")
    assert killed.left < 0
    assert content(tmp_path / "out.ome.zarr") == expected
    assert killed.done == killed.total


def test_the_scheduler_is_killed(tmp_path: Path, large: tuple[Path, dict[str, str]]) -> None:
    source, expected = large  # of a few tiles the last would be in flight already
    file = tmp_path / "scheduler.json"
    started = [
        subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--scheduler-file", str(file),
             *more],
            cwd=tmp_path, stderr=subprocess.DEVNULL,
        )
        for kind, more in [
            ("scheduler", ["--port", "0", "--dashboard-address", "127.0.0.1:0"]),
            ("worker", ["--nthreads", "1", "--death-timeout", "20", "--no-dashboard"]),
        ]
    ]  # fmt: skip
    try:
        while not file.exists():
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        output = tmp_path / "out.ome.zarr"
        with pytest.raises(ZfuseError, match="connection to the Dask scheduler is lost") as lost:
            fuse(source, output, At(5, started[0].kill), cluster=address, resume=True)
        assert "--resume" in lost.value.__notes__[0]
        assert not output.exists()
        fuse(source, output, resume=True)
        assert content(output) == expected
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_whole_job_is_killed_and_goes_on(
    tmp_path: Path, large: tuple[Path, dict[str, str]], how: signal.Signals
) -> None:
    source, expected = large
    output = tmp_path / "out.ome.zarr"
    command = [
        sys.executable, "-m", "zfuse", "fuse", str(source), str(output), "--method", "select",
        "--tile", "64", "--cluster", "local:2", "--resume",
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as driver:
        while not recorded(output) and driver.poll() is None:
            time.sleep(0.01)
        theirs = workers(psutil.Process(driver.pid))
        begun = time.monotonic()
        driver.send_signal(how)
        _, said = driver.communicate()
    assert time.monotonic() - begun < 20
    assert driver.returncode == (-how if how == signal.SIGKILL else 130), said
    assert not output.exists()
    assert 0 < recorded(output) < 256
    _, alive = psutil.wait_procs(theirs, timeout=20)
    assert not alive
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "going on with what is finished" in done.stderr
    assert content(output) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output": "out.tif"}, "several workers cannot write; write to .ome.zarr"),
        ({"workers": 2}, "counts threads of one process"),
        ({"cluster": "tcp://127.0.0.1:9"}, "no Dask scheduler answers at tcp://127.0.0.1:9"),
        ({"cluster": "slurm"}, "no sbatch here, so no SLURM"),
    ],
)
def test_what_a_cluster_cannot_do_is_said_in_one_line(
    tmp_path: Path,
    image: tuple[Path, Any],
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("zfuse.pipeline.cluster._start._ANSWER", "1s")
    values = {"cluster": "local:2", **settings}
    with pytest.raises(ZfuseError, match=message) as refused:
        fuse(image[0], tmp_path / values.pop("output", "out.ome.zarr"), **values)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_without_distributed_the_cure_is_said(
    tmp_path: Path, image: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ZfuseError, match=r'distributed.*pip install "zfuse\[cluster\]"'):
        fuse(image[0], tmp_path / "out.ome.zarr", cluster="local:2")
