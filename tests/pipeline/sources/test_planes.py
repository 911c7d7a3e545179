"""Folders of planes: names, formats, and the real stacks where they are at hand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from support.shared import STACKS, needs_stacks

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources import open_stack, open_stacks
from zfuse.pipeline.sources._names import arrange

if TYPE_CHECKING:
    from pathlib import Path

GREY = np.random.default_rng(7).integers(0, 255, (3, 20, 30)).astype(np.uint8)
RGB = np.random.default_rng(8).integers(0, 255, (3, 20, 30, 3)).astype(np.uint8)

# names in disorder: (t, c, z) of the grid, name of the last plane
NAMES: dict[str, tuple[list[str], tuple[int, int, int], str]] = {
    "plain": (["z000.tif", "z002.tif", "z001.tif"], (1, 1, 3), "z002.tif"),
    "camera": (["IMG_0010.JPG", "IMG_0009.JPG"], (1, 1, 2), "IMG_0010.JPG"),
    "natural": (["p10.png", "p9.png", "p1.png"], (1, 1, 3), "p10.png"),
    "tokens": (
        [f"t00{t}_c{c}_z{z:03}.tif" for z in range(3) for c in (1, 2) for t in range(2)],
        (2, 2, 3),
        "t001_c2_z002.tif",
    ),
    "glued": (["scan_z003c01.tif", "scan_z003c02.tif"], (1, 2, 1), "scan_z003c02.tif"),
    "order of tokens": (["z1_t1.tif", "z2_t1.tif"], (1, 1, 2), "z2_t1.tif"),
    "micro-manager": (
        [f"img_channel00{c}_position000_time000000000_z00{z}.tif" for c in "01" for z in "52"],
        (1, 2, 2),
        "img_channel001_position000_time000000000_z005.tif",
    ),
    "micro-manager 1.4": (
        [f"img_000000000_{c}_00{z}.tif" for c in ("GFP", "DAPI") for z in range(3)],
        (1, 2, 3),
        "img_000000000_GFP_002.tif",
    ),
    "metaxpress": (
        [f"Mix_E08_s1_w{c}_z{z}.tif" for c in "12" for z in "19"] + [
            f"Mix_E08_s1_w{c}_z10.tif" for c in "12"],
        (1, 2, 3),
        "Mix_E08_s1_w2_z10.tif",
    ),
    "no z token": (
        [f"stack_{z}_w{c}.tif" for z in (1, 10, 2) for c in "12"], (1, 2, 3), "stack_10_w2.tif",
    ),
    "slices called s": (["s001.tif", "s002.tif"], (1, 1, 2), "s002.tif"),
    "constant token": (["C3_cell_1.tif", "C3_cell_2.tif"], (1, 1, 2), "C3_cell_2.tif"),
    "no token in words": (["fuzz1.tif", "fuzz2.tif", "date3.tif"], (1, 1, 3), "fuzz2.tif"),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
def test_names(case: str) -> None:
    names, size, last = NAMES[case]
    (grid,) = arrange(names, "folder")
    assert (len(grid.files), len(grid.files[0]), len(grid.files[0][0])) == size
    assert grid.files[-1][-1][-1] == last


GAPS = {
    "z": ["z000", "z001", "z003", "z004"],
    "no word": ["000", "001", "003", "004"],
    "camera": ["IMG_0007", "IMG_0008", "IMG_0010", "IMG_0011"],
    "channels": [f"z{z}_c{c}" for z in (0, 1, 3) for c in (1, 2)],
    "positions": [f"pos1_z{z}" for z in (0, 1, 2)] + [f"pos2_z{z}" for z in (0, 1, 3)],
}


@pytest.mark.parametrize("case", GAPS)
def test_a_gap_in_the_plane_numbers_is_refused(tmp_path: Path, case: str) -> None:
    for name in GAPS[case]:
        tifffile.imwrite(tmp_path / f"{name}.tif", GREY[0])
    with pytest.raises(ZfuseError, match=r"number \d+ is missing.*--allow-missing"):
        open_stacks(tmp_path)
    stack = open_stacks(tmp_path, allow_missing=True)[-1]
    assert "taken as evenly spaced" in stack.warnings[0]
    stack.reader.close()


@pytest.mark.parametrize(
    "names",
    [
        ["z3", "z8", "z13"],
        ["a1", "a4"],
        ["120001", "120017", "120020"],
        ["a1_x7", "a2_x9", "a4_x1"],
    ],
)
def test_even_numbers_and_times_are_no_gap(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        tifffile.imwrite(tmp_path / f"{name}.tif", GREY[0])
    stack = open_stack(tmp_path)
    assert stack.warnings == ()
    stack.reader.close()


def test_positions_are_stacks(tmp_path: Path) -> None:
    for p in range(2):
        for z in range(3):
            tifffile.imwrite(tmp_path / f"pos{p}_z{z}.tif", GREY[z] + np.uint8(p))
    stacks = open_stacks(tmp_path)
    assert [stack.shape for stack in stacks] == [(1, 1, 3, 20, 30)] * 2
    assert stacks[1].source.endswith("position 1")
    with pytest.raises(ZfuseError, match="holds 2 images"):
        open_stack(tmp_path)


def encode(kind: str, pixels: Any) -> bytes:
    codec: Any = {
        "png": imagecodecs.png_encode, "jpg": imagecodecs.jpeg8_encode,
        "bmp": imagecodecs.bmp_encode,
    }[kind]  # fmt: skip
    data: bytes = codec(pixels)
    return data


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp"])
@pytest.mark.parametrize("rgb", [False, True])
def test_formats(tmp_path: Path, kind: str, rgb: bool) -> None:
    planes = RGB if rgb else GREY
    for z in range(3):
        (tmp_path / f"z{z}.{kind}").write_bytes(encode(kind, planes[z]))
    stack = open_stack(tmp_path)
    assert stack.rgb is rgb
    assert stack.shape == (1, 3 if rgb else 1, 3, 20, 30)
    got = stack.reader.read(0, slice(0, 3), slice(2, 20), slice(5, 30))
    decode: Any = getattr(imagecodecs, {"jpg": "jpeg8"}.get(kind, kind) + "_decode")
    for z in range(3):
        truth = np.atleast_3d(decode((tmp_path / f"z{z}.{kind}").read_bytes()))
        np.testing.assert_array_equal(np.moveaxis(got[z], 0, -1), truth[2:, 5:])


def test_alpha_is_left_out(tmp_path: Path) -> None:
    for z in range(3):
        rgba = np.concatenate([RGB[z], RGB[z, ..., :1]], axis=-1)
        (tmp_path / f"z{z}.png").write_bytes(imagecodecs.png_encode(rgba))
    stack = open_stack(tmp_path)
    assert stack.rgb
    assert "alpha channel of 3 file(s)" in stack.warnings[0]
    got = stack.reader.read(0, slice(0, 3), slice(0, 20), slice(0, 30))
    np.testing.assert_array_equal(np.moveaxis(got, 1, -1), RGB)


def test_a_lone_plane_is_a_stack_of_one(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(GREY[0]))
    for path in (tmp_path, tmp_path / "a.png"):
        stack = open_stack(path)
        assert stack.shape == (1, 1, 1, 20, 30)
        assert "single plane" in stack.warnings[0]


def test_many_tiffs_keep_few_open(tmp_path: Path) -> None:
    for z in range(80):
        tifffile.imwrite(tmp_path / f"z{z}.tif", GREY[z % 3], compression="zlib")
    stack = open_stack(tmp_path)
    for _ in range(2):
        got = stack.reader.read(0, slice(0, 80), slice(0, 20), slice(0, 30))
        np.testing.assert_array_equal(got[:, 0], GREY[np.arange(80) % 3])


@needs_stacks
@pytest.mark.parametrize(
    "folder", sorted(f.parent.relative_to(STACKS).as_posix() for f in STACKS.glob("*/SOURCE.txt"))
)
def test_real_stacks(folder: str) -> None:
    if not list((STACKS / folder).glob("z*")):
        with pytest.raises(ZfuseError, match="only folders of images"):
            open_stack(STACKS / folder)
        folder += "/0007"
    stack = open_stack(STACKS / folder)
    text = (STACKS / folder.split("/")[0] / "SOURCE.txt").read_text(encoding="utf-8")
    found = re.search(r"planes=(\d+) size=(\d+)x(\d+) dtype=(\w+) channels=(\d)", text)
    if found:
        planes, width, height, dtype, channels = found.groups()
        assert stack.shape == (1, int(channels), int(planes), int(height), int(width))
        assert stack.dtype.name == dtype
    assert stack.rgb is (stack.shape[1] == 3)
    window = stack.reader.read(0, slice(0, 1), slice(0, stack.shape[3]), slice(0, stack.shape[4]))
    assert window.std() > 0
    stack.reader.close()


@pytest.mark.parametrize("kind", ["png", "bmp"])
def test_palettes_become_their_colours(tmp_path: Path, kind: str) -> None:
    images = pytest.importorskip("PIL.Image")
    for z in range(2):
        images.fromarray(RGB[z]).quantize(16).save(tmp_path / f"colour_{z}.{kind}")
    stack = open_stack(tmp_path)
    assert stack.rgb
    got = stack.reader.read(0, slice(0, 1), slice(0, 20), slice(0, 30))
    truth = np.asarray(images.open(tmp_path / f"colour_0.{kind}").convert("RGB"))
    np.testing.assert_array_equal(np.moveaxis(got[0], 0, -1), truth)


def test_names_that_count_no_z_are_pointed_out(tmp_path: Path) -> None:
    for t in range(3):
        tifffile.imwrite(tmp_path / f"t{t}.tif", GREY[t])
    stack = open_stack(tmp_path)
    assert stack.shape == (3, 1, 1, 20, 30)
    assert "count t, none counts z" in stack.warnings[0]
