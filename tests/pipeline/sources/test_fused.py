"""An output is opened again as what was written, in every format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from support.outputs import open_output

from zfuse.errors import ZfuseError
from zfuse.kernels import downsample
from zfuse.pipeline.core import Channel, Fused, Stack
from zfuse.pipeline.sources import from_array, open_fused

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(5)
CASES: dict[str, dict[str, Any]] = {
    "grey": {"shape": (1, 1, 70, 100)},
    "channels": {"shape": (1, 2, 70, 100)},
    "each channel": {"shape": (1, 2, 70, 100), "each": True},
    "each channel of times": {"shape": (3, 2, 70, 100), "each": True},
    "times": {"shape": (3, 2, 70, 100)},
    "float": {"shape": (1, 1, 70, 100), "dtype": "float32"},
    "int": {"shape": (1, 2, 70, 100), "dtype": "int32"},
    "colour": {"shape": (1, 3, 70, 100), "dtype": "uint8", "rgb": True},
    "deep colour": {"shape": (1, 3, 70, 100), "rgb": True},
    "no scale": {"shape": (1, 1, 70, 100), "z_step": None},
}


def make(
    shape: tuple[int, ...], dtype: str = "uint16", *, each: bool = False, **more: Any
) -> tuple[Stack, list[Fused]]:
    times, channels, height, width = shape
    axes = "tczyx" if times > 1 else "czyx" if channels > 1 else "zyx"
    planes = np.zeros((times, channels, 4, height, width), dtype)
    names = tuple(Channel(f"stain {i}") for i in range(channels))
    given = {"z_step": 0.5, "pixel_size": (0.2, 0.1), "rgb": False, "channels": names} | more
    stack = Stack(from_array(planes, axes="tczyx").reader, axes, "cells", "", **given)
    fused = []
    for _ in range(times):
        image = RNG.integers(0, 250, (channels, height, width)).astype(dtype)
        size = (channels, height, width) if each else (height, width)
        maps = (RNG.integers(0, 64, (2, *size)) / 64).astype(np.float32)
        maps[0, ..., 3, 5] = np.nan
        fused.append(Fused(image, maps[0], maps[1]))
    return stack, fused


def write(path: Path, stack: Stack, fused: list[Fused]) -> None:
    each = [fused[0].depth.ndim == 3]
    with open_output(path, [stack], tile=128, provenance=[{"planes": 4}], each=each) as output:
        for t, whole in enumerate(fused):
            output.sinks[0].write(t, 0, 0, whole)


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.tif", "a.ome.tif", "a.btf", "a.png"])
@pytest.mark.parametrize("case", CASES)
def test_an_output_comes_back(tmp_path: Path, case: str, name: str) -> None:
    stack, fused = make(**CASES[case])
    if name == "a.png" and case not in ("grey", "colour", "deep colour", "no scale"):
        pytest.skip("no picture")
    write(tmp_path / name, stack, fused)
    for t, wanted in enumerate(fused):
        got = open_fused(tmp_path / name, time=t)
        np.testing.assert_array_equal(got.image, wanted.image)
        assert got.image.dtype == stack.dtype
        np.testing.assert_array_equal(got.depth, wanted.depth * (stack.z_step or 1))
        np.testing.assert_array_equal(got.confidence, wanted.confidence)
        assert got.depth_unit == ("micrometer" if stack.z_step else "plane")
        if not name.endswith("png"):
            assert got.pixel_size == pytest.approx((0.2, 0.1))
            assert got.z_step == stack.z_step
            # A colour picture of 16 bits is three channels to OME-Zarr.
            assert got.rgb == (stack.rgb and (stack.dtype == "u1" or not name.endswith("zarr")))
            if not stack.rgb and name.endswith(("zarr", "ome.tif")):
                assert [c.name for c in got.channels] == [c.name for c in stack.channels]
    with pytest.raises(ZfuseError, match="no time point"):
        open_fused(tmp_path / name, time=len(fused))


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.tif"])
def test_a_small_copy_is_the_pyramid(tmp_path: Path, name: str) -> None:
    stack, fused = make((1, 1, 700, 1300))
    with open_output(tmp_path / name, [stack], tile=1300, provenance=[{}]) as output:
        output.sinks[0].write(0, 0, 0, fused[0])
    got = open_fused(tmp_path / name, largest=400)
    assert got.image.shape == (1, 175, 325)
    np.testing.assert_array_equal(got.image[0], downsample(downsample(fused[0].image[0])))
    assert got.depth is not None
    assert got.depth.shape == (175, 325)
    assert got.pixel_size == pytest.approx((0.8, 0.4))


def test_images_of_others_come_without_maps(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 250, (40, 50), np.uint8)
    tifffile.imwrite(tmp_path / "photo.tif", pixels)
    zarr.save_array(tmp_path / "bare.zarr", pixels[np.newaxis])
    for name in ("photo.tif", "bare.zarr"):
        got = open_fused(tmp_path / name)
        np.testing.assert_array_equal(got.image, pixels[np.newaxis])
        assert got.depth is None
        assert got.confidence is None


def test_what_is_no_fused_image_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((5, 40, 50), np.uint16))
    zarr.save_array(tmp_path / "stack.zarr", np.zeros((5, 40, 50), np.uint16))
    (tmp_path / "cut.tif").write_bytes((tmp_path / "stack.tif").read_bytes()[:99])
    for name, message in (
        ("stack.tif", "5 planes"),
        ("stack.zarr", "5 planes"),
        ("cut.tif", "truncated"),
        ("gone.tif", "does not exist"),
        ("gone.zarr", "does not exist"),
    ):
        with pytest.raises(ZfuseError, match=message):
            open_fused(tmp_path / name)
