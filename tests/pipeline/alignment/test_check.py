"""The quick check: what surely moves is found, what lies still never is said to move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from support.moved import injected, moved, still
from support.shared import STACKS, needs_stacks

import zfuse
from zfuse.pipeline.alignment._check import HARMLESS, check_drift
from zfuse.pipeline.alignment._thumbnails import read_thumbnails
from zfuse.pipeline.core import BaseReader
from zfuse.pipeline.sources import from_array

few = settings(deadline=None, max_examples=12, derandomize=True)
CUT = 48  # px: what a shift brings in at the edge is not seen


@pytest.mark.parametrize("kind", ["relief", "section", "fluorescence"])
@pytest.mark.parametrize("what", ["shift", "jump", "scale", "jitter"])
@pytest.mark.parametrize("amount", [0.3, 9.0, 20.0])
def test_injected_motion_is_found_or_harmless(kind: str, what: str, amount: float) -> None:
    planes = moved(still(kind, size=352, seed=3), injected(what, amount, 352))
    seen = planes if what == "scale" else np.ascontiguousarray(planes[:, CUT:-CUT, CUT:-CUT])
    check = check_drift(from_array(seen))
    assert (check.moved > HARMLESS) == (amount > HARMLESS)
    # jitter of planes that were not looked at is not seen
    assert 0 <= check.moved < 1.1 * amount + 0.2
    if amount > HARMLESS:
        assert check.found == pytest.approx(amount, rel=0.1)
        assert check.breathes or what != "scale"


@pytest.mark.parametrize("amount", [40.0, 80.0])
def test_large_shifts_are_found(amount: float) -> None:
    planes = moved(still("section", size=512), injected("shift", amount, 512))[:, 72:-72, 72:-72]
    assert check_drift(from_array(planes.copy())).found == pytest.approx(amount, rel=0.05)


@few
@given(
    kind=st.sampled_from(["relief", "section", "fluorescence"]),
    seed=st.integers(0, 1000),
    size=st.sampled_from([48, 130, 256]),
    planes=st.integers(4, 24),
    photons=st.sampled_from([30.0, 300.0, 20000.0]),
)
def test_what_lies_still_never_moves(
    kind: str, seed: int, size: int, planes: int, photons: float
) -> None:
    stack = from_array(still(kind, size, seed, planes, photons))
    assert check_drift(stack).moved <= HARMLESS


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (120, 90), (150, 200)])
def test_noise_and_emptiness_lie_still(dtype: str, size: tuple[int, int]) -> None:
    for seed in range(4):  # a mean of few blocks lies several of its standard errors from 0
        noise = np.random.default_rng(seed).integers(0, 200, (6, *size)).astype(dtype)
        for pixels in (noise, np.full_like(noise, 7)):
            assert check_drift(from_array(pixels)).moved == 0


def test_what_is_not_finite_or_on_another_scale_does_not_matter() -> None:
    planes = moved(still(size=256, seed=5), injected("shift", 12.0, 256)).astype(np.float64)
    expected = check_drift(from_array(planes)).moved
    assert expected > HARMLESS
    for factor in (1e-30, 1e30):
        assert check_drift(from_array(planes * factor)).moved == pytest.approx(expected, rel=1e-3)
    planes[:, ::50, ::50] = np.nan
    planes[2, :9] = np.inf
    assert check_drift(from_array(planes)).moved == pytest.approx(expected, abs=0.5)
    assert check_drift(from_array(np.full((4, 64, 64), np.nan))).moved == 0


class Counting(BaseReader):
    """A stack in memory that counts what is decoded: chunks of (z, y, x) as told."""

    def __init__(self, pixels: np.ndarray, chunk: tuple[int, int, int], large: int) -> None:
        planes, height, width = pixels.shape
        super().__init__((5, 1, planes, large * height, large * width), pixels.dtype, chunk)
        self.pixels, self.read_pixels, self.seen = pixels, 0, set[tuple[int, int]]()

    def fill(self, t: int, z: slice, y: slice, x: slice, out: np.ndarray) -> None:
        self.seen |= {(t, plane) for plane in range(z.start, z.stop)}
        rows, columns = (np.arange(cut.start, cut.stop) for cut in (y, x))
        _, height, width = self.pixels.shape
        out[:, 0] = self.pixels[z][:, rows[:, None] % height, columns[None] % width]
        self.read_pixels += out.size


def test_only_some_planes_and_times_are_read() -> None:
    reader = Counting(still(size=128, planes=40), (1, 128, 128), 1)
    check = check_drift(replace(from_array(reader.pixels), reader=reader))
    assert check.times == (0, 2, 4)
    assert check.planes == (0, 10, 20, 29, 39)
    assert reader.seen == {(t, z) for t in check.times for z in check.planes}


def test_planes_that_share_chunks_are_read_at_once() -> None:
    reader = Counting(still(size=128, planes=12), (6, 64, 64), 1)
    stack = replace(from_array(reader.pixels), reader=reader)
    first = read_thumbnails(stack, None, 0)
    assert reader.read_pixels == 10 * 128 * 128  # 0, 3 and what lies between; 6 to 11
    reader.chunk = (1, 128, 128)
    second = read_thumbnails(stack, None, 0)
    for one, other in zip(first.images, second.images, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_slide_is_looked_at_through_a_window() -> None:
    planes = moved(still(size=256, planes=6), injected("shift", 12.0, 256, 6))
    reader = Counting(planes, (1, 512, 512), 40)
    check = check_drift(replace(from_array(planes), reader=reader))
    assert check.moved > HARMLESS
    assert reader.read_pixels < 3 * 6 * 2048 * 2048


@needs_stacks
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("beetle_macro_noah", 6, 10),
        ("mineral_zstackr", 15, 25),
        ("reflected_metal_gear_he", 6, 12),
        ("reflected_pcb_focusstack", 80, 140),
        ("reflected_pcb_tagarno", 6, 20),
        ("transmitted_pseudoscorpion_hard", 40, 90),
    ],
)
def test_real_drift_is_seen(name: str, least: float, most: float) -> None:
    with zfuse.open(STACKS / name) as stack:
        assert least < check_drift(stack).found < most
        assert check_drift(stack).moved > HARMLESS


@needs_stacks
@pytest.mark.slow
@pytest.mark.parametrize(
    "pattern", ["brightfield*", "fluor*", "dic*", "synthetic*", "cytology*/[0-9]*"]
)
def test_real_registered_stacks_lie_still(pattern: str) -> None:
    for place in sorted(STACKS.glob(pattern)):
        with zfuse.open(place) as stack:
            assert check_drift(stack).moved <= HARMLESS, place.name
