"""TIFF dialects: axes, calibration and pixels as their writers meant them."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources import open_stack, open_stacks

if TYPE_CHECKING:
    from pathlib import Path

GREY = np.random.default_rng(5).integers(0, 60000, (2, 3, 5, 40, 50)).astype(np.uint16)  # TCZYX
RGB = np.random.default_rng(6).integers(0, 255, (5, 40, 50, 3)).astype(np.uint8)
RGBA = np.concatenate([RGB, RGB[..., :1]], axis=-1)
PLANAR = np.moveaxis(RGB, -1, 1)
COLOUR = np.moveaxis(RGB, -1, 0)[None]  # as TCZYX
ZYX = GREY[0, 0]

ZLIB: dict[str, Any] = {"compression": "zlib"}
SAMPLES: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "separate"}
COLOURS: dict[str, Any] = {"photometric": "rgb"}

# name: (pixels, imwrite settings, expected as TCZYX, warning)
CASES: dict[str, tuple[Any, dict[str, Any], Any, str]] = {
    "ome": (GREY, {"ome": True, "metadata": {"axes": "TCZYX"}}, GREY, ""),
    "imagej": (
        GREY.swapaxes(1, 2), {"imagej": True, "metadata": {"axes": "TZCYX"}}, GREY, "",
    ),
    "pages": (ZYX, {"metadata": None}, ZYX[None, None], "taken as ZYX"),
    "shaped": (ZYX, {}, ZYX[None, None], "taken as ZYX"),
    "named": (ZYX, {"metadata": {"axes": "ZYX"}}, ZYX[None, None], ""),
    "4d": (GREY[0], {}, GREY[:1], "taken as CZYX"),
    # tifffile stores 3 or 4 planes that it takes for colours as the samples of one page
    "samples that are planes": (
        ZYX[:4],
        {"metadata": {"axes": "ZYX"}, **SAMPLES},
        ZYX[None, None, :4],
        "",
    ),
    "samples that are planes, compressed": (
        ZYX[:3],
        {"metadata": {"axes": "ZYX"}, **SAMPLES, **ZLIB, "tile": (16, 16)},
        ZYX[None, None, :3],
        "",
    ),
    "one page": (ZYX[0], {}, ZYX[None, None, :1], "single plane"),
    "one page imagej": (ZYX[0], {"imagej": True}, ZYX[None, None, :1], "single plane"),
    "big endian": (ZYX, {"byteorder": ">", **ZLIB, "predictor": 2}, ZYX[None, None], "ZYX"),
    "bigtiff strips": (ZYX, {"bigtiff": True, "rowsperstrip": 3}, ZYX[None, None], "ZYX"),
    "lzw strips": (ZYX, {"compression": "lzw", "rowsperstrip": 7}, ZYX[None, None], "ZYX"),
    "tiles": (ZYX, {"tile": (16, 32), **ZLIB}, ZYX[None, None], "ZYX"),
    "raw tiles": (ZYX, {"tile": (16, 32)}, ZYX[None, None], "ZYX"),
    "float": (ZYX / np.float32(3), {**ZLIB, "predictor": 3}, (ZYX / np.float32(3))[None, None], ""),
    "bool": (ZYX > 30000, {}, (ZYX > 30000).astype(np.uint8)[None, None], "ZYX"),
    "rgb": (RGB, COLOURS, COLOUR, "ZYXS"),
    "rgb strips": (RGB, {**COLOURS, **ZLIB, "rowsperstrip": 9}, COLOUR, "ZYXS"),
    "rgb planar": (PLANAR, {**COLOURS, **ZLIB, "planarconfig": "separate"}, COLOUR, "ZSYX"),
    "rgb planar raw": (PLANAR, {**COLOURS, "planarconfig": "separate"}, COLOUR, "ZSYX"),
    "rgb ome": (RGB, {**COLOURS, "ome": True, "metadata": {"axes": "ZYXS"}}, COLOUR, ""),
    "rgba": (RGBA, {**COLOURS, "extrasamples": ["unassalpha"]}, COLOUR, "alpha"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_dialects(tmp_path: Path, name: str) -> None:
    pixels, settings, truth, warning = CASES[name]
    tifffile.imwrite(tmp_path / "a.tif", pixels, **settings)
    stack = open_stack(tmp_path / "a.tif")
    assert stack.shape == truth.shape
    assert stack.dtype == truth.dtype
    assert stack.rgb is name.startswith("rgb")
    assert warning in " ".join(stack.warnings)
    assert bool(warning) is bool(stack.warnings) or name == "float"
    for t in range(truth.shape[0]):
        window = stack.reader.read(
            t, slice(0, truth.shape[2]), slice(3, 37), slice(15, truth.shape[4])
        )
        np.testing.assert_array_equal(window.swapaxes(0, 1), truth[t, :, :, 3:37, 15:])
    stack.reader.close()


def test_ome_calibration(tmp_path: Path) -> None:
    meta = {
        "axes": "CZYX",
        "PhysicalSizeX": 0.1,
        "PhysicalSizeY": 200,
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeZ": 0.001,
        "PhysicalSizeZUnit": "mm",
        "Channel": {"Name": ["DAPI", "GFP", "Cy5"]},
    }
    tifffile.imwrite(tmp_path / "cells.ome.tif", GREY[0], metadata=meta)
    stack = open_stack(tmp_path / "cells.ome.tif")
    assert stack.pixel_size == pytest.approx((0.2, 0.1))
    assert stack.z_step == pytest.approx(1.0)
    assert [channel.name for channel in stack.channels] == ["DAPI", "GFP", "Cy5"]


def test_imagej_calibration(tmp_path: Path) -> None:
    meta = {"axes": "ZCYX", "spacing": 0.5, "unit": "um", "Labels": ["a", "b", "c"] * 5}
    tifffile.imwrite(
        tmp_path / "a.tif", GREY[0].swapaxes(0, 1), imagej=True, resolution=(10, 5), metadata=meta
    )
    stack = open_stack(tmp_path / "a.tif")
    assert stack.pixel_size == pytest.approx((0.2, 0.1))
    assert stack.z_step == 0.5
    assert [channel.name for channel in stack.channels] == ["a", "b", "c"]


def test_print_resolution_is_no_pixel_size(tmp_path: Path) -> None:
    for unit, resolution, expected in [(2, 300, None), (3, 28.3, None), (3, 20000, (0.5, 0.5))]:
        tifffile.imwrite(
            tmp_path / "a.tif", ZYX, resolution=(resolution, resolution), resolutionunit=unit
        )
        stack = open_stack(tmp_path / "a.tif")
        assert stack.pixel_size == (expected and pytest.approx(expected))
        stack.reader.close()


def test_several_series(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        tif.write(ZYX, metadata={"axes": "ZYX", "Name": "one"})
        tif.write(ZYX[:, :20] + 1, metadata={"axes": "ZYX", "Name": "two"})
    stacks = open_stacks(tmp_path / "a.ome.tif")
    assert [stack.name for stack in stacks] == ["one", "two"]
    assert [stack.shape[3] for stack in stacks] == [40, 20]
    stacks[0].reader.close()
    window = stacks[1].reader.read(0, slice(4, 5), slice(0, 20), slice(0, 50))
    np.testing.assert_array_equal(window[0, 0], ZYX[4, :20] + 1)
    with pytest.raises(ZfuseError, match="holds 2 images"):
        open_stack(tmp_path / "a.ome.tif")


def test_pyramids_open_at_level_0(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        tif.write(ZYX, subifds=1, tile=(16, 16), metadata={"axes": "ZYX"})
        tif.write(ZYX[:, ::2, ::2], subfiletype=1, tile=(16, 16))
    (stack,) = open_stacks(tmp_path / "a.ome.tif")
    assert stack.shape == (1, 1, 5, 40, 50)


def test_a_missing_file_of_a_set_is_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", ZYX, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        xml = (tif.ome_metadata or "").replace('SizeZ="5"', 'SizeZ="7"')
    tifffile.imwrite(tmp_path / "b.ome.tif", ZYX, description=xml.encode(), metadata=None)
    stack = open_stack(tmp_path / "b.ome.tif")
    if stack.shape[2] != 7:
        pytest.skip("this tifffile trusts the pages")
    with pytest.raises(ZfuseError, match=r"plane 5 is missing|is truncated"):
        stack.reader.read(0, slice(0, 7), slice(0, 40), slice(0, 50))


def test_a_stack_that_nobody_closes_closes_itself(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", ZYX, compression="zlib")
    stack = open_stack(tmp_path / "a.tif")
    stack.reader.read(0, slice(0, 1), slice(0, 1), slice(0, 1))
    del stack
    gc.collect()  # a ResourceWarning would fail the test
    (tmp_path / "a.tif").unlink()
