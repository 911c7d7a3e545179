from __future__ import annotations

import shutil
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

import zfuse
from zfuse.errors import ZfuseError
from zfuse.live import Report, StackKey, watch
from zfuse.pipeline.core import Progress
from zfuse.pipeline.live._follower import Patience, SteadyRead

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def planes(*shape: int) -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(100, 4000, (*shape, 40, 56), np.uint16)


def write(folder: Path, stack: NDArray[np.uint16], name: str, *, mark: bool = False) -> None:
    folder.mkdir(exist_ok=True)
    for z, plane in enumerate(stack):
        tifffile.imwrite(folder / f"{name}z{z}.tif", plane)
    if mark:
        (folder / ".done").touch()


def fused(output: Path, t: int = 0) -> NDArray[Any]:
    with zfuse.open(output) as stack:
        return stack.reader.read(t, slice(0, 1), slice(0, 40), slice(0, 56))[0]


def offline(stack: NDArray[np.uint16]) -> NDArray[Any]:
    return zfuse.fuse(stack, "select").image[None]


class Lines(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)

    def warn(self, line: str) -> None:
        self.lines.append(line)


def test_a_folder_is_fused_as_offline(tmp_path: Path) -> None:
    want = planes(2, 5)
    for t in range(2):
        write(tmp_path / "in", want[t], f"t{t}_", mark=t == 1)
    told: list[StackKey] = []
    report = watch(
        tmp_path / "in", tmp_path / "out.ome.zarr", "select", poll=0.02, z_step=0.5,
        on_fused=lambda key, c, result: told.append(key),
    )  # fmt: skip
    assert [stack.status for stack in report.stacks] == ["complete"] * 2
    assert sorted(told) == [StackKey(0, 0), StackKey(0, 1)]
    for t in range(2):
        assert np.array_equal(
            fused(tmp_path / "out.ome.zarr", t), zfuse.fuse(want[t], "select").image[None]
        )
    with zfuse.open(tmp_path / "in") as stack:
        assert stack.shape[:3] == (2, 1, 5)


def test_it_waits_for_an_input_that_is_not_there_yet(tmp_path: Path) -> None:
    want = planes(3)
    late = threading.Timer(0.3, lambda: write(tmp_path / "in", want, "", mark=True))
    late.start()
    report = watch(tmp_path / "in", tmp_path / "out.ome.zarr", poll=0.02)
    late.join()
    assert report.output is not None
    assert np.array_equal(fused(tmp_path / "out.ome.zarr"), offline(want))


def test_idleness_ends_it_and_nothing_at_all_is_a_problem(tmp_path: Path) -> None:
    began = time.monotonic()
    report = watch(tmp_path / "in", tmp_path / "out.ome.zarr", poll=0.02, until_idle=0.2)
    assert time.monotonic() - began < 5
    assert "no stack came" in report.problem
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "in", planes(3), "")
    report = watch(tmp_path / "in", tmp_path / "out.ome.zarr", poll=0.02, until_idle=0.2)
    assert report.output is not None


def test_what_was_fused_is_not_read_again(tmp_path: Path) -> None:
    want = planes(3, 4)
    folder, output = tmp_path / "in", tmp_path / "out.ome.zarr"
    write(folder, want[0], "t0_")
    cancel = threading.Event()

    def first(key: StackKey, c: int | None, result: object) -> None:
        threading.Timer(0.2, cancel.set).start()  # the result is written after this call

    report = watch(folder, output, poll=0.02, expect_planes=4, cancel=cancel, on_fused=first)
    assert report.output is None
    assert not output.exists()
    write(folder, want[1], "t1_", mark=True)
    told: list[StackKey] = []
    report = watch(folder, output, poll=0.02, expect_planes=4,
                   on_fused=lambda key, c, result: told.append(key))  # fmt: skip
    assert told == [StackKey(0, 1)]
    assert [stack.status for stack in report.stacks] == ["complete"] * 2
    for t in range(2):
        assert np.array_equal(fused(output, t), offline(want[t]))


def test_another_acquisition_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    want = planes(3, 4)
    folder, output = tmp_path / "in", tmp_path / "out.ome.zarr"
    write(folder, want[0], "t0_")
    cancel = threading.Event()

    def first(key: StackKey, c: int | None, result: object) -> None:
        threading.Timer(0.2, cancel.set).start()  # the result is written after this call

    watch(folder, output, poll=0.02, expect_planes=4, cancel=cancel, on_fused=first)
    write(folder, want[2], "t0_")
    write(folder, want[1], "t1_", mark=True)
    for _ in range(2):  # again, too
        report = watch(folder, output, poll=0.02, expect_planes=4)
        assert "another acquisition" in report.problem
        assert report.output is None
        assert not output.exists()
    shutil.rmtree(tmp_path / "out.growing.ome.zarr")  # as the line says
    report = watch(folder, output, poll=0.02, expect_planes=4)
    assert [stack.status for stack in report.stacks] == ["complete"] * 2
    for t, stack in enumerate((want[2], want[1])):
        assert np.array_equal(fused(output, t), offline(stack))


