"""OME-Zarr 0.4: the same pixels as 0.5, in chunks that are files, with valid metadata."""

from __future__ import annotations

import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from support.outputs import open_output
from support.plates import write_plate
from support.trees import tree
from yaozarrs import v04, validate_ome_object

import zfuse
from zfuse.errors import ZfuseError
from zfuse.pipeline.core._fused import Fused
from zfuse.pipeline.sinks import check_output
from zfuse.pipeline.sources import open_fused, open_stack
from zfuse.pipeline.sources._ngff import ome_attributes

if TYPE_CHECKING:
    from pathlib import Path

    from zfuse.pipeline.core._stack import Stack
    from zfuse.pipeline.sinks import Sink

GROUPS = ("", "depth", "confidence")
CASES: dict[str, tuple[tuple[int, int, int, int, int], str, str, int, bool]] = {
    # shape, axes, dtype, tile, each channel has its maps
    "one tile": ((1, 1, 9, 70, 100), "zyx", "uint16", 128, False),
    "tiles": ((1, 1, 9, 300, 450), "zyx", "uint16", 128, False),
    "times and channels": ((2, 3, 9, 200, 700), "tczyx", "uint16", 192, True),
    "large chunks": ((1, 2, 9, 1100, 1300), "czyx", "uint8", 1024, False),
    "float": ((2, 1, 9, 130, 140), "tzyx", "float32", 64, False),
}


def make(case: str) -> tuple[Stack, list[Fused], int]:
    from tests.pipeline.sinks.test_formats import make_fused, make_stack

    shape, axes, dtype, tile, each = CASES[case]
    stack = make_stack(shape, axes, dtype, origin=(3.0, 100.0, 200.0), time_step=60.0)
    return stack, make_fused(stack, each=each), tile


def write(path: Path, stack: Stack, fused: list[Fused], tile: int, **more: Any) -> None:
    each = [fused[0].depth.ndim == 3]
    provenance = [{"version": "0.1.0", "planes": 9}]
    with open_output(path, [stack], tile=tile, provenance=provenance, each=each, **more) as output:
        fill(output.sinks[0], fused, tile)


def fill(sink: Sink, fused: list[Fused], tile: int) -> None:
    """Write all tiles."""
    with ThreadPoolExecutor(3) as pool:
        for t, whole in enumerate(fused):
            for y in range(0, whole.image.shape[1], tile):
                for x in range(0, whole.image.shape[2], tile):
                    part = (..., slice(y, y + tile), slice(x, x + tile))
                    cut = Fused(whole.image[part], whole.depth[part], whole.confidence[part])
                    pool.submit(sink.write, t, y, x, cut).result()


@pytest.mark.parametrize("case", CASES)
def test_the_same_pixels_and_metadata_as_in_0_5(tmp_path: Path, case: str) -> None:
    stack, fused, tile = make(case)
    old, new = tmp_path / "old.ome.zarr", tmp_path / "new.ome.zarr"
    write(old, stack, fused, tile, version="0.4")
    write(new, stack, fused, tile)
    assert not list(old.rglob("zarr.json"))
    for name in GROUPS:
        before = zarr.open_group(new / name, mode="r")
        after = zarr.open_group(old / name, mode="r")
        assert after.metadata.zarr_format == 2
        assert sorted(after.array_keys()) == sorted(before.array_keys())
        for level in before.array_keys():
            a: Any = after[level]
            b: Any = before[level]
            np.testing.assert_array_equal(a[...], b[...])
            assert (a.dtype, a.chunks, a.shape) == (b.dtype, b.chunks, b.shape)
            said = json.loads((old / name / level / ".zarray").read_text())
            assert said["dimension_separator"] == "/"
            assert said["compressor"]["id"] == "blosc"
            files = [p for p in (old / name / level).rglob("*") if p.is_file()]
            data = [p for p in files if not p.name.startswith(".")]
            assert len(data) == np.prod(a.cdata_shape)  # blank chunks, too, and no others
        said = after.attrs.asdict()
        ome = {**before.attrs["ome"]}
        assert ome.pop("version") == "0.5"
        ours = said.pop("zfuse")
        assert ours == before.attrs["zfuse"]
        multiscale = said["multiscales"][0]
        assert multiscale.pop("version") == said["omero"].pop("version") == "0.4"
        assert said == ome


