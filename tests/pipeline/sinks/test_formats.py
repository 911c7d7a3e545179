"""What is written is what was given: pixels, pyramids, calibration and names, in every format."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings, strategies as st
from support.outputs import open_output

from zfuse.pipeline.core._fused import Fused
from zfuse.pipeline.core._stack import Channel, Stack
from zfuse.pipeline.sinks._levels import plan_levels
from zfuse.pipeline.sinks._maps import depth_map
from zfuse.pipeline.sources import open_fused

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

PROVENANCE = {"version": "0.1.0", "method": "select", "settings": {"window": 9}, "planes": 16}
MAPS = ("depth", "confidence")


@dataclass(frozen=True)
class NoPixels:
    """A reader that only knows its shape: sinks must not read."""

    shape: tuple[int, int, int, int, int]
    dtype: np.dtype[Any]
    chunk: tuple[int, int, int] = (1, 64, 64)

    def read(self, *_: Any) -> NDArray[Any]:
        raise AssertionError("a sink read from its source")

    def close(self) -> None: ...


def make_stack(
    shape: tuple[int, int, int, int, int] = (1, 1, 16, 70, 100),
    axes: str = "zyx",
    dtype: str = "uint16",
    **more: Any,
) -> Stack:
    names = [Channel(name) for name in ("DAPI", "GFP", "Cy5", "BF")[: shape[1]]]
    given = {"channels": tuple(names), "z_step": 0.35, "pixel_size": (0.2, 0.1)} | more
    return Stack(NoPixels(shape, np.dtype(dtype)), axes, "cells", "nowhere", **given)


def make_fused(stack: Stack, seed: int = 3, *, each: bool = False) -> list[Fused]:
    """One whole fused image a time point; some depths are NaN; `each` channel may have its own."""
    rng = np.random.default_rng(seed)
    times, channels, planes, height, width = stack.shape
    out = []
    for _ in range(times):
        image = rng.integers(0, 250, (channels, height, width)).astype(stack.dtype)
        maps = (channels, height, width) if each else (height, width)
        depth = rng.uniform(0, planes - 1, maps).astype(np.float32)
        depth[rng.random(maps) < 0.1] = np.nan
        out.append(Fused(image, depth, rng.random(maps).astype(np.float32)))
    return out


def write(path: Path, stacks: list[Stack], fused: list[list[Fused]], tile: int) -> None:
    """Write all tiles from several threads, in no particular order."""
    provenance = [PROVENANCE] * len(stacks)
    each = [times[0].depth.ndim == 3 for times in fused]
    with open_output(path, stacks, tile=tile, provenance=provenance, each=each) as output:
        with ThreadPoolExecutor(4) as pool:
            for sink, times in zip(output.sinks, fused, strict=True):
                jobs = []
                for t, whole in enumerate(times):
                    for y in range(0, whole.image.shape[1], tile):
                        for x in range(0, whole.image.shape[2], tile):
                            part = (..., slice(y, y + tile), slice(x, x + tile))
                            cut = Fused(
                                whole.image[part], whole.depth[part], whole.confidence[part]
                            )
                            jobs.append(pool.submit(sink.write, t, y, x, cut))
                for job in jobs:
                    job.result()


def expected_maps(stack: Stack, fused: Fused) -> dict[str, NDArray[np.float32]]:
    """Scaled and rounded, by the definition."""
    micrometers = stack.z_step or 1.0
    step = 2.0 ** np.floor(np.log2(micrometers / 256))
    depth = np.rint(fused.depth * np.float32(micrometers / step)) * np.float32(step)
    return {"depth": depth, "confidence": np.rint(fused.confidence * 1024) / np.float32(1024)}


def naive_half(image: NDArray[Any]) -> NDArray[Any]:
    """The 2x2 mean of (Y, X), odd edges repeated; NaN left out."""
    padded = np.pad(image, [(0, image.shape[0] % 2), (0, image.shape[1] % 2)], mode="edge")
    blocks = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2).swapaxes(1, 2)
    blocks = blocks.reshape(*blocks.shape[:2], 4)
    if image.dtype.kind in "iu":
        return ((blocks.astype(np.int64).sum(-1) + 2) // 4).astype(image.dtype)
    seen = (~np.isnan(blocks)).sum(-1)
    total = np.nansum(blocks.astype(np.float64), -1)
    out = np.full(total.shape, np.nan)
    return np.divide(total, seen, out=out, where=seen > 0).astype(image.dtype)


def check_zarr(group: zarr.Group, stack: Stack, fused: list[Fused]) -> None:
    steps = {"depth": depth_map(stack).step, "confidence": 1 / 1024}
    n_levels = len(group.attrs["ome"]["multiscales"][0]["datasets"])
    for t, whole in enumerate(fused):
        maps = expected_maps(stack, whole)
        for name, planes in [("", whole.image), *((m, maps[m][np.newaxis]) for m in MAPS)]:
            expected = list(planes)
            for level in range(n_levels):
                array = group[f"{name}/{level}".lstrip("/")]
                axes = array.metadata.dimension_names
                assert "".join(axes) == (stack.axes if not name else stack.axes.replace("c", ""))
                values = np.asarray(array[t] if "t" in axes else array[...])
                values = values.reshape(len(planes), *array.shape[-2:])
                for got, wanted in zip(values, expected, strict=True):
                    # Where a mean falls on half a step, the sum's order may decide.
                    slack = steps[name] if name and level else 1e-4 * (stack.dtype.kind == "f")
                    np.testing.assert_allclose(got, wanted, rtol=0, atol=slack)
                expected = [naive_half(plane) for plane in values]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    tile=st.sampled_from([64, 128, 192, 256, 320]),
    axes=st.sampled_from(["yx", "zyx", "czyx", "tczyx", "tyx", "cyx"]),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "uint32", "float32"]),
    z_step=st.sampled_from([None, 0.35, 1.0, 5.5]),
)
def test_ome_zarr_holds_the_tiles_and_their_means(
    tmp_path_factory: pytest.TempPathFactory,
    height: int,
    width: int,
    tile: int,
    axes: str,
    dtype: str,
    z_step: float | None,
) -> None:
    shape = (2 if "t" in axes else 1, 3 if "c" in axes else 1, 9 if "z" in axes else 1)
    stack = make_stack((*shape, height, width), axes, dtype, z_step=z_step)
    fused = [make_fused(stack)]
    path = tmp_path_factory.mktemp("sink") / "out.ome.zarr"
    write(path, [stack], fused, tile)
    check_zarr(zarr.open_group(path, mode="r"), stack, fused[0])


@pytest.mark.parametrize("size", [(1500, 700), (1030, 1030), (513, 90)])
@pytest.mark.parametrize("tile", [192, 512, 1536, 1500])
def test_pyramid_of_several_levels(tmp_path: Path, size: tuple[int, int], tile: int) -> None:
    if tile % 64 and tile < max(size):
        pytest.skip("no tile grid")
    stack = make_stack((1, 2, 16, *size), "czyx", channels=(Channel("a"), Channel("b")))
    fused = [make_fused(stack)]
    write(tmp_path / "out.ome.zarr", [stack], fused, tile)
    group = zarr.open_group(tmp_path / "out.ome.zarr", mode="r")
    check_zarr(group, stack, fused[0])


@pytest.mark.parametrize("tile", [64, 192, 832, 4096, 16384])
@pytest.mark.parametrize("size", [(50, 70), (5000, 300), (20001, 30000), (600, 100_000)])
def test_levels_keep_one_tile_one_shard(size: tuple[int, int], tile: int) -> None:
    levels = plan_levels(*size, tile)
    assert levels
    for index, level in enumerate(levels):
        assert (level.height, level.width) == tuple(-(-n // 2**index) for n in size)
        for whole, pixels, chunk, shard in zip(
            size, (level.height, level.width), level.grid.chunk, level.grid.shard, strict=True
        ):
            assert shard % chunk == 0
            assert chunk <= 512
            assert -(-pixels // shard) == -(-whole // tile)
            if index + 1 < len(levels):
                assert chunk % 2 == 0 or chunk >= pixels
    small = max(levels[-1].height, levels[-1].width) <= 512
    assert small or tile / 2 ** len(levels) < 64 or tile % 2 ** len(levels)


@pytest.mark.parametrize("pipeline", ["zarr.core.codec_pipeline.BatchedCodecPipeline", "zarrs"])
def test_shards_verify_with_both_codec_pipelines(tmp_path: Path, pipeline: str) -> None:
    if pipeline == "zarrs":
        pytest.importorskip("zarrs")
        pipeline = "zarrs.ZarrsCodecPipeline"
    stack = make_stack((1, 2, 16, 300, 500), "czyx")
    fused = [make_fused(stack)]
    with zarr.config.set({"codec_pipeline.path": pipeline}):
        write(tmp_path / "out.zarr", [stack], fused, 128)
        check_zarr(zarr.open_group(tmp_path / "out.zarr", mode="r"), stack, fused[0])


def test_every_chunk_is_there_also_empty_ones_and_damage_is_noticed(tmp_path: Path) -> None:
    stack = make_stack((1, 1, 4, 256, 256))
    empty = np.zeros((256, 256), np.float32)
    fused = [[Fused(np.zeros((1, 256, 256), np.uint16), empty, empty)]]
    path = tmp_path / "out.ome.zarr"
    write(path, [stack], fused, 128)
    shards = sorted(p for p in (path / "0" / "c").rglob("*") if p.is_file())
    assert [p.relative_to(path).as_posix() for p in shards] == [
        f"0/c/0/{y}/{x}" for y in (0, 1) for x in (0, 1)
    ]
    data = bytearray(shards[0].read_bytes())
    assert int.from_bytes(data[-20:-12], "little") == 0  # the one chunk is not marked absent
    data[-8] ^= 1
    shards[0].write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        zarr.open_array(path / "0", mode="r")[...]


METADATA = {
    "grey": make_stack(),
    "no axes but y and x": make_stack((1, 1, 1, 70, 100), "yx"),
    "time and channels": make_stack((2, 3, 16, 70, 100), "tczyx", time_step=2.5),
    "nothing known": make_stack(z_step=None, pixel_size=None, channels=()),
    "float": make_stack(dtype="float32"),
    "rgb": make_stack(
        (1, 3, 16, 70, 100),
        "czyx",
        "uint8",
        rgb=True,
        channels=(Channel("r"), Channel("g"), Channel("b")),
    ),
    "odd omero": make_stack(
        (1, 2, 4, 70, 100),
        "czyx",
        channels=(
            Channel("a", {"color": "#00ff00", "window": {"start": 5, "end": 5}, "lut": "x.lut"}),
            Channel("b", {"color": 7, "window": {"start": 10, "end": 90, "min": 0, "max": 255}}),
        ),
    ),
}


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("name", METADATA)
def test_metadata_is_valid(tmp_path: Path, name: str, each: bool) -> None:
    import yaozarrs
    from ome_zarr_models.v05 import Image

    stack = METADATA[name]
    each &= stack.shape[1] > 1
    write(tmp_path / "out.ome.zarr", [stack], [make_fused(stack, each=each)], 64)
    for part in ("", *MAPS):
        folder = tmp_path / "out.ome.zarr" / part
        yaozarrs.validate_zarr_store(folder)
        Image.from_zarr(zarr.open_group(folder, mode="r"))
        omero = zarr.open_group(folder, mode="r").attrs["ome"]["omero"]
        assert len(omero["channels"]) == (stack.shape[1] if each or not part else 1)
        if each and part:
            assert [channel["label"] for channel in omero["channels"]] == [
                channel.name for channel in stack.channels
            ]
        for channel in omero["channels"]:
            window = channel["window"]
            assert window["min"] <= window["start"] < window["end"] <= window["max"]


def test_calibration_names_and_provenance_arrive(tmp_path: Path) -> None:
    stack = make_stack(
        (1, 2, 11, 1200, 700),
        "czyx",
        origin=(3.0, -20.0, 40.0),
        channels=(
            Channel("DAPI", {"color": "0000FF", "window": {"start": 9, "end": 99}, "lut": "b.lut"}),
            Channel("GFP"),
        ),
    )
    write(tmp_path / "out.ome.zarr", [stack], [make_fused(stack)], 512)
    group = zarr.open_group(tmp_path / "out.ome.zarr", mode="r")
    image = group.attrs["ome"]["multiscales"][0]
    units = [axis.get("unit") for axis in image["axes"]]
    assert units == [None, "micrometer", "micrometer", "micrometer"]
    first, second = (d["coordinateTransformations"] for d in image["datasets"][:2])
    assert first[0]["scale"] == [1, 0.35, 0.2, 0.1]
    assert first[1]["translation"] == [0, 3, -20, 40]
    np.testing.assert_allclose(second[0]["scale"], [1, 0.35, 0.4, 0.2])
    np.testing.assert_allclose(second[1]["translation"], [0, 3, -19.9, 40.05])

    dapi, gfp = group.attrs["ome"]["omero"]["channels"]
    assert (dapi["label"], dapi["color"], dapi["lut"]) == ("DAPI", "0000FF", "b.lut")
    assert (dapi["window"]["start"], dapi["window"]["end"]) == (9, 99)
    assert gfp["label"] == "GFP"
    # Unknown limits come from the pixels (0 to 249, halved twice), not from the dtype.
    assert 20 < gfp["window"]["start"] < gfp["window"]["end"] < 240
    assert group.attrs["zfuse"] == PROVENANCE
    said = group["depth"].attrs["zfuse"]
    assert said["quantity"] == "depth"
    assert said["unit"] == "micrometer"
    assert said["reference"] == "first plane"
    assert said["rounded_to"] == 2**-10
    window = group["depth"].attrs["ome"]["omero"]["channels"][0]["window"]
    assert (window["start"], window["end"]) == (0, 3.5)


def test_depth_is_rounded_finely_and_keeps_nan() -> None:
    for z_step in (None, 0.013, 0.35, 1.0, 7.7):
        stored = depth_map(make_stack(z_step=z_step))
        planes = np.linspace(0, 15, 10_001, dtype=np.float32)[np.newaxis].copy()
        planes[0, 5] = np.nan
        out = stored.store(planes)
        error = np.abs(out / (z_step or 1) - planes)
        assert np.isnan(out[0, 5])
        assert np.nanmax(error) <= 1.001 / 512


COLOURED = make_stack(
    (2, 3, 16, 70, 100),
    "tczyx",
    channels=(
        Channel("Cy5", {"color": "FF0000"}),
        Channel("GFP", {"color": "#00ff80"}),
        Channel("BF"),
    ),
)


def test_colours_of_channels_are_kept(tmp_path: Path) -> None:
    fused = make_fused(COLOURED)
    for name in ("a.ome.zarr", "b.ome.tif", "c.tif"):
        write(tmp_path / name, [COLOURED], [fused], 128)
    omero = zarr.open_group(tmp_path / "a.ome.zarr", mode="r").attrs["ome"]["omero"]
    assert [channel["color"] for channel in omero["channels"]][:2] == ["FF0000", "00FF80"]
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as file:
        described = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]["Channel"]
        assert [channel["Name"] for channel in described] == ["Cy5", "GFP", "BF"]
        # Red, green, blue, opaque: a signed number of 32 bits.
        assert [channel.get("Color") for channel in described] == [-0xFFFF01, 0x00FF80FF, None]
    with tifffile.TiffFile(tmp_path / "c.tif") as file:
        said = file.imagej_metadata
        assert said is not None
        assert said["mode"] == "composite"
        ramp = np.arange(256)
        for table, colour in zip(
            said["LUTs"], [(255, 0, 0), (0, 255, 128), (255, 255, 255)], strict=True
        ):
            np.testing.assert_allclose(table, np.outer(colour, ramp / 255), atol=0.5)
        images = np.stack([f.image for f in fused])
        np.testing.assert_array_equal(file.asarray(), images)


def test_without_colours_nothing_is_said_about_them(tmp_path: Path) -> None:
    stack = make_stack((1, 2, 16, 70, 100), "czyx")
    for name in ("b.ome.tif", "c.tif"):
        write(tmp_path / name, [stack], [make_fused(stack)], 128)
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as file:
        assert "Color" not in str(file.ome_metadata)
    with tifffile.TiffFile(tmp_path / "c.tif") as file:
        assert "LUTs" not in (file.imagej_metadata or {})


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.tif", "a.ome.tif", "a.btf", "a.png"])
def test_names_that_no_file_can_hold(tmp_path: Path, name: str) -> None:
    odd = os.fsdecode(b"caf\xe9 \x01") if os.name == "posix" else "caf\udce9 \x01"
    stack = replace(make_stack(), name=odd, channels=(Channel(odd, {"label": odd}),))
    path = tmp_path / name
    provenance = [{"source": odd, odd: [odd]}]
    with open_output(path, [stack], tile=128, provenance=provenance) as output:
        output.sinks[0].write(0, 0, 0, make_fused(stack)[0])
    if name == "a.ome.zarr":
        attributes = zarr.open_group(path, mode="r").attrs.asdict()
        assert attributes["zfuse"]["source"] == "caf\ufffd \x01"
        assert attributes["ome"]["multiscales"][0]["name"] == "caf\ufffd \ufffd"
    elif name == "a.ome.tif":
        with tifffile.TiffFile(path) as file:
            image = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
            assert image["Name"] == "caf\ufffd \ufffd"
            assert json.loads(image["Description"])["source"] == "caf\ufffd \x01"
    np.testing.assert_array_equal(open_fused(path).image, make_fused(stack)[0].image)


@pytest.mark.skipif(sys.platform != "linux", reason="bytes that are no UTF-8 need such a disk")
@pytest.mark.parametrize("name", [b"a\xff.ome.zarr", b"a\xff.tif", b"a\xff.ome.tif", b"a\xff.png"])
def test_output_paths_that_are_no_utf_8(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9") / os.fsdecode(name)
    for overwrite in (False, True):
        with open_output(
            path, [make_stack()], tile=128, provenance=[{}], overwrite=overwrite
        ) as output:
            output.sinks[0].write(0, 0, 0, make_fused(make_stack())[0])
    assert open_fused(path).depth is not None


def test_several_stacks_make_a_collection(tmp_path: Path) -> None:
    import yaozarrs
    from ome_zarr_models.v05 import Image
    from ome_zarr_models.v05.bioformats2raw import BioFormats2Raw

    stacks = [make_stack(), make_stack((1, 2, 4, 30, 40), "czyx", "uint8")]
    fused = [make_fused(stack) for stack in stacks]
    write(tmp_path / "out.ome.zarr", stacks, fused, 128)
    root = zarr.open_group(tmp_path / "out.ome.zarr", mode="r")
    assert root.attrs["ome"]["bioformats2raw.layout"] == 3
    assert root["OME"].attrs["ome"]["series"] == ["0", "1"]
    named = [root[i].attrs["ome"]["multiscales"][0]["name"] for i in ("0", "1")]
    assert named == ["cells 0", "cells 1"]  # both are "cells" in the source
    yaozarrs.validate_zarr_store(tmp_path / "out.ome.zarr")
    BioFormats2Raw.from_zarr(root)
    for index, stack in enumerate(stacks):
        yaozarrs.validate_zarr_store(tmp_path / "out.ome.zarr" / str(index))
        Image.from_zarr(root[str(index)])
        check_zarr(root[str(index)], stack, fused[index])


TIFFS = {
    "imagej": (make_stack(), "a.tif", "imagej"),
    "imagej channels and time": (
        make_stack((2, 3, 16, 70, 100), "tczyx", time_step=2.5),
        "a.tiff",
        "imagej",
    ),
    "imagej rgb": (
        make_stack((1, 3, 4, 70, 100), "czyx", "uint8", rgb=True),
        "a.tif",
        "imagej",
    ),
    "imagej float": (make_stack(dtype="float32"), "a.tif", "imagej"),
    "plain": (make_stack(dtype="int32"), "a.tif", "shaped"),
    "plain rgb": (make_stack((2, 3, 4, 70, 100), "tczyx", rgb=True), "a.tif", "shaped"),
    "big": (make_stack(), "a.btf", "shaped"),
    "ome": (make_stack(), "a.ome.tif", "ome"),
    "ome channels and time": (
        make_stack((2, 3, 16, 70, 100), "tczyx", time_step=2.5),
        "a.OME.TIFF",
        "ome",
    ),
    "ome rgb": (make_stack((1, 3, 4, 70, 100), "czyx", "uint8", rgb=True), "a.ome.tif", "ome"),
    "nothing known": (make_stack(z_step=None, pixel_size=None, channels=()), "a.tif", "imagej"),
}


@pytest.mark.parametrize("tile", [64, 128])
@pytest.mark.parametrize("case", TIFFS)
def test_tiff_holds_the_tiles(tmp_path: Path, case: str, tile: int) -> None:
    stack, name, kind = TIFFS[case]
    fused = make_fused(stack)
    write(tmp_path / name, [stack], [fused], tile)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [name, "a.depth.tif", "a.confidence.tif"]
    )
    with tifffile.TiffFile(tmp_path / name) as file:
        assert getattr(file, f"is_{kind}")
        assert file.is_bigtiff == name.endswith(".btf")
        series = file.series[0]
        images = np.stack([f.image for f in fused])
        if stack.rgb:
            assert file.pages[0].photometric == tifffile.PHOTOMETRIC.RGB
            images = np.moveaxis(images, 1, -1)
        np.testing.assert_array_equal(series.asarray().reshape(images.shape), images)
        assert series.dtype == stack.dtype
    for index, quantity in enumerate(MAPS):
        maps = np.stack([list(expected_maps(stack, f).values())[index] for f in fused])
        values = tifffile.imread(tmp_path / f"a.{quantity}.tif")
        np.testing.assert_array_equal(values.reshape(maps.shape), maps)


def test_tiff_calibration_and_notes(tmp_path: Path) -> None:
    stack = make_stack((1, 2, 16, 70, 100), "czyx")
    write(tmp_path / "a.tif", [stack], [make_fused(stack)], 64)
    write(tmp_path / "b.ome.tif", [stack], [make_fused(stack)], 64)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        said = file.imagej_metadata
        assert said is not None
        assert (said["unit"], said["spacing"], said["Labels"]) == ("um", 0.35, ["DAPI", "GFP"])
        assert json.loads(said["Info"]) == PROVENANCE
        tags = file.pages[0].tags
        assert tags["XResolution"].value == (10, 1)
        assert tags["YResolution"].value == (5, 1)
    with tifffile.TiffFile(tmp_path / "a.depth.tif") as file:
        said = file.imagej_metadata
        assert said is not None
        assert json.loads(said["Info"])["unit"] == "micrometer"
        assert json.loads(said["Info"])["provenance"] == PROVENANCE
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as file:
        xml = file.ome_metadata
        assert xml is not None
        for text in (
            'PhysicalSizeX="0.1"',
            'PhysicalSizeY="0.2"',
            'PhysicalSizeZ="0.35"',
            'PhysicalSizeXUnit="µm"',
            'Name="GFP"',
            "select",
        ):
            assert text in xml


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("rgb", [False, True])
def test_png_holds_the_tiles(tmp_path: Path, dtype: str, rgb: bool) -> None:
    from imagecodecs import imread

    stack = make_stack((1, 3 if rgb else 1, 4, 70, 100), "czyx", dtype, rgb=rgb)
    fused = make_fused(stack)
    write(tmp_path / "a.png", [stack], [fused], 64)
    image = np.moveaxis(fused[0].image, 0, -1) if rgb else fused[0].image[0]
    pixels = imread(tmp_path / "a.png")
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels, image)
    depth = tifffile.imread(tmp_path / "a.depth.tif")
    np.testing.assert_array_equal(depth, expected_maps(stack, fused[0])["depth"])


def test_image_without_a_channel_axis_may_come_as_y_x(tmp_path: Path) -> None:
    stack = make_stack((1, 1, 4, 30, 40))
    fused = make_fused(stack)[0]
    flat = replace(fused, image=fused.image[0])
    with open_output(tmp_path / "a.zarr", [stack], tile=64, provenance=[{}]) as output:
        output.sinks[0].write(0, 0, 0, flat)
    check_zarr(zarr.open_group(tmp_path / "a.zarr", mode="r"), stack, [fused])
