"""Runs over many images: one after another, with tiles of their own, failures told at the end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from support.plates import field_pixels, write_plate
from support.runs import TCZYX, Listener, fuse_to, read_zarr, write_collection, write_image
from support.trees import tree

import zfuse
from zfuse.errors import Cancelled, ZfuseError
from zfuse.pipeline import RunConfig, run
from zfuse.pipeline.core import NoPixels, Stack
from zfuse.pipeline.sources import Collection, Member, open_collection
from zfuse.pipeline.sources._zarr_reader import ZarrReader

if TYPE_CHECKING:
    from pathlib import Path


def config_of(folder: Path, **settings: Any) -> RunConfig:
    given = {"input": folder / "in.zarr", "output": folder / "out.ome.zarr", "method": "select",
             "align": "none", "workers": 2}  # fmt: skip
    return RunConfig.checked(given | settings)


def damage(field: Path) -> None:
    chunk = next(path for path in sorted((field / "0" / "c").rglob("*")) if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:10])


def test_wells_that_fail_are_listed_and_the_others_are_there(tmp_path: Path) -> None:
    write_plate(tmp_path / "in.zarr", declared=["C/01"])
    damage(tmp_path / "in.zarr" / "B" / "02" / "0")
    listener = Listener()
    summary = run(config_of(tmp_path), listener)
    assert summary.images == 3
    assert set(summary.failed) == {"B/02/0", "C/01"}
    assert "cannot be decoded" in summary.failed["B/02/0"]
    assert "missing" in summary.failed["C/01"]
    assert sum("failed:" in line for line in listener.lines) == 2
    written = open_collection(tmp_path / "out.ome.zarr")
    assert written.kind == "plate"
    assert [member.path for member in written.members] == ["A/01/0", "A/01/1", "B/03/0"]
    got = read_zarr(tmp_path / "out.ome.zarr" / "A/01/1")["0"]
    truth = zfuse.fuse(field_pixels("A/01/1")[0], "select", align="none")
    np.testing.assert_array_equal(got[0, :, 0], truth.image)
    root = zarr.open_group(tmp_path / "out.ome.zarr", mode="r").attrs["zfuse"]
    assert set(root["failed"]) == {"B/02/0", "C/01"}
    assert not (tmp_path / "out.ome.zarr" / "B" / "02").exists()
    report = json.loads((tmp_path / "out.ome.zarr.report.json").read_text())
    assert set(report["failed"]) == {"B/02/0", "C/01"}
    assert report["images"] == 3
    run(config_of(tmp_path, overwrite=True))  # it is known as one of ours


def test_the_command_ends_with_3_and_says_what_failed(tmp_path: Path) -> None:
    write_plate(tmp_path / "in.zarr", declared=["C/01"])
    done = subprocess.run(
        [sys.executable, "-m", "zfuse", "fuse", "in.zarr", "out.ome.zarr", "--method", "select"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "4 images" in done.stdout
    assert "1 image failed:" in done.stdout
    assert "  C/01: " in done.stdout
    assert "warning: " in done.stderr


def test_when_all_fail_nothing_is_written(tmp_path: Path) -> None:
    write_plate(tmp_path / "in.zarr", {"A/01": ["0", "1"]})
    damage(tmp_path / "in.zarr" / "A" / "01" / "0")
    damage(tmp_path / "in.zarr" / "A" / "01" / "1")
    with pytest.raises(ZfuseError, match=r"all 2 images failed, the first one so: .*decoded"):
        run(config_of(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["in.zarr"]


def test_failed_images_are_tried_again(tmp_path: Path) -> None:
    write_plate(tmp_path / "in.zarr")
    run(config_of(tmp_path, output=tmp_path / "truth.ome.zarr"))
    whole = tree(tmp_path / "in.zarr")
    field = tmp_path / "in.zarr" / "A" / "01" / "1"
    chunk = next(path for path in sorted((field / "0" / "c").rglob("*")) if path.is_file())
    content = chunk.read_bytes()
    chunk.write_bytes(content[:10])
    seen: list[Any] = []

    def stop(*tile: Any) -> None:
        seen.append(tile)
        if len(seen) == 2:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        run(config_of(tmp_path, resume=True), on_tile=stop)
    chunk.write_bytes(content)
    assert tree(tmp_path / "in.zarr") == whole
    summary = run(config_of(tmp_path, resume=True))
    assert not summary.failed
    assert "2 more were there" in summary.details[0]
    truth = tree(tmp_path / "truth.ome.zarr")
    assert tree(tmp_path / "out.ome.zarr") == truth


def test_images_of_a_collection_have_tiles_of_their_own(tmp_path: Path) -> None:
    write_collection(tmp_path / "in.zarr")
    fuse_to(tmp_path / "in.zarr", tmp_path / "out.ome.zarr", method="select")
    for name in ("0", "1"):
        fuse_to(tmp_path / "in.zarr", tmp_path / f"{name}.ome.zarr", method="select", series=name)
        one, other = (
            {key: value for key, value in tree(place).items() if not key.endswith("zarr.json")}
            for place in (tmp_path / "out.ome.zarr" / name, tmp_path / f"{name}.ome.zarr")
        )
        assert one == other


def test_images_are_opened_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plate(tmp_path / "in.zarr")
    opened, real, close = [0, 0], Collection.open, ZarrReader.close

    def counted(self: Collection, member: Member) -> Stack:
        opened[0] += 1
        opened[1] = max(opened)
        return real(self, member)

    def closed(self: ZarrReader) -> None:
        opened[0] -= not self.closed
        close(self)

    monkeypatch.setattr(Collection, "open", counted)
    monkeypatch.setattr(ZarrReader, "close", closed)
    run(config_of(tmp_path))
    assert opened == [0, 1]


def test_a_damaged_image_may_be_left_out(tmp_path: Path) -> None:
    write_collection(tmp_path / "in.zarr")
    write_image(tmp_path / "in.zarr" / "2", TCZYX[0, 0], "zyx")
    (tmp_path / "in.zarr" / "1" / "zarr.json").write_text("{")
    assert set(run(config_of(tmp_path)).failed) == {"1"}
    summary = run(config_of(tmp_path, allow_missing=True, overwrite=True))
    assert (summary.images, dict(summary.failed)) == (2, {})


@dataclass(frozen=True)
class Huge:
    """A slide that is only planned."""

    size: int

    def stack(self) -> Stack:
        reader = NoPixels((1, 1, 20, self.size, self.size), np.dtype(np.uint16), (1, 512, 512))
        return Stack(reader, "zyx", "slide", "", ())


def test_plans_of_a_plate_and_of_a_slide_are_quick_and_small(tmp_path: Path) -> None:
    from zfuse.pipeline._job import plan_job
    from zfuse.pipeline.sinks import open_output

    rows, columns = "ABCDEFGHIJKLMNOP", [f"{i:02}" for i in range(1, 25)]
    images = [f"{row}/{column}/{field}" for row in rows for column in columns for field in range(9)]
    assert len(images) == 384 * 9
    config = config_of(tmp_path, input="plate.zarr", tile=512)
    tracemalloc.start()
    begun = time.perf_counter()
    output = open_output(tmp_path / "out.ome.zarr", images, identity={"run": 1}, resume=True)
    output.__enter__()
    for image in images:
        job = plan_job(config, Huge(2048).stack())
        output.began(image, job.stack, job.plan.tile, {"shape": list(job.stack.shape)})
    slide = plan_job(config, Huge(100_000).stack())
    tiles = sum(1 for _ in slide.plan.tiles())
    output.__exit__(Cancelled, Cancelled(), None)
    seconds = time.perf_counter() - begun
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tiles == 196**2
    assert seconds < 15  # tracing takes most of it; 5 s without, and on a machine with other work
    assert peak < 50e6
