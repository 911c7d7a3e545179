"""A session fuses what comes as a run would, and what goes wrong stays with its stack."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import zfuse
from tests.support.live import Acquisition
from tests.support.same import assert_same
from zfuse.live import Frame, Report, Session, StackKey
from zfuse.pipeline.core import Channel, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable

ONE = StackKey(0, 0)
SOME = Acquisition()
PLANE_BYTES = 70 * 90 * 2


class Results(dict[tuple[StackKey, int | None], Any]):
    """What `on_fused` was told."""

    def __call__(self, key: StackKey, c: int | None, fused: Any) -> None:
        assert (key, c) not in self
        self[key, c] = fused


def run(
    acquisition: Acquisition, frames: Iterable[Any], cancelled: bool = False, **settings: Any
) -> tuple[Report, Results]:
    """Put frames, and keys as the end of a stack."""
    results = Results()
    more = {key: settings.pop(key) for key in ("planes", "channels", "rgb") if key in settings}
    session = Session(None, **{"workers": 2, "on_fused": results, **settings})
    session.begin(acquisition.series(**more))
    for frame in frames:
        if isinstance(frame, Frame):
            session.put(frame)
        else:
            session.end_stack(frame)
    return session.end(cancelled=cancelled), results


@pytest.mark.parametrize("method", ["select", "adaptive", "laplacian"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_result_is_that_of_fuse(method: str, dtype: str) -> None:
    acquisition = Acquisition(positions=2, times=2, channels=2, dtype=dtype)
    acquisition.planes = {(StackKey(1, 0), 1): 3, (StackKey(0, 1), 0): 6}
    report, results = run(acquisition, acquisition.frames(), method=method)
    assert [stack.status for stack in report.stacks] == ["complete"] * 4
    assert report.stacks[1].planes == (4, 3)
    assert len(results) == 8
    for (key, c), fused in results.items():
        assert_same(fused, zfuse.fuse(acquisition.stack(key, c or 0), method))


@pytest.mark.parametrize("channel", ["together", "dye 1"])
def test_channels_that_decide_together_are_fused_together(channel: str) -> None:
    acquisition = Acquisition(channels=2)
    report, results = run(acquisition, acquisition.frames(), channel=channel)
    planes = np.stack([acquisition.stack(ONE, c) for c in range(2)])
    wanted = zfuse.fuse(planes, "select", channel="together" if channel == "together" else 1)
    assert_same(results[ONE, None], wanted)
    assert report.stacks[0].planes == (4, 4)


def test_colours_of_a_camera_are_fused_together() -> None:
    planes = np.stack([SOME.stack(ONE, c) for c in range(3)])
    frames = [Frame(ONE, 0, z, np.ascontiguousarray(planes[:, z])) for z in range(4)]
    report, results = run(SOME, frames, rgb=True)
    stack = zfuse.from_array(planes, rgb=True)
    assert_same(results[ONE, None], zfuse.fuse(stack, "select"))
    assert report.stacks[0].planes == (4,)


@pytest.mark.parametrize("order", ["descending", "middle out", "shuffled"])
@pytest.mark.parametrize("method", ["select", "adaptive"])
def test_order_of_planes_is_free(order: str, method: str) -> None:
    frames = list(SOME.frames())
    orders = {"descending": [3, 2, 1, 0], "middle out": [1, 2, 0, 3], "shuffled": [2, 0, 3, 1]}
    _, results = run(SOME, [frames[z] for z in orders[order]], method=method)
    assert_same(results[ONE, 0], zfuse.fuse(SOME.stack(ONE), method))


def test_stacks_that_take_turns_are_fused_apart() -> None:
    acquisition = Acquisition(positions=3, times=2)
    frames = sorted(acquisition.frames(), key=lambda frame: (frame.z, frame.key.p))
    report, results = run(acquisition, frames, memory=30 * PLANE_BYTES)
    assert {stack.status for stack in report.stacks} == {"complete"}
    for key in acquisition.keys():
        assert_same(results[key, 0], zfuse.fuse(acquisition.stack(key), "select"))


def test_least_confidence_blanks_depth() -> None:
    _, results = run(SOME, SOME.frames(), min_confidence=0.9)
    assert_same(results[ONE, 0], zfuse.fuse(SOME.stack(ONE), "select", min_confidence=0.9))


def test_stack_of_unknown_length_ends_when_told() -> None:
    report, results = run(SOME, [*SOME.frames(), ONE], planes={})
    assert report.stacks[0].status == "complete"
    assert_same(results[ONE, 0], zfuse.fuse(SOME.stack(ONE), "select"))


@pytest.mark.parametrize("came", [[0, 1, 3], [1, 2]])
def test_stack_of_unknown_length_with_a_gap_is_partial(came: list[int]) -> None:
    report, _ = run(SOME, [*(f for f in SOME.frames() if f.z in came), ONE], planes={})
    assert (report.stacks[0].status, report.stacks[0].planes) == ("partial", (len(came),))


def test_stack_of_unknown_length_that_is_cancelled_is_partial() -> None:
    acquisition = Acquisition(times=2)
    ended = [*acquisition.frames([ONE]), ONE, *acquisition.frames([StackKey(0, 1)])]
    report, _ = run(acquisition, ended, planes={}, cancelled=True)
    assert [stack.status for stack in report.stacks] == ["complete", "partial"]


def test_one_channel_may_end_before_the_other() -> None:
    acquisition, results = Acquisition(channels=2), Results()
    session = Session(None, workers=2, on_fused=results)
    session.begin(acquisition.series(planes={}))
    for frame in acquisition.frames():
        session.put(frame)
    session.end_stack(ONE, 1)
    while not results:
        time.sleep(0.01)
    assert list(results) == [(ONE, 1)]
    session.end_stack(ONE, 0)
    assert session.end().stacks[0].status == "complete"
    assert len(results) == 2


@pytest.mark.parametrize("end", ["stack", "series", "cancelled"])
def test_stack_that_ends_early_is_partial(end: str) -> None:
    frames = list(SOME.frames())[:3]
    report, results = run(SOME, [*frames, *[ONE] * (end == "stack")], end == "cancelled")
    (stack,) = report.stacks
    assert (stack.status, stack.planes) == ("partial", (3,))
    assert_same(results[ONE, 0], zfuse.fuse(SOME.stack(ONE)[:3], "select"))


def test_missing_planes_leave_the_depth_of_the_others() -> None:
    tall = Acquisition(depth=6)
    kept = [1, 2, 4, 5]
    report, results = run(tall, [f for f in tall.frames() if f.z in kept])
    fused, whole = results[ONE, 0], zfuse.fuse(tall.stack(ONE)[kept], "select")
    np.testing.assert_array_equal(fused.image, whole.image)
    np.testing.assert_allclose(fused.depth, np.interp(whole.depth, range(4), kept), atol=1e-5)
    (stack,) = report.stacks
    assert (stack.status, stack.planes) == ("partial", (4,))
    assert stack.remarks == ("missing planes: 0, 3",)


def test_channel_of_which_nothing_came_does_not_fail_the_others() -> None:
    acquisition = Acquisition(channels=2)
    report, results = run(acquisition, [f for f in acquisition.frames() if f.c == 1])
    assert list(results) == [(ONE, 1)]
    assert (report.stacks[0].status, report.stacks[0].planes) == ("partial", (0, 4))


def test_channel_that_is_left_out_is_not_waited_for() -> None:
    acquisition = Acquisition(channels=2, planes={(ONE, 0): 0})
    report, results = run(acquisition, acquisition.frames())
    assert list(results) == [(ONE, 1)]
    assert (report.stacks[0].status, report.stacks[0].planes) == ("complete", (0, 4))


def test_stack_that_never_came_failed() -> None:
    acquisition = Acquisition(times=2)
    report, _ = run(acquisition, acquisition.frames([ONE]))
    assert [(s.key, s.status, s.reason) for s in report.stacks] == [
        (ONE, "complete", ""),
        (StackKey(0, 1), "failed", "it never came"),
    ]
    assert str(report).splitlines() == [
        "2 stacks: 1 complete, 1 failed",
        "  position 0, time 1: failed (0 planes); it never came",
    ]


def test_of_a_cancelled_series_nothing_is_missed() -> None:
    acquisition = Acquisition(times=2)
    report, _ = run(acquisition, acquisition.frames([ONE]), cancelled=True)
    assert [stack.key for stack in report.stacks] == [ONE]
    assert str(report) == "1 stack: 1 complete, cancelled"


class TestOddFrames:
    """What goes wrong with one stack is that stack's matter."""

    acquisition = Acquisition(times=2, channels=1)
    first, last = StackKey(0, 0), StackKey(0, 1)

    def run(self, *odd: Frame, after: int = 2, **settings: Any) -> Any:
        """Put odd frames into the first stack; the other one must be as ever."""
        frames = list(self.acquisition.frames())
        report, results = run(
            self.acquisition, [*frames[:after], *odd, *frames[after:]], **settings
        )
        one, other = report.stacks
        assert (other.status, other.remarks) == ("complete", ())
        assert_same(results[self.last, 0], zfuse.fuse(self.acquisition.stack(self.last), "select"))
        if one.status == "complete":
            whole = zfuse.fuse(self.acquisition.stack(self.first), "select")
            assert_same(results[self.first, 0], whole)
        else:
            assert (self.first, 0) not in results
        return one

    @property
    def plane(self) -> np.ndarray:
        return self.acquisition.stack(self.first)[1]

    @pytest.mark.parametrize("after", [2, 4])
    def test_frame_that_comes_twice_counts_once(self, after: int) -> None:
        stack = self.run(Frame(self.first, 0, 1, self.plane.copy()), after=after)
        assert (stack.status, stack.planes, stack.remarks) == ("complete", (4,), ())

    def test_of_two_different_frames_the_first_counts(self) -> None:
        stack = self.run(Frame(self.first, 0, 1, self.plane + 1))
        assert stack.remarks == ("plane 1 came twice, with other pixels: the first counts",)

    @pytest.mark.parametrize("z", [4, 17, -1])
    def test_plane_beyond_those_expected_is_left_out(self, z: int) -> None:
        stack = self.run(Frame(self.first, 0, z, self.plane))
        assert stack.status == "complete"
        assert stack.remarks == (f"plane {z} came, 4 were expected: it is left out",)

    def test_plane_beyond_those_expected_may_come_too_late(self) -> None:
        stack = self.run(Frame(self.first, 0, 4, self.plane), after=4)
        assert stack.remarks == ("a frame came too late",)

    def test_frame_after_the_end_of_its_stack_is_left_out(self) -> None:
        frames = list(self.acquisition.frames())
        report, results = run(self.acquisition, [*frames[:2], self.first, *frames[2:]])
        one = report.stacks[0]
        assert (one.status, one.planes) == ("partial", (2,))
        assert one.remarks == ("2 frames came too late",)
        two = zfuse.fuse(self.acquisition.stack(self.first)[:2], "select")
        assert_same(results[self.first, 0], two)

    def test_channel_that_nobody_named_is_left_out(self) -> None:
        stack = self.run(Frame(self.first, 3, 1, self.plane))
        assert stack.remarks == ("channel 3 was not announced: it is left out",)

    @pytest.mark.parametrize("odd", [
        pytest.param(lambda plane: plane[:-1], id="shape"),
        pytest.param(lambda plane: plane.astype(np.uint8), id="dtype"),
        pytest.param(lambda plane: np.stack([plane] * 3), id="colours"),
    ])  # fmt: skip
    def test_frame_of_another_kind_fails_its_stack(self, odd: Any) -> None:
        pixels = odd(self.plane)
        stack = self.run(Frame(self.first, 0, 2, pixels))
        assert stack.status == "failed"
        assert stack.reason == (
            f"a frame is {pixels.dtype} {pixels.shape}, those of the series are uint16 (70, 90)"
        )

    def test_pixels_that_are_no_array_fail_their_stack(self) -> None:
        stack = self.run(Frame(self.first, 0, 2, "pixels"))  # type: ignore[arg-type]
        assert stack.status == "failed"
        assert stack.reason.startswith("a frame was not understood")

    def test_frame_that_cannot_be_read_fails_its_stack(self) -> None:
        def read() -> Any:
            raise OSError("the server is gone")

        stack = self.run(Frame(self.first, 0, 2, read=read))
        assert stack.status == "failed"
        assert stack.reason == "plane 2 of channel 0 cannot be read: the server is gone"

    def test_first_frame_of_no_camera_does_not_settle_the_size(self) -> None:
        stack = self.run(Frame(self.first, 0, 0, np.zeros((3, 70, 90), np.uint16)), after=0)
        assert stack.status == "failed"
        assert "it must be numbers of one channel (Y, X)" in stack.reason

    def test_callback_that_fails_fails_nothing(self) -> None:
        def told(*_: Any) -> None:
            raise RuntimeError("the display is gone")

        acquisition = Acquisition(times=2)
        report, _ = run(acquisition, acquisition.frames(), on_fused=told)
        assert {stack.status for stack in report.stacks} == {"complete"}
        assert report.stacks[0].remarks == ("on_fused failed: the display is gone",)

    def test_fusion_that_fails_fails_its_stack(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from zfuse.pipeline.methods import make_method

        kind = type(make_method("select"))
        begin, calls = kind.add, []

        def broken(self: Any, *given: Any) -> None:
            calls.append(given)
            if len(calls) == 3:
                raise MemoryError("no memory")
            begin(self, *given)

        monkeypatch.setattr(kind, "add", broken)
        report, _ = run(self.acquisition, self.acquisition.frames(), workers=1)
        assert [(s.status, s.reason) for s in report.stacks] == [
            ("failed", "no memory"),
            ("complete", ""),
        ]


class HeldUp:
    """A session whose worker waits in `on_fused` for the first stack."""

    def __init__(self, acquisition: Acquisition, **settings: Any) -> None:
        self.at_work, self.go_on, self.results = threading.Event(), threading.Event(), Results()
        self.session = Session(None, workers=2, on_fused=self.told, **settings)
        self.session.begin(acquisition.series())
        for frame in acquisition.frames([ONE]):
            self.session.put(frame)
        assert self.at_work.wait(60)

    def told(self, *fused: Any) -> None:
        self.results(*fused)
        self.at_work.set()
        assert self.go_on.wait(60)

    def end(self) -> Report:
        self.go_on.set()
        return self.session.end()


def test_whoever_did_not_make_it_is_given_the_session_to_watch() -> None:
    begun: list[Session] = []
    acquisition = Acquisition(times=2)
    run(acquisition, acquisition.frames(), on_begin=begun.append)
    (session,) = begun
    assert session.series == acquisition.series()
    assert session.frames == (8, 0)
    assert Session(None).series is None
    assert Session(None).frames == (0, 0)

    def fails(_: Session) -> None:
        raise RuntimeError("the display is gone")

    report, _ = run(acquisition, acquisition.frames(), on_begin=fails)
    assert {stack.status for stack in report.stacks} == {"complete"}


def test_put_never_waits() -> None:
    acquisition = Acquisition(times=300, size=(512, 512))
    held = HeldUp(acquisition, memory=40_000_000)
    stack = acquisition.stack(ONE)
    seconds = []
    for key in acquisition.keys()[1:]:
        for z, plane in enumerate(stack):
            frame = Frame(key, 0, z, plane)
            begun = time.perf_counter()
            held.session.put(frame)
            seconds.append(time.perf_counter() - begun)
    assert np.percentile(seconds, 99.5) < 1e-3
    assert held.session._budget.most <= 40_000_000
    report = held.end()
    lost = [stack for stack in report.stacks if stack.status == "failed"]
    assert len(report.stacks) == 300
    assert 0 < len(lost) < 300
    assert len(lost) <= 300 - 1 - 40_000_000 // stack.nbytes  # others are not crowded out
    assert lost[-1].reason == (
        "plane 0 of channel 0 came when 40 MB were waiting to be fused, and cannot be read again; "
        "give more memory"
    )
    assert held.session._budget.used == 0


@pytest.mark.parametrize("method", ["select", "adaptive"])
def test_what_is_too_much_is_read_later(method: str) -> None:
    acquisition = Acquisition(times=6)
    held = HeldUp(acquisition, memory=5 * PLANE_BYTES, method=method)
    for frame in acquisition.frames(acquisition.keys()[1:], stored=True):
        held.session.put(frame)
    assert held.session._budget.used <= 5 * PLANE_BYTES
    report = held.end()
    assert {stack.status for stack in report.stacks} == {"complete"}
    for key in acquisition.keys():
        assert_same(held.results[key, 0], zfuse.fuse(acquisition.stack(key), method))
    assert held.session._budget.used == 0


def test_two_passes_need_memory_or_what_can_be_read() -> None:
    acquisition = Acquisition(depth=12)
    for stored, wanted in ((True, "complete"), (False, "failed")):
        report, _ = run(
            acquisition,
            acquisition.frames(stored=stored),
            method="adaptive",
            memory=6 * PLANE_BYTES,
        )
        assert report.stacks[0].status == wanted
    assert "give more memory" in report.stacks[0].reason


def test_frames_of_which_nothing_is_held_are_all_read() -> None:
    frames = [replace(frame, pixels=None) for frame in SOME.frames(stored=True)]
    _, results = run(SOME, frames, memory=1)
    assert_same(results[ONE, 0], zfuse.fuse(SOME.stack(ONE), "select"))


def test_abandoned_session_fuses_nothing_more() -> None:
    acquisition = Acquisition(times=50)
    held = HeldUp(acquisition)
    for frame in acquisition.frames():
        held.session.put(frame)
    threading.Timer(0.1, held.go_on.set).start()
    held.session.abandon()
    held.session.abandon()
    assert list(held.results) == [(ONE, 0)]
    held.session.put(Frame(ONE, 0, 0, acquisition.stack(ONE)[0]))
    assert held.session.end().problem == "abandoned"


def test_end_can_be_waited_for_in_pieces() -> None:
    acquisition = Acquisition(times=2)
    held = HeldUp(acquisition)
    for frame in acquisition.frames([StackKey(0, 1)]):
        held.session.put(frame)
    assert held.session.end(wait=0.01).problem == "still at work"
    report = held.end()
    assert report.problem == ""
    assert len(report.stacks) == 2
    assert held.session.end() == report


def test_progress_is_told_and_may_fail() -> None:
    class Told(Progress):
        total = done = 0

        def start(self, voxels: int) -> None:
            self.total += voxels

        def advance(self, voxels: int) -> None:
            self.done += voxels

        def warn(self, line: str) -> None:
            raise RuntimeError("the display is gone")

    acquisition, told = Acquisition(times=2), Told()
    report, _ = run(acquisition, acquisition.frames(), progress=told)
    assert told.done == told.total == 8 * 70 * 90
    report, _ = run(acquisition, acquisition.frames([ONE]), progress=told)
    assert report.problem == "the display is gone"
    assert {stack.status for stack in report.stacks} == {"complete", "failed"}


def test_session_may_be_ended_from_its_callback() -> None:
    session = Session(None, on_fused=lambda *_: session.end(cancelled=True) and None)
    session.begin(SOME.series())
    for frame in SOME.frames():
        session.put(frame)
    session._thread.join()
    assert session.end().cancelled


def test_session_that_never_began_ends() -> None:
    session = Session(None)
    session.put(Frame(ONE, 0, 0, np.zeros((4, 4), np.uint8)))
    assert session.end().problem == "the session never began"
    session.abandon()


def test_session_serves_one_series() -> None:
    with Session(None) as session:
        session.begin(SOME.series())
        with pytest.raises(RuntimeError, match="one series"):
            session.begin(SOME.series())


def test_channel_that_does_not_exist_is_refused() -> None:
    with pytest.raises(zfuse.ZfuseError, match="no channel 'DAPI' in cells: it has 0: dye 0"):
        Session(None, channel="DAPI").begin(SOME.series())


def test_settings_are_checked_at_once() -> None:
    with pytest.raises(zfuse.ZfuseError, match="min_confidence is 80"):
        Session(None, min_confidence=80)
    with pytest.raises(zfuse.ZfuseError, match="unknown method"):
        Session(None, "sharpest")


def test_exception_abandons_the_session() -> None:
    session = Session(None)

    def interrupted() -> None:
        with session:
            session.begin(SOME.series(channels=(Channel("a"),)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not session._thread.is_alive()
