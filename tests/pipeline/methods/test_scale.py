"""A stack is the same stack in other units: nothing depends on scale or offset of the pixels.

Factors that are powers of two change no digit of a float, so results are the same bit for bit.
Others round the pixels themselves; then a few pixels that were all but undecided may decide
otherwise, and the tolerances below say how many.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from scipy.ndimage import gaussian_filter
from support.method_names import NETWORKS

import zfuse
from zfuse.pipeline.methods import METHODS
from zfuse.pipeline.simulation._phantom import render_phantom

PLANES, SIZE = 7, 96

classical = pytest.mark.parametrize("name", sorted(set(METHODS) - set(NETWORKS)))
network = pytest.mark.parametrize("name", sorted(NETWORKS))


def a_few(examples: int) -> Any:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def make(kind: str) -> np.ndarray:
    """Return counts (PLANES, SIZE, SIZE) uint16."""
    rng = np.random.default_rng(1)
    if kind == "photons":
        return render_phantom(PLANES, SIZE, photons=500, seed=2).planes
    if kind == "clean":
        planes = render_phantom(PLANES, SIZE, photons=1e12, seed=2).planes / 40.0
        return np.rint(planes).astype(np.uint16)
    if kind == "blank":
        return np.full((PLANES, SIZE, SIZE), 1000, np.uint16)
    return (1000 + rng.integers(0, 2, (PLANES, SIZE, SIZE))).astype(np.uint16)


KINDS = ("photons", "clean", "blank", "one count")
COUNTS = {kind: make(kind) for kind in KINDS}
_known: dict[tuple[str, str], Any] = {}


def fused_counts(name: str, kind: str) -> Any:
    """Fuse the counts as float32, once."""
    if (name, kind) not in _known:
        _known[name, kind] = zfuse.fuse(COUNTS[kind].astype(np.float32), name)
    return _known[name, kind]


def assert_alike(
    fused: Any, image: np.ndarray, expected: Any, kind: str, off: float, few: float = 2e-3
) -> None:
    """Compare all but a few pixels of maps, and of images in counts to within `off`."""
    assert (np.abs(fused.depth - expected.depth) > 0.05).mean() < few
    assert (np.abs(fused.confidence - expected.confidence) > 0.01).mean() < few
    # Coefficients of one count's noise are often equally strong: rounding decides which wins.
    few = 0.1 if kind == "one count" else few
    assert (np.abs(image - expected.image) > off).mean() < few


factors = st.floats(-6, 6).map(lambda e: 10.0**e) | st.sampled_from(
    [1e-6, 1e-3, 1 / 65535, 1 / 255, 1 / 4095, 1000.0, 1e6]
)


@classical
@pytest.mark.parametrize("kind", KINDS)
@a_few(3)
@given(exponent=st.integers(-36, 20))
def test_powers_of_two_change_no_bit(name: str, kind: str, exponent: int) -> None:
    factor = np.float32(2.0**exponent)
    fused = zfuse.fuse(COUNTS[kind].astype(np.float32) * factor, name)
    expected = fused_counts(name, kind)
    np.testing.assert_array_equal(fused.depth, expected.depth)
    np.testing.assert_array_equal(fused.confidence, expected.confidence)
    np.testing.assert_array_equal(fused.image, expected.image * factor)


@classical
@pytest.mark.parametrize("exponent", [-80, 60])
def test_nothing_overflows(name: str, exponent: int) -> None:
    """Squares of such pixels don't fit float32."""
    factor = np.float32(2.0**exponent)
    fused = zfuse.fuse(COUNTS["photons"].astype(np.float32) * factor, name)
    expected = fused_counts(name, "photons")
    np.testing.assert_array_equal(fused.depth, expected.depth)
    np.testing.assert_array_equal(fused.image, expected.image * factor)


@classical
@pytest.mark.parametrize("kind", KINDS)
@a_few(4)
@given(factor=factors, offset=st.floats(-4, 4))
def test_other_factors_and_offsets_change_nothing(
    name: str, kind: str, factor: float, offset: float
) -> None:
    """The offset is in units of the brightest count."""
    counts = COUNTS[kind].astype(np.float64)
    top = counts.max()
    fused = zfuse.fuse(((counts + offset * top) * factor).astype(np.float32), name)
    image = fused.image.astype(np.float64) / factor - offset * top
    assert_alike(fused, image, fused_counts(name, kind), kind, off=4e-6 * top)


