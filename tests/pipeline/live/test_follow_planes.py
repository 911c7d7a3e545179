from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from support.followed import Followed

import zfuse
from zfuse.errors import ZfuseError
from zfuse.pipeline.live import StackKey
from zfuse.pipeline.live._follow_planes import PlanesFollower

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def planes(*shape: int, seed: int = 0) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(100, 4000, (*shape, 24, 32), np.uint16)


def offline(folder: Path) -> NDArray[np.uint16]:
    with zfuse.open(folder) as stack:
        return np.asarray(stack)


def test_planes_count_from_one_and_the_stack_ends_with_the_mark(tmp_path: Path) -> None:
    want = planes(5)
    for z in range(5):
        tifffile.imwrite(tmp_path / f"a_z{z + 1:03d}.tif", want[z])
    seen = Followed(PlanesFollower(tmp_path)).poll(3)
    assert seen.series is None  # a plane 0 may still come
    (tmp_path / ".done").touch()
    assert seen.poll().over
    seen.finish()
    assert seen.ended == [StackKey(0, 0)]
    assert np.array_equal(seen.stack(), want)
    assert np.array_equal(offline(tmp_path), want)


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_names_without_tokens_go_by_natural_order(tmp_path: Path, suffix: str) -> None:
    import imageio.v3

    want = planes(12)
    for z in range(12):
        imageio.v3.imwrite(tmp_path / f"IMG {z + 1}.{suffix}", want[z])
    seen = Followed(PlanesFollower(tmp_path, expect_planes=12)).poll(2)
    assert seen.ended == [StackKey(0, 0)]
    assert np.array_equal(seen.stack(), want)
    assert np.array_equal(offline(tmp_path), want)


def test_several_stacks_in_any_order_equal_what_open_reads(tmp_path: Path) -> None:
    want = planes(2, 3, 2, 4)  # t, p, c, z
    files = list(np.ndindex(2, 3, 2, 4))
    random.Random(3).shuffle(files)
    seen = Followed(PlanesFollower(tmp_path, expect_planes=4))
    for t, p, c, z in files:
        name = f"img_channel{c:03d}_position{p:03d}_time{t:09d}_z{z:03d}.tif"
        tifffile.imwrite(tmp_path / name, want[t, p, c, z])
        seen.poll()
    seen.poll(3).finish()
    assert sorted(seen.ended) == [StackKey(p, t) for p in range(3) for t in range(2)]
    for t, p, c in np.ndindex(2, 3, 2):
        assert np.array_equal(seen.stack(p, t, c), want[t, p, c])


def test_a_stack_is_over_when_a_younger_one_has_as_many(tmp_path: Path) -> None:
    want = planes(3, 3)
    seen = Followed(PlanesFollower(tmp_path))
    for t in range(3):
        for z in range(3):
            tifffile.imwrite(tmp_path / f"t{t}_z{z}.tif", want[t, z])
            seen.poll(2)
        assert len(seen.ended) == t
    assert seen.finish().ended == [StackKey(0, t) for t in range(3)]
    assert all(np.array_equal(seen.stack(t=t), want[t]) for t in range(3))


def test_micro_manager_folders_and_notes(tmp_path: Path) -> None:
    want = planes(2, 2, 3)  # p, c, z
    seen = Followed(PlanesFollower(tmp_path))
    for p in range(2):
        folder = tmp_path / f"Pos{p}"
        folder.mkdir()
        # as it lies there while it grows: no last bracket
        (folder / "metadata.txt").write_text(
            '{"Summary": {"Slices": 3, "ChNames": ["DAPI", "GFP"], "PixelSize_um": 0.5,'
            '"z-step_um": 2.0, "Positions": 2},\n"FrameKey-0-0-0": {"a": 1'
        )
        for c in range(2):
            for z in range(3):
                name = f"img_channel{c:03d}_position{p:03d}_time000000000_z{z:03d}.tif"
                tifffile.imwrite(folder / name, want[p, c, z])
                seen.poll(2)
        assert seen.ended[-1] == StackKey(p, 0)  # all planes are there: no need to wait
    assert seen.series is not None
    assert [channel.name for channel in seen.series.channels] == ["DAPI", "GFP"]
    assert (seen.series.pixel_size, seen.series.z_step) == ((0.5, 0.5), 2.0)
    for p, c in np.ndindex(2, 2):
        assert np.array_equal(seen.stack(p, 0, c), want[p, c])


def test_old_micro_manager_names_and_a_template(tmp_path: Path) -> None:
    want = planes(2, 3)
    for c, z in np.ndindex(2, 3):
        tifffile.imwrite(tmp_path / f"img_000000000_{'DG'[c]}API_{z:03d}.tif", want[c, z])
    for follower in (
        PlanesFollower(tmp_path),
        PlanesFollower(tmp_path, template="img_{t}_{c}_{z}.tif"),
    ):
        seen = Followed(follower).poll(2).finish()
        assert all(np.array_equal(seen.stack(c=c), want[c]) for c in range(2))
        assert seen.series is not None
        assert [channel.name for channel in seen.series.channels] == ["DAPI", "GAPI"]


