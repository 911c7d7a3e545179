"""Outputs opened by the libraries that people use: image, scale, names, plates, maps.

They run in a process of their own, with the first Python that has them: this one, or one of
``ZFUSE_READERS`` (paths, joined as in PATH), since their pins do not all agree; `.ci/run` makes
such environments. Without any the tests are skipped.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.plates import SIZE, write_plate

import zfuse
from zfuse.pipeline.sources import open_fused

SCRIPT = Path(__file__).parents[2] / "support" / "read_outputs.py"
NEEDS = {
    "ome_zarr": "ome_zarr",
    "ome_zarr_plate": "ome_zarr",
    "ngio": "ngio",
    "ngio_plate": "ngio",
    "bioio_ome_zarr": "bioio_ome_zarr",
    "bioio_ome_tiff": "bioio_ome_tiff",
    "iohub": "iohub",
    "iohub_plate": "iohub",
}
LARGE = (4, 600, 700)
WELLS = {"A/01": ["0", "1"], "B/02": ["0"]}


@functools.cache
def python_with(module: str) -> str:
    """Return a Python that has a module, "" if none has."""
    for python in (
        sys.executable,
        *filter(None, os.environ.get("ZFUSE_READERS", "").split(os.pathsep)),
    ):
        found = subprocess.run([python, "-c", f"import {module}"], capture_output=True)
        if found.returncode == 0:
            return python
    return ""


def read(reader: str, path: Path) -> dict[str, Any]:
    """Return what a library reads in a file."""
    python = python_with(NEEDS[reader])
    if not python:
        pytest.skip(f"{NEEDS[reader]} is not installed here, nor in ZFUSE_READERS")
    done = subprocess.run([python, str(SCRIPT), reader, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    large = write_plate(folder / "large.zarr", {"A/01": ["0"]}, sizes={"A/01/0": LARGE})
    plate = write_plate(folder / "plate.zarr", WELLS, declared=["C/03"])
    for version in ("0.4", "0.5"):
        fuse(large / "A/01", folder / f"{version}.ome.zarr", version)
        fuse(plate, folder / f"plate-{version}.ome.zarr", version)
    fuse(large / "A/01", folder / "large.ome.tif", "0.5")
    return folder


def fuse(source: Path, output: Path, version: str) -> None:
    """Fuse something with the quickest method."""
    zfuse.run(zfuse.RunConfig(input=source, output=output, method="select", ome_zarr=version))


def check(said: dict[str, Any], values: Any, *, levels: int) -> None:
    """Compare what was read with (C, Y, X) pixels of 0.25 µm."""
    full = [1, 2, 1, *LARGE[1:]]
    assert said["axes"] == "tczyx"
    assert said["shapes"] == [full, [1, 2, 1, 300, 350]][:levels]
    assert said["channels"] == ["DAPI", "GFP"]
    assert said["scale"][2:] == [0.5, 0.25, 0.25]
    np.testing.assert_array_equal(said["row"], values[-1, 3])


@pytest.mark.parametrize(
    ("reader", "version"),
    [
        *((reader, v) for reader in ("ome_zarr", "ngio", "bioio_ome_zarr") for v in ("0.4", "0.5")),
        ("iohub", "0.4"),
    ],
)
def test_an_image_and_its_maps(outputs: Path, reader: str, version: str) -> None:
    path = outputs / f"{version}.ome.zarr"
    fused = open_fused(path)
    levels = 1 if reader == "bioio_ome_zarr" else 2
    for part, values in ("", fused.image), ("depth", fused.depth), ("confidence", fused.confidence):
        check(read(reader, path / part), values, levels=levels)


def test_an_ome_tiff(outputs: Path) -> None:
    path = outputs / "large.ome.tif"
    check(read("bioio_ome_tiff", path), open_fused(path).image, levels=1)


@pytest.mark.parametrize(
    ("reader", "version"), [("ngio_plate", "0.4"), ("ngio_plate", "0.5"), ("iohub_plate", "0.4")]
)
def test_a_plate(outputs: Path, reader: str, version: str) -> None:
    """The well that is missing is not declared: whatever is declared can be opened."""
    said = read(reader, outputs / f"plate-{version}.ome.zarr")
    assert (said["rows"], said["columns"]) == (["A", "B", "C"], ["01", "02", "03"])
    assert said["wells"] == ["A/01", "B/02"]
    images = ["A/01/0", "A/01/1", "B/02/0"]
    assert said["images"] == images
    assert said["shapes"] == {image: [1, 2, 1, *SIZE[1:]] for image in images}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_mosaic_of_a_plate(outputs: Path, version: str) -> None:
    said = read("ome_zarr_plate", outputs / f"plate-{version}.ome.zarr")
    rows, columns = 3, 3
    assert said["mosaic"][:3] == [1, 2, 1]
    assert said["mosaic"][3] % SIZE[1] == said["mosaic"][4] % SIZE[2] == 0
    assert said["mosaic"][3] >= rows * SIZE[1]
    assert said["mosaic"][4] >= columns * SIZE[2]
