"""The vote of neighbours against the sum over all pairs of pixels."""

import numpy as np

from zfuse.kernels import vote_depth


def slow_vote(depth, variance, candidates, radius, roughness, tolerance):
    out = np.empty_like(depth)
    ys, xs = np.indices(depth.shape)
    for y, x in np.ndindex(depth.shape):
        away = (ys - y) ** 2 + (xs - x) ** 2
        near = away <= radius**2 + radius
        weight = 1 / (variance[near] + roughness * away[near])
        support = []
        for candidate in candidates[:, y, x]:
            off = depth[near] - candidate
            agreement = weight * np.maximum(1 - off**2 / (6 * tolerance**2), 0) ** 3
            mean = candidate + (agreement * off).sum() / max(agreement.sum(), 1e-30)
            support.append((agreement.sum(), mean))
        out[y, x] = max(support, key=lambda pair: pair[0])[1]
    return out


def test_vote_equals_the_sum_over_neighbours():
    rng = np.random.default_rng(0)
    depth, other = rng.uniform(0, 5, (2, 17, 23)).astype("f4")
    variance = rng.uniform(0.02, 4, depth.shape).astype("f4")
    candidates = np.stack([depth, other])
    out = np.empty_like(depth)
    vote_depth(depth, variance, candidates, 3, 0.1, 0.7, out)
    expected = slow_vote(depth, variance, candidates, 3, 0.1, 0.7)
    np.testing.assert_allclose(out, expected, atol=1e-4)


def test_a_single_wrong_pixel_is_outvoted_and_a_step_stays():
    depth = np.where(np.arange(30) < 15, 2, 8).astype("f4") * np.ones((20, 1), "f4")
    truth = depth.copy()
    depth[5, 5], depth[12, 20] = 9, 0
    wide = np.full_like(depth, 2)
    wide[:, 15:] = 8
    out = np.empty_like(depth)
    vote_depth(depth, np.full_like(depth, 0.5), np.stack([depth, wide]), 3, 0.1, 0.7, out)
    np.testing.assert_allclose(out, truth, atol=1e-5)