@pytest.mark.parametrize("case", ["one tile", "times and channels"])
def test_metadata_is_valid_and_read_again(tmp_path: Path, case: str) -> None:
    stack, fused, tile = make(case)
    path = tmp_path / "a.ome.zarr"
    write(path, stack, fused, tile, version="0.4")
    for name in GROUPS:
        said = zarr.open_group(path / name, mode="r").attrs.asdict()
        said.pop("zfuse")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            validate_ome_object(said, v04.Image)
    again = open_stack(path)
    assert again.warnings == ()
    assert (again.axes, again.pixel_size, again.z_step) == (stack.axes, (0.2, 0.1), 0.35)
    assert (again.origin, again.name) == (stack.origin, "cells")
    assert [c.name for c in again.channels] == [c.name for c in stack.channels]
    found = open_fused(path)
    np.testing.assert_array_equal(found.image, fused[0].image)
    assert found.depth is not None
    assert found.confidence is not None
    assert found.depth_unit == "micrometer"


def test_a_chunk_that_is_gone_is_never_published(tmp_path: Path) -> None:
    stack, fused, tile = make("tiles")
    path = tmp_path / "a.ome.zarr"
    output = open_output(path, [stack], tile=tile, provenance=[{}], version="0.4")
    output.__enter__()
    fill(output.sinks[0], fused, tile)
    next(iter(tmp_path.rglob("depth/0/0/1/2"))).unlink()
    with pytest.raises(ZfuseError, match="it was removed"):
        output.__exit__(None, None, None)
    assert not path.exists()


def test_an_earlier_output_of_either_version_is_replaced(tmp_path: Path) -> None:
    stack, fused, tile = make("one tile")
    path = tmp_path / "a.ome.zarr"
    for version in ("0.4", "0.5", "0.4"):
        write(path, stack, fused, tile, version=version, overwrite=True)
        assert (path / ".zattrs").is_file() == (version == "0.4")
        check_output(path, [], overwrite=True)
    (path / ".zattrs").write_text('{"multiscales": []}')
    with pytest.raises(ZfuseError, match="--overwrite leaves it alone"):
        check_output(path, [], overwrite=True)


def test_a_run_of_either_version_is_the_same(tmp_path: Path) -> None:
    place = write_plate(tmp_path / "p.zarr", {"A/01": ["0"]})
    for name, version in (("old", "0.4"), ("again", 0.4), ("new", "0.5")):
        zfuse.run(
            zfuse.RunConfig(
                input=place / "A/01", output=tmp_path / f"{name}.ome.zarr", method="select",
                tile=64, ome_zarr=version,
            )
        )  # fmt: skip
    old, new = (open_fused(tmp_path / f"{name}.ome.zarr") for name in ("old", "new"))
    np.testing.assert_array_equal(old.image, new.image)
    np.testing.assert_array_equal(old.depth, new.depth)
    np.testing.assert_array_equal(old.confidence, new.confidence)
    assert tree(tmp_path / "old.ome.zarr") == tree(tmp_path / "again.ome.zarr")
    ome = ome_attributes(zarr.open_group(tmp_path / "old.ome.zarr", mode="r").attrs.asdict())
    assert ome["multiscales"][0]["version"] == "0.4"
    with pytest.raises(ZfuseError, match=r"ome_zarr"):
        zfuse.RunConfig.checked({"input": "a", "output": "b", "ome_zarr": "0.3"}, "settings")


def test_an_interrupted_run_goes_on_and_redoes_torn_chunks(tmp_path: Path) -> None:
    place = write_plate(tmp_path / "p.zarr", {"A/01": ["0"]}, sizes={"A/01/0": (4, 130, 200)})
    config = zfuse.RunConfig(
        input=place / "A/01", output=tmp_path / "a.ome.zarr", method="select", tile=64,
        ome_zarr="0.4", resume=True, workers=1,
    )  # fmt: skip
    zfuse.run(config.replace(output=tmp_path / "b.ome.zarr"))
    seen: list[tuple[int, int]] = []

    def stop(t: int, y: int, x: int, _: Fused) -> None:
        seen.append((y, x))
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zfuse.run(config, on_tile=stop)
    assert not (tmp_path / "a.ome.zarr").exists()
    y, x = seen[0]
    torn = next(iter((tmp_path / "a.ome.zarr.partial").rglob(f"depth/0/0/0/0/{y // 64}/{x // 64}")))
    torn.write_bytes(torn.read_bytes()[:-1])
    again: list[tuple[int, int]] = []
    zfuse.run(config, on_tile=lambda t, y, x, _: again.append((y, x)))
    assert (y, x) in again
    assert not set(seen[1:4]) & set(again)
    assert tree(tmp_path / "a.ome.zarr") == tree(tmp_path / "b.ome.zarr")
