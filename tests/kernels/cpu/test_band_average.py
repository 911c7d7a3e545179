"""Weighted sums of planes round a known depth."""

import numpy as np
import pytest

from zfuse.kernels import (
    RUN,
    FocusWeights,
    add_focused,
    add_focused_norms,
    extend_range,
    hold_within,
    reduce_plane,
    reduce_planes,
    subtract_expanded,
)

NONE_INVALID = np.empty((0, 0), "f4")
NO_LEVEL, ALL_VALID = np.empty((0, 0, 0, 0), "f4"), np.empty((0, 0, 0), "f4")
WIDTH, DISTRUST = 1.5, 0.7


def weights(depth, strength=None, distrust=DISTRUST):
    strength = np.ones_like(depth) if strength is None else strength
    runs = np.arange(0, depth.shape[1], RUN)
    extremes = np.minimum.reduceat(depth, runs, 1), np.maximum.reduceat(depth, runs, 1)
    return FocusWeights(depth, strength, *extremes, WIDTH, distrust)


def add(coefficients, focus, z, total, invalid=None):
    unknown = ALL_VALID if invalid is None else invalid[None]
    add_focused(coefficients[None], 0, 0, NO_LEVEL, unknown, focus, z, total)


def expected(depth, z, strength=1.0):
    g = np.maximum(1 - (depth - z) ** 2 / (6 * WIDTH**2), 0) ** 3
    return g, g / (1 + DISTRUST * strength * (1 - g) ** 2)


def sums(focus, planes, least=0.0, plain=1e9, held=1e9):
    norm, square = np.zeros_like(focus.depth), np.zeros_like(focus.depth)
    add_focused_norms(NONE_INVALID, focus, 0, planes, least, plain, held, norm, square)
    return norm, square


@pytest.mark.parametrize("half", [False, True])
def test_least_squares_weights_recover_a_defocused_coefficient(half):
    """Coefficients that follow the response model exactly come back, whatever the depth."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(2, 9, 11)).astype("f4")
    depth = rng.uniform(2, 5, (9, 11)).astype("f4")
    strength = rng.uniform(0, 40, (5, 6) if half else (9, 11)).astype("f4")
    wide = strength.repeat(2, 0).repeat(2, 1)[:9, :11] if half else strength
    focus = weights(depth, strength)
    total = np.zeros_like(truth)
    for z in range(8):
        g, _ = expected(depth, z)
        add((g * truth).astype("f4"), focus, z, total)
    norm, square = sums(focus, 8)
    np.testing.assert_allclose(total / norm, truth, rtol=2e-4, atol=1e-5)
    a = np.array([expected(depth, z, wide)[1] for z in range(8)])
    np.testing.assert_allclose(square, np.square(a).sum(0), rtol=1e-4)


def test_strong_detail_is_not_raised():
    depth = np.full((1, 2), 2.5, "f4")
    focus = weights(depth, np.array([[0, 1e6]], "f4"))
    norm, _ = sums(focus, 6, least=0.3, plain=20.0)
    g, a = (
        np.array(v)
        for v in zip(*(expected(depth, z, focus.strength) for z in range(6)), strict=True)
    )
    bound = 1 - 0.7 * 20 / (20 + DISTRUST * focus.strength)
    np.testing.assert_allclose(norm, (a * np.maximum(g, bound)).sum(0), rtol=1e-4)
    np.testing.assert_allclose(norm[0, 1], a.sum(0)[0, 1], rtol=1e-3)


@pytest.mark.parametrize("strength", [0.0, 1.0, 1e6])
def test_a_coefficient_is_held_to_what_the_nearest_plane_shows(strength):
    """Of a coefficient that follows the response model: all of it, part of it, or the plane's."""
    depth = np.random.default_rng(0).uniform(2, 5, (9, 11)).astype("f4")
    focus = weights(depth, np.full_like(depth, strength))
    total, held = np.zeros((1, 9, 11), "f4"), 2.0
    for z in range(8):
        g, _ = expected(depth, z)
        add(g[None].astype("f4"), focus, z, total)
    norm, _ = sums(focus, 8, held=held)
    nearest = np.max([expected(depth, z)[0] for z in range(8)], 0)
    share = DISTRUST * strength / (held + DISTRUST * strength)
    np.testing.assert_allclose(total[0] / norm, 1 - share * (1 - nearest), rtol=2e-4)


def test_strong_detail_loses_nothing_between_two_planes():
    """What is neither raised nor held twice is the mean of the planes: norm = Σ a."""
    depth = np.full((1, 3), 2.5, "f4")
    norm, _ = sums(weights(depth, np.full((1, 3), 1e6, "f4")), 6, 0.3, 20.0, 2.0)
    a = sum(expected(depth, z, 1e6)[1] for z in range(6))
    np.testing.assert_allclose(norm, a, rtol=1e-3)


