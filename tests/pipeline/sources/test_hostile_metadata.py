"""Whatever JSON stands in place of any part of OME-Zarr metadata: a stack, or one line."""

from __future__ import annotations

import contextlib
import copy
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings, strategies as st

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Stack
from zfuse.pipeline.sources import open_stack, open_stacks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PIXELS = np.arange(2 * 3 * 8 * 8, dtype=np.uint16).reshape(2, 3, 8, 8) + 1
CHANNEL = {
    "label": "DAPI",
    "color": "0000FF",
    "active": True,
    "window": {"min": 0, "max": 9, "start": 1, "end": 2},
}
MULTISCALE = {
    "name": "cells",
    "axes": [
        {"name": "c", "type": "channel"},
        *({"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"),
    ],
    "datasets": [
        {
            "path": "0",
            "coordinateTransformations": [
                {"type": "scale", "scale": [1.0, 0.5, 0.25, 0.25]},
                {"type": "translation", "translation": [0.0, 7.0, 1.0, 2.0]},
            ],
        }
    ],
    "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0, 1.0, 1.0]}],
}
IMAGE = {"multiscales": [MULTISCALE], "omero": {"channels": [CHANNEL, CHANNEL]}}
PLATE = {
    "plate": {
        "wells": [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}],
        "rows": [{"name": "A"}],
        "columns": [{"name": "1"}],
    }
}
WELL = {"well": {"images": [{"path": "0"}, {"path": "1"}], "version": "0.5"}}
SERIES = {"series": ["0", "1"]}
SHAPES: list[Any] = [None, 0, 5, "x", [5], {}, float("nan"), 10**400]
ODD: list[Any] = [
    True, -1, 1e300, float("inf"), "", "\x1b[31m", "..", "/", [], [None], ["0", "0"], [[]],
]  # fmt: skip


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """List every place in a JSON value."""
    yield path
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from nodes(value[key], (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return the value with another one at a place."""
    if not path:
        return new
    value = copy.deepcopy(value)
    place = value
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = new
    return value


class Files:
    """An image, a plate, a well and a collection, each with one file whose JSON is replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("image", "well/0", "well/1", "many/0", "many/1"):
            self._image(folder / name, 3)
        self._image(folder / "old", 2)
        for name in ("plate", "well", "many/OME"):
            zarr.create_group(folder / name)
        zarr.create_group(folder / "many", attributes={"ome": {"bioformats2raw.layout": 3}})
        array = json.loads((folder / "image/0/zarr.json").read_text())
        old = json.loads((folder / "old/0/.zarray").read_text())
        self.cases: dict[str, tuple[str, str, Any]] = {
            "image": ("image", "image/zarr.json", IMAGE),
            "old": ("old", "old/.zattrs", IMAGE),
            "plate": ("plate", "plate/zarr.json", PLATE),
            "well": ("well", "well/zarr.json", WELL),
            "series": ("many", "many/OME/zarr.json", SERIES),
            "array": ("image", "image/0/zarr.json", array),
            "old array": ("old", "old/0/.zarray", old),
        }

    def _image(self, place: Path, zarr_format: Any) -> None:
        attributes: Any = {"ome": IMAGE} if zarr_format == 3 else IMAGE
        group = zarr.create_group(place, zarr_format=zarr_format, attributes=attributes)
        group.create_array("0", data=PIXELS, chunks=(1, 1, 8, 8))

    def try_(self, case: str, path: tuple[Any, ...], new: Any) -> None:
        """Put `new` in place, open what there is, and put the old back."""
        place, name, valid = self.cases[case]
        file = self.folder / name
        before = file.read_text()
        value = replaced(valid, path, new)
        if name.endswith("zarr.json") and "array" not in case:
            value = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": value}}
        file.write_text(json.dumps(value))
        try:
            for read in (open_stacks, open_stack):
                refused = None
                found: Any = []
                try:
                    found = read(self.folder / place)
                except ZfuseError as error:
                    refused = str(error)
                assert refused is None or refused.isprintable()
                for stack in found if isinstance(found, list) else [found]:
                    assert isinstance(stack, Stack)
                    check(stack)
        finally:
            file.write_text(before)


def check(stack: Stack) -> None:
    for size in (stack.z_step, stack.time_step, *(stack.pixel_size or ())):
        assert size is None or 0 < size < 1e12
    assert np.isfinite(stack.origin).all()
    assert stack.name.isprintable()
    assert len(stack.channels) == stack.shape[1]
    if math.prod(stack.shape) > 10**6:
        return
    with contextlib.suppress(ZfuseError):
        stack.reader.read(0, *(slice(0, n) for n in stack.shape[2:]))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("hostile"))


CASES = ["image", "old", "plate", "well", "series", "array", "old array"]


def test_the_valid_files_open(files: Files) -> None:
    for case in CASES:
        files.try_(case, (), files.cases[case][2])
    assert open_stack(files.folder / "image").channels[0].omero == CHANNEL


@pytest.mark.parametrize("case", CASES)
def test_every_wrong_type(case: str, files: Files) -> None:
    for path in nodes(files.cases[case][2]):
        for new in SHAPES:
            files.try_(case, path, new)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("case", CASES)
@given(data=st.data())
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_random_json(case: str, data: st.DataObject, files: Files) -> None:
    path = data.draw(st.sampled_from(list(nodes(files.cases[case][2]))))
    files.try_(case, path, data.draw(JSON))
