"""An image that is settled once is fused by any process, to the same bytes as by one."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.method_names import CLASSICAL
from support.runs import TCZYX, fuse_to, write_collection, write_image
from support.trees import tree

from zfuse.errors import ZfuseError
from zfuse.pipeline import RunConfig
from zfuse.pipeline._settle import fuse_one, open_settled, open_sink, settle
from zfuse.pipeline.sinks import open_output
from zfuse.pipeline.sources import open_collection

if TYPE_CHECKING:
    from pathlib import Path

EDGE = 64


def one_part(config: RunConfig, settled: Any, place: Any, part: int, results: Any) -> None:
    """Fuse every other tile of an image, in a process of its own."""
    job = open_settled(config, settled)
    sink = open_sink(place, settled, begin=False)
    for number, (t, tile) in enumerate(settled.tiles()):
        if number % 2 == part:
            corner = (t, tile.core[0].start, tile.core[1].start)
            results.put((corner, fuse_one(job, settled, t, tile, sink)))
    job.stack.reader.close()
    results.put(None)


def drifting(planes: Any) -> Any:
    """Return structure that moves by whole pixels from plane to plane."""
    from scipy.ndimage import gaussian_filter

    ground = gaussian_filter(np.random.default_rng(0).random((240, 280)), 2)
    ground = (ground - ground.min()) / np.ptp(ground) * 4000
    return np.stack([ground[z * 3 :][:150, z * 2 :][:, :200] for z in range(planes)])


@pytest.mark.parametrize("moves", [False, True])
def test_two_processes_make_the_same_bytes_as_one(tmp_path: Path, moves: bool) -> None:
    pixels = TCZYX if not moves else drifting(5).astype(np.uint16)[None, None]
    write_image(tmp_path / "in.zarr", pixels)
    fuse_to(tmp_path / "in.zarr", tmp_path / "one.ome.zarr", tile=EDGE)
    config = RunConfig(
        input=tmp_path / "in.zarr", output=tmp_path / "two.ome.zarr", tile=EDGE, workers=2
    )
    collection = open_collection(config.input)
    settled = settle(config, collection.members[0])
    assert (settled.job.aligned.reader is not None) == moves
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    with open_output(config.output, identity={"run": 1}) as output:
        output.began("", settled.job.stack, EDGE, settled.source)
        sink = open_sink(output.place, settled, begin=True)
        workers = [
            context.Process(target=one_part, args=(config, settled, output.place, part, results))
            for part in range(2)
        ]
        for worker in workers:
            worker.start()
        ends = 0
        while ends < 2:
            got = results.get(timeout=300)
            if got is None:
                ends += 1
            else:
                output.wrote("", *got[0], got[1])
        for worker in workers:
            worker.join()
        sink.known()
        output.ended("", sink.finish())
    assert tree(tmp_path / "two.ome.zarr") == tree(tmp_path / "one.ome.zarr")


@pytest.mark.parametrize("name", CLASSICAL)
def test_what_is_settled_can_be_sent(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / "in.zarr", TCZYX)
    config = RunConfig(input=tmp_path / "in.zarr", output=tmp_path / "o.zarr", method=name)
    collection = open_collection(config.input)
    settled = settle(config, collection.members[0])
    sent = pickle.dumps(settled)
    assert len(sent) < 100_000
    job, again = open_settled(config, settled), open_settled(config, pickle.loads(sent))
    assert again.method == job.method
    assert again.plan == job.plan
    assert again.stack.shape == TCZYX.shape
    window = (slice(0, 2), slice(0, 9), slice(0, 9))
    np.testing.assert_array_equal(
        again.stack.reader.read(0, *window), TCZYX[0, :, :2, :9, :9].transpose(1, 0, 2, 3)
    )


def test_a_source_that_changed_since_is_refused(tmp_path: Path) -> None:
    write_collection(tmp_path / "in.zarr")
    config = RunConfig(input=tmp_path / "in.zarr", output=tmp_path / "o.zarr", method="select")
    collection = open_collection(config.input)
    settled = settle(config, collection.members[1])
    os.utime(tmp_path / "in.zarr" / "1" / "zarr.json", (0, 0))
    with pytest.raises(ZfuseError, match="changed while it was fused: metadata files"):
        open_settled(config, settled)