@classical
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("dtype", "factor", "offset"),
    [("u4", 1000, 0), ("i4", 1000, -2e6), ("i2", 1, -20000), ("f4", 1 / 65535, 0), ("f8", 1e-9, 1)],
)
def test_dtypes_agree(name: str, kind: str, dtype: str, factor: float, offset: float) -> None:
    moved = COUNTS[kind].astype(np.float64) * factor
    offset = offset * (moved.max() if dtype == "f8" else 1)
    fused = zfuse.fuse((moved + offset).astype(dtype), name)
    image = (fused.image.astype(np.float64) - offset) / factor
    assert_alike(fused, image, fused_counts(name, kind), kind, off=0.51)


@classical
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_clean_counts_decide_as_floats(name: str, dtype: str) -> None:
    counts = (COUNTS["clean"] // 5).astype(dtype)
    expected = zfuse.fuse(counts, name)
    others = [(counts / np.float32(255), 255), (counts * 1e-6, 1e6)]
    if dtype == "u1":
        others.append((counts * np.uint16(257), 1 / 257))
    for other, factor in others:
        fused = zfuse.fuse(other, name)
        assert_alike(fused, fused.image * factor, expected, "clean", off=0.51, few=0.03)


@classical
def test_floats_are_as_true_as_the_counts_they_came_from(name: str) -> None:
    phantom = render_phantom(PLANES, 2 * SIZE, photons=500, seed=2)
    counts = zfuse.fuse(phantom.planes, name)
    floats = zfuse.fuse(phantom.planes / np.float32(65535), name)

    def errors(fused: Any, image: np.ndarray) -> tuple[float, float]:
        off = image.astype(np.float64) - phantom.image
        return float(np.sqrt((off**2).mean())), float(np.abs(fused.depth - phantom.depth).mean())

    assert errors(floats, floats.image * 65535.0) == pytest.approx(
        errors(counts, counts.image), rel=1e-3
    )
    assert floats.confidence.mean() == pytest.approx(counts.confidence.mean(), rel=1e-3)


@classical
@pytest.mark.parametrize("factor", [2.0**-30, 1.0, 2.0**30])
def test_a_specimen_beside_all_patches_is_found_on_any_scale(name: str, factor: float) -> None:
    sharp = np.zeros((400, 400))
    sharp[150:166, 10:40] = np.random.default_rng(0).random((16, 30))
    planes = np.stack([gaussian_filter(sharp, 0.6 + abs(z - 2)) for z in range(5)])
    planes[planes < 1e-3] = 0  # what the sample sees is the same everywhere
    fused = zfuse.fuse((planes * factor).astype(np.float32), name)
    inside = (slice(152, 164), slice(14, 36))
    assert np.abs(fused.depth[inside] - 2).mean() < 0.1
    assert fused.confidence[inside].min() > 0.3


@pytest.mark.slow
@network
@pytest.mark.parametrize("kind", ["photons", "clean"])
@a_few(2)
@given(factor=factors, offset=st.floats(-1, 1))
def test_networks_see_the_same(name: str, kind: str, factor: float, offset: float) -> None:
    counts = COUNTS[kind].astype(np.float64)
    top = counts.max()
    fused = zfuse.fuse(((counts + offset * top) * factor).astype(np.float32), name)
    image = fused.image.astype(np.float64) / factor - offset * top
    expected = fused_counts(name, kind)
    assert (np.abs(fused.depth - expected.depth) > 0.05).mean() < 0.01
    assert np.abs(fused.confidence - expected.confidence).mean() < 0.01
    assert np.abs(image - expected.image).mean() < top / 255


@pytest.mark.parametrize("factor", [1 / 65535, 1e-6, 1e6])
def test_alignment_is_the_same(factor: float) -> None:
    planes = COUNTS["clean"].astype(np.float64)
    drifting = np.stack([np.roll(plane, (2 * z, -z), (0, 1)) for z, plane in enumerate(planes)])
    expected = zfuse.fuse(drifting.astype(np.float32), align="translation")
    for offset in (0.0, 3 * drifting.max()):
        moved = ((drifting + offset) * factor).astype(np.float32)
        fused = zfuse.fuse(moved, align="translation")
        image = fused.image.astype(np.float64) / factor - offset
        # Offset by 2886, float32 rounds to 2.4e-4 of a count; a depth that all but ties then
        # turns: 0.4 % of the image is off by more than 0.2 of 962, on average 0.006.
        assert_alike(fused, image, expected, "clean", off=0.2, few=0.01)
        assert np.abs(image - expected.image).mean() < 0.01
