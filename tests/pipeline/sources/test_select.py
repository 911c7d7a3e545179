"""`--select`: what a person writes for wells, fields, images, times and channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.plates import SIZE, field_pixels, write_image, write_plate

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources import open_collection, open_stack

if TYPE_CHECKING:
    from pathlib import Path

    from zfuse.pipeline.core import Stack

WELLS = {
    "A/01": ["0", "1"],
    "A/02": ["0", "1", "2"],
    "B/02": ["0", "1"],
    "B/11": ["0"],
    "C/11": ["0"],
}
COLUMNS = ("01", "02", "03", "11")


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    days = [{"id": 1}, {"id": 2}]
    return write_plate(
        tmp_path_factory.mktemp("plate") / "p.zarr",
        WELLS,
        columns=COLUMNS,
        acquisitions=days,
        times=6,
        channels=("DAPI", "Alexa 488", "561"),
    )


def read(stack: Stack, t: int = 0) -> Any:
    _, _, z, y, x = stack.shape
    return stack.reader.read(t, slice(0, z), slice(0, y), slice(0, x))


ALL = [f"{well}/{field}" for well, fields in WELLS.items() for field in fields]


@pytest.mark.parametrize(
    ("select", "paths"),
    [
        ("B02", ["B/02/0", "B/02/1"]),
        ("b2", ["B/02/0", "B/02/1"]),
        ("B/02", ["B/02/0", "B/02/1"]),
        ("B/2", ["B/02/0", "B/02/1"]),
        ("B/02/1", ["B/02/1"]),
        ("B02/1", ["B/02/1"]),
        ("B", ["B/02/0", "B/02/1", "B/11/0"]),
        ("B*", ["B/02/0", "B/02/1", "B/11/0"]),
        ("B/*", ["B/02/0", "B/02/1", "B/11/0"]),
        ("*02", ["A/02/0", "A/02/1", "A/02/2", "B/02/0", "B/02/1"]),
        ("*/02/0", ["A/02/0", "B/02/0"]),
        ("A02-B11", ["A/02/0", "A/02/1", "A/02/2", "B/02/0", "B/02/1", "B/11/0"]),
        ("B2-11", ["B/02/0", "B/02/1", "B/11/0"]),
        ("B-C", ["B/02/0", "B/02/1", "B/11/0", "C/11/0"]),
        ("A01,C11", ["A/01/0", "A/01/1", "C/11/0"]),
        ("A01 C11", ["A/01/0", "A/01/1", "C/11/0"]),
        (["A01", "C11"], ["A/01/0", "A/01/1", "C/11/0"]),
        ("rows=B-C", ["B/02/0", "B/02/1", "B/11/0", "C/11/0"]),
        ("rows=A,C columns=11", ["C/11/0"]),
        ("columns=2-11 fields=1-2", ["A/02/1", "A/02/2", "B/02/1"]),
        ("fields=:1", [p for p in ALL if p.endswith("/0")]),
        (["well=A02", "field=2"], ["A/02/2"]),
        ("acquisition=2", [p for p in ALL if p.endswith("/1")]),
        ("t=0", ALL),
    ],
)
def test_wells_and_fields(plate: Path, select: Any, paths: list[str]) -> None:
    found = open_collection(plate, select=select)
    assert [member.path for member in found.members] == paths
    assert found.kind == "plate"
    assert found.plate == open_collection(plate).plate  # the plate keeps its shape


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ("B07", r"no column '0?7'; it has 01, 02, 03, 11"),
        ("D01", r"no row 'D'; it has A, B, C"),
        ("C02", r"no well 'C02'; (did you mean ./\d\d\? )?it has A/01, A/02, B/02, B/11, C/11"),
        ("rows=A-D", r"no row 'A-D'; it has A, B, C"),
        ("rows=C-A", r"no row 'C-A'"),
        ("fields=7", r"no field '7'; it has 0, 1, 2"),
        ("fields=5:9", r"no field '5:9'"),
        ("B/02/7", r"no field '7'"),
        ("B/02/1/4", r"no place in a plate"),
        ("acquisition=9", r"no acquisition '9'; it has 1, 2"),
        ("C11 fields=2", r"in all that was selected"),
        ("z=3", r"'z' cannot be selected; give a well"),
        ("t=", r"'t=' lacks a value"),
        ("A01,,B02", r"lacks a value"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(plate: Path, select: str, said: str) -> None:
    with pytest.raises(ZfuseError, match=said):
        open_collection(plate, select=select)


@pytest.mark.parametrize(
    ("select", "times", "channels"),
    [
        ("t=2", [2], [0, 1, 2]),
        ("t=1-3", [1, 2, 3], [0, 1, 2]),
        ("t=1:3", [1, 2], [0, 1, 2]),
        ("t=::2", [0, 2, 4], [0, 1, 2]),
        ("t=-2:", [4, 5], [0, 1, 2]),
        ("t=5,0", [0, 5], [0, 1, 2]),
        ("t=3:100", [3, 4, 5], [0, 1, 2]),
        ("c=DAPI", range(6), [0]),
        ("c=561", range(6), [2]),
        ("c=2", range(6), [2]),
        ("c=alexa 488,dapi t=1", [1], [0, 1]),
        ("c=A*", range(6), [1]),
        (["t=1", "t=4", "c=0-1"], [1, 4], [0, 1]),
    ],
)
def test_times_and_channels(plate: Path, select: Any, times: Any, channels: list[int]) -> None:
    found = open_collection(plate, select=select)
    stack, whole = found.open(found.members[0]), open_stack(plate, series=0)
    assert stack.shape == (len(times), len(channels), *SIZE)
    pixels = field_pixels("A/01/0", times=6, channels=3)
    for i, t in enumerate(times):
        np.testing.assert_array_equal(read(stack, i), np.swapaxes(pixels[t, channels], 0, 1))
    window = stack.reader.read(0, slice(1, 3), slice(5, 20), slice(30, 31))
    np.testing.assert_array_equal(window, read(stack)[1:3, :, 5:20, 30:31])
    assert stack.channels == tuple(whole.channels[c] for c in channels)
    assert (stack.z_step, stack.pixel_size, stack.origin) == (0.5, (0.25, 0.25), (3, 100, 200))
    assert stack.axes == whole.axes
    stack.close()


def test_the_time_step_of_what_is_left(plate: Path) -> None:
    for select, step in (("t=0", 60), ("t=::2", 120), ("t=1-3", 60), ("t=0,1,5", None)):
        stack = open_stack(plate, series=0, select=select)
        assert stack.time_step == step
        assert ("not evenly spaced" in " ".join(stack.warnings)) == (step is None)


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ("t=6", r"no time point '6'; (did .*)?it has 0, 1, 2, 3, 4, 5"),
        ("t=4-6", r"no time point '4-6'"),
        ("t=9:", r"no time point '9:'"),
        ("t=::0", r"no time point '::0'"),
        ("c=GFP", r"no channel 'GFP'; it has DAPI, Alexa 488, 561"),
        ("c=Alexa 448", r"did you mean Alexa 488\?"),
        ("c=3", r"no channel '3'"),
    ],
)
def test_times_and_channels_that_are_not_there(plate: Path, select: str, said: str) -> None:
    found = open_collection(plate, select=select)
    with pytest.raises(ZfuseError, match=said):
        found.open(found.members[0])


def test_one_field_of_a_plate_is_opened_by_its_place(plate: Path) -> None:
    assert open_stack(plate, select="B/11/0").name == "B/11/0"
    with pytest.raises(ZfuseError, match=r"or select='A/01/0'"):
        open_stack(plate)
    with pytest.raises(ZfuseError, match=r"3 images of .* are meant, one is needed"):
        open_stack(plate, select="A02")
    with pytest.raises(ZfuseError, match="give one of them"):
        open_stack(plate, series=1, select="A02")
    assert open_stack(plate, series=1, select="t=1").shape[0] == 1


def test_images_of_a_collection(tmp_path: Path) -> None:
    import zarr

    root = tmp_path / "c.zarr"
    zarr.create_group(root, attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}})
    for i in range(4):
        write_image(root / str(i), field_pixels(str(i)), ["a", "b"])
    for select, paths in (("2", "2"), ("1-3", "123"), (":2", "01"), ("image=0,3", "03")):
        found = open_collection(root, select=select)
        assert [member.path for member in found.members] == list(paths)
        targets = [""] if len(paths) == 1 else [str(i) for i in range(len(paths))]
        assert [member.target for member in found.members] == targets
    with pytest.raises(ZfuseError, match="no image '7'; it has 0, 1, 2, 3"):
        open_collection(root, select="7")
    with pytest.raises(ZfuseError, match="no plate"):
        open_collection(root, select="rows=A")
    with pytest.raises(ZfuseError, match=r"single image; only its times \(t=\)"):
        open_collection(root / "0", select="B03")
    assert open_stack(root / "0", select="c=b").shape[1] == 1


def test_colours_that_are_torn_apart_are_none(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((4, 32, 32, 3), np.uint8), photometric="rgb")
    assert open_stack(tmp_path / "rgb.tif", select="c=red,green,blue").rgb
    assert not open_stack(tmp_path / "rgb.tif", select="c=red").rgb


def test_of_a_well_that_is_missing_nobody_knows_the_fields(tmp_path: Path) -> None:
    place = write_plate(tmp_path / "p.zarr", {"A/01": ["0", "1"]}, declared=["B/01"])
    for select, paths in (
        ("fields=1", ["A/01/1", "B/01"]),
        ("*/*/1", ["A/01/1", "B/01"]),
        ("B01", ["B/01"]),
        ("A", ["A/01/0", "A/01/1"]),
    ):
        found = open_collection(place, select=select)
        assert [member.path for member in found.members] == paths
