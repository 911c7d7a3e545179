"""The plane picker: its curve is what select goes by, and it reads next to nothing."""

from __future__ import annotations

import threading
import time

import dask.array
import numpy as np
import pytest

import zfuse
from zfuse.kernels import MEASURES, RunningPeak, accumulator, fold_focus
from zfuse.plugins._picker import Latest, Picker, Place, focus_curve, locate

layers = pytest.importorskip("napari.layers", reason="napari is not installed")

PLANES = np.random.default_rng(5).integers(0, 4096, (6, 30, 40)).astype(np.uint16)
UM3, UM2 = {"scale": (2.0, 0.5, 0.5), "units": ("um",) * 3}, {"scale": (0.5, 0.5)}


def _stack(data, **more):
    return layers.Image(data, name="stack", **{**UM3, **more})


def _curve(y: int, x: int) -> np.ndarray:
    return Picker().pick(Place(_stack(PLANES), (0, y, x))).curve


@pytest.mark.parametrize(("y", "x"), [(0, 0), (15, 20), (29, 39), (3, 37), (4, 4)])
def test_the_curve_is_the_kernels_score(y: int, x: int) -> None:
    curve = _curve(y, x)
    for z, plane in enumerate(PLANES):
        empty = [np.zeros((30, 40), kind) for kind in ("f4", "f4", "u2", "u2", "u2")]
        peak = RunningPeak(np.full((30, 40), -2, np.float32), *empty)
        fold_focus(
            plane[None], np.zeros(1, np.bool_), np.empty((1, 0, 30, 40), np.uint16), 0, 0, 0,
            MEASURES["sml"], False, 9, accumulator("sml"), peak, np.empty((0, 30, 40), np.uint16),
        )  # fmt: skip
        assert curve[z] == peak.best[y, x]


def test_its_peak_is_the_depth_of_select() -> None:
    fused = zfuse.fuse(PLANES, "select")
    peaks = np.array([[_curve(y, x).argmax() for x in range(0, 40, 3)] for y in range(0, 30, 3)])
    inner = (peaks > 0) & (peaks < 5)
    difference = np.abs(fused.depth[::3, ::3] - peaks)
    assert inner.sum() > 40
    assert difference[inner].max() <= 0.5


def test_nan_counts_as_nothing() -> None:
    pixels = PLANES.astype(np.float32)
    pixels[2] = np.nan
    assert focus_curve(pixels[:, :11, :11], 5, 5)[2] == 0


def test_colours_are_measured_on_their_luma() -> None:
    grey = np.repeat(PLANES[..., None], 3, -1)
    picked = Picker().pick(Place(_stack(grey, rgb=True), (0, 12, 13)))
    np.testing.assert_allclose(picked.curve, _curve(12, 13))


def test_depth_and_confidence_of_the_pixel() -> None:
    depth = layers.Image(np.arange(1200.0).reshape(30, 40) / 120, name="depth (µm)", **UM2)
    confidence = layers.Image(np.full((30, 40), 0.25), name="confidence", **UM2)
    picked = Picker().pick(Place(_stack(PLANES), (0, 12, 0), depth, confidence))
    assert picked.depth == 4.0
    assert picked.plane == 2.0
    assert picked.best == 2
    assert picked.confidence == 0.25


def test_where_depth_is_blank_the_curve_decides() -> None:
    depth = layers.Image(np.full((30, 40), np.nan), name="depth (µm)", **UM2)
    picked = Picker().pick(Place(_stack(PLANES), (0, 12, 0), depth))
    assert np.isnan(picked.depth)
    assert picked.best == picked.curve.argmax()


def test_depth_of_a_layer_that_says_nothing_is_in_planes() -> None:
    depth = layers.Image(np.full((30, 40), 3.4), name="depth")
    assert Picker().pick(Place(layers.Image(PLANES), (0, 1, 2), depth)).best == 3
    assert Picker().pick(Place(_stack(PLANES), (0, 1, 2), depth)).best == 3


