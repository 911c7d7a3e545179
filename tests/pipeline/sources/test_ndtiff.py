"""NDTiff data sets that ndstorage wrote, and such that are damaged."""

import json
import struct

import numpy as np
import pytest

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources import open_collection, open_stack, open_stacks

SUMMARY = {"PixelSize_um": 0.25, "z-step_um": 1.5, "ChNames": ["b", "a"], "Interval_ms": 2000}


def planes(*shape, dtype=np.uint16):
    return np.random.default_rng(0).integers(0, 200, (*shape, 24, 32), dtype)


@pytest.fixture
def written(tmp_path):
    """Return what writes a data set of (axes, pixels, metadata), and gives its folder."""
    ndstorage = pytest.importorskip("ndstorage", reason="ndstorage is not installed")

    def write(images, summary=SUMMARY, name="set"):
        data = ndstorage.NDTiffDataset(
            str(tmp_path), name=name, summary_metadata=summary, writable=True
        )
        for axes, pixels, *metadata in images:
            data.put_image(axes, pixels, metadata[0] if metadata else {"i": 1})
        data.finish()
        data.close()
        return next(path.parent for path in tmp_path.rglob("NDTiff.index"))

    return write


pytestmark = pytest.mark.filterwarnings("ignore")  # ndstorage's


def test_time_channels_and_planes(written):
    pixels = planes(2, 2, 3)
    folder = written(
        ({"time": t, "channel": "ba"[c], "z": z}, pixels[t, c, z])
        for t, c, z in np.ndindex(2, 2, 3)
    )
    for place in (folder, folder / "NDTiff.index"):
        with open_stack(place) as stack:
            assert np.array_equal(np.asarray(stack), pixels)
            assert [channel.name for channel in stack.channels] == ["b", "a"]
            assert stack.z_step == 1.5
            assert stack.pixel_size == (0.25, 0.25)
            assert stack.time_step == 2
            assert stack.kind == "NDTiff"
            window = stack.reader.read(1, slice(1, 3), slice(3, 9), slice(5, 30))
            assert np.array_equal(window, pixels[1].swapaxes(0, 1)[1:3, :, 3:9, 5:30])


def test_positions_are_images_and_open_one_at_a_time(written):
    pixels = planes(12, 3)
    folder = written(({"position": p, "z": z}, pixels[p, z]) for p, z in np.ndindex(12, 3))
    found = open_collection(folder)
    assert [member.name for member in found.members] == [f"position {p}" for p in range(12)]
    for p, member in enumerate(found.members):
        with found.open(member) as stack:
            assert np.array_equal(np.asarray(stack), pixels[p])


def test_tiles_are_images_of_their_own(written):
    pixels = planes(2, 3)
    folder = written(({"row": 0, "column": c, "z": z}, pixels[c, z]) for c, z in np.ndindex(2, 3))
    stacks = open_stacks(folder)
    for stack, want in zip(stacks, pixels, strict=True):
        np.testing.assert_array_equal(np.asarray(stack), want)
    assert "not stitched" in stacks[0].warnings[-1]
    assert stacks[1].name.endswith("row 0 column 1")


def test_axes_may_come_in_any_order(tmp_path):
    size = 4 * 4 * 2
    orders = [{"row": 0, "z": 0, "column": 1}, {"column": 1, "row": 0, "z": 1}]
    index = [entry(axes, numbers=(28 + n * size, 4, 4, 1, 0, 28 + 2 * size, 2, 0))
             for n, axes in enumerate(orders)]  # fmt: skip
    pixels = np.arange(32, dtype=np.uint16).reshape(2, 4, 4)
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(24) + pixels.tobytes() + b"{}")
    (tmp_path / "NDTiff.index").write_bytes(b"".join(index))
    with open_stack(tmp_path) as stack:
        assert np.array_equal(np.asarray(stack), pixels)


def test_full_resolution_of_a_pyramid(written, tmp_path):
    pixels = planes(3)
    folder = written(({"z": z}, pixels[z]) for z in range(3))
    (tmp_path / "pyramid").mkdir()
    folder.rename(tmp_path / "pyramid" / "Full resolution")
    with open_stack(tmp_path / "pyramid") as stack:
        assert np.array_equal(np.asarray(stack), pixels)


