"""Evidence and probability against slow twins; maps at half size become whole again."""

import numpy as np
import pytest

from zfuse.kernels import (
    DepthClues,
    collect_evidence,
    compare_sides,
    interpolate_doubled,
    interpolate_where,
    probability,
)

RADII = (1, 3)
MARGIN = 3


@pytest.fixture(scope="module")
def clues():
    rng = np.random.default_rng(0)
    depth = 9 * rng.random((13, 17), "f4")
    padded = np.pad(depth, MARGIN, "reflect", reflect_type="odd")
    depths = tuple(9 * rng.random((2, 13, 17), "f4"))
    heights = tuple(rng.random((2, 13, 17), "f4"))
    gains = np.array([0.5, 2], "f4")
    return DepthClues(padded, np.array(RADII), depths, heights, gains, depth[None] / 9, 9.0)


def slow_evidence(clues):
    padded, m = clues.padded, MARGIN
    depth = padded[m:-m, m:-m]
    planes = [abs(p - depth) / (abs(p - depth) + 1) for p in clues.depths]
    for height, gain in zip(clues.heights, clues.gains, strict=True):
        significance = gain * height / (1 - height)
        planes.append(significance / (significance + 1))
    for r in RADII:
        bent, apart = [], []
        for dy, dx in ((0, r), (r, 0), (r, r), (r, -r)):
            a, b = (np.roll(padded, (s * dy, s * dx), (0, 1))[m:-m, m:-m] for s in (1, -1))
            bent.append(np.minimum(abs(a + b - 2 * depth) / 2, 4))
            apart += [np.minimum(abs(side - depth), 4) for side in (a, b)]
        planes += [value / (value + 0.5) for value in (np.mean(bent, 0), np.mean(apart, 0))]
    planes.append(np.clip(np.minimum(depth, clues.last - depth), 0, 2) / 2)
    return np.stack([*planes, *clues.shape, *np.zeros((2, *depth.shape))])


def test_evidence_equals_the_slow_one(clues):
    out = np.empty((12, 13, 17), "f4")
    collect_evidence(clues, out)
    np.testing.assert_allclose(out, slow_evidence(clues), atol=2e-6)
    assert (out >= 0).all()
    assert (out <= 1).all()


@pytest.mark.parametrize("kinds", [12, 20])  # that fit a step of the kernel, and more
def test_probability_equals_the_slow_one(clues, kinds):
    rng = np.random.default_rng(1)
    hidden, bias, weights = (rng.standard_normal(s).astype("f4") for s in ((5, kinds), 5, 5))
    for height in clues.heights:
        height[4, 5] = 0  # no peak stands out
    out = np.empty((13, 17), "f4")
    probability(clues, hidden, bias, weights, 0.3, out)
    evidence = np.zeros((kinds, 13, 17))
    evidence[:12] = slow_evidence(clues)
    sums = np.maximum(np.einsum("jk,kyx->jyx", hidden, evidence) + bias[:, None, None], 0)
    t = 0.3 + np.einsum("j,jyx->yx", weights, sums)
    expected = (1 + t / np.sqrt(1 + t**2)) / 2
    expected[4, 5] = 0
    np.testing.assert_allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 6), (9, 7), (1, 5), (1, 1), (2, 2)])
def test_half_size_is_interpolated(shape):
    half = np.random.default_rng(2).random([(n + 1) // 2 for n in shape], "f4")
    out = np.empty(shape, "f4")
    interpolate_doubled(half, out)
    rows = np.minimum(np.arange(shape[0]) / 2, half.shape[0] - 1)
    columns = np.minimum(np.arange(shape[1]) / 2, half.shape[1] - 1)
    y, x = (np.meshgrid(rows, columns, indexing="ij")[k] for k in (0, 1))
    at = [
        half[np.rint(np.floor(y) + a * np.ceil(y % 1)).astype(int),
             np.rint(np.floor(x) + b * np.ceil(x % 1)).astype(int)]
        for a in (0, 1) for b in (0, 1)
    ]  # fmt: skip
    np.testing.assert_allclose(out, np.mean(at, 0), atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 6), (9, 7), (1, 1)])
def test_nothing_is_written_where_nothing_was_chosen(shape):
    rng = np.random.default_rng(3)
    half = rng.random([(n + 1) // 2 for n in shape], "f4")
    chosen = rng.random(shape, "f4") - np.float32(0.5)
    out, whole = np.empty(shape, "f4"), np.empty(shape, "f4")
    interpolate_where(half, chosen, out)
    interpolate_doubled(half, whole)
    np.testing.assert_array_equal(out, np.where(chosen > 0, whole, 0))


@pytest.mark.parametrize("shape", [(8, 6), (9, 7), (1, 1)])
@pytest.mark.parametrize("planes", [1, 5])
def test_sides_of_the_peak_are_compared(shape, planes):
    rng = np.random.default_rng(4)
    index = rng.integers(0, planes, shape).astype("u2")
    before, after = rng.integers(0, 65536, (2, *shape)).astype("u2")
    out = np.empty((2, *((n + 1) // 2 for n in shape)), "f4")
    compare_sides(index, before, after, planes, out)
    sides = [np.where(index == end, 0, side / 65535) for side, end in
             ((before, 0), (after, planes - 1))]  # fmt: skip
    expected = np.sort(sides, 0)[::-1, ::2, ::2]
    np.testing.assert_allclose(out, expected, atol=1e-7)
