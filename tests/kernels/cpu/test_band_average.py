"""Weighted sums of planes round a known depth."""

import numpy as np

from zfuse.kernels import add_focused, add_masked

NONE_INVALID = np.empty((0, 0), "f4")


def test_least_squares_weights_recover_a_defocused_coefficient():
    """Coefficients that follow the response model exactly come back, whatever the depth."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(2, 9, 11)).astype("f4")
    depth = rng.uniform(2, 5, (9, 11)).astype("f4")
    width, distrust = 1.5, 0.7
    total = np.zeros_like(truth)
    norm, square = np.zeros_like(depth), np.zeros_like(depth)
    for z in range(8):
        g = np.maximum(1 - (depth - z) ** 2 / (6 * width**2), 0) ** 3
        add_focused(
            (g * truth).astype("f4"), NONE_INVALID, depth, depth.min(1), depth.max(1), z, width,
            distrust, 0.0, total, norm, square,
        )  # fmt: skip
    np.testing.assert_allclose(total / norm, truth, rtol=2e-4, atol=1e-5)
    weights = [
        (g := np.maximum(1 - (depth - z) ** 2 / (6 * width**2), 0) ** 3)
        / (1 + distrust * (1 - g) ** 2)
        for z in range(8)
    ]
    np.testing.assert_allclose(square, np.square(weights).sum(0), rtol=1e-4)


def test_masks_of_all_planes_add_up_to_one():
    rng = np.random.default_rng(0)
    planes = rng.random((4, 1, 20, 30), "f4")
    index = rng.integers(0, 4, (20, 30)).astype("i4")
    quiet = np.zeros((20, 30), "f4")
    quiet[5:9, 5:9] = 1
    total, norm = np.zeros((1, 20, 30), "f4"), np.zeros((20, 30), "f4")
    for z, plane in enumerate(planes):
        add_masked(plane, NONE_INVALID, index, quiet, 1 / 4, z, total, norm)
    np.testing.assert_allclose(norm, 1, atol=1e-6)
    np.testing.assert_allclose(total[0, 5:9, 5:9], planes[:, 0, 5:9, 5:9].mean(0), atol=1e-6)


def test_rows_that_a_plane_cannot_reach_are_left_alone():
    depth = np.repeat(np.array([[0], [9]], "f4"), 6, 1)
    total, norm, square = np.zeros((1, 2, 6), "f4"), np.zeros((2, 6), "f4"), np.zeros((2, 6), "f4")
    add_focused(
        np.ones((1, 2, 6), "f4"), NONE_INVALID, depth, depth.min(1), depth.max(1), 0, 1.5, 0.7, 0.0,
        total, norm, square,
    )  # fmt: skip
    for result in (total[0], norm, square):
        np.testing.assert_array_equal(result, [[1] * 6, [0] * 6])


def test_invalid_pixels_have_no_weight():
    planes, depth = np.ones((2, 8, 9), "f4"), np.zeros((8, 9), "f4")
    invalid = np.zeros((8, 9), "f4")
    invalid[2:4, 5] = 1
    total, norm, square = np.zeros((2, 8, 9), "f4"), np.zeros((8, 9), "f4"), np.zeros((8, 9), "f4")
    add_focused(
        planes, invalid, depth, depth[:, 0], depth[:, 0], 0, 1.5, 0.7, 0.0, total, norm, square
    )
    for result in (*total, norm, square):
        np.testing.assert_array_equal(result, 1 - invalid)
    total[:], norm[:] = 0, 0
    add_masked(planes, invalid, np.zeros((8, 9), "i4"), depth, 1.0, 0, total, norm)
    for result in (*total, norm):
        np.testing.assert_allclose(result, 1 - invalid, rtol=1e-6)
