"""Folders of Micro-Manager: image files with ``metadata.txt``, and stacks of each position."""

import json

import numpy as np
import pytest
import tifffile

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources import open_collection, open_stack, open_stacks

SUMMARY = {
    "ChNames": ["DAPI", "GFP"], "ChColors": [-16776961, -1], "PixelSize_um": 0.25,
    "z-step_um": 1.5, "Interval_ms": 3000,
}  # fmt: skip


def planes(*shape):
    return np.random.default_rng(0).integers(0, 4000, (*shape, 24, 32), np.uint16)


def notes(folder, name="metadata.txt", **changed):
    text = json.dumps({"Summary": {**SUMMARY, **changed}, "FrameKey-0-0-0": {}})
    (folder / name).write_text(text, encoding="utf-8")


def test_image_files_with_notes(tmp_path):
    pixels = planes(2, 2, 2, 3)
    for p, t, c, z in np.ndindex(pixels.shape[:4]):
        name = f"img_channel{c:03}_position{p:03}_time{t:09}_z{z:03}.tif"
        tifffile.imwrite(tmp_path / name, pixels[p, t, c, z])
    notes(tmp_path)
    for p, stack in enumerate(open_stacks(tmp_path)):
        assert np.array_equal(np.asarray(stack), pixels[p])
        assert [channel.name for channel in stack.channels] == ["DAPI", "GFP"]
        assert [channel.omero for channel in stack.channels] == [{"color": "0000FF"}, {}]
        assert (stack.z_step, stack.pixel_size, stack.time_step) == (1.5, (0.25, 0.25), 3)


def test_negative_step_means_that_planes_go_down(tmp_path):
    pixels = planes(3)
    for z in range(3):
        tifffile.imwrite(
            tmp_path / f"img_channel000_position000_time000000000_z{z:03}.tif", pixels[z]
        )
    notes(tmp_path, **{"z-step_um": -2, "ChNames": ["DAPI"]})
    with open_stack(tmp_path) as stack:
        assert stack.z_step == 2
        assert np.array_equal(np.asarray(stack), pixels[::-1])
        assert any("fall" in line for line in stack.warnings)


def test_folders_of_positions(tmp_path):
    pixels = planes(2, 3)
    for p in range(2):
        (tmp_path / f"Pos{p}").mkdir()
        for z in range(3):
            name = f"img_000000000_DAPI_{z:03}.tif"
            tifffile.imwrite(tmp_path / f"Pos{p}" / name, pixels[p, z])
        notes(tmp_path / f"Pos{p}", ChNames=["DAPI"])
    found = open_collection(tmp_path)
    assert [member.name for member in found.members] == ["Pos0", "Pos1"]
    for p, member in enumerate(found.members):
        with found.open(member) as stack:
            assert np.array_equal(np.asarray(stack), pixels[p])
            assert stack.z_step == 1.5


def test_folders_without_notes_are_named_as_before(tmp_path):
    (tmp_path / "a").mkdir()
    tifffile.imwrite(tmp_path / "a" / "z0.tif", planes(1)[0])
    with pytest.raises(ZfuseError, match="only folders of images: a"):
        open_collection(tmp_path)


@pytest.mark.parametrize("suffix", [".ome.tif", ".tif"])
def test_stacks_of_positions(tmp_path, suffix):
    names = ["Pos0", "1-Pos_000_001", "Pos10"]
    pixels = planes(3, 3)
    for p, name in enumerate(names):
        place = tmp_path / f"run_MMStack_{name}{suffix}"
        tifffile.imwrite(
            place,
            pixels[p],
            ome=suffix == ".ome.tif",
            metadata={"axes": "ZYX"},
            photometric="minisblack",
        )
    notes(tmp_path, "run_MMStack_Pos0_metadata.txt", ChNames=["DAPI"])
    stacks = open_stacks(tmp_path)
    order = [1, 0, 2]
    assert [stack.name for stack in stacks] == [f"{tmp_path.name} {names[p]}" for p in order]
    for p, stack in zip(order, stacks, strict=True):
        assert np.array_equal(np.asarray(stack), pixels[p])
        assert stack.z_step == 1.5
        assert stack.pixel_size == (0.25, 0.25)


def test_one_stack_in_several_files_is_one_image(tmp_path):
    pixels = planes(4)
    uuids = ["urn:uuid:00000000-0000-0000-0000-00000000000" + n for n in "12"]
    files = [f"run_MMStack_Pos0{n}.ome.tif" for n in ("", "_1")]
    data = "".join(
        f'<TiffData FirstZ="{z}" IFD="{z % 2}" PlaneCount="1"><UUID FileName="{files[z // 2]}">'
        f"{uuids[z // 2]}</UUID></TiffData>"
        for z in range(4)
    )
    for i, file in enumerate(files):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{uuids[i]}"><Image ID="Image:0"><Pixels ID="P:0" DimensionOrder="XYZCT" '
            'Type="uint16" SizeX="32" SizeY="24" SizeZ="4" SizeC="1" SizeT="1">'
            f'<Channel ID="C:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
        )
        tifffile.imwrite(
            tmp_path / file, pixels[2 * i : 2 * i + 2], description=xml, metadata=None,
            photometric="minisblack",
        )  # fmt: skip
    [stack] = open_stacks(tmp_path)
    assert np.array_equal(np.asarray(stack), pixels)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '"Summary": {"PixelSize_um"',
        '{"Summary": [1]}',
        '{"Summary": {"PixelSize_um": "x", "z-step_um": {}, "ChNames": 3}}',
        '{"Summary": ' + '{"a":' * 100_000,
    ],
)
def test_damaged_notes_say_nothing(tmp_path, text):
    pixels = planes(3)
    for z in range(3):
        tifffile.imwrite(tmp_path / f"img_z{z:03}.tif", pixels[z])
    (tmp_path / "metadata.txt").write_text(text)
    with open_stack(tmp_path) as stack:
        assert stack.z_step is None
        assert np.array_equal(np.asarray(stack), pixels)
