"""An output is published whole or not at all, and never in a place that is somebody else's."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from support.outputs import open_output

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Channel, Fused, Stack, _disk, _staging, staging_folder
from zfuse.pipeline.sinks import _ome_zarr, _shards, check_output

NAMES = ["out.ome.zarr", "out.zarr", "out.tif", "out.ome.tif", "out.btf", "out.png"]
TILE = 64
UINT16 = np.dtype(np.uint16)


@dataclass(frozen=True)
class NoPixels:
    shape: tuple[int, int, int, int, int] = (1, 1, 5, 100, 90)
    dtype: np.dtype[Any] = UINT16
    chunk: tuple[int, int, int] = (1, 64, 64)

    def read(self, *_: Any) -> Any:
        raise AssertionError("a sink read from its source")

    def close(self) -> None: ...


def make_stack(source: str = "", **reader: Any) -> Stack:
    return Stack(NoPixels(**reader), "tczyx", "cells", source, (Channel("DAPI"),), z_step=0.5)


def tile_of(stack: Stack, y: int, x: int, value: int) -> Fused:
    _, channels, _, height, width = stack.shape
    shape = (min(TILE, height - y), min(TILE, width - x))
    grey = np.full((channels, *shape), value, stack.dtype)
    return Fused(grey, np.ones(shape, np.float32), np.ones(shape, np.float32))


def write_all(path: Path, value: int = 1, **more: Any) -> None:
    stack = make_stack()
    with open_output(path, [stack], tile=TILE, provenance=[{}], **more) as output:
        for y in (0, 64):
            for x in (0, 64):
                output.sinks[0].write(0, y, x, tile_of(stack, y, x, value))


def write_one_and_raise(
    path: Path, error: type[BaseException] = KeyboardInterrupt, **more: Any
) -> None:
    stack = make_stack()
    with open_output(path, [stack], tile=TILE, provenance=[{}], **more) as output:
        output.sinks[0].write(0, 0, 0, tile_of(stack, 0, 0, 2))
        raise error


def value_of(path: Path) -> int:
    if path.suffix == ".zarr":
        pixels = np.asarray(zarr.open_array(path / "0", mode="r")[...])
    elif path.suffix == ".png":
        from imagecodecs import imread

        pixels = imread(path)
    else:
        pixels = tifffile.imread(path)
    return int(pixels.max())


def listing(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_visible_before_it_is_complete(tmp_path: Path, name: str) -> None:
    stack = make_stack()
    path = tmp_path / "new" / "folder" / name
    with open_output(path, [stack], tile=TILE, provenance=[{}]) as output:
        for y in (0, 64):
            for x in (0, 64):
                output.sinks[0].write(0, y, x, tile_of(stack, y, x, 1))
        assert listing(path.parent) == [staging_folder(path).name]
    assert value_of(path) == 1
    assert not any("partial" in entry for entry in listing(path.parent))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, ZfuseError])
@pytest.mark.parametrize("name", NAMES)
def test_an_exception_leaves_nothing(tmp_path: Path, name: str, error: type[BaseException]) -> None:
    with pytest.raises(error):
        write_one_and_raise(tmp_path / "new" / name, error)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_forgotten_tile_is_never_published(tmp_path: Path, name: str) -> None:
    stack = make_stack()
    with (
        pytest.raises(RuntimeError, match="1 of 4 tiles"),
        open_output(tmp_path / name, [stack], tile=TILE, provenance=[{}]) as output,
    ):
        output.sinks[0].write(0, 0, 0, tile_of(stack, 0, 0, 1))
    assert listing(tmp_path) == []


def test_an_abort_waits_for_tiles_in_the_making_and_refuses_later_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = make_stack()
    begun = threading.Event()
    real = _ome_zarr.write_shard

    def slow(*args: Any) -> Any:
        begun.set()
        time.sleep(0.02)
        return real(*args)

    monkeypatch.setattr(_ome_zarr, "write_shard", slow)
    output = open_output(tmp_path / "out.zarr", [stack], tile=TILE, provenance=[{}])
    (sink,) = output.__enter__().sinks
    thread = threading.Thread(target=sink.write, args=(0, 0, 0, tile_of(stack, 0, 0, 1)))
    thread.start()
    begun.wait()
    output.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert listing(tmp_path) == []
    with pytest.raises(RuntimeError, match="closed"):
        sink.write(0, 0, 64, tile_of(stack, 0, 64, 1))
    thread.join()
    assert listing(tmp_path) == []


def test_a_shard_that_is_gone_is_never_published(tmp_path: Path) -> None:
    output = open_output(tmp_path / "out.zarr", [make_stack()], tile=128, provenance=[{}])
    (sink,) = output.__enter__().sinks
    whole = np.zeros((100, 90), np.float32)
    sink.write(0, 0, 0, Fused(np.zeros((1, 100, 90), np.uint16), whole, whole))
    (shard,) = tmp_path.glob("out.zarr.partial/*/out.zarr/depth/0/c/0/0/0/0")
    shard.unlink()
    with pytest.raises(ZfuseError, match=r"could not write .*: it was removed; nothing was kept"):
        output.__exit__(None, None, None)
    assert listing(tmp_path) == []


BAD_TILES = {
    "twice": (0, 0, 0, lambda f: f, "written before"),
    "off the grid": (0, 32, 0, lambda f: f, "no corner"),
    "outside": (0, 128, 0, lambda f: f, "no corner"),
    "later than the end": (1, 0, 0, lambda f: f, "no corner"),
    "too small": (0, 0, 64, lambda f: f, "tile image is"),
    "other dtype": (
        0,
        64,
        0,
        lambda f: Fused(f.image[:, :36].astype(np.uint8), f.depth[:36], f.confidence[:36]),
        "uint8",
    ),
    "other depth": (
        0,
        64,
        0,
        lambda f: Fused(f.image[:, :36], f.depth[:36].astype(np.float64), f.confidence[:36]),
        "float64",
    ),
}


@pytest.mark.parametrize("case", BAD_TILES)
def test_tiles_that_do_not_fit_are_refused(tmp_path: Path, case: str) -> None:
    t, y, x, change, message = BAD_TILES[case]
    stack = make_stack()
    whole = tile_of(stack, 0, 0, 1)

    def write_both() -> None:
        with open_output(tmp_path / "out.zarr", [stack], tile=TILE, provenance=[{}]) as output:
            output.sinks[0].write(0, 0, 0, whole)
            output.sinks[0].write(t, y, x, change(whole))

    with pytest.raises(ValueError, match=message):
        write_both()
    with pytest.raises(ValueError, match="multiple of 64"):
        open_output(tmp_path / "out.zarr", [stack], tile=70, provenance=[{}]).__enter__()
    assert listing(tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
def test_overwrite_keeps_the_old_one_until_the_new_one_stands(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_all(path, 1)
    before = listing(tmp_path)
    with pytest.raises(ZfuseError, match=r"exists.*--overwrite"):
        write_all(path, 2)
    with pytest.raises(KeyboardInterrupt):
        write_one_and_raise(path, overwrite=True)
    assert (listing(tmp_path), value_of(path)) == (before, 1)
    write_all(path, 2, overwrite=True)
    assert (listing(tmp_path), value_of(path)) == (before, 2)


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder with an open file in it")
@pytest.mark.parametrize("name", NAMES)
def test_staging_removed_by_hand_publishes_nothing(tmp_path: Path, name: str) -> None:
    stack = make_stack()

    def robbed() -> None:
        with open_output(tmp_path / name, [stack], tile=TILE, provenance=[{}]) as output:
            for y in (0, 64):
                for x in (0, 64):
                    output.sinks[0].write(0, y, x, tile_of(stack, y, x, 1))
                shutil.rmtree(staging_folder(tmp_path / name), ignore_errors=True)

    with pytest.raises(ZfuseError, match=r"removed|No such file") as caught:
        robbed()
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("fails_at", range(1, 7))
@pytest.mark.parametrize("name", ["out.ome.zarr", "out.tif"])
def test_a_swap_that_fails_is_rolled_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fails_at: int
) -> None:
    path = tmp_path / name
    write_all(path, 1)
    before = listing(tmp_path)
    calls = iter(range(1, 100))
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        # zarr renames its metadata, too; only moves out of and into the final folder count.
        is_swap = tmp_path in (Path(source).parent, Path(target).parent)
        if is_swap and next(calls) == fails_at:
            raise PermissionError(errno.EACCES, "held open")
        real(source, target)

    monkeypatch.setattr(_staging.os, "replace", replace)
    n_moves = 2 * (1 if path.suffix == ".zarr" else 3)
    if fails_at <= n_moves:
        with pytest.raises(ZfuseError, match="no permission"):
            write_all(path, 2, overwrite=True)
    else:
        write_all(path, 2, overwrite=True)
    monkeypatch.undo()
    assert listing(tmp_path) == before
    assert value_of(path) == (1 if fails_at <= n_moves else 2)


REFUSED_NAMES = {
    "out": "must end in",
    "out.jpg": "must end in",
    ".tif": "must end in",
    "s3://bucket/out.zarr": "URL",
    "file:///tmp/out.zarr": "URL",
}


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ZfuseError, match=REFUSED_NAMES[name]):
        check_output(name, [])


def test_input_and_output_stay_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planes = tmp_path / "planes"
    planes.mkdir()
    (planes / "z0.tif").touch()
    (tmp_path / "x.depth.tif").touch()
    link = tmp_path / "link"
    try:
        link.symlink_to(planes, target_is_directory=True)
    except OSError:
        pytest.skip("no symlinks here")
    monkeypatch.chdir(tmp_path)
    refused = [
        (planes / "out.ome.zarr", str(planes), "lies inside the input"),
        (planes / "deep" / "out.tif", "planes", "lies inside the input"),
        (link / "out.tif", "planes", "lies inside the input"),
        (planes / "out.tif", "link", "lies inside the input"),
        (Path("planes/../planes/out.tif"), str(planes), "lies inside the input"),
        (planes / "z0.tif", str(planes / "z0.tif"), "is the input itself"),
        (link / "z0.tif", "planes/z0.tif", "is the input itself"),
        (tmp_path / "x.tif", "x.depth.tif", "is the input itself"),
    ]
    for output, source, message in refused:
        with pytest.raises(ZfuseError, match=message):
            check_output(output, [source], overwrite=True)
    os.rename(planes, tmp_path / "big.zarr")
    with pytest.raises(ZfuseError, match="lies inside the output"):
        check_output(tmp_path / "big.zarr", [str(tmp_path / "big.zarr" / "z0.tif")], True)
    for source in ("", "<array>", "https://x.org/planes", str(tmp_path / "gone.tif")):
        check_output(tmp_path / "out.tif", [source])


def test_only_an_earlier_output_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "holiday.zarr"
    folder.mkdir()
    (folder / "photo.jpg").touch()
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "file.zarr").touch()
    zarr.save_array(tmp_path / "array.zarr", np.zeros((9, 9)))
    zarr.save_group(tmp_path / "group.zarr", np.zeros((9, 9)))
    zarr.create_group(tmp_path / "old.zarr", zarr_format=2)
    for name in os.listdir(tmp_path):
        before = listing(tmp_path / name) if (tmp_path / name).is_dir() else None
        with pytest.raises(ZfuseError, match="--overwrite leaves it alone"):
            write_all(tmp_path / name, overwrite=True)
        assert before is None or listing(tmp_path / name) == before
    write_all(tmp_path / "ours.zarr")
    check_output(tmp_path / "ours.zarr", [], overwrite=True)
    with pytest.raises(ZfuseError, match="lies inside the Zarr hierarchy"):
        check_output(tmp_path / "ours.zarr" / "new.zarr", [])
    two = [make_stack(), make_stack()]
    with open_output(tmp_path / "two.zarr", two, tile=128, provenance=[{}, {}]) as output:
        for sink in output.sinks:
            whole = np.zeros((100, 90), np.float32)
            sink.write(0, 0, 0, Fused(np.zeros((1, 100, 90), np.uint16), whole, whole))
    check_output(tmp_path / "two.zarr", [], overwrite=True)


def test_maps_of_another_image_are_not_replaced(tmp_path: Path) -> None:
    write_all(tmp_path / "x.tif")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ZfuseError, match=r"x\.depth\.tif exists"):
        write_all(tmp_path / "x.png")
    with pytest.raises(ZfuseError, match=r"x\.depth\.tif, which belongs to .*x\.tif"):
        write_all(tmp_path / "x.png", overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    write_all(tmp_path / "x.tif", overwrite=True)
    for path in list(tmp_path.iterdir()):  # all three renamed
        path.rename(path.with_name(path.name.replace("x", "y")))
    write_all(tmp_path / "y.tif", overwrite=True)
    (tmp_path / "z.depth.tif").write_bytes(b"somebody's")
    tifffile.imwrite(tmp_path / "w.depth.tif", np.zeros((9, 9)))
    for name in ("z", "w"):
        with pytest.raises(ZfuseError, match=f"{name}.depth.tif, which was not written by zfuse"):
            write_all(tmp_path / f"{name}.tif", overwrite=True)


@pytest.mark.parametrize("quantity", ["depth", "confidence"])
def test_a_map_beside_a_tiff_counts_as_existing(tmp_path: Path, quantity: str) -> None:
    (tmp_path / f"out.{quantity}.tif").touch()
    for name in ("out.tif", "out.ome.tif", "out.png"):
        with pytest.raises(ZfuseError, match=f"{quantity}.tif exists"):
            check_output(tmp_path / name, [])


def test_a_parent_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ZfuseError, match="is a file"):
        check_output(tmp_path / "file" / "out.tif", [])


def test_a_folder_that_may_not_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ZfuseError, match="no permission"):
        check_output(tmp_path / "out.tif", [])


FORMATS = {
    "several stacks": ("out.tif", [make_stack(), make_stack()], "--series"),
    "time in png": ("out.png", [make_stack(shape=(2, 1, 5, 9, 9))], "2 time points"),
    "channels in png": ("out.png", [make_stack(shape=(1, 2, 5, 9, 9))], r"2 channels.*\.ome\.tif"),
    "float in png": ("out.png", [make_stack(dtype=np.dtype("f4"))], "float32"),
    "large png": ("out.png", [make_stack(shape=(1, 1, 5, 40_000, 40_000))], "limit"),
    "complex": ("out.zarr", [make_stack(dtype=np.dtype("c8"))], "complex64"),
}


@pytest.mark.parametrize("case", FORMATS)
def test_what_a_format_cannot_hold_is_refused(tmp_path: Path, case: str) -> None:
    name, stacks, message = FORMATS[case]
    with pytest.raises(ZfuseError, match=message):
        open_output(tmp_path / name, stacks, tile=TILE, provenance=[{}] * len(stacks))
    assert listing(tmp_path) == []


def test_an_output_that_cannot_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(_disk.shutil, "disk_usage", lambda _: usage._replace(free=50_000))
    with pytest.raises(ZfuseError, match=r"at least 90 kB, 50 kB are free"):
        open_output(tmp_path / "out.tif", [make_stack()], tile=TILE, provenance=[{}])
    # Compressed, it may fit.
    open_output(tmp_path / "out.zarr", [make_stack()], tile=TILE, provenance=[{}])


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT", "EACCES"])
def test_disk_errors_are_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    if not hasattr(errno, code):
        pytest.skip(f"no {code} here")

    def fail(*_: Any) -> None:
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    monkeypatch.setattr(_shards, "_write_all", fail)
    with pytest.raises(ZfuseError) as caught:
        write_all(tmp_path / "out.ome.zarr")
    line = str(caught.value)
    assert "\n" not in line
    assert "out.ome.zarr" in line
    assert ("no permission" if code == "EACCES" else "disk full") in line
    assert code == "EACCES" or ("free" in line and "41 kB" in line)
    assert listing(tmp_path) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Any:
    """A file system of 256 kB; only root on Linux can make one."""
    disk = tmp_path / "tiny"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    try:
        made = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        made = False
    if not made:
        pytest.skip("cannot mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="needs tmpfs")
@pytest.mark.parametrize("name", ["out.ome.zarr", "out.tif", "out.png"])
def test_a_disk_that_fills_up(tiny_disk: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("zfuse.pipeline.sinks._output.check_space", lambda *_: None)
    stack = make_stack(shape=(1, 1, 5, 400, 400))
    rng = np.random.default_rng(0)
    image = rng.integers(0, 65535, (1, 400, 400), np.uint16)
    noise = rng.random((400, 400), np.float32)
    with (
        pytest.raises(ZfuseError, match=r"disk full.*out.*free"),
        open_output(tiny_disk / name, [stack], tile=448, provenance=[{}]) as output,
    ):
        output.sinks[0].write(0, 0, 0, Fused(image, noise, noise))
    assert listing(tiny_disk) == []