def test_colours(tmp_path):  # which Micro-Manager writes; ndstorage does not
    pixels = np.random.default_rng(0).integers(0, 200, (3, 24, 32, 3), np.uint8)
    size = pixels[0].nbytes
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(24) + pixels.tobytes() + b"{}")
    index = [entry({"z": z}, numbers=(28 + z * size, 32, 24, 2, 0, 28 + 3 * size, 2, 0))
             for z in range(3)]  # fmt: skip
    (tmp_path / "NDTiff.index").write_bytes(b"".join(index) + bytes(1000))
    with open_stack(tmp_path) as stack:
        assert stack.rgb
        assert np.array_equal(np.asarray(stack), np.moveaxis(pixels, -1, 0))
        assert not stack.warnings  # zeros behind the index are room that nobody needed


def test_planes_that_go_down(written):
    pixels = planes(3)
    notes = [{"ZPosition_um_Intended": 10 - 2.0 * z} for z in range(3)]
    folder = written((({"z": z}, pixels[z], notes[z]) for z in range(3)), {})
    with open_stack(folder) as stack:
        assert stack.z_step == 2
        assert np.array_equal(np.asarray(stack), pixels[::-1])


def test_what_was_never_written_is_refused(written):
    pixels = planes(2, 3)
    every = [({"time": t, "z": z}, pixels[t, z]) for t, z in np.ndindex(2, 3)]
    folder = written(every[:-1])
    with pytest.raises(ZfuseError, match="1 of 6 planes were never written"):
        open_stack(folder)
    with open_stack(folder, allow_missing=True) as stack:
        assert not np.asarray(stack)[1, 2].any()
        assert np.array_equal(np.asarray(stack)[0], pixels[0])


def test_gap_in_z_is_refused(written):
    pixels = planes(4)
    folder = written(({"z": z}, pixels[z]) for z in (0, 1, 3))
    with pytest.raises(ZfuseError, match="plane 2 is missing"):
        open_stack(folder)
    with open_stack(folder, allow_missing=True) as stack:
        assert stack.shape[2] == 3


def entry(axes, file=b"a.tif", numbers=(28, 4, 4, 1, 0, 60, 8, 0)):
    words = json.dumps(axes).encode()
    return (
        struct.pack("<I", len(words)) + words + struct.pack("<I", len(file)) + file
        + struct.pack("<8I", *numbers)
    )  # fmt: skip


def two(*numbers):
    return b"".join(entry({"z": z}, numbers=numbers) for z in (0, 1))


@pytest.mark.parametrize(
    ("index", "match"),
    [
        (b"", "names no image"),
        (b"\xff" * 99, "names no image"),
        (entry({"z": 0}, b"../../etc/passwd"), "outside"),
        (entry({"z": 0}, b"/etc/passwd"), "outside"),
        (entry({"z": [1]}), "z must be a number"),
        (entry({"z": "top"}), "z must be a number"),
        (entry({"z": 0}), "single plane"),
        (entry({"z": 0}) + entry({"z": 1}, numbers=(28, 4, 5, 1, 0, 60, 8, 0)), "alike"),
        (two(28, 4, 4, 1, 1, 60, 8, 0), "compressed"),
        (two(28, 4, 4, 1, 0, 60, 8, 0), "truncated"),
        (two(28, 2**31, 2**31, 1, 0, 60, 8, 0), "truncated|most is"),
    ],
)
def test_damaged_index_is_refused_in_one_line(tmp_path, index, match):
    (tmp_path / "NDTiff.index").write_bytes(index)
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(40))
    with pytest.raises(ZfuseError, match=match) as caught:
        open_stack(tmp_path).reader.read(0, slice(0, 1), slice(0, 2), slice(0, 2))
    assert "\n" not in str(caught.value)


def test_index_cut_in_an_entry_keeps_what_is_whole(written):
    pixels = planes(3)
    folder = written(({"z": z}, pixels[z]) for z in range(3))
    with open(folder / "NDTiff.index", "ab") as file:
        file.write(b"\x10\0\0\0{")
    with open_stack(folder) as stack:
        assert np.array_equal(np.asarray(stack), pixels)
        assert "left out" in stack.warnings[0]
