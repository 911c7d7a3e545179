"""What a sequence will acquire, against an enumeration of all its events."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from zfuse.pipeline.live._frame import StackKey
from zfuse.pipeline.live._useq import Plan

useq = pytest.importorskip("useq")


def images(sequence) -> list:
    return [e for e in sequence if getattr(e.action, "type", "acquire_image") == "acquire_image"]


STEPS = st.sampled_from([0.5, 1.0, 2.0])
UP = st.booleans()
Z_PLANS = st.none() | st.one_of(
    st.builds(useq.ZRangeAround, range=st.integers(0, 4).map(float), step=STEPS, go_up=UP),
    st.builds(
        useq.ZAboveBelow,
        above=st.integers(0, 3).map(float),
        below=st.integers(0, 3).map(float),
        step=STEPS,
        go_up=UP,
    ),
    st.builds(
        useq.ZTopBottom,
        top=st.integers(3, 6).map(float),
        bottom=st.integers(0, 2).map(float),
        step=STEPS,
        go_up=UP,
    ),
    st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=5, unique=True).map(
        lambda at: useq.ZRelativePositions(relative=at)
    ),
)
GRIDS = st.none() | st.builds(useq.GridRowsColumns, rows=st.integers(1, 2), columns=st.just(2))
TIMES = st.none() | st.integers(1, 5).map(lambda n: useq.TIntervalLoops(interval=1, loops=n))


def channels(names: str):
    return st.lists(
        st.builds(
            useq.Channel,
            config=st.sampled_from(list(names)),
            do_stack=UP,
            acquire_every=st.integers(1, 3),
            z_offset=st.sampled_from([None, 0.25]),
        ),
        max_size=3,
        unique_by=lambda c: c.config,
    )


SUB = st.none() | st.builds(
    useq.MDASequence,
    channels=channels("CD"),
    z_plan=Z_PLANS,
    grid_plan=GRIDS,
    time_plan=st.none() | st.just(useq.TIntervalLoops(interval=0, loops=2)),
)
POSITIONS = st.lists(
    st.builds(
        useq.Position, x=st.just(0), y=st.just(0), z=st.integers(0, 3).map(float), sequence=SUB
    ),
    max_size=3,
)
SEQUENCES = st.builds(
    useq.MDASequence,
    axis_order=st.sampled_from(["tpgcz", "tpgzc", "ptgcz", "gptcz", "tpcgz"]),
    channels=channels("ABC"),
    z_plan=Z_PLANS,
    grid_plan=GRIDS,
    time_plan=TIMES,
    stage_positions=POSITIONS,
)


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_frame_has_its_place_by_its_height(data: st.DataObject) -> None:
    try:
        sequence = data.draw(SEQUENCES)
    except ValueError:  # useq refuses it
        return
    events = images(sequence)
    if not events:
        with pytest.raises(ValueError, match="no images"):
            Plan(sequence)
        return
    plan = Plan(sequence)
    series = plan.series
    heights: dict[tuple, dict[int, float]] = defaultdict(dict)
    names = [c.name for c in series.channels]
    for event in events:
        place = plan.place(event)
        assert place is not None
        assert place.z not in heights[place.key, place.c], "two frames at one place"
        heights[place.key, place.c][place.z] = event.z_pos or 0
        if event.channel:
            assert names[place.c] == event.channel.config
        assert 0 <= place.key.p < len(series.positions)
        assert 0 <= place.key.t < series.times
    for (key, c), at in heights.items():
        assert sorted(at) == list(range(len(at)))
        assert series.planes[key, c] == len(at)
        assert [at[z] for z in sorted(at)] == sorted(at.values())
    assert sum(series.planes.values()) == len(events)
    places = {(e.index.get("p", 0), e.index.get("g", 0)) for e in events}
    assert len(series.positions) == len(places) == len(set(series.positions))


def test_going_down_gives_the_indices_in_reverse() -> None:
    down = useq.MDASequence(z_plan=useq.ZTopBottom(top=3, bottom=0, step=1, go_up=False))
    plan = Plan(down)
    assert [plan.place(e).z for e in down] == [3, 2, 1, 0]
    assert plan.series.z_step == 1


def test_channels_may_have_other_numbers_of_planes() -> None:
    sequence = useq.MDASequence(
        channels=["DAPI", {"config": "FITC", "do_stack": False, "acquire_every": 2}],
        z_plan={"range": 4, "step": 1},
        time_plan={"interval": 5, "loops": 1000},
        stage_positions=[(0, 0, 7), useq.Position(x=1, y=1, name="edge")],
    )
    series = Plan(sequence).series
    assert series.positions == ("0", "edge")
    assert [c.name for c in series.channels] == ["DAPI", "FITC"]
    assert series.times == 1000
    assert series.time_step == 5
    assert series.planes[StackKey(1, 998), 1] == 1
    assert series.planes[StackKey(1, 999), 1] == 0
    assert series.planes[StackKey(0, 999), 0] == 5


def test_tiles_of_a_grid_are_positions() -> None:
    sequence = useq.MDASequence(
        stage_positions=[(0, 0), (1, 1)], grid_plan={"rows": 1, "columns": 2}, channels=["A"]
    )
    plan = Plan(sequence)
    assert plan.series.positions == ("0_000", "0_001", "1_000", "1_001")
    assert [plan.place(e).key.p for e in sequence] == [0, 1, 2, 3]


def test_autofocus_is_no_plane() -> None:
    sequence = useq.MDASequence(
        stage_positions=[(0, 0, 0)],
        z_plan={"range": 2, "step": 1},
        autofocus_plan=useq.AxesBasedAF(autofocus_motor_offset=1, axes=("p", "z")),
    )
    assert len(images(sequence)) < len(list(sequence))
    assert sum(Plan(sequence).series.planes.values()) == 3


def test_uneven_steps_have_no_step() -> None:
    uneven = useq.MDASequence(z_plan=useq.ZRelativePositions(relative=[3, 0, 1]))
    plan = Plan(uneven)
    assert [plan.place(e).z for e in uneven] == [2, 0, 1]
    assert plan.series.z_step is None


def test_two_cameras_make_channels_of_their_own() -> None:
    sequence = useq.MDASequence(channels=["A", "B"], z_plan={"range": 2, "step": 1})
    plan = Plan(sequence, cameras=2)
    assert [c.name for c in plan.series.channels] == [
        "A camera 0",
        "A camera 1",
        "B camera 0",
        "B camera 1",
    ]
    second = next(e for e in sequence if e.channel.config == "B")
    assert plan.place(second.model_copy(update={"index": {**second.index, "cam": 1}})).c == 3


def test_positions_of_one_name_are_told_apart() -> None:
    sequence = useq.MDASequence(
        stage_positions=[useq.Position(x=i, y=0, name="a") for i in range(3)], channels=["A"]
    )
    assert Plan(sequence).series.positions == ("a", "a 2", "a 3")


def test_what_has_no_known_end_is_refused() -> None:
    endless = useq.MDASequence(time_plan={"interval": 0, "duration": 3}, channels=["A"])
    with pytest.raises(ZeroDivisionError):
        Plan(endless)


def test_a_long_time_lapse_is_not_gone_through_event_by_event() -> None:
    class Counted(useq.MDASequence):
        def __iter__(self):
            for event in super().__iter__():
                taken.append(event)
                yield event

    taken: list = []
    sequence = Counted(
        time_plan={"interval": 0, "loops": 100_000},
        channels=["A", {"config": "B", "acquire_every": 2}],
        z_plan={"range": 2, "step": 1},
    )
    series = Plan(sequence).series
    assert len(taken) <= 10
    assert series.planes[StackKey(0, 99_999), 1] == 0
    assert series.planes[StackKey(0, 99_998), 1] == 3
    assert np.array_equal(sorted({k.t for k, _ in series.planes}), np.arange(100_000))
