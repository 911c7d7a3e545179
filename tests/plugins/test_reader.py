"""The reader: fused outputs become layers, everything else is refused at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import dask.array
import numpy as np
import pytest
import zarr
from support.runs import TCZYX, fuse_to, read_zarr, write_collection, write_image

from zfuse.plugins._reader import get_reader

if TYPE_CHECKING:
    from pathlib import Path

layers = pytest.importorskip("napari.layers", reason="napari is not installed")

RGB = [
    {"label": name, "color": colour, "window": {"start": 0, "end": 255, "min": 0, "max": 255}}
    for name, colour in (("r", "FF0000"), ("g", "00FF00"), ("b", "0000FF"))
]
CHANNELS = [
    {"label": "DAPI", "color": "0000FF", "window": {"start": 10, "end": 900, "min": 0, "max": 4e3}},
    {"label": "GFP", "color": "00FF00", "window": {"start": 20, "end": 800, "min": 0, "max": 4e3}},
]


def _layers(path: Path) -> list:
    reader = get_reader(str(path))
    assert reader is not None
    return [layers.Layer.create(*data) for data in reader(str(path))]


def test_one_stack_opens_as_three_layers(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", TCZYX[0, 0], "zyx")
    fuse_to(tmp_path / "in.zarr", tmp_path / "out.ome.zarr", method={"name": "select"})
    confidence, depth, image = _layers(tmp_path / "out.ome.zarr")
    written = read_zarr(tmp_path / "out.ome.zarr")
    np.testing.assert_array_equal(image.data, written["0"][0])
    np.testing.assert_array_equal(depth.data, written["depth/0"][0])
    np.testing.assert_array_equal(confidence.data, written["confidence/0"][0])
    for layer in (image, depth, confidence):
        assert layer.ndim == 2  # it lies over every plane of the stack
        assert layer.scale.tolist() == [0.1, 0.1]
        assert [str(unit) for unit in layer.units] == ["micrometer"] * 2
        assert layer.metadata["zfuse"]["method"]["name"] == "select"
    assert (image.name, depth.name) == ("in fused", "in depth (µm)")
    assert [layer.visible for layer in (image, depth, confidence)] == [True, False, False]
    assert depth.colormap.name == "viridis"
    assert list(depth.contrast_limits) == [0, 2]  # 5 planes of 0.5 µm
    assert list(confidence.contrast_limits) == [0, 1]


def test_channels_have_their_colours_and_depths(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", TCZYX[0], "czyx", omero={"channels": CHANNELS})
    fuse_to(tmp_path / "in.zarr", tmp_path / "out.zarr", method={"name": "select"}, channel="each")
    found = _layers(tmp_path / "out.zarr")
    written = read_zarr(tmp_path / "out.zarr")
    assert [layer.name for layer in found] == [
        "in confidence DAPI", "in confidence GFP", "in depth DAPI (µm)", "in depth GFP (µm)",
        "in fused DAPI", "in fused GFP",
    ]  # fmt: skip
    for c in range(2):
        np.testing.assert_array_equal(found[4 + c].data, written["0"][c, 0])
        np.testing.assert_array_equal(found[2 + c].data, written["depth/0"][c, 0])
        assert found[4 + c].blending == "additive"
    assert found[4].colormap.colors[-1].tolist() == [0, 0, 1, 1]
    assert list(found[5].contrast_limits) == [20, 800]


def test_channels_that_decide_together_have_one_depth(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", TCZYX[0], "czyx")
    fuse_to(
        tmp_path / "in.zarr", tmp_path / "out.zarr", method={"name": "select"}, channel="together"
    )
    found = _layers(tmp_path / "out.zarr")
    assert [layer.metadata["zfuse"]["quantity"] for layer in found] == [
        "confidence", "depth", "image", "image"
    ]  # fmt: skip


def test_time_keeps_its_axis_and_lies_over_all_planes(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", TCZYX)
    fuse_to(tmp_path / "in.zarr", tmp_path / "out.zarr", method={"name": "select"})
    found = _layers(tmp_path / "out.zarr")
    written = read_zarr(tmp_path / "out.zarr")
    assert {layer.data.shape for layer in found} == {(2, 1, 150, 200)}
    np.testing.assert_array_equal(found[-1].data[1, 0], written["0"][1, 1, 0])
    for z in np.arange(5) * 0.5:  # µm: at every plane of the stack it is the one plane
        index = found[0].world_to_data((1.0, z, 0.0, 0.0))
        assert round(index[1]) == 0
        assert abs(index[1]) < 0.5


def test_colours_stay_together(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 4, 60, 70)).astype(np.uint8)
    write_image(tmp_path / "in.zarr", pixels, "czyx", omero={"channels": RGB})
    fuse_to(tmp_path / "in.zarr", tmp_path / "out.zarr", method={"name": "select"})
    *maps, image = _layers(tmp_path / "out.zarr")
    assert image.rgb
    written = read_zarr(tmp_path / "out.zarr")["0"]
    np.testing.assert_array_equal(image.data, np.moveaxis(written[:, 0], 0, -1))
    assert len(maps) == 2


def test_pyramids_are_multiscale_and_lazy(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 900, 700)).astype(np.uint8)
    write_image(tmp_path / "in.zarr", pixels, "zyx")
    fuse_to(tmp_path / "in.zarr", tmp_path / "out.zarr", method={"name": "select"}, tile=256)
    for data, meta, _ in get_reader(str(tmp_path / "out.zarr"))(str(tmp_path / "out.zarr")):
        assert meta["multiscale"]
        assert all(isinstance(level, dask.array.Array) for level in data)
        assert [level.shape for level in data][:2] == [(900, 700), (450, 350)]


def test_collections_open_all_images_and_show_the_first(tmp_path: Path) -> None:
    write_collection(tmp_path / "in.zarr")
    fuse_to(tmp_path / "in.zarr", tmp_path / "out.zarr", method={"name": "select"})
    found = _layers(tmp_path / "out.zarr")
    assert [layer.metadata["zfuse"]["quantity"] for layer in found] == (
        ["confidence"] * 2 + ["depth"] * 2 + ["image"] * 2 + ["confidence", "depth", "image"]
    )
    assert [layer.visible for layer in found] == [False] * 4 + [True] * 2 + [False] * 3


@pytest.mark.parametrize("kind", ["other zarr", "bare array", "version 2", "folder", "nothing"])
def test_what_zfuse_did_not_write_is_left_to_others(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "x.zarr"
    if kind == "other zarr":
        write_image(place, TCZYX[0, 0], "zyx")
    elif kind == "bare array":
        zarr.save_array(place, TCZYX[0, 0], zarr_format=3)
    elif kind == "version 2":
        zarr.save_array(place, TCZYX[0, 0], zarr_format=2)
    elif kind == "folder":
        place.mkdir()
        (place / "zarr.json").write_text("[1, 2")
    assert get_reader(str(place)) is None
    assert get_reader([str(place)]) is None


def test_a_huge_folder_is_refused_without_looking_at_it(tmp_path: Path) -> None:
    for i in range(3000):
        (tmp_path / f"{i}.tif").touch()
    begun = time.perf_counter()
    assert get_reader(str(tmp_path)) is None
    assert time.perf_counter() - begun < 0.05
