"""An ome-writers stream, tapped: what it writes stays the same, and is fused."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

import zfuse
from zfuse.errors import ZfuseError
from zfuse.pipeline.live import StackKey, tap

ow = pytest.importorskip("ome_writers")

SHAPE = (2, 2, 2, 5)  # t, p, c, z
BACKENDS = ["tensorstore", "zarr-python", "acquire-zarr"]


def settings(path, *, backend="tensorstore", times=2, **of_z):
    return ow.AcquisitionSettings(
        root_path=str(path),
        dimensions=[
            ow.Dimension(name="t", count=times, type="time"),
            ow.Dimension(name="p", type="position", coords=["left", "right"]),
            ow.Dimension(name="c", type="channel", coords=["DAPI", "FITC"]),
            ow.Dimension(name="z", count=5, type="space", scale=2, unit="micrometer", **of_z),
            ow.Dimension(name="y", count=48, type="space", scale=0.5),
            ow.Dimension(name="x", count=64, type="space", scale=0.5),
        ],
        dtype="uint16",
        format={"name": "ome-zarr", "backend": backend},
    )


@pytest.fixture(scope="module")
def planes():
    return np.random.default_rng(0).integers(1, 4000, (*SHAPE, 48, 64), np.uint16)


def written(path):
    members = zarr.open_group(path, mode="r").members(max_depth=None)
    return {name: np.asarray(a) for name, a in members if isinstance(a, zarr.Array)}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("times", [2, None], ids=["known", "endless"])
def test_what_is_written_is_fused_and_written_as_ever(tmp_path, planes, backend, times) -> None:
    results = {}
    ours = settings(tmp_path / "a.ome.zarr", backend=backend, times=times)
    stream = ow.create_stream(ours)
    tapped = tap(stream, ours, on_fused=lambda key, c, fused: results.update({(key, c): fused}))
    frame = np.empty((48, 64), np.uint16)  # a camera's own buffer, filled again and again
    with tapped:
        for at in np.ndindex(SHAPE):
            if backend == "tensorstore":  # it takes frames without copying them
                frame = np.empty_like(frame)
            frame[:] = planes[at]
            tapped.append(frame, frame_metadata={"delta_t": 0.1})
    report = tapped.wait()
    assert tapped.closed
    assert [(s.planes, s.status) for s in report.stacks] == [((5, 5), "complete")] * 4
    for (key, c), fused in results.items():
        offline = zfuse.fuse(planes[key.t, key.p, c], "select")
        assert np.array_equal(fused.image, offline.image)
        assert np.array_equal(fused.depth, offline.depth, equal_nan=True)
    assert len(results) == 8
    found = written(tmp_path / "a.ome.zarr")
    assert len(found) == 2
    for p, name in enumerate(sorted(found)):
        assert np.array_equal(found[name], planes[:, p])


def test_skipped_frames_make_a_stack_partial_not_wrong(tmp_path, planes) -> None:
    results = {}
    ours = settings(tmp_path / "a.ome.zarr")
    tapped = tap(
        ow.create_stream(ours), ours, on_fused=lambda key, c, f: results.update({(key, c): f})
    )
    with tapped:
        for at in np.ndindex(SHAPE):
            if at[:3] == (0, 1, 0) and at[3] >= 3:
                tapped.skip()
            else:
                tapped.append(planes[at])
    status = {s.key: (s.planes, s.status) for s in tapped.wait().stacks}
    assert status.pop(StackKey(1, 0)) == ((3, 5), "partial")
    assert set(status.values()) == {((5, 5), "complete")}
    offline = zfuse.fuse(planes[0, 1, 0, :3], "select")
    assert np.array_equal(results[StackKey(1, 0), 0].image, offline.image)


def test_heights_that_go_down_are_put_upright(tmp_path, planes) -> None:
    results = {}
    ours = settings(tmp_path / "a.ome.zarr", coords=[8.0, 6.0, 4.0, 2.0, 0.0])
    tapped = tap(
        ow.create_stream(ours), ours, on_fused=lambda key, c, f: results.update({(key, c): f})
    )
    with tapped:
        for at in np.ndindex(SHAPE):
            tapped.append(planes[at])
    tapped.wait()
    offline = zfuse.fuse(planes[0, 0, 0, ::-1], "select")
    assert np.array_equal(results[StackKey(0, 0), 0].depth, offline.depth, equal_nan=True)


def test_what_there_was_no_room_for_is_read_back(tmp_path, planes) -> None:
    ours = settings(tmp_path / "a.ome.zarr", backend="zarr-python")
    tapped = tap(ow.create_stream(ours), ours, memory=1)
    with tapped:
        for at in np.ndindex(SHAPE):
            tapped.append(planes[at])
        report = tapped.wait(0)
    report = tapped.wait()
    assert {s.status for s in report.stacks} == {"complete"}, str(report)


def test_dimensions_that_make_no_stacks_are_refused(tmp_path) -> None:
    ours = ow.AcquisitionSettings(
        root_path=str(tmp_path / "a.ome.zarr"),
        dimensions=[
            ow.Dimension(name="t", count=2, type="time"),
            ow.Dimension(name="y", count=48, type="space"),
            ow.Dimension(name="x", count=64, type="space"),
        ],
        dtype="uint16",
    )
    with ow.create_stream(ours) as stream, pytest.raises(ZfuseError, match="make no stacks"):
        tap(stream, ours)
