"""However a stack is cut or blocked, the fold gives the same bits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from support.method_names import CLASSICAL
from support.same import assert_same

import zfuse
from zfuse.errors import Cancelled
from zfuse.pipeline._channels import Decisions
from zfuse.pipeline._fold import fold_tile
from zfuse.pipeline._job import Job
from zfuse.pipeline._plan import TilePlan
from zfuse.pipeline.core._region import Region
from zfuse.pipeline.core._sample import Sample
from zfuse.pipeline.methods import make_method
from zfuse.pipeline.sources import from_array

if TYPE_CHECKING:
    from zfuse.pipeline.core._fused import Fused
    from zfuse.pipeline.core._stack import Stack

every_method = pytest.mark.parametrize("name", CLASSICAL)
MAPS = ("depth", "confidence")
CHANNEL = st.sampled_from(["each", "together"])
few = settings(deadline=None, max_examples=12, derandomize=True)


@st.composite
def stacks(draw: st.DrawFn) -> Stack:
    """A (C, Z, Y, X) stack of any dtype, now and then with pixels that are not finite."""
    shape = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 7)),
        draw(st.integers(1, 150)),
        draw(st.integers(1, 150)),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    dtype = draw(st.sampled_from(["u1", "u2", "f4"]))
    pixels = rng.integers(0, 250, shape).astype(dtype)
    if dtype == "f4" and draw(st.booleans()):
        pixels[rng.random(shape) < 0.01] = np.nan
        pixels[rng.random(shape) < 0.01] = -np.inf
    return from_array(pixels)


def planes_of(stack: Stack) -> Any:
    _, _, z, y, x = stack.shape
    return stack.reader.read(0, slice(0, z), slice(0, y), slice(0, x))


def direct(name: str, stack: Stack, channel: str = "each") -> Fused:
    """Start, one add, finish: what every other way must equal. Of each channel a stack alone."""
    method = make_method(name)
    if channel == "each" and stack.shape[1] > 1:
        planes = planes_of(stack)
        alone = [direct(name, from_array(planes[:, c])) for c in range(stack.shape[1])]
        depth, confidence = (np.stack([getattr(a, k) for a in alone]) for k in MAPS)
        return zfuse.Fused(np.concatenate([a.image for a in alone]), depth, confidence)
    _, channels, _, height, width = stack.shape
    calibration = method.calibrate(Sample(stack))
    state = method.start(Region.whole(height, width), channels, stack.dtype, calibration)
    method.add(state, planes_of(stack), 0)
    for _ in range(method.passes - 1):
        state = method.next_pass(state)
        method.add(state, planes_of(stack), 0)
    return method.finish(state)


@every_method
@few
@given(stack=stacks(), data=st.data())
def test_any_tile_strip_and_block_gives_the_same_bits(
    name: str, stack: Stack, data: st.DataObject
) -> None:
    method = make_method(name)
    _, _, planes, height, width = stack.shape
    unit = max(64, method.grid_step)
    channel = data.draw(CHANNEL)
    plan = TilePlan(
        (height, width),
        tile=unit * data.draw(st.integers(1, 3)),
        halo=method.halo,
        grid_step=method.grid_step,
        block=data.draw(st.integers(1, planes)),
        strips=data.draw(st.integers(1, 4)),
        in_flight=1,
        workers=2,
        in_turn=channel == "each" and stack.shape[1] > 1 and data.draw(st.booleans()),
    )
    whole = direct(name, stack, channel)
    decisions = Decisions.of(stack, channel)
    calibrations = decisions.calibrate(method, stack)
    job = Job(stack, method, plan, decisions)
    voxels: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        for tile in plan.tiles():
            part = fold_tile(
                job, calibrations, 0, tile, pool, cancel=Event(), advance=voxels.append
            )
            at = (..., *tile.core)
            cut = zfuse.Fused(whole.image[at], whole.depth[at], whole.confidence[at])
            assert_same(part, cut)
    assert sum(voxels) == np.prod(stack.shape)


@every_method
def test_small_tiles_of_a_large_image_give_the_same_bits(name: str) -> None:
    """Larger than any halo, in floats, so that the last bit shows."""
    rng = np.random.default_rng(0)
    pixels = rng.poisson(50 + 900 * rng.random((5, 620, 540)) ** 8).astype(np.float32)
    tile = max(64, make_method(name).grid_step)
    assert_same(zfuse.fuse(pixels, name, tile=tile), zfuse.fuse(pixels, name, workers=1))


@every_method
@few
@given(stack=stacks(), workers=st.integers(1, 4), tiles=st.sampled_from([None, 1, 2]), who=CHANNEL)
def test_dask_equals_direct(
    name: str, stack: Stack, workers: int, tiles: int | None, who: str
) -> None:
    tile = None if tiles is None else tiles * max(64, make_method(name).grid_step)
    fused = zfuse.fuse(stack, name, workers=workers, tile=tile, channel=who)
    truth = direct(name, stack, who)
    assert_same(fused, truth)


@every_method
def test_dask_and_zarr_arrays_are_fused_as_they_are(name: str) -> None:
    import dask.array as da

    pixels = np.random.default_rng(0).integers(0, 4096, (5, 90, 130)).astype(np.uint16)
    truth = zfuse.fuse(pixels, name)
    lazy = da.from_array(pixels, chunks=(2, 50, 64))
    assert truth.image.shape == (90, 130)
    assert_same(zfuse.fuse(lazy, name, tile=64 * (make_method(name).grid_step // 64 or 1)), truth)


def test_a_cancelled_tile_stops_before_its_next_block() -> None:
    stack = from_array(np.zeros((4, 64, 64), np.uint8))
    method = make_method("select")
    plan = TilePlan((64, 64), 64, method.halo, 1, block=1, strips=1, in_flight=1, workers=1)
    cancel, done = Event(), []

    def advance(voxels: int) -> None:
        done.append(voxels)
        cancel.set()

    decisions = Decisions.of(stack)
    calibrations, tile = decisions.calibrate(method, stack), next(plan.tiles())
    job = Job(stack, method, plan, decisions)
    with ThreadPoolExecutor(1) as pool, pytest.raises(Cancelled):
        fold_tile(job, calibrations, 0, tile, pool, cancel=cancel, advance=advance)
    assert done == [64 * 64]
