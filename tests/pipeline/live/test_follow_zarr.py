from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from support.followed import Followed

from zfuse.pipeline.live import StackKey
from zfuse.pipeline.live._follow_zarr import ZarrFollower

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

AXES = [
    {"name": "t", "type": "time"},
    {"name": "c", "type": "channel"},
    *({"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"),
]


def planes(*shape: int, seed: int = 0) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(100, 4000, (*shape, 24, 32), np.uint16)


def ome(zarr_format: int, channels: int) -> dict[str, Any]:
    image = {
        "axes": AXES,
        "datasets": [
            {
                "path": "0",
                "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 0.5, 0.1, 0.1]}],
            }
        ],
    }
    said = {
        "multiscales": [image if zarr_format == 3 else {"version": "0.4", **image}],
        "omero": {"channels": [{"label": f"dye {c}"} for c in range(channels)]},
    }
    return {"ome": {"version": "0.5", **said}} if zarr_format == 3 else said


def create(
    place: Path,
    shape: tuple[int, ...],
    *,
    zarr_format: int = 3,
    shards: tuple[int, ...] | None = None,
    chunks: tuple[int, ...] = (1, 1, 1, 24, 16),
    **more: Any,
) -> zarr.Array[Any]:
    group = zarr.open_group(
        str(place), mode="w", zarr_format=zarr_format, attributes=ome(zarr_format, shape[1])
    )
    keys = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if zarr_format == 2 else {}
    return group.create_array(
        "0", shape=shape, dtype="uint16", chunks=chunks, shards=shards, **keys, **more
    )


LAYOUTS = {
    "0.4": {"zarr_format": 2},
    "0.5": {},
    "raw": {"compressors": None},
    "shard a plane": {"shards": (1, 1, 1, 24, 32)},
    "shard a stack": {"shards": (1, 1, 4, 24, 32)},
    "shard a time point": {"shards": (1, 2, 4, 24, 32)},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_planes_in_any_order(tmp_path: Path, layout: dict[str, Any]) -> None:
    want = planes(2, 2, 4)
    array = create(tmp_path / "a.ome.zarr", (2, 2, 4, 24, 32), **layout)
    seen = Followed(ZarrFollower(tmp_path / "a.ome.zarr"))
    order = np.random.default_rng(5).permutation(list(np.ndindex(2, 2, 4)))
    for n, (t, c, z) in enumerate(order):
        array[t, c, z] = want[t, c, z]
        seen.poll(1 + n % 3)
        for (key, channel, plane), frame in seen.frames.items():
            assert frame.read is not None
            assert np.array_equal(frame.read(), want[key.t, channel, plane])
    seen.poll(2)
    assert sorted(seen.ended) == [StackKey(0, 0), StackKey(0, 1)]
    for t, c in np.ndindex(2, 2):
        assert np.array_equal(seen.stack(0, t, c), want[t, c])
    assert seen.series is not None
    assert (seen.series.z_step, seen.series.pixel_size) == (0.5, (0.1, 0.1))
    assert [channel.name for channel in seen.series.channels] == ["dye 0", "dye 1"]
    assert seen.remarks == []
    seen.finish()
    assert len(seen.ended) == 2


@pytest.mark.parametrize(
    "layout", [LAYOUTS[k] for k in ("0.4", "0.5", "raw", "shard a plane", "shard a stack")]
)
def test_half_a_file_is_no_plane(tmp_path: Path, layout: dict[str, Any]) -> None:
    want = planes(1, 1, 4)
    place = tmp_path / "a.ome.zarr"
    array = create(place, (1, 1, 4, 24, 32), **layout)
    array[:] = want
    # the largest in name is the file that is written last
    last = max(f for f in (place / "0").rglob("*") if f.is_file() and f.name[0].isdigit())
    data = last.read_bytes()
    last.unlink()
    seen = Followed(ZarrFollower(place))
    for size in [0, 1, 17, *range(40, len(data), 97), len(data) - 5, len(data) - 1]:
        last.write_bytes(data[:size])
        seen.poll(3)
        assert seen.ended == [], size
    assert all("\n" not in line for line in seen.remarks)
    last.write_bytes(data)
    seen.poll(3)
    assert seen.ended == [StackKey(0, 0)]
    assert np.array_equal(seen.stack(), want[0, 0])


def test_what_is_not_there_at_the_end(tmp_path: Path) -> None:
    want = planes(3, 1, 4)
    place = tmp_path / "a.ome.zarr"
    array = create(place, (3, 1, 4, 24, 32))
    want[0, 0, 1, :, :16] = 0  # zarr-python leaves blank chunks out
    want[0, 0, 2] = 0
    array[0] = want[0]
    array[1, 0, :2] = want[1, 0, :2]
    seen = Followed(ZarrFollower(place)).poll(4)
    assert seen.ended == []
    seen.finish()
    assert seen.ended == [StackKey(0, 0), StackKey(0, 1)]
    assert np.array_equal(seen.stack(), want[0, 0])
    assert np.array_equal(seen.stack(t=1), want[1, 0, :2])
    assert [("blank" in line, "not acquired" in line) for line in seen.remarks] == [
        (True, False), (False, True)
    ]  # fmt: skip


def test_the_list_of_frames_ends_it_and_says_what_is_blank(tmp_path: Path) -> None:
    want = planes(1, 1, 3)
    want[0, 0, 2] = 0  # the last plane: only the list says that it was acquired
    place = tmp_path / "a.ome.zarr"
    array = create(place, (1, 1, 3, 24, 32))
    array[:] = want
    seen = Followed(ZarrFollower(place)).poll(3)
    assert not seen.over
    meta = json.loads((place / "zarr.json").read_text())
    for count in (0, 2, 3):  # it is flushed early with too few
        meta["attributes"]["ome_writers"] = {
            "frame_metadata": [{"storage_index": [0, 0, z]} for z in range(count)]
        }
        (place / "zarr.json").write_text(json.dumps(meta))
        seen.poll(2)
        assert bool(seen.over) == (count == 3)
    seen.finish()
    assert np.array_equal(seen.stack(), want[0, 0])
    assert "the writer lists them" in seen.remarks[0]


def test_a_damaged_plane_is_named_and_the_stack_ends_without_it(tmp_path: Path) -> None:
    want = planes(1, 1, 3)
    place = tmp_path / "a.ome.zarr"
    create(place, (1, 1, 3, 24, 32), chunks=(1, 1, 1, 24, 32))[:] = want
    os.truncate(place / "0/c/0/0/2/0/0", 100)
    seen = Followed(ZarrFollower(place)).poll(40)
    assert len(seen.remarks) == 1
    seen.finish()
    assert np.array_equal(seen.stack(), want[0, 0, :2])
    assert len(seen.remarks) == 2


def test_a_collection_whose_images_come_one_by_one(tmp_path: Path) -> None:
    want = planes(2, 1, 1, 3)
    place = tmp_path / "a.ome.zarr"
    zarr.open_group(
        str(place), mode="w", zarr_format=3,
        attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}},
    )  # fmt: skip
    zarr.open_group(
        str(place / "OME"), mode="w", zarr_format=3,
        attributes={"ome": {"version": "0.5", "series": ["A", "B"]}},
    )  # fmt: skip
    seen = Followed(ZarrFollower(place)).poll(2)
    assert seen.series is None
    for p in range(2):
        create(place / "AB"[p], (1, 1, 3, 24, 32))[:] = want[p]
        seen.poll(3)
        assert seen.ended == [StackKey(i, 0) for i in range(p + 1)]
        assert np.array_equal(seen.stack(p), want[p, 0, 0])
    assert seen.series is not None
    assert seen.series.positions == ("A", "B")


