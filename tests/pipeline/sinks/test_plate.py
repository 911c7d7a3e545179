"""The groups of a plate: valid in both versions, and read again as they were."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import zarr
from support.plates import field_pixels, write_image, write_plate as write_input
from yaozarrs import v04, v05, validate_ome_object

from zfuse.pipeline.core import PlateLayout
from zfuse.pipeline.sinks._ome_version import spelled
from zfuse.pipeline.sinks._plate import write_plate
from zfuse.pipeline.sources import open_collection

if TYPE_CHECKING:
    from pathlib import Path

    from zfuse.pipeline.sinks._ome_version import OmeZarrVersion

LAYOUT = PlateLayout(
    name="screen 7",
    rows=("A", "B", "AA"),
    columns=("1", "02", "10"),
    wells=("B/10", "A/1", "AA/02"),
    acquisitions=({"id": 4, "name": "day 1"},),
    acquisition_of={"B/10/0": 4},
)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_is_there_is_declared_and_nothing_else(
    tmp_path: Path, version: OmeZarrVersion
) -> None:
    place = tmp_path / "p.zarr"
    write_plate(place, ["A/1/0", "B/10/0", "B/10/3"], LAYOUT, {"failed": {"AA/02": "x"}}, version)
    for well, field in (("A/1", "0"), ("B/10", "0"), ("B/10", "3")):
        write_image(place / well / field, field_pixels(well), ["a", "b"], version)
    root = zarr.open_group(place, mode="r")
    said = root.attrs.asdict()
    assert root.metadata.zarr_format == (2 if version == "0.4" else 3)
    assert said.pop("zfuse") == {"failed": {"AA/02": "x"}}
    model: Any = v04 if version == "0.4" else v05
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        validate_ome_object(said.get("ome", said), model.Plate)
        for well in ("A/1", "B/10"):
            inner = zarr.open_group(place / well, mode="r").attrs.asdict()
            validate_ome_object(inner.get("ome", inner), model.Well)
    plate = said.get("ome", said)["plate"]
    assert [(w["path"], w["rowIndex"], w["columnIndex"]) for w in plate["wells"]] == [
        ("B/10", 1, 2), ("A/1", 0, 0),
    ]  # fmt: skip
    assert plate["field_count"] == 2
    found = open_collection(place)
    assert [m.path for m in found.members] == ["B/10/0", "B/10/3", "A/1/0"]
    assert [m.acquisition for m in found.members] == [4, None, None]
    assert found.plate == replace(LAYOUT, wells=("B/10", "A/1"))
    for member in found.members:
        assert found.open(member).warnings == ()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_plate_keeps_its_shape(tmp_path: Path, version: OmeZarrVersion) -> None:
    days = [{"id": 0, "name": "day 1", "maximumfieldcount": 2}, {"id": 1}]
    before = open_collection(write_input(tmp_path / "in.zarr", acquisitions=days))
    assert before.plate is not None
    targets = [member.target for member in before.members]
    write_plate(tmp_path / "out.zarr", targets, before.plate, version=version)
    after = open_collection(tmp_path / "out.zarr")
    assert after == replace(before, place=str(tmp_path / "out.zarr"))


def test_spelling_of_an_image() -> None:
    said = {
        "ome": {"version": "0.5", "multiscales": [{"axes": []}], "omero": {}},
        "zfuse": {"a": 1},
    }
    assert spelled(said, "0.5") == said
    assert spelled(said, "0.4") == {
        "multiscales": [{"version": "0.4", "axes": []}],
        "omero": {"version": "0.4"},
        "zfuse": {"a": 1},
    }
