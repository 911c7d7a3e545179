"""A whole run: every format and axis, the same bits however it is done, and clean ends."""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from support.method_names import CLASSICAL
from support.runs import (
    TCZYX,
    Listener,
    fuse_to,
    read_zarr,
    write_collection,
    write_image,
)
from support.same import assert_same

import zfuse
from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Progress
from zfuse.pipeline.methods import make_method
from zfuse.pipeline.methods._select import Select
from zfuse.pipeline.sources import open_fused

if TYPE_CHECKING:
    from pathlib import Path

every_method = pytest.mark.parametrize("name", CLASSICAL)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_image(tmp_path / "in.zarr", TCZYX)
    return tmp_path / "in.zarr"


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def no_worker_left() -> bool:
    """Whether only the decoders' pool lives, which idles between runs."""
    own = tuple(f"zfuse-{name}" for name in ("fold", "tile"))
    return not [t.name for t in threading.enumerate() if t.name.startswith(own)]


@every_method
def test_ome_zarr_of_every_axis(tmp_path: Path, source: Path, name: str) -> None:
    fuse_to(source, tmp_path / "out.ome.zarr", method=name)
    got = read_zarr(tmp_path / "out.ome.zarr")
    assert got["0"].shape == (2, 2, 1, 150, 200)
    assert got["depth/0"].shape == got["confidence/0"].shape == (2, 2, 1, 150, 200)
    for t in range(2):
        truth = zfuse.fuse(TCZYX[t], name)
        np.testing.assert_array_equal(got["0"][t, :, 0], truth.image)
        # the maps are rounded where noise begins, see pipeline/sinks/_maps.py
        np.testing.assert_allclose(got["depth/0"][t, :, 0], truth.depth * 0.5, atol=0.005)
        np.testing.assert_allclose(got["confidence/0"][t, :, 0], truth.confidence, atol=0.01)


AXES = ["zyx", "czyx", "tzyx", "tczyx", "xyz", "yxzc"]


@pytest.mark.parametrize("axes", AXES)
def test_ome_zarr_keeps_the_axes_that_there_are(tmp_path: Path, axes: str) -> None:
    sizes = dict(zip("tczyx", TCZYX.shape, strict=True))
    index = tuple(slice(None) if a in axes else 0 for a in "tczyx")
    canonical = [a for a in "tczyx" if a in axes]
    pixels = TCZYX[index].transpose([canonical.index(a) for a in axes])
    write_image(tmp_path / "in.zarr", pixels, axes)
    fuse_to(tmp_path / "in.zarr", tmp_path / "out.ome.zarr")
    got = read_zarr(tmp_path / "out.ome.zarr")["0"]
    assert got.shape == tuple(1 if a == "z" else sizes[a] for a in canonical)
    first = TCZYX[0] if "c" in axes else TCZYX[0, :1]
    image = got[0] if "t" in axes else got
    np.testing.assert_array_equal(image.reshape(len(first), 150, 200), zfuse.fuse(first).image)


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
def test_tiff(tmp_path: Path, source: Path, suffix: str) -> None:
    fuse_to(source, tmp_path / f"out{suffix}")
    assert listing(tmp_path) == ["in.zarr", "out.confidence.tif", "out.depth.tif", f"out{suffix}"]
    got = tifffile.imread(tmp_path / f"out{suffix}").reshape(2, 2, 150, 200)
    depth = tifffile.imread(tmp_path / "out.depth.tif").reshape(2, 2, 150, 200)
    for t in range(2):
        truth = zfuse.fuse(TCZYX[t])
        np.testing.assert_array_equal(got[t], truth.image)
        np.testing.assert_allclose(depth[t], truth.depth * 0.5, atol=0.005)


