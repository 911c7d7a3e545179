"""What watches a run hears of every tile and voxel once, and can stop it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.runs import Listener, read_zarr

import zfuse
from zfuse.errors import Cancelled
from zfuse.pipeline import fuse_tiles, run

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (2, 6, 150, 200)  # C, Z, Y, X


@pytest.fixture
def planes() -> Any:
    return np.random.default_rng(0).integers(0, 4096, SHAPE, np.uint16)


class Tiles:
    """What came, put together again."""

    def __init__(self, times: int = 1) -> None:
        self.image = np.zeros((times, 2, *SHAPE[2:]), np.uint16)
        self.depth = np.full((times, 2, *SHAPE[2:]), np.nan, np.float32)
        self.seen = np.zeros((times, *SHAPE[2:]), int)

    def __call__(self, t: int, y: int, x: int, fused: Any) -> None:
        rows, columns = fused.image.shape[1:]
        at = (slice(y, y + rows), slice(x, x + columns))
        self.image[t, :, *at], self.depth[t, :, *at] = fused.image, fused.depth
        self.seen[t, *at] += 1


def test_tiles_of_fuse_are_its_result(planes: Any) -> None:
    tiles, heard = Tiles(), Listener()
    fused = zfuse.fuse(planes, "select", tile=64, on_tile=tiles, progress=heard)
    assert (tiles.seen == 1).all()
    np.testing.assert_array_equal(tiles.image[0], fused.image)
    np.testing.assert_array_equal(tiles.depth[0], fused.depth)
    assert heard.done == heard.total == planes.size


def test_tiles_of_all_time_points_come_without_a_result(planes: Any) -> None:
    both = np.stack([planes, planes[:, ::-1]])
    tiles = Tiles(times=2)
    fuse_tiles(zfuse.from_array(both), "select", tiles, tile=64, min_confidence=0.5)
    assert (tiles.seen == 1).all()
    for t in range(2):
        expected = zfuse.fuse(both[t], "select", min_confidence=0.5)
        np.testing.assert_array_equal(tiles.image[t], expected.image)
        np.testing.assert_array_equal(tiles.depth[t], expected.depth)


def test_a_stack_is_run_in_place_of_a_path(tmp_path: Path, planes: Any) -> None:
    tiles, output = Tiles(), tmp_path / "out.ome.zarr"
    stack = zfuse.from_array(planes, z_step=2.0, pixel_size=0.5)
    config = zfuse.RunConfig(input="array", output=output, method="select", align="none", tile=64)
    run(config, stack=stack, on_tile=tiles)
    assert (tiles.seen == 1).all()
    written = read_zarr(output)
    np.testing.assert_array_equal(written["0"].squeeze(), tiles.image[0])


@pytest.mark.parametrize("when", ["before", "first tile"])
@pytest.mark.parametrize("align", ["none", "translation"])
def test_a_cancelled_run_leaves_nothing(tmp_path: Path, planes: Any, when: str, align: Any) -> None:
    cancel = threading.Event()
    if when == "before":
        cancel.set()
    tiles: list[Any] = []

    def stop(*tile: Any) -> None:
        tiles.append(tile)
        cancel.set()

    with pytest.raises(Cancelled):
        zfuse.fuse(planes, "select", tile=64, align=align, cancel=cancel, on_tile=stop)
    if when != "before":
        cancel.clear()
    output = tmp_path / "out.ome.zarr"
    config = zfuse.RunConfig(input="array", output=output, method="select", align=align, tile=64)
    with pytest.raises(Cancelled):
        run(config, stack=zfuse.from_array(planes), cancel=cancel, on_tile=stop)
    assert list(tmp_path.iterdir()) == []
    assert len(tiles) < 2 * 12  # of 12 tiles each
    own = ("zfuse-fold", "zfuse-tile")
    assert [t.name for t in threading.enumerate() if t.name.startswith(own)] == []


def test_an_error_in_a_hook_stops_the_run_and_is_told(planes: Any) -> None:
    def broken(*_: Any) -> None:
        raise OSError("the screen is gone")

    with pytest.raises(OSError, match="the screen is gone"):
        zfuse.fuse(planes, "select", tile=64, on_tile=broken)


def test_a_lazy_stack_is_not_kept_by_others_caches(planes: Any) -> None:
    from dask.array import from_array
    from dask.callbacks import Callback

    seen: list[Any] = []
    with Callback(posttask=lambda *_: seen.append(1)):  # as napari's cache listens
        fused = zfuse.fuse(from_array(planes, chunks=(1, 1, 64, 64)), "select")
    assert seen == []
    np.testing.assert_array_equal(fused.image, zfuse.fuse(planes, "select").image)