@pytest.mark.parametrize("shape", [(2, 3, 1, 30, 40), (2, 3, 30, 40)])
def test_time_and_channels_are_those_of_the_point(shape: tuple[int, ...]) -> None:
    pixels = np.stack([[PLANES + 10 * (3 * t + c) for c in range(3)] for t in range(2)])
    pixels[1, 2] = PLANES[::-1]
    stack = layers.Image(pixels, scale=(1, 1, 2.0, 0.5, 0.5), units=("s", "pixel", *["um"] * 3))
    index = locate(stack, (1.0, 2.0, 7.0, 6.0, 4.0))
    assert index is not None
    assert (index[:2], index[3:]) == ((1, 2), (12, 8))
    numbers = np.arange(6.0).reshape(2, 3, *[1] * (len(shape) - 2))
    depth = layers.Image(np.broadcast_to(numbers, shape).copy(), name="depth")
    picked = Picker().pick(Place(stack, index, depth))
    assert picked.depth == 5
    np.testing.assert_array_equal(picked.curve, _curve(12, 8)[::-1])


def test_the_z_axis_may_lie_elsewhere_if_it_says_so() -> None:
    pixels = np.stack([PLANES, PLANES[::-1]], axis=1)
    stack = layers.Image(pixels, axis_labels=("z", "c", "y", "x"))
    picked = Picker().pick(Place(stack, (0, 1, 12, 8)))
    np.testing.assert_array_equal(picked.curve, _curve(12, 8)[::-1])


def test_outside_the_image_there_is_nothing() -> None:
    assert locate(_stack(PLANES), (0.0, -1.0, 3.0)) is None
    assert locate(_stack(PLANES), (0.0, 3.0, 19.9)) is None
    assert locate(_stack(PLANES), (99.0, 0.0, 0.0)) == (5, 0, 0)


def test_only_a_small_block_is_read_and_kept() -> None:
    read: list[tuple] = []

    def chunk(block_info=None) -> np.ndarray:
        place = block_info[None]
        read.append(place["chunk-location"])
        return np.zeros(place["chunk-shape"], np.uint16)

    data = dask.array.map_blocks(
        chunk, chunks=((1,) * 8, (256,) * 8, (256,) * 8), dtype=np.uint16, meta=np.empty((0,) * 3)
    )
    picker, stack = Picker(), _stack(data)
    read.clear()
    picker.pick(Place(stack, (0, 340, 340)))
    assert len(read) == 8  # one chunk a plane, of 64
    picker.pick(Place(stack, (0, 341, 335)))
    assert len(read) == 8


def test_of_those_who_wait_only_the_latest_is_served() -> None:
    busy, free, done = threading.Event(), threading.Event(), []

    def work(number: int) -> int:
        busy.set()
        free.wait(5)
        return number

    latest = Latest(work, done.append, pytest.fail)
    latest.ask(0)
    busy.wait(5)
    for number in range(1, 50):
        latest.ask(number)
    free.set()
    end = time.monotonic() + 5
    while len(done) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert done == [0, 49]
    time.sleep(0.1)
    assert not any(thread.name == "zfuse-picker" for thread in threading.enumerate())


def test_a_failure_is_told_and_the_next_one_served() -> None:
    told, done = [], []
    latest = Latest(lambda n: 1 // n, done.append, told.append)
    for number in (0, 1):
        latest.ask(number)
        end = time.monotonic() + 5
        while len(told) + len(done) < number + 1 and time.monotonic() < end:
            time.sleep(0.01)
    assert [type(error) for error in told] == [ZeroDivisionError]
    assert done == [1]


def test_closed_it_tells_nothing_more() -> None:
    busy, free = threading.Event(), threading.Event()

    def work(_: int) -> None:
        busy.set()
        free.wait(5)

    latest = Latest(work, pytest.fail, pytest.fail)
    latest.ask(0)
    busy.wait(5)
    latest.close()
    latest.ask(1)
    free.set()
    time.sleep(0.1)
