"""OME-Zarr: metadata in all its spellings, collections, missing and corrupt chunks."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources import from_array, open_stack, open_stacks

if TYPE_CHECKING:
    from pathlib import Path

    from zfuse.pipeline.core._stack import Stack

PIXELS = np.random.default_rng(3).integers(1, 60000, (4, 64, 64)).astype(np.uint16)


def image(
    place: Any,
    axes: list[Any],
    scale: list[float] | None = None,
    pixels: Any = PIXELS,
    **more: Any,
) -> None:
    """Write an 0.5 image; `more` goes into the multiscale entry, but "omero" beside it."""
    dataset: dict[str, Any] = {"path": "0"}
    if scale:
        dataset["coordinateTransformations"] = [{"type": "scale", "scale": scale}]
    if "translation" in more:
        dataset["coordinateTransformations"].append(
            {"type": "translation", "translation": more.pop("translation")}
        )
    ome: dict[str, Any] = {"version": "0.5"}
    if "omero" in more:
        ome["omero"] = {"channels": more.pop("omero")}
    ome["multiscales"] = [{"axes": axes, "datasets": [dataset], **more}]
    group = zarr.create_group(place, attributes={"ome": ome})
    array = group.create_array("0", shape=pixels.shape, chunks="auto", dtype=pixels.dtype)
    array[...] = pixels


def space(names: str, unit: str | None = "micrometer") -> list[dict[str, str]]:
    return [{"name": n, "type": "space"} | ({"unit": unit} if unit else {}) for n in names]


def read(stack: Stack) -> Any:
    _, _, z, y, x = stack.shape
    return stack.reader.read(0, slice(0, z), slice(0, y), slice(0, x))


def test_units_scales_and_translations(tmp_path: Path) -> None:
    axes = [{"name": "t", "type": "time", "unit": "minute"}, *space("zyx", "nanometer")]
    image(
        tmp_path / "a.zarr",
        axes,
        [2, 500, 100, 200],
        PIXELS[None],
        translation=[0, 1000, 10, 20],
        coordinateTransformations=[{"type": "scale", "scale": [1, 2, 1, 1]}],
        name="cells",
    )
    stack = open_stack(tmp_path / "a.zarr")
    assert (stack.axes, stack.name, stack.warnings) == ("tzyx", "cells", ())
    assert stack.z_step == pytest.approx(1.0)
    assert stack.pixel_size == pytest.approx((0.1, 0.2))
    assert stack.time_step == pytest.approx(120)
    assert stack.origin == pytest.approx((2.0, 0.01, 0.02))


def test_missing_units(tmp_path: Path) -> None:
    image(tmp_path / "a.zarr", space("zyx", None), [1, 0.5, 0.5])
    stack = open_stack(tmp_path / "a.zarr")
    assert stack.z_step is None
    assert stack.pixel_size == (0.5, 0.5)
    assert "axis y has no unit" in stack.warnings[0]
    image(tmp_path / "b.zarr", space("zyx", "parsec"), [1, 0.5, 0.5])
    assert open_stack(tmp_path / "b.zarr").pixel_size is None


def test_slightly_invalid_metadata_is_read_with_a_warning(tmp_path: Path) -> None:
    image(tmp_path / "a.zarr", ["z", "y", "x"])
    stack = open_stack(tmp_path / "a.zarr")
    assert "not quite valid" in stack.warnings[0]
    np.testing.assert_array_equal(read(stack)[:, 0], PIXELS)


@pytest.mark.parametrize(
    ("colours", "dtype", "rgb"),
    [
        (["FF0000", "00FF00", "0000FF"], "uint8", True),
        (["FF0000", "00FF00", "0000FF"], "uint16", False),
        (["00FF00", "FF0000", "0000FF"], "uint8", False),
    ],
)
def test_channels_and_rgb(tmp_path: Path, colours: list[str], dtype: str, rgb: bool) -> None:
    omero = [{"label": f"L{i}", "color": colour} for i, colour in enumerate(colours)]
    pixels = np.ones((3, *PIXELS.shape), dtype)
    axes = [{"name": "c", "type": "channel"}, *space("zyx")]
    image(tmp_path / "a.zarr", axes, [1, 1, 1, 1], pixels, omero=omero)
    stack = open_stack(tmp_path / "a.zarr")
    assert stack.rgb is rgb
    assert [channel.name for channel in stack.channels] == ["L0", "L1", "L2"]
    assert stack.channels[0].omero == omero[0]


def collection(folder: Path, *, series: list[str] | None = None) -> Path:
    root = folder / "c.zarr"
    zarr.create_group(root, attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}})
    for i, path in enumerate(series or ["0", "1", "2"]):
        if i == 1:  # an overview picture
            image(root / path, space("yx"), [1, 1], PIXELS[0])
        else:
            image(root / path, space("zyx"), [1, 1, 1], PIXELS + i)
    if series:
        zarr.create_group(root / "OME", attributes={"ome": {"version": "0.5", "series": series}})
    return root


@pytest.mark.parametrize("series", [None, ["b", "a", "0"]])
def test_collections(tmp_path: Path, series: list[str] | None) -> None:
    root = collection(tmp_path, series=series)
    stacks = open_stacks(root)
    assert [read(stack)[0, 0, 0, 0] for stack in stacks] == [PIXELS[0, 0, 0], PIXELS[0, 0, 0] + 2]
    assert "no z axis" in stacks[0].warnings[-1]
    with pytest.raises(ZfuseError, match="3 images and none was chosen; choose one with series=0"):
        open_stack(root)
    with pytest.raises(ZfuseError, match="no series 3"):
        open_stack(root, series=3)
    with pytest.raises(ZfuseError, match="no z axis"):
        open_stack(root, series=1)
    np.testing.assert_array_equal(read(open_stack(root, series=2))[:, 0], PIXELS + 2)
    np.testing.assert_array_equal(read(open_stack(f"{root}/{(series or '0')[0]}"))[:, 0], PIXELS)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("how", ["missing", "damaged", "metadata"])
def test_no_image_of_a_collection_may_be_missing(tmp_path: Path, declared: bool, how: str) -> None:
    root = collection(tmp_path, series=["0", "1", "2", "3"] if declared else None)
    if not declared:
        image(root / "3", space("zyx"), [1, 1, 1], PIXELS + 3)
    if how == "missing":
        shutil.rmtree(root / "2")
    elif how == "damaged":
        (root / "2/zarr.json").write_text("{")
    else:
        zarr.open_group(root / "2").attrs["ome"] = {"multiscales": 5}
    with pytest.raises(ZfuseError, match=r"image 2 of 4 cannot be used: .*--allow-missing"):
        open_stacks(root)
    first, last = open_stacks(root, allow_missing=True)
    assert [line.split(":")[0] for line in first.warnings[-2:]] == ["left out"] * 2
    np.testing.assert_array_equal(read(last)[:, 0], PIXELS + 3)
    np.testing.assert_array_equal(read(open_stack(root, series=0))[:, 0], PIXELS)


def test_descending_planes_are_turned_round(tmp_path: Path) -> None:
    image(tmp_path / "a.zarr", space("zyx"), [-0.5, 1, 1], translation=[9, 0, 0])
    stack = open_stack(tmp_path / "a.zarr")
    assert (stack.z_step, stack.origin) == (0.5, (7.5, 0, 0))
    assert "the other way round" in stack.warnings[-1]
    np.testing.assert_array_equal(read(stack)[:, 0], PIXELS[::-1])
    window = stack.reader.read(0, slice(1, 3), slice(5, 40), slice(0, 64))
    np.testing.assert_array_equal(window[:, 0], PIXELS[::-1][1:3, 5:40])


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        (0, "which is no size"),
        (float("nan"), "which is no size"),
        (1e300, "which is no size"),
        (float("inf"), "which is no size"),
    ],
)
def test_a_step_that_is_no_size_is_unknown(tmp_path: Path, scale: float, said: str) -> None:
    image(tmp_path / "a.zarr", space("zyx"), [scale, 1, 1])
    stack = open_stack(tmp_path / "a.zarr")
    assert stack.z_step is None
    assert stack.pixel_size == (1, 1)
    assert said in stack.warnings[-1]


def test_an_axis_that_runs_backwards_is_told(tmp_path: Path) -> None:
    image(tmp_path / "a.zarr", space("zyx"), [1, -0.5, 0.5])
    stack = open_stack(tmp_path / "a.zarr")
    assert stack.pixel_size == (0.5, 0.5)
    assert "runs backwards" in stack.warnings[-1]


def test_an_axis_of_no_meaning_is_not_cut(tmp_path: Path) -> None:
    angle = [{"name": "angle"}, *space("zyx")]
    image(tmp_path / "a.zarr", angle, [1, 1, 1, 1], np.stack([PIXELS, PIXELS]))
    with pytest.raises(ZfuseError, match="none of TCZYX of length 2"):
        open_stack(tmp_path / "a.zarr")


def test_control_characters_stay_away_from_the_terminal(tmp_path: Path) -> None:
    escape = "\x1b]0;owned\x07"
    omero = [{"label": f"a{escape}", "color": "00FF00"}]
    image(tmp_path / "a.zarr", space("zyx"), [1, 1, 1], name=f"b{escape}\n", omero=omero)
    stack = open_stack(tmp_path / "a.zarr")
    assert stack.name == "b ]0;owned"
    assert stack.channels[0].name == "a ]0;owned"
    zarr.open_group(tmp_path / "a.zarr").attrs["ome"] = {
        "multiscales": [{"datasets": [{"path": escape}]}]
    }
    with pytest.raises(ZfuseError, match="missing") as refused:
        open_stack(tmp_path / "a.zarr")
    assert str(refused.value).isprintable()


def test_settings_of_a_wrong_type_are_left_out(tmp_path: Path) -> None:
    omero = [{"label": "a", "color": "00FF00", "window": [5], "active": [], "mine": 7}]
    image(tmp_path / "a.zarr", space("zyx"), [1, 1, 1], omero=omero)
    kept = open_stack(tmp_path / "a.zarr").channels[0].omero
    assert kept == {"label": "a", "color": "00FF00", "mine": 7}


def test_omero_entries_beyond_the_channels_are_not_looked_at(tmp_path: Path) -> None:
    image(tmp_path / "a.zarr", space("zyx"), [1, 1, 1], omero=[{"color": 5}] * 1000)
    stack = open_stack(tmp_path / "a.zarr")
    assert stack.channels[0].name == "channel 0"
    assert stack.warnings == ()


def test_a_well_is_a_collection_and_a_plate_one_of_all_fields(tmp_path: Path) -> None:
    plate = {"plate": {"wells": [{"path": "B/3", "rowIndex": 0, "columnIndex": 0}]}}
    zarr.create_group(tmp_path / "p.zarr", attributes={"ome": {"version": "0.5", **plate}})
    well = {"well": {"images": [{"path": "0"}, {"path": "1"}]}}
    zarr.create_group(tmp_path / "p.zarr/B/3", attributes={"ome": {"version": "0.5", **well}})
    for field in "01":
        image(tmp_path / f"p.zarr/B/3/{field}", space("zyx"), [1, 1, 1])
    with pytest.raises(ZfuseError, match=r"plate of 2 images and none was chosen.*series=1"):
        open_stack(tmp_path / "p.zarr")
    assert [stack.source[-6:] for stack in open_stacks(tmp_path / "p.zarr")] == ["/B/3/0", "/B/3/1"]
    assert len(open_stacks(tmp_path / "p.zarr/B/3")) == 2


def test_a_bare_array_is_taken_by_convention(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=PIXELS)
    stack = open_stack(tmp_path / "a.zarr")
    assert (stack.axes, stack.z_step, stack.pixel_size) == ("zyx", None, None)
    assert "bare zarr array" in stack.warnings[0]
    named = zarr.create_array(tmp_path / "b.zarr", data=PIXELS, dimension_names=["y", "z", "x"])
    assert open_stack(tmp_path / "b.zarr").shape == (1, 1, 64, 4, 64)
    named[...] = PIXELS


LAYOUTS: dict[str, dict[str, Any]] = {
    "v2": {"zarr_format": 2},
    "v2_blosc_none": {"zarr_format": 2, "fill_value": None},
    "v3": {},
    "v3_lz4": {"compressors": zarr.codecs.BloscCodec(cname="lz4")},
    "v3_raw": {"compressors": None},
    "sharded": {"shards": (2, 64, 64)},
    "sharded_start": {"shards": {"shape": (2, 64, 64), "index_location": "start"}},
    "sharded_raw": {"shards": (4, 32, 32), "compressors": None},
}


@pytest.fixture(params=LAYOUTS)
def array(request: pytest.FixtureRequest, tmp_path: Path) -> zarr.Array[Any]:
    made = zarr.create_array(
        tmp_path / "a.zarr", shape=PIXELS.shape, chunks=(1, 32, 32), dtype="uint16",
        **LAYOUTS[request.param],
    )  # fmt: skip
    made[...] = PIXELS
    return made


@pytest.fixture(params=["zarrs", "zarr-python"], autouse=True)
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    from zfuse.pipeline.sources import _zarr_store

    if request.param == "zarrs":
        pytest.importorskip("zarrs")
    monkeypatch.setattr(_zarr_store, "have_zarrs", lambda: request.param == "zarrs")
    name: str = request.param
    return name


def stored_files(folder: Path) -> list[Path]:
    skip = {"zarr.json", ".zarray", ".zattrs", ".zgroup"}
    return sorted(f for f in folder.rglob("*") if f.is_file() and f.name not in skip)


def test_zarrs_decodes_local_arrays(array: zarr.Array[Any], decoder: str, tmp_path: Path) -> None:
    reader: Any = open_stack(tmp_path / "a.zarr").reader
    used = type(reader._array.async_array.codec_pipeline).__name__
    assert used == {"zarrs": "ZarrsCodecPipeline", "zarr-python": "BatchedCodecPipeline"}[decoder]
    assert "zarrs" not in zarr.config.get("codec_pipeline.path")


def test_a_missing_chunk_is_named(array: zarr.Array[Any], tmp_path: Path) -> None:
    gone = stored_files(tmp_path / "a.zarr")[-1]
    gone.unlink()
    with pytest.raises(ZfuseError, match=r"chunk .* is missing \(\d of 16 .*--allow-missing"):
        read(open_stack(tmp_path / "a.zarr"))
    pixels = read(open_stack(tmp_path / "a.zarr", allow_missing=True))
    assert (pixels == 0).any()
    with pytest.raises(ZfuseError, match="is missing"):
        read(from_array(array))


def test_stored_zeros_are_not_missing(array: zarr.Array[Any], tmp_path: Path) -> None:
    array.with_config({"write_empty_chunks": True})[...] = 0
    assert not read(open_stack(tmp_path / "a.zarr")).any()


def test_a_missing_inner_chunk_is_named(array: zarr.Array[Any], tmp_path: Path) -> None:
    if array.shards is None:
        pytest.skip("not sharded")
    array[1, 32:, :32] = 0  # zarr-python leaves out chunks that are empty
    with pytest.raises(ZfuseError, match=r"inner chunk .* is missing \(1 of 16"):
        read(open_stack(tmp_path / "a.zarr"))
    stack = open_stack(tmp_path / "a.zarr")
    window = stack.reader.read(0, slice(1, 3), slice(0, 32), slice(0, 64))
    np.testing.assert_array_equal(window[:, 0], PIXELS[1:3, :32])


@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_a_truncated_chunk_is_named(array: zarr.Array[Any], tmp_path: Path, keep: float) -> None:
    file = stored_files(tmp_path / "a.zarr")[-1]
    os.truncate(file, int(file.stat().st_size * keep))
    with pytest.raises(ZfuseError, match=r"a\.zarr: chunk .*(decoded|missing)"):
        read(open_stack(tmp_path / "a.zarr"))


def test_a_large_chunk_is_looked_for_before_it_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (2, 1, 2**27)
    zarr.create_array(tmp_path / "a.zarr", shape=shape, chunks=shape, dtype="uint8")
    stack = open_stack(tmp_path / "a.zarr")
    monkeypatch.setattr(zarr.Array, "get_basic_selection", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(ZfuseError, match=r"chunk .* is missing \(1 of 1"):
        stack.reader.read(0, slice(0, 1), slice(0, 1), slice(0, 8))


def test_nan_fill_values(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(2, 8, 8), chunks=(1, 8, 8), dtype="f4", fill_value=np.nan
    )
    array[0] = 1
    with pytest.raises(ZfuseError, match="is missing"):
        read(open_stack(tmp_path / "a.zarr"))


def damaged(folder: Path, ome: dict[str, Any]) -> Path:
    zarr.create_group(folder / "a.zarr", attributes={"ome": ome})
    return folder / "a.zarr"


BAD_METADATA = {
    "no dataset": ({"multiscales": [{"axes": []}]}, r"damaged .*multiscales\.0\.datasets"),
    "dataset gone": ({"multiscales": [{"datasets": [{"path": "7"}]}]}, "'7', which is missing"),
    "no multiscales": ({}, "no multiscales"),
    "no images": ({"bioformats2raw.layout": 3}, "no multiscales"),
}


@pytest.mark.parametrize("case", BAD_METADATA)
def test_bad_metadata(tmp_path: Path, case: str) -> None:
    ome, message = BAD_METADATA[case]
    with pytest.raises(ZfuseError, match=message):
        open_stack(damaged(tmp_path, ome))


def test_wrong_number_of_axes(tmp_path: Path) -> None:
    image(tmp_path / "a.zarr", space("zyx"), [1, 1, 1], PIXELS[None])
    with pytest.raises(ZfuseError, match="3 axes"):
        open_stack(tmp_path / "a.zarr")


def test_unreadable_json(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr/zarr.json").write_text(json.dumps({"zarr_format": 3})[:-4])
    with pytest.raises(ZfuseError, match="cannot be opened as OME-Zarr"):
        open_stack(tmp_path / "a.zarr")
