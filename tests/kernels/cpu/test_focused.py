"""Kernels of the second pass against slow twins."""

import numpy as np
import pytest
from scipy import ndimage
from support import naive

from zfuse.kernels import (
    MEASURES,
    RunningCentroid,
    accumulator,
    add_focused,
    add_masked,
    fold_centroid,
    median_3x3,
    reduce_by_strength,
    shrink_band,
)

NONE_INVALID = np.empty((0, 0), "f4")


def test_median_equals_scipy():
    values = np.random.default_rng(0).random((17, 23), "f4")
    out = np.empty_like(values)
    median_3x3(values, out)
    np.testing.assert_array_equal(out, ndimage.median_filter(values, 3, mode="nearest"))


@pytest.mark.parametrize("shape", [(31, 40), (3, 5), (1, 1)])
def test_shrinkage_equals_the_formula(shape):
    rng = np.random.default_rng(0)
    band = rng.normal(size=shape).astype("f4")
    noise = rng.uniform(0.2, 0.8, shape).astype("f4")
    energy = ndimage.uniform_filter(band.astype("f8") ** 2, 7, mode="nearest")
    pilot = band * np.maximum(energy - noise, 0) / energy
    second = ndimage.uniform_filter(pilot**2, 3, mode="nearest")
    expected = band * second / np.maximum(second + 0.5 * noise, 1e-30)
    shrink_band(band, noise, 3, 0.5)
    np.testing.assert_allclose(band, expected, atol=2e-6)


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


def test_centroid_equals_the_sum_over_scores():
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 1000, (9, 40, 50)).astype("u2")
    scores = np.stack([naive.score("sml", plane, 7) for plane in stack])[:, 5:35, 8:43]
    centroid = RunningCentroid(
        peak=np.full((30, 35), 4, "f4"),
        reach=np.full((30, 35), 3, "f4"),
        mass=np.zeros((30, 35), "f4"),
        moment=np.zeros((30, 35), "f4"),
        floor=np.full((30, 35), np.inf, "f4"),
    )
    for z in (0, 4, 8):
        fold_centroid(stack[z : z + 4], 5, 8, z, MEASURES["sml"], 7, accumulator("sml"), centroid)
    near = scores[1:8]
    np.testing.assert_allclose(centroid.mass, near.sum(0), rtol=1e-6)
    expected = (near * np.arange(-3, 4)[:, None, None]).sum(0)
    np.testing.assert_allclose(centroid.moment, expected, rtol=1e-5, atol=1)
    np.testing.assert_array_equal(centroid.floor, near.min(0))


def test_the_strongest_of_5_x_5_speaks():
    rng = np.random.default_rng(0)
    depth, strength = rng.random((21, 30), "f4"), rng.random((21, 30), "f4")
    coarse, stronger = np.empty((11, 15), "f4"), np.empty((11, 15), "f4")
    reduce_by_strength(depth, strength, coarse, stronger)
    for i in range(11):
        for j in range(15):
            y, x = (slice(max(2 * k - 2, 0), 2 * k + 3) for k in (i, j))
            assert stronger[i, j] == strength[y, x].max()
            assert coarse[i, j] == depth[y, x].ravel()[strength[y, x].argmax()]
