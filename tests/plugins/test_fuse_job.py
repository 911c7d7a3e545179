"""A watched run: the same bits as `zfuse.fuse`, pieces early, nothing left when it stops."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

import zfuse
from zfuse.errors import Cancelled, ZfuseError
from zfuse.pipeline.core import BaseReader, Channel, Stack
from zfuse.plugins._fuse_job import FuseJob, Order, tile_edge

if TYPE_CHECKING:
    from pathlib import Path

SELECT = {"name": "select"}


class Pixels(BaseReader):
    """Noise, any amount of it; calls back at every read."""

    def __init__(self, size: int, planes: int = 4, chunk: int = 1, then: Any = None) -> None:
        dtype = np.dtype(np.uint16)
        super().__init__((1, 1, planes, size, size), dtype, (1, chunk, chunk))
        self.largest, self._then = 0, then

    def fill(self, t: int, z: slice, y: slice, x: slice, out: Any) -> None:
        self.largest = max(self.largest, out.nbytes)
        out[...] = np.random.default_rng(z.start).integers(0, 4096, out.shape)
        if self._then:
            self._then()


def stack(reader: BaseReader, **more: Any) -> Stack:
    return Stack(reader, "zyx", "noise", "", (Channel("one"),), **more)


@pytest.fixture(scope="module")
def planes() -> Any:
    return np.random.default_rng(0).integers(0, 4096, (5, 520, 390), np.uint16)


@pytest.mark.parametrize("method", ["select", "adaptive"])
def test_a_job_makes_what_fuse_makes(planes: Any, method: str) -> None:
    opened = zfuse.from_array(planes, z_step=2.0, pixel_size=0.5)
    canvas = FuseJob(lambda: opened, Order({"name": method})).run()
    expected = zfuse.fuse(planes, method)
    np.testing.assert_array_equal(canvas.image[0][0, 0], expected.image)
    np.testing.assert_array_equal(canvas.depth[0][0, 0], expected.depth * 2)
    np.testing.assert_array_equal(canvas.confidence[0][0, 0], expected.confidence)
    assert canvas.unit == "micrometer"


def test_channels_and_time_points_keep_their_places() -> None:
    pixels = np.random.default_rng(1).integers(0, 4096, (2, 3, 4, 80, 70), np.uint16)
    job = FuseJob(lambda: zfuse.from_array(pixels), Order(SELECT))
    canvas = job.run()
    for t in range(2):
        expected = zfuse.fuse(pixels[t], "select")
        np.testing.assert_array_equal(canvas.image[0][t], expected.image)
        np.testing.assert_array_equal(canvas.depth[0][t], expected.depth)
    together = FuseJob(lambda: zfuse.from_array(pixels), Order(SELECT, channel="together")).run()
    assert together.depth[0].shape == (2, 1, 80, 70)
    assert canvas.unit == "plane"


def test_the_levels_of_a_large_image_are_those_of_the_whole(planes: Any) -> None:
    from zfuse.kernels import downsample

    pixels = np.tile(planes, (1, 3, 4))[:, :1300, :1301]
    canvas = FuseJob(lambda: zfuse.from_array(pixels), Order(SELECT)).run()
    assert [level.shape[2:] for level in canvas.image] == [(1300, 1301), (650, 651)]
    np.testing.assert_array_equal(canvas.image[1][0, 0], downsample(canvas.image[0][0, 0]))
    np.testing.assert_array_equal(canvas.depth[1][0, 0], downsample(canvas.depth[0][0, 0]))


def test_a_large_picture_grows_in_many_pieces_and_is_never_read_whole() -> None:
    reader = Pixels(1024)
    job = FuseJob(lambda: stack(reader), Order(SELECT))
    put, seen = [], []

    def watch() -> None:
        if job.canvas is not None:
            put.append(job.canvas.take_new())
            seen.append(job.fraction)

    reader._then = watch
    job.run()
    assert sum(put) >= 8  # tiles that came while others were still read
    assert seen == sorted(seen)
    assert reader.largest < 4 * 1024 * 1024 * 2 / 2
    assert job.fraction == 1


@pytest.mark.parametrize(
    ("size", "chunk", "edge"),
    [
        (4096, 1, 1024),
        (4096, 512, 1024),  # whole chunks
        (4096, 4096, 2048),  # whole planes are decoded four times, not sixteen
        (2048, 300, 512),
        (500, 500, 256),
        (100, 1, 256),
    ],
)
def test_tiles_are_small_enough_to_see_and_large_enough_to_read(
    size: int, chunk: int, edge: int
) -> None:
    assert tile_edge(stack(Pixels(size, chunk=chunk))) == edge


def test_a_cancelled_job_stops_at_once_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    reader = Pixels(1024, planes=8)
    job = FuseJob(lambda: stack(reader), Order(SELECT))
    reads: list[int] = []

    def then() -> None:
        reads.append(1)
        if job.fraction > 0.2:
            job.cancel()

    reader._then = then
    with pytest.raises(Cancelled):
        job.run()
    assert 0.2 < job.fraction < 0.8
    own = ("zfuse-fold", "zfuse-tile")
    new = set(threading.enumerate()) - before
    assert [t.name for t in new if t.name.startswith(own)] == []


def test_a_job_that_looks_for_drift_can_be_cancelled() -> None:
    reader = Pixels(600, planes=8)
    job = FuseJob(lambda: stack(reader), Order(SELECT, align="translation"))
    reader._then = job.cancel
    with pytest.raises(Cancelled):
        job.run()
    assert job.fraction == 0


def test_a_job_waits_for_who_shows_it_and_can_be_cancelled_then() -> None:
    job = FuseJob(lambda: stack(Pixels(64)), Order(SELECT))
    failed: list[BaseException] = []

    def run() -> None:
        try:
            job.run(wait=True)
        except Cancelled as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    job.cancel()
    thread.join(30)
    assert not thread.is_alive()
    assert len(failed) == 1


def test_an_output_holds_the_layers_bits(tmp_path: Path, planes: Any) -> None:
    opened = zfuse.from_array(planes, z_step=2.0, pixel_size=0.5)
    path = tmp_path / "out.ome.zarr"
    canvas = FuseJob(lambda: opened, Order(SELECT, output=str(path))).run()
    image = np.asarray(zarr.open_group(path)["0"]).squeeze()
    np.testing.assert_array_equal(canvas.image[0][0, 0], image)


def test_a_cancelled_output_is_not_there(tmp_path: Path) -> None:
    reader = Pixels(600)
    job = FuseJob(lambda: stack(reader), Order(SELECT, output=str(tmp_path / "out.ome.zarr")))
    reader._then = lambda: job.fraction > 0 and job.cancel()
    with pytest.raises(Cancelled):
        job.run()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    reader = Pixels(64)
    (tmp_path / "out.ome.zarr").mkdir()
    job = FuseJob(lambda: stack(reader), Order(SELECT, output=str(tmp_path / "out.ome.zarr")))
    with pytest.raises(ZfuseError, match="exist"):
        job.run()
    assert reader.largest == 0


def test_threads_take_turns_as_before_when_a_job_is_done() -> None:
    import sys

    before = sys.getswitchinterval()
    FuseJob(lambda: stack(Pixels(64)), Order(SELECT)).run()
    assert sys.getswitchinterval() == before
