"""Every bad input is refused in one line that names it and the cure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources import from_array, open_stack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PIXELS = np.random.default_rng(4).integers(1, 60000, (5, 40, 50)).astype(np.uint16)


def png(file: Path, pixels: Any) -> None:
    file.write_bytes(imagecodecs.png_encode(pixels))


def missing(folder: Path) -> Path:
    (folder / "stack.zarr").mkdir()
    return folder / "stak.zarr"


def missing_parent(folder: Path) -> Path:
    return folder / "no" / "such"


def link_to_itself(folder: Path) -> Path:
    if os.name == "nt":
        pytest.skip("links need privileges")
    (folder / "loop.tif").symlink_to(folder / "loop.tif")
    return folder / "loop.tif"


def text_file(folder: Path) -> Path:
    (folder / "a.tif").write_text("hello")
    return folder / "a.tif"


def empty_file(folder: Path) -> Path:
    (folder / "a.tif").touch()
    return folder / "a.tif"


def empty_folder(folder: Path) -> Path:
    return folder


def folder_of_folders(folder: Path) -> Path:
    for name in ("s10", "s9"):
        (folder / name).mkdir()
        png(folder / name / "z0.png", PIXELS[0])
    return folder


def unknown_protocol(folder: Path) -> str:
    return "nonsense://a/b.zarr"


def nothing_at_url(folder: Path) -> str:
    return "memory://nothing/here.zarr"


def odd_shape(folder: Path) -> Path:
    for z in range(5):
        png(folder / f"z{z}.png", PIXELS[z] if z != 3 else PIXELS[z, :20])
    return folder


def odd_dtype(folder: Path) -> Path:
    for z in range(5):
        png(folder / f"z{z}.png", PIXELS[z] if z != 3 else PIXELS[z].astype(np.uint8))
    return folder


def odd_channels(folder: Path) -> Path:
    for z in range(5):
        png(folder / f"z{z}.png", PIXELS[z] if z != 3 else np.stack([PIXELS[z]] * 3, -1))
    return folder


def missing_z(folder: Path) -> Path:
    for name in ("z0_c0", "z0_c1", "z1_c0", "z1_c1", "z2_c1"):
        png(folder / f"{name}.png", PIXELS[0])
    return folder


def two_stacks(folder: Path) -> Path:
    for name in ("a_z0", "a_z1", "b_z0", "b_z1"):
        png(folder / f"{name}.png", PIXELS[0])
    return folder


def half_named(folder: Path) -> Path:
    for name in ("z0", "z1", "overview"):
        png(folder / f"{name}.png", PIXELS[0])
    return folder


def stack_in_folder(folder: Path) -> Path:
    for z in range(2):
        tifffile.imwrite(folder / f"z{z}.tif", PIXELS)
    return folder


def truncated_png(folder: Path) -> Path:
    for z in range(3):
        png(folder / f"z{z}.png", PIXELS[z])
    data = (folder / "z1.png").read_bytes()
    (folder / "z1.png").write_bytes(data[: len(data) // 2])
    return folder


def truncated_jpeg(folder: Path) -> Path:
    for z in range(3):
        pixels = (PIXELS[z] >> 8).astype(np.uint8)
        (folder / f"z{z}.jpg").write_bytes(imagecodecs.jpeg8_encode(pixels))
    data = (folder / "z1.jpg").read_bytes()
    (folder / "z1.jpg").write_bytes(data[: len(data) // 2])
    return folder


def not_a_png(folder: Path) -> Path:
    png(folder / "z0.png", PIXELS[0])
    (folder / "z1.png").write_text("hello")
    return folder


def truncated_tiff(folder: Path, keep: float, **settings: Any) -> Path:
    tifffile.imwrite(folder / "a.tif", PIXELS, **settings)
    data = (folder / "a.tif").read_bytes()
    (folder / "a.tif").write_bytes(data[: int(len(data) * keep)])
    return folder / "a.tif"


def truncated_tiff_pixels(folder: Path) -> Path:
    return truncated_tiff(folder, 0.7)


def truncated_tiff_strips(folder: Path) -> Path:
    return truncated_tiff(folder, 0.99, compression="zlib")


def truncated_tiff_pages(folder: Path) -> Path:
    return truncated_tiff(folder, 0.5, compression="zlib", metadata=None)


def truncated_tiff_header(folder: Path) -> Path:
    return truncated_tiff(folder, 0.001)


def corrupt_tiff(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", PIXELS, compression="zlib")
    with tifffile.TiffFile(folder / "a.tif") as tif:
        offset = tif.pages[3].dataoffsets[0]
    data = bytearray((folder / "a.tif").read_bytes())
    data[offset : offset + 50] = b"\x99" * 50
    (folder / "a.tif").write_bytes(data)
    return folder / "a.tif"


def circular_tiff(folder: Path) -> Path:
    path = truncated_tiff(folder, 1, compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as tif:
        first, last = tif.pages[0].offset, tif.pages[4]
        place = last.offset + 2 + 12 * len(last.tags)
    data = bytearray(path.read_bytes())
    data[place : place + 4] = first.to_bytes(4, "little")
    path.write_bytes(data)
    return path


def imagej_without_its_planes(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", PIXELS[:1], imagej=True)
    data = (folder / "a.tif").read_bytes()
    (folder / "a.tif").write_bytes(data.replace(b"images=1\n", b"images=9\n"))
    return folder / "a.tif"


def tiff_without_z(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.ome.tif", PIXELS, metadata={"axes": "TYX"})
    return folder / "a.ome.tif"


def complex_tiff(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", PIXELS.astype(np.complex64))
    return folder / "a.tif"


def complex_zarr(folder: Path) -> Path:
    zarr.create_array(folder / "a.zarr", data=PIXELS.astype(np.complex64))
    return folder / "a.zarr"


def structured_zarr(folder: Path) -> Path:
    zarr.create_array(
        folder / "a.zarr", shape=(2, 3, 4), dtype=[("a", "u1"), ("b", "u2")], zarr_format=2
    )
    return folder / "a.zarr"


def zero_planes(folder: Path) -> Path:
    zarr.create_array(folder / "a.zarr", shape=(0, 8, 8), chunks=(1, 8, 8), dtype="u2")
    return folder / "a.zarr"


def flat_zarr(folder: Path) -> Path:
    zarr.create_array(folder / "a.zarr", data=PIXELS[0])
    return folder / "a.zarr"


CASES: list[tuple[Callable[[Any], Any], str]] = [
    (missing, r"stak\.zarr does not exist; did you mean .*stack\.zarr\?"),
    (missing_parent, "does not exist, nor does its folder"),
    (link_to_itself, r"loop\.tif is a link that leads nowhere"),
    (text_file, r"a\.tif is not an image"),
    (empty_file, r"a\.tif is not an image"),
    (empty_folder, "holds no image"),
    (folder_of_folders, r"only folders of images: s9, s10; give one of them, such as .*s9"),
    (unknown_protocol, "nonsense"),
    (nothing_at_url, "cannot be opened as OME-Zarr"),
    (odd_shape, r"z3\.png is 50 x 20 px .* the other planes are 50 x 40 px"),
    (odd_dtype, r"z3\.png is .*uint8, the other planes are .*uint16"),
    (odd_channels, r"z3\.png is .* 3 channel\(s\).* 1 channel\(s\)"),
    (missing_z, r"c 0, z 2 is missing among 5 planes"),
    (two_stacks, r"a_z0\.png and b_z0\.png are both z 0"),
    (half_named, r"names its z but overview\.png does not"),
    (stack_in_folder, r"z0\.tif is a stack of its own"),
    (truncated_png, r"z1\.png cannot be decoded"),
    (truncated_jpeg, r"z1\.jpg (is truncated|cannot be decoded)"),
    (not_a_png, r"z1\.png is named like an image but is none"),
    (truncated_tiff_pixels, r"a\.tif is truncated"),
    (truncated_tiff_strips, r"a\.tif is truncated"),
    (truncated_tiff_pages, r"a\.tif is truncated"),
    (truncated_tiff_header, r"a\.tif .* truncated"),
    (circular_tiff, r"a\.tif is truncated: it ends after 5 page"),
    (imagej_without_its_planes, r"a\.tif is truncated: it holds 1 plane\(s\), 9 are announced"),
    (corrupt_tiff, r"a\.tif: segment 0 of page 3 cannot be decoded"),
    (tiff_without_z, "no z axis: its axes are TYX"),
    (complex_tiff, "complex64"),
    (complex_zarr, "complex64"),
    (structured_zarr, "can be fused"),
    (zero_planes, "zero planes"),
    (flat_zarr, "no z axis"),
]


@pytest.mark.parametrize(("make", "message"), CASES, ids=lambda case: getattr(case, "__name__", ""))
def test_refused_in_one_line(make: Callable[[Any], Any], message: str, tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(ZfuseError, match=message) as caught:
        read_all(path)
    assert "\n" not in str(caught.value)


def read_all(path: Any) -> None:
    stack = open_stack(path)
    try:
        _, _, z, y, x = stack.shape
        stack.reader.read(0, slice(0, z), slice(0, y), slice(0, x))
    finally:
        stack.reader.close()


@pytest.mark.parametrize(
    ("array", "settings", "message"),
    [
        (PIXELS[0], {}, "no z axis"),
        (PIXELS, {"axes": "CYX"}, "no z axis"),
        (PIXELS, {"axes": "ZYQ"}, "unknown axis 'q'"),
        (PIXELS, {"axes": "CZYX"}, "4 axes .* 3 dimensions"),
        (PIXELS, {"axes": "ZZX"}, "y and x are needed"),
        (PIXELS[:0], {}, "zero planes"),
        (PIXELS.astype(object), {}, "dtype object"),
        (PIXELS[None, None, None], {}, "6 dimensions"),
        (PIXELS, {"channel_names": ["a", "b"]}, r"1 channel\(s\) but 2"),
    ],
)
def test_arrays_refused(array: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ZfuseError, match=message):
        from_array(array, **settings)
