"""A plate in, a plate out: the same wells and fields, and those that cannot be are said."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from support.plates import write_plate
from typer.testing import CliRunner
from yaozarrs import v04, v05, validate_ome_object

import zfuse
from zfuse.pipeline.cli._app import app
from zfuse.pipeline.sources import open_collection, open_fused

if TYPE_CHECKING:
    from pathlib import Path

WELLS = {"A/01": ["0", "1"], "B/02": ["0", "1"], "B/03": ["0"], "C/03": ["0"]}
SIZES = {"A/01/1": (7, 90, 70), "B/02/0": (3, 40, 200), "B/03/0": (1, 48, 64)}
DAYS = [{"id": 2, "name": "day 1"}]


def fuse(*arguments: Any) -> Any:
    """Run ``zfuse fuse``."""
    return CliRunner().invoke(app, ["fuse", *map(str, arguments)], catch_exceptions=False)


def damaged(place: Path, version: str = "0.5") -> Path:
    """Write a plate that lacks a well, a field, a chunk and the metadata of a whole well."""
    write_plate(place, WELLS, version=version, sizes=SIZES, declared=["C/01"], acquisitions=DAYS)
    shutil.rmtree(place / "A/01/0")
    chunk = next(
        p for p in (place / "B/02/1/0").rglob("*") if p.is_file() and p.stat().st_size > 999
    )
    chunk.write_bytes(chunk.read_bytes()[:100])
    (place / "C/03" / ("zarr.json" if version == "0.5" else ".zattrs")).write_text("{")
    return place


@pytest.mark.parametrize(("version", "out"), [("0.4", "0.5"), ("0.5", "0.4")])
def test_what_can_be_is_fused_and_the_rest_is_said(tmp_path: Path, version: str, out: str) -> None:
    place = damaged(tmp_path / "p.zarr", version)
    target = tmp_path / "out.ome.zarr"
    done = fuse(place, target, "--method", "select", "--ome-zarr", out)
    assert done.exit_code not in (0, 1, 2)
    said = done.stdout + done.stderr
    for name in ("C/01", "A/01/0", "B/02/1", "C/03"):
        assert name in said
    found = open_collection(target)
    assert found.kind == "plate"
    assert [m.path for m in found.members] == ["A/01/1", "B/02/0", "B/03/0"]
    before = open_collection(place).plate
    after = found.plate
    assert before is not None
    assert after is not None
    assert (after.name, after.rows, after.columns) == (before.name, before.rows, before.columns)
    assert after.wells == ("A/01", "B/02", "B/03")
    assert after.acquisitions == before.acquisitions
    assert all(m.acquisition == 2 for m in found.members)
    root = zarr.open_group(target, mode="r").attrs.asdict()
    failed = root["zfuse"]["failed"]
    assert sorted(failed) == ["A/01/0", "B/02/1", "C/01", "C/03"]
    model: Any = v04 if out == "0.4" else v05
    validate_ome_object(root.get("ome", {"plate": root.get("plate")}), model.Plate)
    # Nothing of what failed lies about.
    folders = {p.relative_to(target).as_posix() for p in target.glob("*/*/*") if p.is_dir()}
    assert folders == {"A/01/1", "B/02/0", "B/03/0"}
    assert not (target / "C").exists()
    report = json.loads(next(tmp_path.glob("*report.json")).read_text())
    assert sorted(report["failed"]) == sorted(failed)
    for member in found.members:
        single = tmp_path / f"{member.path.replace('/', '_')}.ome.zarr"
        zfuse.run(zfuse.RunConfig(input=place / member.path, output=single, method="select"))
        whole, alone = open_fused(target / member.path), open_fused(single)
        np.testing.assert_array_equal(whole.image, alone.image)
        np.testing.assert_array_equal(whole.depth, alone.depth)
        np.testing.assert_array_equal(whole.confidence, alone.confidence)
        assert [c.name for c in whole.channels] == ["DAPI", "GFP"]
        assert (whole.pixel_size, whole.z_step) == ((0.25, 0.25), 0.5)


def test_a_whole_plate_and_a_part_of_it(tmp_path: Path) -> None:
    place = write_plate(tmp_path / "p.zarr", times=3)
    done = fuse(place, tmp_path / "all.ome.zarr", "--method", "select")
    assert done.exit_code == 0
    assert "4 images" in done.stdout
    select = ("--select", "A01", "--select", "B3", "--select", "field=0", "--select", "t=1-2 c=GFP")
    done = fuse(place, tmp_path / "part.ome.zarr", "--method", "select", *select)
    assert done.exit_code == 0
    part, whole = (open_collection(tmp_path / f"{n}.ome.zarr") for n in ("part", "all"))
    assert [m.path for m in part.members] == ["A/01/0", "B/03/0"]
    assert part.plate is not None
    assert whole.plate is not None
    assert (part.plate.rows, part.plate.columns) == (whole.plate.rows, whole.plate.columns)
    for member in part.members:
        stack = part.open(member)
        assert stack.shape == (2, 1, 1, 48, 64)
        assert ([c.name for c in stack.channels], stack.time_step) == (["GFP"], 60.0)
        assert stack.origin[1:] == (100.0, 200.0)
        for t in range(2):
            mine = open_fused(tmp_path / "part.ome.zarr" / member.path, time=t)
            theirs = open_fused(tmp_path / "all.ome.zarr" / member.path, time=t + 1)
            np.testing.assert_array_equal(mine.image[0], theirs.image[1])
            assert theirs.depth is not None
            np.testing.assert_array_equal(mine.depth, theirs.depth[1])


def test_a_plate_of_which_nothing_can_be_fused(tmp_path: Path) -> None:
    place = write_plate(tmp_path / "p.zarr", {}, declared=["A/01", "B/02"])
    done = fuse(place, tmp_path / "out.ome.zarr")
    assert done.exit_code == 1
    assert "A/01" in done.stderr
    assert not (tmp_path / "out.ome.zarr").exists()
    assert fuse(place, tmp_path / "out.tif").exit_code == 1


def test_one_field_into_a_file(tmp_path: Path) -> None:
    place = write_plate(tmp_path / "p.zarr")
    for name, chosen in (("a", ("--series", 3)), ("b", ("--select", "B/03"))):
        done = fuse(place, tmp_path / f"{name}.ome.tif", *chosen, "--method", "select")
        assert done.exit_code == 0
        assert open_fused(tmp_path / f"{name}.ome.tif").image.shape == (2, 48, 64)
    done = fuse(place, tmp_path / "c.ome.tif")
    assert done.exit_code == 1
    assert "--select" in done.stderr
