"""The output of a session can be looked at all the time, is gone on with, and equals a run's."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import yaozarrs
import zarr
from ome_zarr_models import open_ome_zarr

import zfuse
from tests.support.live import Acquisition
from tests.support.live_run import ACQUISITION
from tests.support.runs import write_image
from zfuse.live import Frame, Report, Series, Session, StackKey
from zfuse.pipeline.core import _growing, _manifest
from zfuse.pipeline.sinks import _growing as growing_images, _shards
from zfuse.pipeline.sources import open_fused

ROOT = Path(__file__).parents[3]
ONE = StackKey(0, 0)
LARGE = (520, 300)  # two levels of a pyramid
NAME, GROWING = "f.ome.zarr", "f.growing.ome.zarr"


def run(
    acquisition: Acquisition,
    output: Path,
    keys: list[StackKey] | None = None,
    cancelled: bool = False,
    series: Series | None = None,
    **settings: Any,
) -> Report:
    with Session(output, **{"method": "select", "workers": 2, **settings}) as session:
        session.begin(series or acquisition.series())
        for frame in acquisition.frames(keys):
            session.put(frame)
        return session.end(cancelled=cancelled)


def interrupted(acquisition: Acquisition, output: Path, keys: list[StackKey], **more: Any) -> None:
    """Leave what a session leaves that is killed after it has written these stacks."""
    written = threading.Semaphore(0)
    session = Session(output, **{"method": "select", "workers": 2, **more})
    session.begin(acquisition.series())
    keep = session._output.write

    def write(*given: Any) -> None:
        keep(*given)
        written.release()

    session._output.write = write
    for frame in acquisition.frames(keys):
        session.put(frame)
    for _ in keys:
        assert written.acquire(timeout=60)
    session.abandon()


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def pixels(group: Path) -> dict[str, Any]:
    """All arrays of an image and its maps, without axes of length 1."""
    levels = [path for name in ("", "depth/", "confidence/") for path in (f"{name}0", f"{name}1")]
    return {
        level: np.squeeze(np.asarray(zarr.open_array(group / level, mode="r")[...]))
        for level in levels
        if (group / level).exists()
    }


def assert_pixels(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def check_valid(place: Path) -> None:
    """Open an output as four libraries do, and read all of it."""
    yaozarrs.validate_zarr_store(str(place))
    groups = [p for p in sorted(place.iterdir()) if (p / "depth").is_dir()] or [place]
    for group in groups:
        for image in (group, group / "depth", group / "confidence"):
            open_ome_zarr(zarr.open_group(image, mode="r"))
            for level in zarr.open_group(image, mode="r").arrays():
                np.asarray(level[1][...])
    zfuse.open(groups[0]).close()


@pytest.mark.parametrize("method", ["select", "adaptive"])
def test_output_is_that_of_a_run(tmp_path: Path, method: str) -> None:
    acquisition = Acquisition(positions=2, times=2, channels=2, size=LARGE)
    root = {"ome": {"version": "0.5", "bioformats2raw.layout": 3}}
    zarr.create_group(tmp_path / "in.ome.zarr", attributes=root)
    for p in range(2):
        stacks = [[acquisition.stack(StackKey(p, t), c) for c in range(2)] for t in range(2)]
        write_image(tmp_path / "in.ome.zarr" / str(p), np.stack(stacks))
    config = {"method": method, "align": "none", "min_confidence": 0.3}
    offline = tmp_path / "offline.ome.zarr"
    zfuse.run(zfuse.RunConfig(input=str(tmp_path / "in.ome.zarr"), output=str(offline), **config))
    report = run(acquisition, tmp_path / NAME, method=method, min_confidence=0.3)
    assert report.output == str(tmp_path / NAME)
    for p in "01":
        live = pixels(tmp_path / NAME / p)
        assert live["1"].shape == (2, 2, 260, 150)
        assert_pixels(live, pixels(offline / p))


@pytest.mark.parametrize("method", ["select", "adaptive"])
def test_stacks_of_different_lengths_are_those_of_runs(tmp_path: Path, method: str) -> None:
    acquisition = Acquisition(times=2, channels=2, size=LARGE)
    acquisition.planes = {(ONE, 1): 2, (StackKey(0, 1), 0): 7, (StackKey(0, 1), 1): 0}
    run(acquisition, tmp_path / NAME, method=method)
    live = pixels(tmp_path / NAME)
    for key, c in ((ONE, 0), (ONE, 1), (StackKey(0, 1), 0)):
        place = tmp_path / f"{key.t}{c}"
        write_image(place / "in.ome.zarr", acquisition.stack(key, c), "zyx")
        config = {"input": place / "in.ome.zarr", "output": place / NAME, "align": "none"}
        zfuse.run(zfuse.RunConfig.checked({"method": method, **config}))
        offline = pixels(place / NAME)
        assert_pixels({name: array[key.t, c] for name, array in live.items()}, offline)
    assert not live["0"][1, 1].any()
    assert np.isnan(live["depth/0"][1, 1]).all()
    assert not live["confidence/0"][1, 1].any()


def test_colours_are_those_of_a_run(tmp_path: Path) -> None:
    acquisition = Acquisition()
    planes = np.stack([acquisition.stack(ONE, c) for c in range(3)])
    with Session(tmp_path / NAME, workers=2) as session:
        session.begin(acquisition.series(rgb=True))
        for z in range(4):
            session.put(Frame(ONE, 0, z, planes[:, z]))
    fused = zfuse.fuse(zfuse.from_array(planes, rgb=True), "select")
    opened = open_fused(tmp_path / NAME)
    np.testing.assert_array_equal(opened.image, fused.image)
    assert opened.depth.shape == (70, 90)


def test_output_is_valid_while_it_grows(tmp_path: Path) -> None:
    acquisition = Acquisition(positions=3, times=4, channels=2, size=LARGE)
    looked, stop, problems = [], threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            if (tmp_path / GROWING).is_dir():
                try:
                    with warnings.catch_warnings():
                        check_valid(tmp_path / GROWING)
                    looked.append(1)
                except Exception as error:
                    if (tmp_path / GROWING).is_dir():
                        problems.append(repr(error))

    watching = threading.Thread(target=look)
    watching.start()
    session = Session(tmp_path / NAME, workers=1)
    session.begin(acquisition.series(times=None))
    for fed, key in enumerate(acquisition.keys(), 1):
        before, patience = len(looked), 600
        for frame in acquisition.frames([key]):
            session.put(frame)
        while len(session._worker.reports) < fed or len(looked) == before:
            assert (patience := patience - 1)
            stop.wait(0.1)
    report = session.end()
    stop.set()
    watching.join()
    assert problems == []
    assert report.problem == ""
    check_valid(tmp_path / NAME)
    series = zarr.open_group(tmp_path / NAME / "OME", mode="r").attrs.asdict()["ome"]["series"]
    assert series == ["0", "1", "2"]


def test_what_is_written_can_be_seen_at_once(tmp_path: Path) -> None:
    acquisition = Acquisition(times=3)
    interrupted(acquisition, tmp_path / NAME, [StackKey(0, 1)])
    opened = open_fused(tmp_path / GROWING, time=1)
    wanted = zfuse.fuse(acquisition.stack(StackKey(0, 1)), "select")
    np.testing.assert_array_equal(opened.image[0], wanted.image)
    assert opened.z_step == 0.5
    assert opened.pixel_size == (0.1, 0.1)


def test_positions_need_not_be_known(tmp_path: Path) -> None:
    acquisition = Acquisition(positions=3)
    keys = [StackKey(0, 0), StackKey(2, 0)]
    report = run(acquisition, tmp_path / NAME, keys, series=acquisition.series(
        positions=("A",), more_positions=True, planes={(key, 0): 4 for key in keys}))  # fmt: skip
    assert len(report.stacks) == 2
    series = zarr.open_group(tmp_path / NAME / "OME", mode="r").attrs.asdict()["ome"]["series"]
    assert series == ["0", "2"]
    assert len(zfuse.open(tmp_path / NAME / "2").shape) == 5


@pytest.mark.parametrize(("key", "said"), [
    (StackKey(1, 0), "position 1 was not announced, and the output holds one image"),
    (StackKey(0, 1), "time 1 was not announced, and the output holds one time point"),
])  # fmt: skip
def test_what_has_no_place_fails(tmp_path: Path, key: StackKey, said: str) -> None:
    acquisition = Acquisition()
    report = run(acquisition, tmp_path / NAME, [ONE, key])
    assert [(s.status, s.reason) for s in report.stacks] == [("complete", ""), ("failed", said)]
    assert report.output


def test_output_can_be_shown_and_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zfuse.pipeline.cli import main

    run(Acquisition(times=2, channels=2), tmp_path / NAME)
    for command, wanted in (("info", "t=2 c=2 z=1 y=70 x=90"), ("evaluate", "spatial")):
        monkeypatch.setattr(sys, "argv", ["zfuse", command, str(tmp_path / NAME)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        assert wanted in capsys.readouterr().out


class TestProvenance:
    def said(self, tmp_path: Path, **settings: Any) -> dict[str, Any]:
        acquisition = Acquisition(times=2, channels=2, planes={(ONE, 1): 3})
        run(acquisition, tmp_path / NAME, [ONE], channel="dye 1", **settings)
        return zarr.open_group(tmp_path / NAME, mode="r").attrs.asdict()["zfuse"]

    def test_metadata_say_how_it_was_made(self, tmp_path: Path) -> None:
        said = self.said(tmp_path)
        assert said["method"]["name"] == "select"
        assert said["decision_channel"] == "dye 1"
        assert said["source"] == "microscope, run 1"
        assert said["z_step_um"] == 0.5
        assert said["version"] == zfuse.__version__

    def test_metadata_say_what_became_of_each_stack(self, tmp_path: Path) -> None:
        failed = {"p": 0, "t": 1, "planes": [0, 0], "status": "failed", "reason": "it never came"}
        said = self.said(tmp_path)
        assert said["stacks"] == [
            {"p": 0, "t": 0, "planes": [3, 3], "status": "partial"}, failed,
        ]  # fmt: skip
        assert not said["complete"]


def test_stack_that_failed_is_blank(tmp_path: Path) -> None:
    acquisition = Acquisition(times=4)
    run(acquisition, tmp_path / NAME, [StackKey(0, 1), StackKey(0, 2)])
    for t, blank in enumerate([True, False, False, True]):
        opened = open_fused(tmp_path / NAME, time=t)
        assert opened.image.any() == (not blank)
        assert np.isnan(opened.depth).all() == blank
        assert (opened.confidence == 0).all() == blank


def test_cancelled_series_ends_with_its_last_stack(tmp_path: Path) -> None:
    acquisition = Acquisition(positions=3, times=5)
    keys = [*acquisition.keys()[:3], StackKey(0, 1)]
    with Session(tmp_path / NAME, workers=2) as session:
        session.begin(acquisition.series())
        for frame in acquisition.frames(keys[:2]):
            session.put(frame)
        for frame in list(acquisition.frames([StackKey(0, 1)]))[:3]:
            session.put(frame)
        report = session.end(cancelled=True)
    assert [(s.key, s.status, s.planes) for s in report.stacks] == [
        (StackKey(0, 0), "complete", (4,)),
        (StackKey(1, 0), "complete", (4,)),
        (StackKey(0, 1), "partial", (3,)),
    ]
    assert zfuse.open(tmp_path / NAME / "0").shape[0] == 2
    assert zfuse.open(tmp_path / NAME / "1").shape[0] == 1
    assert not (tmp_path / NAME / "2").exists()


def test_series_of_which_nothing_came_writes_nothing(tmp_path: Path) -> None:
    report = run(Acquisition(), tmp_path / NAME, [])
    assert report.output is None
    assert report.problem == f"no stack was fused: {tmp_path / NAME} was not written"
    assert not (tmp_path / NAME).exists()


class TestResumed:
    acquisition = Acquisition(positions=2, times=3, channels=2)

    def test_what_is_done_need_not_be_fed(self, tmp_path: Path) -> None:
        keys = self.acquisition.keys()
        run(self.acquisition, tmp_path / "whole.ome.zarr")
        interrupted(self.acquisition, tmp_path / NAME, keys[:3])
        told = []
        with Session(tmp_path / NAME, workers=2, on_fused=lambda k, c, f: told.append(k)) as again:
            again.begin(self.acquisition.series())
            assert again.done == set(keys[:3])
            for frame in self.acquisition.frames(keys[2:]):  # one of them is fed all the same
                again.put(frame)
            report = again.end()
        assert set(told) == set(keys[3:])
        assert [stack.status for stack in report.stacks] == ["complete"] * 6
        assert content(tmp_path / NAME) == content(tmp_path / "whole.ome.zarr")

    @pytest.mark.parametrize(("settings", "changes", "said"), [
        ({"method": "adaptive"}, {}, 'method {"name": "select"'),
        ({"channel": "together"}, {}, 'decision_channel "each", now "together"'),
        ({"min_confidence": 0.5}, {}, "min_confidence null, now 0.5"),
        ({}, {"source": "run 2"}, 'source "microscope, run 1", now "run 2"'),
        ({}, {"positions": ("a", "b")}, 'positions ["well 0", "well 1"], now ["a", "b"]'),
        ({}, {"z_step": 0.7}, "z_step_um 0.5, now 0.7"),
    ])  # fmt: skip
    def test_other_settings_or_source_are_refused(
        self, tmp_path: Path, settings: dict[str, Any], changes: dict[str, Any], said: str
    ) -> None:
        interrupted(self.acquisition, tmp_path / NAME, [ONE])
        series = self.acquisition.series(**changes)
        with pytest.raises(zfuse.ZfuseError) as caught:
            Session(tmp_path / NAME, **settings).begin(series)
        (line,) = str(caught.value).splitlines()
        assert f"{GROWING} was begun with {said}" in line
        assert "begin anew with overwrite, or choose another output name" in line
        with Session(tmp_path / NAME, **settings, overwrite=True) as anew:
            anew.begin(series)
            assert anew.done == frozenset()
            anew.abandon()

    def test_more_positions_may_be_known_by_now(self, tmp_path: Path) -> None:
        interrupted(self.acquisition, tmp_path / NAME, [ONE])
        with Session(tmp_path / NAME) as again:
            again.begin(self.acquisition.series(positions=("well 0", "well 1", "well 2")))
            assert again.done == {ONE}
            again.abandon()

    def test_stack_that_failed_may_come_again(self, tmp_path: Path) -> None:
        odd = Frame(ONE, 0, 1, np.zeros((3, 3), np.uint16))
        session = Session(tmp_path / NAME, "select", workers=2)
        session.begin(self.acquisition.series())
        for frame in [*self.acquisition.frames([StackKey(1, 0)]), odd]:
            session.put(frame)
        while len(session._worker.reports) < 2:
            pass
        session.abandon()
        report = run(self.acquisition, tmp_path / NAME)
        assert {stack.status for stack in report.stacks} == {"complete"}

    def test_torn_line_counts_as_not_written(self, tmp_path: Path) -> None:
        run(self.acquisition, tmp_path / "whole.ome.zarr")
        interrupted(self.acquisition, tmp_path / NAME, self.acquisition.keys()[:3])
        manifest = tmp_path / "f.growing.session" / "manifest.jsonl"
        manifest.write_bytes(manifest.read_bytes()[:-9])
        with Session(tmp_path / NAME) as again:
            again.begin(self.acquisition.series())
            assert len(again.done) == 2
            again.abandon()
        run(self.acquisition, tmp_path / NAME)
        assert content(tmp_path / NAME) == content(tmp_path / "whole.ome.zarr")


class TestPlace:
    """An output is never written into somebody else's place."""

    def test_second_session_is_refused(self, tmp_path: Path) -> None:
        with Session(tmp_path / NAME) as session:
            session.begin(Acquisition().series())
            with pytest.raises(zfuse.ZfuseError, match="is being written by another zfuse session"):
                Session(tmp_path / NAME).begin(Acquisition().series())
            session.abandon()
        with Session(tmp_path / NAME) as other:
            other.begin(Acquisition().series())
            other.abandon()

    def test_output_that_exists_is_refused(self, tmp_path: Path) -> None:
        run(Acquisition(), tmp_path / NAME)
        before = content(tmp_path / NAME)
        with pytest.raises(zfuse.ZfuseError, match="exists; choose another name"):
            Session(tmp_path / NAME)
        assert content(tmp_path / NAME) == before

    def test_output_that_exists_is_replaced_when_asked(self, tmp_path: Path) -> None:
        run(Acquisition(times=2), tmp_path / NAME)
        report = run(Acquisition(), tmp_path / NAME, overwrite=True)
        assert report.output
        assert zfuse.open(tmp_path / NAME).shape[0] == 1
        assert os.listdir(tmp_path) == [NAME]

    def test_output_that_appears_meanwhile_stays(self, tmp_path: Path) -> None:
        with Session(tmp_path / NAME) as session:
            session.begin(Acquisition().series())
            for frame in Acquisition().frames():
                session.put(frame)
            (tmp_path / NAME).mkdir()
            report = session.end()
        assert "exists; choose another name" in report.problem
        assert report.output is None
        assert list((tmp_path / NAME).iterdir()) == []
        (tmp_path / NAME).rmdir()
        assert run(Acquisition(), tmp_path / NAME, []).output

    def test_remains_of_a_session_that_had_published_are_removed(self, tmp_path: Path) -> None:
        acquisition = Acquisition()
        run(acquisition, tmp_path / NAME)
        session = tmp_path / "f.growing.session"
        (session / "aside").mkdir(parents=True)
        (session / "manifest.jsonl").write_text("{}\n")
        with pytest.raises(zfuse.ZfuseError, match="exists"):
            Session(tmp_path / NAME)
        assert os.listdir(tmp_path) == [NAME]

    def test_folder_of_others_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / GROWING).mkdir()
        with pytest.raises(zfuse.ZfuseError, match="is in the way and no session can go on"):
            Session(tmp_path / NAME, overwrite=True).begin(Acquisition().series())
        assert os.listdir(tmp_path) == [GROWING]

    @pytest.mark.parametrize("name", ["f.tif", "f.png"])
    def test_other_formats_cannot_grow(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(zfuse.ZfuseError, match="a session writes OME-Zarr"):
            Session(tmp_path / name)

    @pytest.mark.parametrize("gone", [GROWING, "f.growing.session", None])
    def test_folder_that_is_removed_is_missed(self, tmp_path: Path, gone: str | None) -> None:
        acquisition = Acquisition(times=3)
        report = None
        session = Session(tmp_path / NAME, workers=2)
        session.begin(acquisition.series())
        for frame in acquisition.frames([ONE]):
            session.put(frame)
        while not session._worker.reports:
            pass
        for name in [gone] if gone else [GROWING, "f.growing.session"]:
            shutil.rmtree(tmp_path / name)
        for frame in acquisition.frames(acquisition.keys()[1:]):
            session.put(frame)
        report = session.end()
        assert [stack.status for stack in report.stacks] == ["complete", "failed", "failed"]
        assert "removed" in report.stacks[1].reason
        assert "removed" in report.problem
        assert not (tmp_path / NAME).exists()


def test_full_disk_fails_the_stack_which_may_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquisition, write, calls = Acquisition(times=3), _shards._write_all, []
    run(acquisition, tmp_path / "whole.ome.zarr")

    def full(file: Any, data: bytes) -> None:
        calls.append(file)
        if len(calls) == 8:
            raise OSError(errno.ENOSPC, "no space left")
        write(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(_shards, "_write_all", full)
        report = run(acquisition, tmp_path / NAME)
    assert [stack.status for stack in report.stacks] == ["complete", "failed", "complete"]
    assert "disk full, or quota used up" in report.stacks[1].reason
    assert report.output is None
    assert report.problem.startswith("1 stack could not be written: disk full")
    check_valid(tmp_path / GROWING)
    told = []
    report = run(acquisition, tmp_path / NAME, on_fused=lambda key, *_: told.append(key))
    assert told == [StackKey(0, 1)]
    assert report.output
    assert content(tmp_path / NAME) == content(tmp_path / "whole.ome.zarr")


def test_full_disk_at_the_end_leaves_what_can_be_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquisition = Acquisition(times=2)
    run(acquisition, tmp_path / "whole.ome.zarr")
    with monkeypatch.context() as patch:
        change = growing_images._change

        def full(path: Path, *given: Any) -> None:
            if path.parent.name == GROWING:
                raise OSError(errno.ENOSPC, "no space left")
            change(path, *given)

        patch.setattr(growing_images, "_change", full)
        report = run(acquisition, tmp_path / NAME)
    assert report.output is None
    assert "disk full" in report.problem
    assert not (tmp_path / NAME).exists()
    report = run(acquisition, tmp_path / NAME, [])
    assert report.output
    assert content(tmp_path / NAME) == content(tmp_path / "whole.ome.zarr")


class Killed(BaseException):
    """The process is no more."""


STEPS, PARTS = 200, 6  # more than a run has; a part of them is tried by one test


@pytest.mark.parametrize("part", [
    0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, PARTS)),
])  # fmt: skip
def test_death_at_any_step_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    """Die before the n-th change that others can see, for each n; one part of them is fast."""
    acquisition = Acquisition(positions=2, times=2, planes={(StackKey(0, 1), 0): 3})
    series = acquisition.series(times=None)
    keys = acquisition.keys()[:3]  # the last stack never comes
    monkeypatch.setattr(threading, "excepthook", lambda *_: None)
    run(acquisition, tmp_path / "whole.ome.zarr", keys, series=series)
    steps = [0]

    def mortal(step: Any) -> Any:
        def stepped(*given: Any, **more: Any) -> Any:
            steps[0] -= 1
            if steps[0] == 0:
                raise Killed
            return step(*given, **more)

        return stepped

    for module in (_growing, growing_images):
        monkeypatch.setattr(module, "rename", mortal(_growing.rename))
    monkeypatch.setattr(_growing, "_remove", mortal(_growing._remove))
    monkeypatch.setattr(_manifest.Manifest, "_write", mortal(_manifest.Manifest._write))
    died = 0
    for n in range(1 + part, STEPS, PARTS):
        shutil.rmtree(tmp_path / NAME, ignore_errors=True)
        steps[0] = n
        session = Session(tmp_path / NAME, workers=1)
        try:
            session.begin(series)
            for frame in acquisition.frames(keys):
                session.put(frame)
            session._queue.put(type("End", (), {"key": None})())  # as `end`, but without waiting
            session._thread.join()
        except Killed:
            pass
        if steps[0] > 0:
            break
        died += 1
        if hasattr(session._output, "_manifest"):
            session._output._manifest.close()
        session._output._place.release()
        published = (tmp_path / NAME).exists()
        if published:
            assert content(tmp_path / NAME) == content(tmp_path / "whole.ome.zarr"), n
        run(acquisition, tmp_path / NAME, keys, series=series, overwrite=published)
        assert content(tmp_path / NAME) == content(tmp_path / "whole.ome.zarr"), n
        assert sorted(os.listdir(tmp_path)) == [NAME, "whole.ome.zarr"]
    assert died >= 8