def test_a_plate(tmp_path: Path) -> None:
    want = planes(1, 1, 3)
    place = tmp_path / "a.ome.zarr"
    plate = {"columns": [{"name": "1"}], "rows": [{"name": "A"}], "name": "x",
             "wells": [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}]}  # fmt: skip
    for path, said in (("", {"plate": plate}), ("A/1", {"well": {"images": [{"path": "0"}]}})):
        zarr.open_group(
            str(place / path), mode="w", zarr_format=3,
            attributes={"ome": {"version": "0.5", **said}},
        )  # fmt: skip
    create(place / "A/1/0", (1, 1, 3, 24, 32))[:] = want
    seen = Followed(ZarrFollower(place)).poll(3)
    assert np.array_equal(seen.stack(), want[0, 0])
    assert seen.series is not None
    assert seen.series.positions == ("A/1/0",)


@pytest.mark.parametrize("backend", ["tensorstore", "zarr-python", "acquire-zarr"])
def test_ome_writers(tmp_path: Path, backend: str) -> None:
    ow = pytest.importorskip("ome_writers")
    pytest.importorskip({"zarr-python": "zarr"}.get(backend, backend.replace("-", "_")))
    want = planes(3, 2, 2, 4)  # t, p, c, z
    dims = [
        ow.Dimension(name="t", count=3, type="time", chunk_size=1, shard_size_chunks=1),
        ow.Dimension(name="p", type="position", coords=["A", "B"]),
        ow.Dimension(
            name="c", type="channel", coords=["x", "y"], chunk_size=1, shard_size_chunks=1
        ),
        ow.Dimension(name="z", count=4, type="space", chunk_size=1, shard_size_chunks=4),
        ow.Dimension(name="y", count=24, type="space", chunk_size=24, shard_size_chunks=1),
        ow.Dimension(name="x", count=32, type="space", chunk_size=32, shard_size_chunks=1),
    ]
    settings = ow.AcquisitionSettings(
        root_path=str(tmp_path / "a"), dimensions=dims, dtype="uint16",
        format={"name": "ome-zarr", "backend": backend},
    )  # fmt: skip
    seen = Followed(ZarrFollower(tmp_path / "a.ome.zarr"))
    early = 0
    with ow.create_stream(settings) as stream:
        for index in np.ndindex(3, 2, 2, 4):
            stream.append(want[index], frame_metadata={"i": 1})
            time.sleep(0.01)  # it writes in threads of its own
            seen.poll()
            early = len(seen.ended)
    assert not seen.over
    assert early >= 1  # while it was written
    seen.poll(3).finish()
    assert seen.over
    assert len(seen.ended) == 6
    assert seen.remarks == []
    for t, p, c in np.ndindex(3, 2, 2):
        assert np.array_equal(seen.stack(p, t, c), want[t, p, c])


