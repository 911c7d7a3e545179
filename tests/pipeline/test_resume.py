"""Interrupted runs: what they leave is named, checked, gone on with, and gives the same bytes."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.runs import TCZYX, Listener, write_image
from support.trees import tree

from zfuse.errors import Cancelled, ZfuseError
from zfuse.pipeline import RunConfig, run
from zfuse.pipeline.sinks import _record, _shards

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TILE = 64
TILES = 2 * 3 * 4  # of 150 x 200 pixels, two time points
PLATE = {"0": TCZYX[:, :1, :3, :70, :90], "1": TCZYX[:1, :1, :4, :130, :70]}


def config_of(folder: Path, **settings: Any) -> RunConfig:
    given = {
        "input": folder / "in.zarr", "output": folder / "out.ome.zarr", "method": "select",
        "align": "none", "tile": TILE, "workers": 2, "resume": True,
    }  # fmt: skip
    return RunConfig.checked(given | settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image(tmp_path / "in.zarr", TCZYX)
    run(config_of(tmp_path, output=tmp_path / "truth.ome.zarr"))
    return tmp_path


class Stop(Exception):
    pass


def stop_after(tiles: int, error: BaseException | None = None) -> Callable[..., None]:
    """Return what is told of tiles, and ends a run after some of them."""
    seen: list[Any] = []

    def on_tile(*tile: Any) -> None:
        seen.append(tile[:3])
        if len(seen) >= tiles:
            raise error or Stop

    return on_tile


def interrupt(config: RunConfig, tiles: int = 5) -> None:
    with pytest.raises(Stop):
        run(config, on_tile=stop_after(tiles))
    assert (config_folder(config)).is_dir()


def config_folder(config: RunConfig) -> Any:
    from zfuse.pipeline.core import staging_folder

    return staging_folder(config.output)


def assert_as_undisturbed(folder: Path) -> None:
    assert tree(folder / "out.ome.zarr") == tree(folder / "truth.ome.zarr")
    assert not (folder / "out.ome.zarr.partial").exists()


def counted(folder: Path, config: RunConfig) -> int:
    """Run to the end and return how many tiles that took."""
    seen: list[Any] = []
    run(config, on_tile=lambda *tile: seen.append(tile))
    assert_as_undisturbed(folder)
    return len(seen)


def test_what_is_finished_is_not_done_again(folder: Path) -> None:
    config = config_of(folder)
    interrupt(config)
    listener = Listener()
    seen: list[Any] = []
    summary = run(config, listener, on_tile=lambda *tile: seen.append(tile))
    assert_as_undisturbed(folder)
    assert len(seen) <= TILES - 5
    assert listener.done == listener.total == TCZYX.size
    report = json.loads((folder / "out.ome.zarr.report.json").read_text())
    assert report["tiles"] == len(seen)
    assert report["kept"] == {"images": 0, "tiles": TILES - len(seen)}
    assert report["failed"] == {}
    assert set(report["stages"]) <= {"open", "align", "calibrate", "fold", "write"}
    assert report["stages"]["fold"] > 0
    assert f"({TILES - len(seen)} more were there)" in summary.details[0]


def test_resume_with_nothing_there_runs_and_with_all_there_does_nothing(folder: Path) -> None:
    config = config_of(folder)
    assert counted(folder, config) == TILES
    seen: list[Any] = []
    assert run(config, on_tile=lambda *tile: seen.append(tile)).images == 0
    assert seen == []
    with pytest.raises(ZfuseError, match="exists"):
        run(config.replace(min_confidence=0.5))


def test_remains_are_named_and_refused_or_replaced(folder: Path) -> None:
    config = config_of(folder)
    interrupt(config)
    before = tree(folder / "out.ome.zarr.partial")
    with pytest.raises(ZfuseError, match=r"ome\.zarr\.partial; go on with --resume, or .*--ov"):
        run(config.replace(resume=False))
    assert tree(folder / "out.ome.zarr.partial") == before
    assert counted(folder, config.replace(resume=False, overwrite=True)) == TILES


CHANGED: dict[str, dict[str, Any]] = {
    "method": {"method": {"name": "select", "window": 5}},
    "tile": {"tile": 128},
    "channel": {"channel": 1},
    "min_confidence": {"min_confidence": 0.5},
}


@pytest.mark.parametrize("key", CHANGED)
def test_other_settings_are_refused_by_name(folder: Path, key: str) -> None:
    config = config_of(folder)
    interrupt(config)
    with pytest.raises(ZfuseError, match=f"cannot resume .*{key} .*, now .*--overwrite"):
        run(config.replace(**CHANGED[key]))
    counted(folder, config)


def test_memory_and_workers_may_change_and_tiles_stay(folder: Path) -> None:
    write_image(folder / "wide.zarr", np.tile(TCZYX[0, 0], (1, 1, 4)), "zyx")
    wide: dict[str, Any] = {"input": folder / "wide.zarr", "tile": None}
    truth = config_of(folder, output=folder / "truth.ome.zarr", overwrite=True, **wide)
    run(truth.replace(memory="210MB"))
    config = config_of(folder, **wide)
    interrupt(config.replace(memory="210MB"), 1)
    run(config.replace(memory="2GB", workers=1))
    assert_as_undisturbed(folder)


def test_a_changed_source_is_refused(folder: Path) -> None:
    config = config_of(folder)
    interrupt(config)
    metadata = folder / "in.zarr" / "zarr.json"
    metadata.write_text(metadata.read_text().replace("0.1", "0.2"))
    with pytest.raises(ZfuseError, match=r"in\.zarr has changed since .*metadata files"):
        run(config)
    assert (folder / "out.ome.zarr.partial").is_dir()


def spoil_shard(inner: Path) -> None:
    shard = next(path for path in sorted(inner.rglob("c/**/0")) if path.is_file())
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)


def cut_shard(inner: Path) -> None:
    shard = next(path for path in sorted(inner.rglob("depth/0/c/**/0")) if path.is_file())
    shard.write_bytes(shard.read_bytes()[:-1])


def lose_shard(inner: Path) -> None:
    next(path for path in sorted(inner.rglob("confidence/0/c/**/0")) if path.is_file()).unlink()


def tear_manifest(inner: Path) -> None:
    with open(inner / "manifest.jsonl", "ab") as file:
        file.write(b'{"tile": [0, 0, 1')


def lose_metadata(inner: Path) -> None:
    (inner / "out.ome.zarr" / "0" / "zarr.json").write_text('{"zarr_')


def leave_rubbish(inner: Path) -> None:
    (inner / "aside.12345678").mkdir()
    (inner / "aside.12345678" / "zarr.json").write_text("{")
    (inner.parent / "deadbeef").mkdir()


DAMAGE = [spoil_shard, cut_shard, lose_shard, tear_manifest, lose_metadata, leave_rubbish]


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_torn_is_made_again(folder: Path, damage: Callable[[Path], None]) -> None:
    config = config_of(folder)
    interrupt(config)
    (manifest,) = (folder / "out.ome.zarr.partial").glob("*/manifest.jsonl")
    recorded = manifest.read_text().count('"of"')
    damage(manifest.parent)
    torn = damage in (spoil_shard, cut_shard, lose_shard)
    assert counted(folder, config) == TILES - recorded + torn


def test_a_damaged_manifest_is_refused(folder: Path) -> None:
    config = config_of(folder)
    interrupt(config)
    (manifest,) = (folder / "out.ome.zarr.partial").glob("*/manifest.jsonl")
    whole = manifest.read_text()
    for wrong in ("no JSON\n", '{"tile": [0, 0, 0], "of": "never", "files": {}}\n'):
        manifest.write_text(whole + wrong)
        with pytest.raises(ZfuseError, match="damaged"):
            run(config)
    manifest.write_text(whole)
    counted(folder, config)


def test_a_run_of_less_than_a_minute_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(folder, resume=False)
    with pytest.raises(Stop):
        run(config, on_tile=stop_after(5))
    assert not (folder / "out.ome.zarr.partial").exists()
    monkeypatch.setattr(_record, "RECORD_AFTER", 0.0)
    with pytest.raises(Stop) as caught:
        run(config, on_tile=stop_after(5))
    assert "--resume goes on with it" in caught.value.__notes__[0]
    assert counted(folder, config.replace(resume=True)) < TILES


def test_a_cancelled_run_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_record, "RECORD_AFTER", 0.0)
    with pytest.raises(Cancelled):
        run(config_of(folder, resume=False), on_tile=stop_after(5, Cancelled()))
    assert not (folder / "out.ome.zarr.partial").exists()


def test_a_full_disk_keeps_what_is_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, real = config_of(folder, workers=1), _shards._write_all
    for full_after in (30, 60, 90):
        writes = []

        def fail(file: Any, data: Any, writes: list[int] = writes, after: int = full_after) -> None:
            writes.append(1)
            if len(writes) > after:
                file.write(data[: len(data) // 2])
                raise OSError(errno.ENOSPC, "full")
            real(file, data)

        monkeypatch.setattr(_shards, "_write_all", fail)
        with pytest.raises(ZfuseError, match=r"disk full.*what is finished stays") as caught:
            run(config)
        assert "--resume" in caught.value.__notes__[0]
    monkeypatch.undo()
    assert counted(folder, config) < TILES


def test_a_run_that_was_killed_while_it_published_is_published(folder: Path) -> None:
    config = config_of(folder)
    interrupt(config, TILES)
    (inner,) = (folder / "out.ome.zarr.partial").glob("*/manifest.jsonl")
    shutil.rmtree(inner.parent / "out.ome.zarr")
    shutil.copytree(folder / "truth.ome.zarr", inner.parent / "out.ome.zarr")
    os.rename(inner.parent, inner.parent.parent / "complete")
    assert run(config).images == 0
    assert_as_undisturbed(folder)


class Mortal:
    """Dies at some write or rename, before it, after it, or in the middle."""

    def __init__(self, seed: int, span: int) -> None:
        self.dice = random.Random(seed)
        self.left = self.dice.randrange(1, span)

    def strike(self, write: Callable[[bytes], Any] | None = None, data: Any = b"") -> None:
        self.left -= 1
        if self.left == 0:
            if write is not None and self.dice.random() < 0.7:
                write(bytes(data)[: self.dice.randrange(len(bytes(data)) + 1)])
            os.kill(os.getpid(), signal.SIGKILL)


def attempt(config: RunConfig, seed: int, span: int) -> None:
    """Run in a process that is killed by itself at a random moment, or ends."""
    from zfuse.pipeline.core import _manifest

    mortal = Mortal(seed, span)
    write_all, add, replace = _shards._write_all, _manifest.Manifest._write, os.replace

    def write(file: Any, data: Any) -> None:
        mortal.strike(file.write, data)
        write_all(file, data)

    def note(self: Any, value: Any) -> None:
        mortal.strike(self._file.write, json.dumps(dict(value)).encode() + b"\n")
        add(self, value)

    def move(source: Any, target: Any) -> None:
        mortal.strike()
        replace(source, target)
        mortal.strike()

    _shards._write_all, _manifest.Manifest._write = write, note  # type: ignore[assignment]
    os.replace = move  # type: ignore[assignment]
    run(config)


def write_two(place: Path) -> None:
    import zarr

    zarr.create_group(place, attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}})
    for name, pixels in PLATE.items():
        write_image(place / name, pixels)


@pytest.mark.skipif(os.name == "nt", reason="no kill -9")
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kills", [8, pytest.param(30, marks=pytest.mark.slow)])
def test_killed_at_random_moments(tmp_path: Path, several: bool, kills: int) -> None:
    if several:
        write_two(tmp_path / "in.zarr")
    else:
        write_image(tmp_path / "in.zarr", TCZYX)
    run(config_of(tmp_path, output=tmp_path / "truth.ome.zarr"))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["zfuse.pipeline._run", "zarr", "dask.delayed", "numba"])
    killed, rounds = 0, 0
    while killed < kills:
        rounds += 1
        for seed in range(1000):
            process = context.Process(
                target=attempt, args=(config_of(tmp_path), rounds * 1000 + seed, 150)
            )
            process.start()
            process.join(300)
            if process.exitcode == 0:
                break
            assert process.exitcode == -signal.SIGKILL
            killed += 1
        assert_as_undisturbed(tmp_path)
        shutil.rmtree(tmp_path / "out.ome.zarr")
        (tmp_path / "out.ome.zarr.report.json").unlink(missing_ok=True)


def started(folder: Path, *more: str, output: str = "out.ome.zarr") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "zfuse", "fuse", "big.zarr", output, "--tile", "64",
         "--align", "none", "--method", "select", "--workers", "1", *more],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM ends a process on Windows")
def test_sigterm_leaves_what_is_finished_within_20_s(tmp_path: Path) -> None:
    import zarr

    pixels = np.random.default_rng(0).integers(0, 4096, (4, 1024, 1024)).astype(np.uint16)
    zarr.create_array(tmp_path / "big.zarr", data=pixels, chunks=(1, 512, 512))
    process = started(tmp_path, "--resume")
    manifest = None
    deadline = time.monotonic() + 120
    while manifest is None or manifest.read_text().count('"of"') < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        manifest = next((tmp_path / "out.ome.zarr.partial").glob("*/manifest.jsonl"), None)
        time.sleep(0.02)
    second = started(tmp_path, "--resume")
    assert "by another zfuse run (process " in second.communicate(timeout=120)[1]
    assert second.returncode == 1
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - begun < 20
    assert process.returncode == 130
    assert "interrupted: what is finished stays in" in said
    assert "--resume goes on with it" in said
    process = started(tmp_path, "--resume")
    out, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "more were there" in out
    truth = started(tmp_path, output="truth.ome.zarr")
    truth.communicate(timeout=300)
    assert truth.returncode == 0
    assert_as_undisturbed(tmp_path)


def test_two_attempts_at_once_are_one_and_a_refusal(folder: Path) -> None:
    config = config_of(folder)
    interrupt(config)
    said: list[str] = []

    def meanwhile(*_: Any) -> None:
        if not said:
            with suppress(ZfuseError):
                run(config)
            try:
                run(config)
            except ZfuseError as error:
                said.append(str(error))

    run(config, on_tile=meanwhile)
    assert "being written by another zfuse run" in said[0]
    assert_as_undisturbed(folder)
