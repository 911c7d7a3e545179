"""The tile plan: every pixel once, halos whole, memory obeyed, refusals with a cure."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from zfuse.errors import ZfuseError
from zfuse.pipeline import make_job
from zfuse.pipeline._plan import DEFAULT_MEMORY, NETWORK_MEMORY, TilePlan, plan_tiles
from zfuse.pipeline.core._stack import Channel, Stack
from zfuse.pipeline.methods import METHODS, make_method

if TYPE_CHECKING:
    from zfuse.pipeline.core._region import Region

every_method = pytest.mark.parametrize("name", sorted(METHODS))
UINT16 = np.dtype(np.uint16)


@dataclass(frozen=True)
class NoPixels:
    shape: tuple[int, int, int, int, int] = (1, 1, 16, 4096, 4096)
    dtype: np.dtype[Any] = UINT16
    chunk: tuple[int, int, int] = (1, 1024, 1024)

    def read(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("a plan needs no pixels")

    def close(self) -> None: ...


def stack_of(**reader: Any) -> Stack:
    pixels = NoPixels(**reader)
    channels = tuple(Channel(f"channel {i}") for i in range(pixels.shape[1]))
    return Stack(pixels, "tczyx", "cells", "", channels)


def planned(name: str = "select", **more: Any) -> TilePlan:
    reader = {key: more.pop(key) for key in ("shape", "dtype", "chunk") if key in more}
    settings = {"memory": None, "workers": 2} | more
    return plan_tiles(stack_of(**reader), make_method(name), **settings)


def covered(shape: tuple[int, int], regions: list[Region]) -> None:
    times = np.zeros(shape, int)
    for region in regions:
        times[region.core] += 1
    assert (times == 1).all()


@every_method
@settings(deadline=None)
@given(
    height=st.integers(1, 700),
    width=st.integers(1, 700),
    units=st.integers(1, 4),
    strips=st.integers(1, 5),
)
def test_tiles_and_strips_cover_the_image_once(
    name: str, height: int, width: int, units: int, strips: int
) -> None:
    method = make_method(name)
    tile = units * max(64, method.grid_step)
    plan = TilePlan((height, width), tile, method.halo, method.grid_step, 1, strips, 1, 1)
    tiles = list(plan.tiles())
    cut = [strip for each in tiles for strip in plan.cut(each)]
    covered((height, width), tiles)
    covered((height, width), cut)
    for region in cut:
        for core, shown, length in zip(region.core, region.shown, (height, width), strict=True):
            assert core.start % method.grid_step == 0
            assert shown.start <= max(0, core.start - method.halo)
            assert shown.stop >= min(length, core.stop + method.halo)


@every_method
def test_a_plan_does_not_depend_on_planes_or_image_size(name: str) -> None:
    def need(planes: int, size: int) -> int:
        plan = planned(name, shape=(1, 1, planes, size, size))
        return plan.in_flight * plan.tile**2

    assert need(16, 16384) == need(64, 16384)
    # Networks' tiles are even parts of the image, as large as fits.
    even = 0.2 if make_method(name).own_threads else 0
    assert need(16, 65536) == pytest.approx(need(16, 16384), rel=even)


@every_method
@pytest.mark.parametrize("size", [1024, 2048, 20000])
def test_channels_that_decide_for_themselves_keep_the_tile(name: str, size: int) -> None:
    """Small tiles would cost more than the channels do; what stands beside one takes little."""
    method = make_method(name)
    default = NETWORK_MEMORY if method.own_threads else DEFAULT_MEMORY[method.passes - 1]
    alone = planned(name, shape=(1, 1, 16, size, size))
    plan = planned(name, shape=(1, 3, 16, size, size), decisions=3, memory=int(1.3 * default))
    assert plan.tile >= alone.tile
    ample = planned(name, shape=(1, 3, 16, size, size), decisions=3, memory=10**12)
    assert ample.in_turn == method.own_threads


@pytest.mark.parametrize("size", [40, 1500, 2048, 3000, 20000])
def test_the_tiles_of_a_network_are_even(size: int) -> None:
    plan = planned("pdmnet", shape=(1, 1, 16, size, size))
    assert min(t.core[0].stop - t.core[0].start for t in plan.tiles()) > min(plan.tile, size) / 2


@every_method
@pytest.mark.parametrize("memory", [400_000_000, DEFAULT_MEMORY[0], 4_000_000_000])
@pytest.mark.parametrize("workers", [1, 2, 16])
def test_states_and_buffers_fit_the_memory(name: str, memory: int, workers: int) -> None:
    method = make_method(name)
    memory *= 3 if method.own_threads else 1
    plan = planned(name, memory=memory, workers=workers, shape=(1, 1, 40, 20000, 20000))
    states = plan.tile**2 * method.state_bytes(1, 2)
    window = plan.tile + 2 * plan.halo
    assert plan.in_flight * (states + 2 * plan.block * window**2 * 2) < memory
    assert 1 <= plan.in_flight <= workers
    assert plan.tile % 64 == 0


def test_more_memory_means_larger_tiles() -> None:
    tiles = [
        planned(memory=m, shape=(1, 1, 16, 30000, 30000)).tile for m in (3 * 10**8, 10**9, 10**10)
    ]
    assert tiles == sorted(tiles)
    assert tiles[0] < tiles[-1]


def test_blocks_end_where_chunks_end() -> None:
    assert planned(chunk=(3, 1024, 1024)).block % 3 == 0
    assert planned(chunk=(64, 256, 256), memory=4 * 10**9).block == 16  # the planes there are


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tile": 100}, r"tile of 100 px: it must be a multiple of 64 .*--tile 64"),
        ({"tile": 32}, "multiple of 64"),
        ({"memory": 10**6}, r"memory of 1MB is too little: .* Give at least --memory \d+MB"),
        ({"memory": 1}, r"memory of 1 bytes is too little: "),
        ({"memory": 5 * 10**8, "shape": (1, 400, 9, 9999, 9999)}, "400 channel"),
    ],
)
def test_refusals_name_the_limit_and_the_cure(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ZfuseError, match=message):
        planned(**settings)


def test_the_least_memory_that_a_refusal_names_is_enough() -> None:
    with pytest.raises(ZfuseError) as caught:
        planned(memory=1)
    megabytes = int(str(caught.value).rsplit("--memory ", 1)[1].removesuffix("MB"))
    assert planned(memory=megabytes * 10**6).tile >= 64


def test_more_planes_than_can_be_counted_are_refused() -> None:
    stack = stack_of(shape=(1, 1, 2**16, 64, 64))
    with pytest.raises(ZfuseError, match="65536 planes; method 'select' counts up to 65535"):
        make_job(stack, make_method("select"))


def test_tasks_never_outnumber_tiles() -> None:
    plan = planned(shape=(1, 1, 8, 100, 100), workers=32)
    assert plan.in_flight == 1
    assert len(list(plan.tiles())) == ceil(100 / plan.tile) ** 2


@every_method
def test_a_plan_of_any_width_is_made_at_once(name: str) -> None:
    begun = time.perf_counter()
    plan = planned(name, shape=(1, 1, 3, 64, 10**9), chunk=(1, 64, 10**9), memory=10**13)
    first = next(plan.tiles())
    assert first.core == (slice(0, 64), slice(0, plan.tile))
    assert time.perf_counter() - begun < 0.5