def test_chunks_that_the_metadata_do_not_speak_of_yet_are_no_idleness(tmp_path: Path) -> None:
    follower = ZarrFollower(tmp_path / "a.ome.zarr")
    create(tmp_path / "a.ome.zarr", (1, 1, 3, 24, 32))
    seen = Followed(follower).poll(3)
    before = follower.activity
    assert follower.activity == before
    hidden = tmp_path / "a.ome.zarr/0/c/1/0/0/0"
    hidden.mkdir(parents=True)
    for size in (10, 20):
        (hidden / "0").write_bytes(bytes(size))
        seen.poll()
        assert follower.activity > before
        before = follower.activity
    seen.poll()
    assert follower.activity == before


def test_channels_that_are_still_to_come_are_waited_for(tmp_path: Path) -> None:
    want = planes(1, 2, 3)
    place = tmp_path / "a.ome.zarr"
    array = create(place, (1, 2, 3, 24, 32))
    array[:] = want
    whole = (place / "0/zarr.json").read_text()
    (place / "0/zarr.json").write_text(whole.replace("2,", "1,", 1))
    assert json.loads((place / "0/zarr.json").read_text())["shape"][1] == 1
    seen = Followed(ZarrFollower(place)).poll(3)
    assert seen.series is None
    (place / "0/zarr.json").write_text(whole)
    seen.poll(3)
    assert seen.series is not None
    assert len(seen.series.channels) == 2
    assert np.array_equal(seen.stack(c=1), want[0, 1])


def test_a_collection_that_gets_longer(tmp_path: Path) -> None:
    want = planes(2, 1, 1, 3)
    place = tmp_path / "a.ome.zarr"
    zarr.open_group(
        str(place), mode="w", zarr_format=3,
        attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}},
    )  # fmt: skip
    seen = Followed(ZarrFollower(place))
    for p in range(2):
        create(place / str(p), (1, 1, 3, 24, 32))[:] = want[p]
        seen.poll(3)
        assert np.array_equal(seen.stack(p), want[p, 0, 0])
    assert seen.series is not None
    assert seen.series.more_positions
