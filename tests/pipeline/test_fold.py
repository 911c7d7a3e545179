"""However a stack is cut, blocked or ordered, the fold gives the same bits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from support.method_names import CLASSICAL
from support.same import assert_same

import zfuse
from zfuse.errors import ZfuseError
from zfuse.pipeline._fold import Cancelled, OrderedFold, fold_tile
from zfuse.pipeline._plan import TilePlan
from zfuse.pipeline.core._region import Region
from zfuse.pipeline.core._sample import Sample
from zfuse.pipeline.methods import make_method
from zfuse.pipeline.sources import from_array

if TYPE_CHECKING:
    from zfuse.pipeline.core._fused import Fused
    from zfuse.pipeline.core._stack import Stack

every_method = pytest.mark.parametrize("name", CLASSICAL)
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


def direct(name: str, stack: Stack) -> Fused:
    """Start, one add, finish: what every other way must equal."""
    method = make_method(name)
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
    plan = TilePlan(
        (height, width),
        tile=unit * data.draw(st.integers(1, 3)),
        halo=method.halo,
        grid_step=method.grid_step,
        block=data.draw(st.integers(1, planes)),
        strips=data.draw(st.integers(1, 4)),
        in_flight=1,
        workers=2,
    )
    whole = direct(name, stack)
    calibration = method.calibrate(Sample(stack))
    voxels: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        for tile in plan.tiles():
            part = fold_tile(
                stack.reader, 0, tile, plan, method, calibration, pool,
                cancel=Event(), advance=voxels.append,
            )  # fmt: skip
            y, x = tile.core
            cut = zfuse.Fused(whole.image[:, y, x], whole.depth[y, x], whole.confidence[y, x])
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
@given(stack=stacks(), data=st.data())
def test_any_order_of_arrival_gives_the_same_bits(
    name: str, stack: Stack, data: st.DataObject
) -> None:
    planes = planes_of(stack)
    method = make_method(name)
    calibration = method.calibrate(Sample(stack))

    def replay() -> list[tuple[Any, int]]:
        return [(planes[z : z + 2], z) for z in range(0, len(planes), 2)]

    fold = OrderedFold(method, calibration, planes.shape[1:], stack.dtype, replay=replay)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(planes)))) | {0, len(planes)})
    blocks = [slice(a, b) for a, b in pairwise(cuts)]
    for block in data.draw(st.permutations(blocks)):
        fold.add(planes[block], block.start)
    assert_same(fold.finish(), direct(name, stack))


@every_method
@few
@given(stack=stacks(), workers=st.integers(1, 4), tiles=st.sampled_from([None, 1, 2]))
def test_dask_equals_direct(name: str, stack: Stack, workers: int, tiles: int | None) -> None:
    tile = None if tiles is None else tiles * max(64, make_method(name).grid_step)
    fused = zfuse.fuse(stack, name, workers=workers, tile=tile)
    truth = direct(name, stack)
    assert_same(fused, truth)


@every_method
def test_dask_and_zarr_arrays_are_fused_as_they_are(name: str) -> None:
    import dask.array as da

    pixels = np.random.default_rng(0).integers(0, 4096, (5, 90, 130)).astype(np.uint16)
    truth = zfuse.fuse(pixels, name)
    lazy = da.from_array(pixels, chunks=(2, 50, 64))
    assert truth.image.shape == (90, 130)
    assert_same(zfuse.fuse(lazy, name, tile=64 * (make_method(name).grid_step // 64 or 1)), truth)


def ordered(limit: int = 3) -> OrderedFold:
    method = make_method("select")
    stack = from_array(np.zeros((3, 8, 8), np.uint8))
    return OrderedFold(method, method.calibrate(Sample(stack)), (1, 8, 8), stack.dtype, limit)


PLANE = np.zeros((1, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("arrivals", "message"),
    [
        ([], "no plane came"),
        ([0, 2], r"plane 1 is missing: planes \[2\] wait"),
        ([0, 0], "plane 0 came twice"),
        ([1, 1], "plane 1 came twice"),
        ([1, 2, 3, 4], "4 planes wait for plane 0, which did not come; the limit is 3"),
    ],
)
def test_planes_that_cannot_be_ordered_are_refused(arrivals: list[int], message: str) -> None:
    fold = ordered()
    with pytest.raises(ZfuseError, match=message):  # noqa: PT012 - any of them may refuse
        for z in arrivals:
            fold.add(PLANE, z)
        fold.finish()


def test_two_passes_need_a_replay() -> None:
    method = make_method("adaptive")
    stack = from_array(np.zeros((3, 32, 32), np.uint8))
    with pytest.raises(ZfuseError, match="goes through the planes 2 times; give replay="):
        OrderedFold(method, method.calibrate(Sample(stack)), (1, 32, 32), stack.dtype)


def test_a_plane_of_another_shape_is_refused() -> None:
    with pytest.raises(ZfuseError, match=r"plane 0 has shape \(1, 8, 9\), the stack's is"):
        ordered().add(np.zeros((1, 8, 9), np.uint8), 0)


def test_a_cancelled_tile_stops_before_its_next_block() -> None:
    stack = from_array(np.zeros((4, 64, 64), np.uint8))
    method = make_method("select")
    plan = TilePlan((64, 64), 64, method.halo, 1, block=1, strips=1, in_flight=1, workers=1)
    cancel, done = Event(), []

    def advance(voxels: int) -> None:
        done.append(voxels)
        cancel.set()

    with ThreadPoolExecutor(1) as pool, pytest.raises(Cancelled):
        fold_tile(
            stack.reader, 0, next(plan.tiles()), plan, method, method.calibrate(Sample(stack)),
            pool, cancel=cancel, advance=advance,
        )  # fmt: skip
    assert done == [64 * 64]
