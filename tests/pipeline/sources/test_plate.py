"""Plates: every field listed from metadata, wells that are missing or damaged, hostile names."""

from __future__ import annotations

import json
import pickle
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from support.plates import SIZE, field_pixels, group, write_image, write_plate

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources import open_collection, open_member, open_stack

if TYPE_CHECKING:
    from pathlib import Path

    from zfuse.pipeline.core import Stack


def read(stack: Stack) -> Any:
    _, _, z, y, x = stack.shape
    return stack.reader.read(0, slice(0, z), slice(0, y), slice(0, x))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_all_fields_of_all_wells(tmp_path: Path, version: str) -> None:
    acquisitions = [{"id": 0, "name": "day 1"}, {"id": 3, "name": "day 2", "starttime": 5}]
    place = write_plate(tmp_path / "p.zarr", version=version, acquisitions=acquisitions)
    found = open_collection(place)
    assert (found.kind, found.warnings) == ("plate", ())
    assert [m.path for m in found.members] == ["A/01/0", "A/01/1", "B/02/0", "B/03/0"]
    assert [m.target for m in found.members] == [m.path for m in found.members]
    assert [m.acquisition for m in found.members] == [0, 3, 0, 0]
    assert (found.members[1].name, found.members[1].well) == ("A/01 field 1", "A/01")
    assert found.plate is not None
    assert (found.plate.name, found.plate.rows) == ("screen 7", ("A", "B", "C"))
    assert found.plate.columns == ("01", "02", "03")
    assert list(found.plate.acquisitions) == acquisitions
    for member in found.members:
        stack = found.open(member)
        assert (stack.name, [c.name for c in stack.channels]) == (member.path, ["DAPI", "GFP"])
        assert (stack.z_step, stack.pixel_size, stack.origin) == (0.5, (0.25, 0.25), (3, 100, 200))
        np.testing.assert_array_equal(read(stack), np.swapaxes(field_pixels(member.path)[0], 0, 1))


def test_a_collection_travels_and_opens_one_image_alone(tmp_path: Path) -> None:
    found = open_collection(write_plate(tmp_path / "p.zarr"))
    there = pickle.loads(pickle.dumps(found))
    assert there == found
    (tmp_path / "p.zarr/A/01/zarr.json").unlink()  # a worker looks at nothing but its own image
    stack = open_member(there.place, there.members[3])
    assert stack.source.endswith("p.zarr/B/03/0")


def test_a_well_is_opened_like_a_collection(tmp_path: Path) -> None:
    place = write_plate(tmp_path / "p.zarr")
    well = open_collection(place / "A/01")
    assert (well.kind, [m.target for m in well.members]) == ("images", ["0", "1"])
    single = open_collection(place / "B/03")
    assert (single.kind, single.members[0].path, single.members[0].target) == ("image", "0", "")


def test_series_of_a_plate_is_one_image(tmp_path: Path) -> None:
    found = open_collection(write_plate(tmp_path / "p.zarr"), series=2)
    assert (found.kind, found.plate) == ("image", None)
    assert [(m.path, m.target) for m in found.members] == [("B/02/0", "")]
    assert open_stack(tmp_path / "p.zarr", series=3).name == "B/03/0"
    with pytest.raises(ZfuseError, match="no series 4: it holds 4 images"):
        open_collection(tmp_path / "p.zarr", series=4)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("how", ["absent", "json", "nothing", "empty", "escape"])
