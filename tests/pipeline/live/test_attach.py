"""Attached to a real pymmcore-plus core with Micro-Manager's demo devices."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zarr

import zfuse
from zfuse.errors import ZfuseError
from zfuse.pipeline.live import StackKey, attach

useq = pytest.importorskip("useq")
pymmcore_plus = pytest.importorskip("pymmcore_plus")


@pytest.fixture
def core():
    core = pymmcore_plus.CMMCorePlus()
    try:
        core.loadSystemConfiguration()
    except Exception as error:  # the adapters of another version, or none
        pytest.skip(f"no simulated hardware: {error}")
    core.setROI(0, 0, 192, 160)
    yield core
    core.unloadAllDevices()


class Recorder:
    """A handler of its own, beside zfuse: the planes by height."""

    def __init__(self, core) -> None:
        self.planes = defaultdict(dict)
        self.count = 0
        core.mda.events.frameReady.connect(self.take)

    def take(self, image, event, about) -> None:
        self.count += 1
        at = event.index
        key = StackKey(at.get("p", 0), at.get("t", 0)), at.get("c", 0)
        self.planes[key][event.z_pos] = image

    def offline(self, key, c, **settings):
        planes = self.planes[key, c]
        return zfuse.fuse(np.stack([planes[z] for z in sorted(planes)]), "select", **settings)


class Results(dict):
    """What `on_fused` gets."""

    def __call__(self, key, c, fused) -> None:
        self[key, c] = fused


def sequence(**changes):
    return useq.MDASequence(
        **{
            "channels": ["DAPI", {"config": "FITC", "do_stack": False}, "Cy5"],
            "z_plan": useq.ZRangeAround(range=4, step=1, go_up=False),
            "stage_positions": [(0, 0, 3), (50, 50, 5)],
            "time_plan": {"interval": 0, "loops": 2},
        }
        | changes
    )


def same(live, offline) -> None:
    assert np.array_equal(live.image, offline.image)
    assert np.array_equal(live.depth, offline.depth, equal_nan=True)
    assert np.array_equal(live.confidence, offline.confidence)


def test_an_acquisition_is_fused_as_it_would_be_offline(core, tmp_path) -> None:
    recorder, results = Recorder(core), Results()
    with attach(core, output=tmp_path / "fused.ome.zarr", on_fused=results) as live:
        core.mda.run(sequence())
        (report,) = live.wait()
    assert [(s.key, s.planes, s.status) for s in report.stacks] == [
        (StackKey(p, t), (5, 1, 5), "complete") for t in range(2) for p in range(2)
    ]
    assert recorder.count == 2 * 2 * 11
    assert set(results) == set(recorder.planes)
    for key, c in results:
        same(results[key, c], recorder.offline(key, c))
    assert report.output == str(tmp_path / "fused.ome.zarr")
    written = zarr.open_group(tmp_path / "fused.ome.zarr", mode="r")
    arrays = [
        a
        for _, a in sorted(written.members(max_depth=None), key=lambda m: m[0])
        if isinstance(a, zarr.Array)
    ]
    full = [a for a in arrays if a.shape[-2:] == (160, 192) and a.dtype == np.uint16]
    assert len(full) == 2, "one image a position"
    for p, image in enumerate(full):
        for t in range(2):
            for c in range(3):
                assert np.array_equal(image[t, c, 0], results[StackKey(p, t), c].image)


def test_each_acquisition_has_its_own_output(core, tmp_path) -> None:
    (tmp_path / "fused_001.ome.zarr").mkdir()
    short = sequence(time_plan=None, stage_positions=[], channels=["DAPI"])
    with attach(core, output=tmp_path / "fused.ome.zarr") as live:
        for _ in range(3):
            core.mda.run(short)
        reports = live.wait()
    assert sorted(r.output for r in reports) == [
        str(tmp_path / name)
        for name in ("fused.ome.zarr", "fused_002.ome.zarr", "fused_003.ome.zarr")
    ]


def test_what_was_cancelled_is_fused_as_far_as_it_came(core) -> None:
    results = Results()

    def cancel(image, event, about) -> None:
        if event.index == {"t": 0, "p": 1, "c": 0, "z": 2}:
            core.mda.cancel()

    core.mda.events.frameReady.connect(cancel)
    recorder = Recorder(core)
    with attach(core, on_fused=results) as live:
        core.mda.run(sequence())
        (report,) = live.wait()
    assert report.cancelled
    assert [(s.planes, s.status) for s in report.stacks] == [
        ((5, 1, 5), "complete"),
        ((3, 0, 0), "partial"),
    ]
    offline = recorder.offline(StackKey(1, 0), 0)  # from the top down: planes 4, 3, 2 came
    same(results[StackKey(1, 0), 0], replace(offline, depth=offline.depth + np.float32(2)))


@pytest.mark.parametrize("ragged", [False, True], ids=["regular", "ragged"])
def test_what_there_was_no_room_for_is_read_back_from_the_disk(core, tmp_path, ragged) -> None:
    """Ragged sequences are written as one long row of frames; regular ones have all axes."""
    channels = ["DAPI", {"config": "FITC", "do_stack": not ragged}]
    recorder, results = Recorder(core), Results()
    with attach(core, on_fused=results, memory=1) as live:
        core.mda.run(sequence(channels=channels), output=tmp_path / "planes.ome.zarr")
        (report,) = live.wait()
    assert [s.status for s in report.stacks] == ["complete"] * 4, str(report)
    for key, c in recorder.planes:
        same(results[key, c], recorder.offline(key, c))


def test_what_lies_between_the_threads_is_bounded(core, tmp_path, monkeypatch) -> None:
    """What finds no room there is read back."""
    from zfuse.pipeline.live import _attachment

    monkeypatch.setattr(_attachment, "_HANDED_OVER", 1)
    recorder, results = Recorder(core), Results()
    regular = sequence(channels=["DAPI", "FITC"])
    with attach(core, on_fused=results) as live:
        live._taken = 1  # as if frames lay there already: none finds room
        core.mda.run(regular, output=tmp_path / "planes.ome.zarr")
        (report,) = live.wait()
    assert [s.status for s in report.stacks] == ["complete"] * 4, str(report)
    for key, c in recorder.planes:
        same(results[key, c], recorder.offline(key, c))


def test_colours_are_fused_together(core) -> None:
    core.setProperty("Camera", "PixelType", "32bitRGB")
    planes, results = [], Results()
    core.mda.events.frameReady.connect(lambda image, event, about: planes.append(image))
    short = sequence(time_plan=None, stage_positions=[], channels=["DAPI"])
    with attach(core, on_fused=results) as live:
        core.mda.run(short)
        (report,) = live.wait()
    assert report.stacks[0].status == "complete", str(report)
    stack = np.moveaxis(np.stack(planes[::-1]), -1, 0)
    offline = zfuse.fuse(zfuse.from_array(stack, axes="CZYX", rgb=True), "select")
    (fused,) = results.values()
    same(fused, offline)


def test_without_room_and_without_a_disk_a_stack_fails_and_says_why(core) -> None:
    recorder = Recorder(core)
    with attach(core, memory=1) as live:
        core.mda.run(sequence())
        (report,) = live.wait()
    assert {s.status for s in report.stacks} == {"failed"}
    assert "memory" in report.stacks[0].reason
    assert recorder.count == 44


def test_nothing_that_fails_in_zfuse_reaches_the_acquisition(core, tmp_path, caplog) -> None:
    def broken(key, c, fused) -> None:
        raise RuntimeError("mine")

    recorder = Recorder(core)
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    for settings in ({"on_fused": broken}, {"output": blocked / "fused.ome.zarr"}):
        with attach(core, **settings):
            core.mda.run(sequence())
    assert recorder.count == 2 * 44
    assert "mine" in caplog.text
    assert "file" in caplog.text


def test_an_acquisition_without_a_plan_goes_on_unfused(core, caplog) -> None:
    recorder = Recorder(core)
    with attach(core) as live:
        core.mda.run(iter([useq.MDAEvent(), useq.MDAEvent()]))
        assert live.wait() == ()
    assert recorder.count == 2
    assert "this acquisition is not fused" in caplog.text


def test_detached_it_hears_nothing(core) -> None:
    results = Results()
    live = attach(core, on_fused=results)
    live.detach()
    live.detach()
    core.mda.run(sequence())
    assert live.wait() == ()
    assert not results


def test_it_joins_an_acquisition_that_runs(core) -> None:
    results, attached = Results(), []
    recorder = Recorder(core)

    def join(image, event, about) -> None:
        if not attached:
            attached.append(attach(core, on_fused=results))

    core.mda.events.frameReady.connect(join)
    core.mda.run(sequence())
    (report,) = attached[0].wait()
    attached[0].detach()
    status = {s.key: s.status for s in report.stacks}
    assert status.pop(StackKey(0, 0)) in ("partial", "complete")
    assert set(status.values()) == {"complete"}
    same(results[StackKey(1, 1), 2], recorder.offline(StackKey(1, 1), 2))


def test_what_is_wrong_is_said_at_once(core, tmp_path) -> None:
    with pytest.raises(ZfuseError, match="nothing to attach to"):
        attach(object())
    with pytest.raises(ZfuseError, match="unknown method"):
        attach(core, "sellect")
    with pytest.raises(ZfuseError, match="min_confidence"):
        attach(core, min_confidence=3)
    with pytest.raises(ZfuseError, match="must end in"):
        attach(core, output=tmp_path / "fused.jpg")
    with pytest.raises(ZfuseError, match="as OME-Zarr"):
        attach(core, output=tmp_path / "fused.tif")


def test_qt_signals_are_heard_in_the_thread_that_emits() -> None:
    """By itself Qt would wait for the event loop of the thread that connects."""
    pytest.importorskip("qtpy")
    try:
        from pymmcore_plus.mda.events import QMDASignaler
    except Exception as error:
        pytest.skip(f"no Qt: {error}")
    runner = SimpleNamespace(events=QMDASignaler())
    results = Results()
    short = sequence(time_plan=None, stage_positions=[], channels=["A"])
    planes = np.random.default_rng(0).integers(0, 999, (5, 64, 64), np.uint16)

    def run() -> None:
        runner.events.sequenceStarted.emit(short, {})
        for plane, event in zip(planes, short, strict=True):
            runner.events.frameReady.emit(plane, event, {})
        runner.events.sequenceFinished.emit(short)

    with attach(runner, on_fused=results) as live:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        (report,) = live.wait(30)
    assert report.stacks[0].status == "complete"
    same(results[StackKey(0, 0), 0], zfuse.fuse(planes[::-1], "select"))


def test_the_acquiring_thread_loses_microseconds_a_frame(core, capsys) -> None:
    """The time from a frame's hand-over to its return, while zfuse fuses on the same cores."""
    spent = []
    with attach(core) as live:
        take = live._frame

        def timed(image, event) -> None:
            started = time.perf_counter()
            take(image, event)
            spent.append(time.perf_counter() - started)

        live._frame = timed
        core.mda.run(sequence(time_plan={"interval": 0, "loops": 5}))
        live.wait()
    microseconds = np.array(spent) * 1e6
    with capsys.disabled():
        median, most = np.percentile(microseconds, [50, 99])
        print(f" [{len(spent)} frames: {median:.0f} µs median, {most:.0f} µs 99 %] ", end="")
    assert np.median(microseconds) < 500  # a machine under load; by itself it takes some 10


@pytest.fixture(autouse=True)
def quiet():
    """pymmcore-plus logs every frame."""
    logger = logging.getLogger("pymmcore-plus")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


def test_what_the_page_shows_works(core, tmp_path, monkeypatch, capsys) -> None:
    page = Path(__file__).parents[3] / "docs" / "howto" / "rig.md"
    block = re.search(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    monkeypatch.chdir(tmp_path)
    core.unloadAllDevices()  # the page loads them itself, in the core that all share
    exec(compile(block[1], str(page), "exec"), {})
    pymmcore_plus.CMMCorePlus.instance().unloadAllDevices()
    assert "2 stacks: 2 complete" in capsys.readouterr().out
    assert (tmp_path / "fused.ome.zarr").is_dir()