def test_a_template_must_count_z() -> None:
    from pathlib import Path

    with pytest.raises(ZfuseError, match=r"must name \{z\}"):
        PlanesFollower(Path(), template="img_{t}.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_half_a_file_is_no_plane_however_long_it_lies(
    tmp_path: Path, compression: str | None
) -> None:
    want = planes(4)
    whole = tmp_path / "whole"
    whole.mkdir()
    for z in range(4):
        tifffile.imwrite(whole / f"z{z}.tif", want[z], compression=compression, rowsperstrip=4)
    data = (whole / "z3.tif").read_bytes()
    folder = tmp_path / "growing"
    folder.mkdir()
    seen = Followed(PlanesFollower(folder, expect_planes=4))
    for z in range(3):
        os.link(whole / f"z{z}.tif", folder / f"z{z}.tif")
    for size in [0, 1, 7, 8, 100, *range(200, len(data), 211), len(data) - 1]:
        (folder / "z3.tif").write_bytes(data[:size])
        seen.poll(3)
        assert seen.ended == []
    seen.poll(40)
    assert sum("cannot be read yet" in line for line in seen.remarks) <= 1
    (folder / "z3.tif").write_bytes(data)
    seen.poll(3)
    assert seen.ended == [StackKey(0, 0)]
    assert np.array_equal(seen.stack(), want)


def test_a_plane_that_stays_torn_is_named_once_and_its_stack_ends_without(tmp_path: Path) -> None:
    want = planes(4)
    for z in range(4):
        tifffile.imwrite(tmp_path / f"z{z}.tif", want[z])
    os.truncate(tmp_path / "z3.tif", 900)
    seen = Followed(PlanesFollower(tmp_path, expect_planes=4)).poll(50)
    assert [("z3.tif cannot be read yet" in line) for line in seen.remarks] == [True]
    seen.finish()
    assert np.array_equal(seen.stack(), want[:3])
    assert any("z3.tif never became readable" in line for line in seen.remarks)
    assert any("3 of 4 planes" in line for line in seen.remarks)


def test_renamed_vanished_rewritten_and_odd_files(tmp_path: Path) -> None:
    want = planes(4)
    seen = Followed(PlanesFollower(tmp_path, expect_planes=4))
    tifffile.imwrite(tmp_path / "z0.tif", want[3])  # will be rewritten
    tifffile.imwrite(tmp_path / ".z1.tif", want[1])  # hidden: not yet there
    tifffile.imwrite(tmp_path / "z2.tif", want[2])
    tifffile.imwrite(tmp_path / "overview.tif", want[0])
    (tmp_path / "z3.tif").write_bytes(b"")
    seen.poll(2)
    (tmp_path / "z3.tif").unlink()
    tifffile.imwrite(tmp_path / "z0.tif", want[0])
    (tmp_path / ".z1.tif").rename(tmp_path / "z1.tif")
    seen.poll(3)
    assert seen.ended == []
    tifffile.imwrite(tmp_path / "z3.part", want[3])
    seen.poll(2)
    (tmp_path / "z3.part").rename(tmp_path / "z3.tif")
    seen.poll(3)
    assert seen.ended == [StackKey(0, 0)]
    (tmp_path / "z2.tif").rename(tmp_path / "new_z2.tif")  # after it was told, before it is read
    seen.poll()
    assert np.array_equal(seen.stack(), want)
    tifffile.imwrite(tmp_path / "z1.tif", want[0])
    seen.poll(2)
    assert any("overview.tif" in line for line in seen.remarks)


def test_a_plane_of_another_size_is_left_out(tmp_path: Path) -> None:
    want = planes(3)
    tifffile.imwrite(tmp_path / "z0.tif", want[0])
    tifffile.imwrite(tmp_path / "z1.tif", want[1])
    tifffile.imwrite(tmp_path / "z2.tif", want[2][:, :16])
    seen = Followed(PlanesFollower(tmp_path)).poll(6).finish()
    assert np.array_equal(seen.stack(), want[:2])
    assert any("16 x 24 px" in line for line in seen.remarks)


def test_colour_planes_come_as_three_samples(tmp_path: Path) -> None:
    want = np.random.default_rng(0).integers(0, 255, (3, 24, 32, 3), np.uint8)
    for z in range(3):
        tifffile.imwrite(tmp_path / f"z{z}.tif", want[z], photometric="rgb")
    seen = Followed(PlanesFollower(tmp_path)).poll(2).finish()
    assert seen.series is not None
    assert seen.series.rgb
    assert np.array_equal(seen.stack(), np.moveaxis(want, -1, 1))


def test_what_is_done_is_not_read_again(tmp_path: Path) -> None:
    want = planes(2, 2)
    for t, z in np.ndindex(2, 2):
        tifffile.imwrite(tmp_path / f"t{t}_z{z}.tif", want[t, z])
    follower = PlanesFollower(tmp_path, expect_planes=2)
    follower.done = frozenset({StackKey(0, 1)})
    seen = Followed(follower).poll(3).finish()
    assert {key for key, _, _ in seen.frames} == {StackKey(0, 0)}


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    seen = Followed(PlanesFollower(tmp_path / "later")).poll(2).finish()
    assert (seen.series, seen.remarks) == (None, [])


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions mean nothing here")
def test_a_locked_file_is_waited_for(tmp_path: Path) -> None:
    want = planes(2)
    for z in range(2):
        tifffile.imwrite(tmp_path / f"z{z}.tif", want[z])
    (tmp_path / "z1.tif").chmod(0)
    seen = Followed(PlanesFollower(tmp_path, expect_planes=2)).poll(10)
    assert seen.ended == []
    (tmp_path / "z1.tif").chmod(0o600)
    assert np.array_equal(seen.poll(40).stack(), want)