def test_a_bad_well_is_one_member_with_a_fault(tmp_path: Path, version: str, how: str) -> None:
    place = write_plate(tmp_path / "p.zarr", version=version)
    file = place / "A/01" / (".zattrs" if version == "0.4" else "zarr.json")
    if how == "absent":
        shutil.rmtree(place / "A/01")
    elif how == "json":
        file.write_text("[" * 100_000)
    else:
        images = {"nothing": 5, "empty": [], "escape": [{"path": "../../../x"}]}[how]
        said: Any = {"well": {"images": images}}
        if version == "0.5":
            said = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": said}}
        file.write_text(json.dumps(said))
    found = open_collection(place)
    bad, *good = found.members
    assert (bad.path, bad.target, bad.name) == ("A/01", "A/01", "A/01 (whole well)")
    assert [m.path for m in good] == ["B/02/0", "B/03/0"]
    with pytest.raises(ZfuseError, match="A/01") as refused:
        found.open(bad)
    assert "\n" not in str(refused.value)
    assert read(found.open(good[0])).shape == (SIZE[0], 2, *SIZE[1:])


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../B/03", "outside of it"),
        ("/etc/x", "outside of it"),
        ("../B", "outside of it"),
        ("B/..", "outside of it"),
        ("C:/03", "outside of it"),
        ("CON:/03", "no name of a row"),
        ("B03", "no row/column"),
        ("B/zarr.json", "no name of a row"),
        ("", "no row/column"),
    ],
)
def test_paths_that_lead_elsewhere(tmp_path: Path, path: str, said: str) -> None:
    group(tmp_path / "p.zarr", {"plate": {"wells": [{"path": path}]}}, "0.5")
    with pytest.raises(ZfuseError, match=said):
        open_collection(tmp_path / "p.zarr")


def test_what_a_plate_does_not_say(tmp_path: Path) -> None:
    plate = {"wells": [{"path": "B/10"}, {"path": "B/9"}, {"path": "B/10"}], "columns": None}
    place = tmp_path / "p.zarr"
    group(place, {"plate": plate}, "0.5")
    for well in ("B/9", "B/10"):
        group(place / well, {"well": {"images": [{"path": "0"}, {"path": "0"}]}}, "0.5")
        write_image(place / well / "0", field_pixels(well), ["a", "b"])
    found = open_collection(place)
    assert [m.path for m in found.members] == ["B/10/0", "B/9/0"]
    assert found.plate is not None
    assert (found.plate.rows, found.plate.columns) == (("B",), ("9", "10"))
    said = " ".join(found.warnings)
    assert "wells twice" in said
    assert "does not name all columns" in said
    group(tmp_path / "empty.zarr", {"plate": {"wells": []}}, "0.5")
    with pytest.raises(ZfuseError, match="plate without wells"):
        open_collection(tmp_path / "empty.zarr")


def test_wells_named_by_their_indices(tmp_path: Path) -> None:
    plate = {
        "rows": [{"name": "A"}],
        "columns": [{"name": "1"}, {"name": "2"}],
        "wells": [{"path": "well_7", "rowIndex": 0, "columnIndex": 1}],
    }
    group(tmp_path / "p.zarr", {"plate": plate}, "0.5")
    group(tmp_path / "p.zarr/well_7", {"well": {"images": [{"path": "0"}]}}, "0.5")
    write_image(tmp_path / "p.zarr/well_7/0", field_pixels("x"), ["a", "b"])
    (member,) = open_collection(tmp_path / "p.zarr").members
    assert (member.path, member.target) == ("well_7/0", "A/2/0")
    assert read(open_collection(tmp_path / "p.zarr").open(member)).shape[1] == 2


def test_a_plate_in_memory_is_listed_like_one_on_disk(tmp_path: Path) -> None:
    import fsspec

    place = write_plate(tmp_path / "p.zarr")
    memory: Any = fsspec.filesystem("memory")
    memory.put(str(place), "/plate-in-memory.zarr", recursive=True)
    there, here = (open_collection(p) for p in ("memory://plate-in-memory.zarr", place))
    assert there.members == here.members
    np.testing.assert_array_equal(
        read(there.open(there.members[0])), read(here.open(here.members[0]))
    )


def test_only_metadata_of_wells_are_read(tmp_path: Path) -> None:
    """A plate of 384 wells x 9 fields is listed without an image of it being there."""
    rows, columns = [chr(65 + i) for i in range(16)], [f"{i + 1:02}" for i in range(24)]
    wells = [f"{row}/{column}" for row in rows for column in columns]
    place = write_plate(tmp_path / "p.zarr", {}, rows=rows, columns=columns, declared=wells)
    said = {"ome": {"version": "0.5", "well": {"images": [{"path": str(i)} for i in range(9)]}}}
    text = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": said})
    for well in wells:
        (place / well).mkdir(parents=True)
        (place / well / "zarr.json").write_text(text)
    found = open_collection(place)
    assert len(found.members) == 384 * 9
    assert not any(member.fault for member in found.members)
    assert found.members[-1].path == "P/24/8"
    assert isinstance(zarr.open_group(place), zarr.Group)