def test_planes_count_the_same_one_by_one():
    rng = np.random.default_rng(1)
    focus = weights(rng.uniform(0, 5, (6, 9)).astype("f4"))
    norm, square = np.zeros((6, 9), "f4"), np.zeros((6, 9), "f4")
    for z in range(6):
        add_focused_norms(NONE_INVALID, focus, z, z + 1, 0.3, 20.0, 2.0, norm, square)
    for got, whole in zip((norm, square), sums(focus, 6, 0.3, 20.0, 2.0), strict=True):
        np.testing.assert_array_equal(got, whole)


def test_an_image_is_held_within_the_planes_give_or_take_noise():
    image = np.array([[0, 50, 500, 500, 77]], "f4")
    low, high = np.full((1, 5), 40, "f4"), np.full((1, 5), 90, "f4")
    low[0, 4], high[0, 4] = np.inf, -np.inf
    focus = weights(np.zeros((1, 5), "f4"), np.array([[0, 0, 0, 1e9, 0]], "f4"))
    with np.errstate(invalid="ignore"):  # plain Python warns of inf - inf, where nothing is held
        hold_within(low, high, 0.1, 5.0, focus, 20.0, image)
    wanted = [[40 - np.sqrt(9), 50, 90 + np.sqrt(14), 90, 77]]
    np.testing.assert_allclose(image, wanted, rtol=1e-5)


def test_rows_that_a_plane_cannot_reach_are_left_alone():
    depth = np.repeat(np.array([[0], [9]], "f4"), 6, 1)
    total = np.zeros((1, 2, 6), "f4")
    add(np.ones((1, 2, 6), "f4"), weights(depth), 0, total)
    for result in (total[0], *sums(weights(depth), 1)):
        np.testing.assert_array_equal(result, [[1] * 6, [0] * 6])


def test_invalid_pixels_have_no_weight():
    planes, depth = np.ones((2, 8, 9), "f4"), np.zeros((8, 9), "f4")
    invalid = np.zeros((8, 9), "f4")
    invalid[2:4, 5] = 1
    total, norm, square = np.zeros((2, 8, 9), "f4"), np.zeros((8, 9), "f4"), np.zeros((8, 9), "f4")
    add(planes, weights(depth), 0, total, invalid)
    add_focused_norms(invalid, weights(depth), 0, 1, 0.0, 20.0, 2.0, norm, square)
    for result in (*total, norm, square):
        np.testing.assert_array_equal(result, 1 - invalid)


def test_of_a_block_of_pixels_bands_are_made_where_they_count():
    """Runs of columns are skipped, and the sums are those of bands made beforehand, bit for bit."""
    rng = np.random.default_rng(0)
    planes = rng.integers(0, 65536, (3, 2, 21, 520), "u2")
    size, top, left = (15, 3 * RUN + 7), 4, 6
    depth = np.repeat(rng.uniform(-6, 12, (15, 4)), RUN, 1)[:, : size[1]].astype("f4")
    focus = weights(np.ascontiguousarray(depth), rng.random((8, -(-size[1] // 2)), "f4"))
    coarse = np.empty((3, 2, 8, -(-size[1] // 2)), "f4")
    reduce_planes(planes, top, left, size, coarse)
    found, expected = np.zeros((2, 2, *size), "f4")
    add_focused(planes, top, left, coarse, ALL_VALID, focus, 2, found)
    for z, plane in enumerate(planes[:, :, top : top + size[0], left : left + size[1]], 2):
        bands = np.ascontiguousarray(plane, "f4")
        for band, level in zip(bands, coarse[z - 2], strict=True):
            reduced = np.empty_like(level)
            reduce_plane(band, reduced)
            np.testing.assert_array_equal(level, reduced)
            subtract_expanded(band, level, band)
        add(bands, focus, z, expected)
    np.testing.assert_array_equal(found, expected)


def test_the_range_is_that_of_valid_pixels():
    planes = np.random.default_rng(0).integers(0, 65536, (3, 2, 9, 12), "u2")
    low, high = np.full((2, 5, 7), np.inf, "f4"), np.full((2, 5, 7), -np.inf, "f4")
    extend_range(planes, 1, 2, ALL_VALID, low, high)
    part = planes[:, :, 1:6, 2:9]
    np.testing.assert_array_equal(low, part.min(0))
    np.testing.assert_array_equal(high, part.max(0))
    invalid = np.zeros((3, 5, 7), "f4")
    invalid[1:, 2, 3] = 1
    low[:], high[:] = np.inf, -np.inf
    extend_range(planes, 1, 2, invalid, low, high)
    np.testing.assert_array_equal(low[:, 2, 3], part[0, :, 2, 3])
    np.testing.assert_array_equal(high[:, 2, 3], part[0, :, 2, 3])