def test_png(tmp_path: Path) -> None:
    from PIL import Image

    tifffile.imwrite(tmp_path / "in.tif", TCZYX[0, 0], metadata={"axes": "ZYX"})
    fuse_to(tmp_path / "in.tif", tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as picture:
        got = np.array(picture)
    np.testing.assert_array_equal(got, zfuse.fuse(TCZYX[0, 0]).image)


def test_a_collection_becomes_a_collection(tmp_path: Path) -> None:
    write_collection(tmp_path / "in.zarr")
    fuse_to(tmp_path / "in.zarr", tmp_path / "out.ome.zarr")
    first, second = read_zarr(tmp_path / "out.ome.zarr/0"), read_zarr(tmp_path / "out.ome.zarr/1")
    np.testing.assert_array_equal(first["0"][1, :, 0], zfuse.fuse(TCZYX[1]).image)
    np.testing.assert_array_equal(second["0"][0], zfuse.fuse(TCZYX[0, 0, :3, :70, :90]).image)
    fuse_to(tmp_path / "in.zarr", tmp_path / "one.ome.zarr", series=1)
    assert_same(read_zarr(tmp_path / "one.ome.zarr"), second)
    fuse_to(tmp_path / "in.zarr", tmp_path / "one.tif", series=1)
    with pytest.raises(ZfuseError, match="holds one image, but the input has 2"):
        fuse_to(tmp_path / "in.zarr", tmp_path / "both.tif")
    with pytest.raises(ZfuseError, match="no series 2"):
        fuse_to(tmp_path / "in.zarr", tmp_path / "none.tif", series=2)


VARIATIONS: list[dict[str, Any]] = [
    {"workers": 1},
    {"workers": 5},
    {"memory": 3 * 10**8},
    {"memory": 10**10},
    {"tile": 128},
    {"tile": 256, "workers": 3},
]


@every_method
def test_memory_tiles_and_workers_do_not_change_a_bit(
    tmp_path: Path, source: Path, name: str
) -> None:
    unit = max(64, make_method(name).grid_step)
    fuse_to(source, tmp_path / "a.ome.zarr", method=name)
    truth = read_zarr(tmp_path / "a.ome.zarr")
    for settings in [*VARIATIONS, {"tile": unit}]:
        fuse_to(source, tmp_path / "b.ome.zarr", method=name, overwrite=True, **settings)
        got = read_zarr(tmp_path / "b.ome.zarr")
        # the number of levels follows the tile; level 0 is what was computed
        full = {key: value for key, value in got.items() if key != "1"}
        assert_same(full, {key: truth[key] for key in full})


class Stop(Exception):
    pass


@pytest.mark.parametrize("name", ["out.ome.zarr", "out.tif"])
@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, ZfuseError])
def test_an_error_in_the_middle_leaves_nothing(
    tmp_path: Path,
    source: Path,
    name: str,
    error: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add, calls = Select.add, []

    def fail_later(self: Select, state: Any, planes: Any, z: int) -> None:
        calls.append(z)
        if len(calls) > 8:
            raise error("enough")
        add(self, state, planes, z)

    monkeypatch.setattr(Select, "add", fail_later)
    with pytest.raises(error, match="enough"):
        fuse_to(source, tmp_path / name, tile=64, method="select")
    assert listing(tmp_path) == ["in.zarr"]
    assert no_worker_left()


class Interrupted(Progress):
    """Ctrl-C, as the main thread gets it, after a while."""

    def __init__(self) -> None:
        self.voxels = 0

    def advance(self, voxels: int) -> None:
        if not self.voxels:
            _thread.interrupt_main()
        self.voxels += voxels
        time.sleep(0.01)


def test_ctrl_c_leaves_nothing_and_no_thread(tmp_path: Path, source: Path) -> None:
    progress = Interrupted()
    # A shell's background job ignores Ctrl-C, and so would this process.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fuse_to(source, tmp_path / "out.ome.zarr", progress, tile=64)
    finally:
        signal.signal(signal.SIGINT, before)
    assert listing(tmp_path) == ["in.zarr"]
    assert no_worker_left()
    assert progress.voxels < TCZYX.size / 2  # it did not go on to the end


@pytest.mark.parametrize("name", ["out.ome.zarr", "out.tif"])
def test_an_earlier_output_survives_a_run_that_fails(
    tmp_path: Path, source: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bytes_of(folder: Path) -> dict[str, bytes]:
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return {str(p.relative_to(folder)): p.read_bytes() for p in files}

    fuse_to(source, tmp_path / name)
    before = bytes_of(tmp_path)
    with pytest.raises(ZfuseError, match="exists"):
        fuse_to(source, tmp_path / name)

    def fail(*_: Any) -> None:
        raise Stop

    monkeypatch.setattr(Select, "finish", fail)
    with pytest.raises(Stop):
        fuse_to(source, tmp_path / name, overwrite=True, method="select")
    assert bytes_of(tmp_path) == before


def test_progress_counts_every_voxel_once(tmp_path: Path, source: Path) -> None:
    progress = Listener()
    fuse_to(source, tmp_path / "out.ome.zarr", progress, tile=64)
    assert progress.total == progress.done == TCZYX.size
    assert progress.lines == []


def test_one_plane_is_copied_with_a_warning(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", TCZYX[0, 0, 0])
    progress = Listener()
    fuse_to(tmp_path / "in.tif", tmp_path / "out.tif", progress)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), TCZYX[0, 0, 0])
    assert not tifffile.imread(tmp_path / "out.confidence.tif").any()
    assert any("its confidence is 0" in line for line in progress.lines)
    assert len(set(progress.lines)) == len(progress.lines)


def test_a_missing_chunk_stops_the_run_unless_allowed(tmp_path: Path, source: Path) -> None:
    next(path for path in (source / "0" / "c").rglob("*") if path.is_file()).unlink()
    with pytest.raises(ZfuseError, match="missing"):
        fuse_to(source, tmp_path / "out.ome.zarr")
    assert listing(tmp_path) == ["in.zarr"]
    fuse_to(source, tmp_path / "out.ome.zarr", allow_missing=True)


def test_calibration_by_hand_wins(tmp_path: Path, source: Path) -> None:
    fuse_to(source, tmp_path / "out.ome.zarr", z_step=2.0, pixel_size=0.25)
    stack = zfuse.open(tmp_path / "out.ome.zarr", series=0)
    assert stack.pixel_size == pytest.approx((0.25, 0.25))
    fused = zfuse.fuse(TCZYX[0])
    got = read_zarr(tmp_path / "out.ome.zarr")
    np.testing.assert_allclose(got["depth/0"][0, :, 0], fused.depth * 2.0, atol=0.02)


def test_provenance_says_what_was_done(tmp_path: Path, source: Path) -> None:
    fuse_to(source, tmp_path / "out.ome.zarr", method={"name": "select", "window": 5}, channel=1)
    attributes = dict(zarr.open_group(tmp_path / "out.ome.zarr", mode="r").attrs)
    record = str(attributes["zfuse"])
    for said in (zfuse.__version__, "'window': 5", "in.zarr", "channel 1", "copied", "5"):
        assert said in record


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tif", ".png"])
def test_depth_is_blank_where_confidence_is_too_low(tmp_path: Path, suffix: str) -> None:
    stack = TCZYX[0, 0]
    write_image(tmp_path / "in.zarr", stack, "zyx")
    whole = zfuse.fuse(stack, "select")
    limit = float(np.median(whole.confidence))
    with pytest.raises(ZfuseError, match=r"min_confidence is 1\.01; confidence is a probability"):
        zfuse.fuse(stack, "select", min_confidence=1.01)
    blanked = zfuse.fuse(stack, "select", min_confidence=limit)
    kept = whole.confidence >= limit
    assert 0.4 < kept.mean() < 0.6
    assert_same(blanked, replace(whole, depth=np.where(kept, whole.depth, np.float32(np.nan))))
    assert_same(zfuse.fuse(stack, "select", min_confidence=0), whole)

    out = tmp_path / f"out{suffix}"
    fuse_to(tmp_path / "in.zarr", out, method="select", tile=64, min_confidence=limit)
    written = open_fused(out)
    assert written.depth is not None
    np.testing.assert_array_equal(np.isnan(written.depth), ~kept)
    np.testing.assert_allclose(written.depth[kept], whole.depth[kept] * 0.5, atol=0.002)
    np.testing.assert_allclose(written.confidence, whole.confidence, atol=0.001)
    if suffix == ".ome.zarr":
        record = zarr.open_group(out, mode="r").attrs["zfuse"]
        assert record["min_confidence"] == limit


def test_warnings_of_a_source_are_passed_on_once(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "in.zarr", data=TCZYX[0, 0])
    progress = Listener()
    fuse_to(tmp_path / "in.zarr", tmp_path / "out.ome.zarr", progress)
    assert len(progress.lines) == 1
    assert "without OME metadata" in progress.lines[0]


RUN = """
import sys, zfuse
zfuse.run(zfuse.RunConfig(input=sys.argv[1], output=sys.argv[2], method="select", workers=1))
"""


@pytest.mark.slow
def test_runs_at_once_that_all_compile_are_clean(tmp_path: Path) -> None:
    """Processes fill numba's cache side by side, and what they left in it works (numba 4807)."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    for dtype in ("uint8", "uint16", "float32"):
        write_image(tmp_path / f"{dtype}.zarr", (TCZYX[:1] % 200).astype(dtype))

    def started(dtype: str, turn: str) -> subprocess.Popen[str]:
        paths = [str(tmp_path / f"{dtype}.zarr"), str(tmp_path / f"{dtype}-{turn}.ome.zarr")]
        return subprocess.Popen(
            [sys.executable, "-c", RUN, *paths],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    first = {dtype: started(dtype, "first") for dtype in ("uint8", "uint16", "float32")}
    for process in first.values():
        assert (process.communicate()[1], process.returncode) == ("", 0)
    for dtype in first:
        again = started(dtype, "again")
        assert (again.communicate()[1], again.returncode) == ("", 0)
        one, other = (tmp_path / f"{dtype}-{turn}.ome.zarr" for turn in ("first", "again"))
        assert_same(read_zarr(one), read_zarr(other))
    outputs = {f"{dtype}-{turn}.ome.zarr" for dtype in first for turn in ("first", "again")}
    assert set(listing(tmp_path)) == outputs | {f"{dtype}.zarr" for dtype in first} | {"cache"}