def kill_and_resume(folder: Path, kills: int, seed: int) -> int:
    """Kill sessions at random moments, until one ends; return the number of kills."""
    random, done = Random(seed), 0
    command = [sys.executable, "-m", "tests.support.live_run", str(folder / NAME), "select"]
    while True:
        process = subprocess.Popen(
            [*command, "0.02"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        with process:
            assert process.stdout
            line = process.stdout.readline()
            assert line.startswith("begun"), process.stderr.read() if process.stderr else ""
            try:
                _, said = process.communicate(
                    timeout=random.uniform(0, 0.9 if done < kills else 60)
                )
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                # On a busy machine it dies after its end, before its process is gone: too late.
                if (folder / NAME).is_dir() and not (folder / "f.growing.session").exists():
                    return done
                done += 1
                if (folder / GROWING).is_dir():
                    check_valid(folder / GROWING)
                continue
            assert process.returncode == 0, said
            return done


@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_killed_sessions_leave_nothing_behind(tmp_path: Path, kills: int) -> None:
    run(ACQUISITION, tmp_path / "whole.ome.zarr", series=ACQUISITION.series(times=None))
    total = 0
    for turn in range(20):
        folder = tmp_path / str(turn)
        folder.mkdir()
        total += kill_and_resume(folder, kills - total, turn)
        assert content(folder / NAME) == content(tmp_path / "whole.ome.zarr")
        assert [path.name for path in folder.iterdir()] == [NAME]
        if total >= kills:
            return
    raise AssertionError(f"only {total} kills hit")


def test_manifest_is_damaged(tmp_path: Path) -> None:
    interrupted(Acquisition(times=2), tmp_path / NAME, [ONE])
    manifest = tmp_path / "f.growing.session" / "manifest.jsonl"
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([lines[0], "no JSON", *lines[1:], ""]))
    with pytest.raises(zfuse.ZfuseError, match="is damaged in line 2"):
        Session(tmp_path / NAME).begin(Acquisition(times=2).series())
    assert json.loads(lines[0])["source"] == "microscope, run 1"