def test_positions_that_nobody_named(tmp_path: Path) -> None:
    want = planes(3, 4)
    for p in range(3):
        (tmp_path / "in").mkdir(exist_ok=True)
        write(tmp_path / "in" / f"Pos{p}", want[p], "")
    (tmp_path / "in.done").touch()
    report = watch(tmp_path / "in", tmp_path / "out.ome.zarr", poll=0.02)
    assert len(report.stacks) == 3
    for p in range(3):
        with zfuse.open(tmp_path / "out.ome.zarr" / str(p)) as stack:
            image = np.asarray(stack).squeeze()
        assert np.array_equal(image, offline(want[p])[0])


def test_a_torn_plane_is_told_and_the_others_are_fused(tmp_path: Path) -> None:
    want = planes(4)
    write(tmp_path / "in", want, "")
    data = (tmp_path / "in/z3.tif").read_bytes()
    (tmp_path / "in/z3.tif").write_bytes(data[:-100])
    lines = Lines()
    report = watch(tmp_path / "in", tmp_path / "out.ome.zarr", poll=0.02, until_idle=0.3,
                   expect_planes=4, progress=lines)  # fmt: skip
    assert [stack.status for stack in report.stacks] == ["partial"]
    assert any("z3.tif never became readable" in line for line in lines.lines)
    assert np.array_equal(
        fused(tmp_path / "out.ome.zarr"), zfuse.fuse(want[:3], "select").image[None]
    )


def test_a_method_of_two_passes_reads_again(tmp_path: Path) -> None:
    want = planes(5)
    write(tmp_path / "in", want, "", mark=True)
    watch(tmp_path / "in", tmp_path / "out.ome.zarr", "adaptive", poll=0.02)
    offline = zfuse.fuse(want, "adaptive")
    assert np.array_equal(fused(tmp_path / "out.ome.zarr"), offline.image[None])


def test_the_input_is_left_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "in", planes(3), "", mark=True)
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in (tmp_path / "in").iterdir()}
    watch(tmp_path / "in", tmp_path / "out.ome.zarr", poll=0.02)
    after = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in (tmp_path / "in").iterdir()}
    assert before == after


def test_a_folder_that_goes_away_does_not_stop_it(tmp_path: Path) -> None:
    want = planes(4)
    write(tmp_path / "in", want, "")
    cancel = threading.Event()
    reports: list[Report] = []
    thread = threading.Thread(
        target=lambda: reports.append(
            watch(tmp_path / "in", tmp_path / "out.ome.zarr", poll=0.02, cancel=cancel)
        )
    )
    thread.start()
    time.sleep(0.3)
    shutil.move(tmp_path / "in", tmp_path / "away")  # a share that drops out
    time.sleep(0.2)
    shutil.move(tmp_path / "away", tmp_path / "in")
    time.sleep(0.2)
    (tmp_path / "in.done").touch()
    thread.join(60)
    assert [stack.status for stack in reports[0].stacks] == ["complete"]
    assert np.array_equal(fused(tmp_path / "out.ome.zarr"), offline(want))


def test_a_share_that_drops_out_while_a_stack_is_read_is_waited_for(tmp_path: Path) -> None:
    want = planes(6)
    write(tmp_path / "in", want, "", mark=True)
    patience = Patience(tmp_path / "in")
    state = (tmp_path / "in/z2.tif").stat().st_mtime_ns
    read = SteadyRead(
        lambda: state, lambda: tifffile.imread(tmp_path / "in/z2.tif"), "z2", patience
    )
    shutil.move(tmp_path / "in", tmp_path / "away")
    back = threading.Timer(0.3, lambda: shutil.move(tmp_path / "away", tmp_path / "in"))
    back.start()
    assert np.array_equal(read(), want[2])
    back.join()
    shutil.move(tmp_path / "in", tmp_path / "away")
    patience.stop.set()
    with pytest.raises(ZfuseError, match="z2 cannot be read any more"):
        read()


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"poll": 0}, "poll is 0"), ({"expect_planes": -1}, "expect_planes is -1"),
     ({"method": "nothing"}, "nothing"), ({"until_idle": float("nan")}, "until_idle")],
)  # fmt: skip
def test_wrong_settings_are_refused(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ZfuseError, match=said):
        watch(tmp_path / "in", tmp_path / "out.ome.zarr", **settings)


def test_a_file_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", planes(), photometric="minisblack")
    with pytest.raises(ZfuseError, match="is a file"):
        watch(tmp_path / "a.tif", tmp_path / "out.ome.zarr")
    with pytest.raises(ZfuseError, match="OME-Zarr"):
        watch(tmp_path, tmp_path / "out.tif")
