"""The vote of neighbours against the sum over all pairs of pixels."""

import numpy as np
import pytest

from zfuse.kernels import ScaleVariance, choose_scale, vote_depth


def slow_vote(depths, variances, candidates, radius, roughness, tolerance):
    out = np.empty_like(depths[0])
    ys, xs = np.indices(out.shape)
    for y, x in np.ndindex(out.shape):
        away = (ys - y) ** 2 + (xs - x) ** 2
        near = away <= radius**2 + radius
        weight = 1 / (variances[:, near] + roughness * away[near])
        support = []
        for candidate in candidates[:, y, x]:
            off = depths[:, near] - candidate
            agreement = weight * np.maximum(1 - off**2 / (6 * tolerance**2), 0) ** 3
            mean = candidate + (agreement * off).sum() / max(agreement.sum(), 1e-30)
            support.append((agreement.sum(), mean))
        out[y, x] = max(support, key=lambda pair: pair[0])[1]
    return out


def test_vote_equals_the_sum_over_neighbours():
    rng = np.random.default_rng(0)
    depths = rng.uniform(0, 5, (2, 17, 280)).astype("f4")
    variances = rng.uniform(0.02, 4, depths.shape).astype("f4")
    variances[1, :, :9] = np.inf  # says nothing there
    variances[1, 3:, 50:214] = np.inf
    candidates = np.stack([depths[0], rng.uniform(0, 5, depths.shape[1:]).astype("f4")])
    out = np.empty_like(depths[0])
    vote_depth(depths, variances, candidates, 3, 0.1, 0.7, out)
    expected = slow_vote(depths, variances, candidates, 3, 0.1, 0.7)
    np.testing.assert_allclose(out, expected, atol=1e-4)


def test_a_single_wrong_pixel_is_outvoted_and_a_step_stays():
    depth = np.where(np.arange(30) < 15, 2, 8).astype("f4") * np.ones((20, 1), "f4")
    truth = depth.copy()
    depth[5, 5], depth[12, 20] = 9, 0
    wide = np.full_like(depth, 2)
    wide[:, 15:] = 8
    out = np.empty_like(depth)
    candidates = np.stack([depth, wide])
    vote_depth(depth[None], np.full_like(depth, 0.5)[None], candidates, 3, 0.1, 0.7, out)
    np.testing.assert_allclose(out, truth, atol=1e-5)


def test_faint_voters_that_agree_outvote_few_sure_ones():
    rng = np.random.default_rng(1)
    sure = np.full((20, 20), 9, "f4")
    said = np.full_like(sure, np.inf)
    said[10, 10] = 0.1  # one pixel knows
    faint = np.where(rng.random((20, 20)) < 0.6, 3, rng.uniform(0, 20, (20, 20))).astype("f4")
    out = np.empty_like(sure)
    vote_depth(
        np.stack([sure, faint]), np.stack([said, np.full_like(sure, 4)]),
        np.stack([sure, faint]), 3, 0.2, 0.7, out,
    )  # fmt: skip
    agree = faint == 3
    agree[7:14, 7:14] = False  # that one's neighbours
    np.testing.assert_allclose(out[agree], 3, atol=0.7)


@pytest.mark.parametrize("some_known", [False, True])
def test_the_finest_scale_that_is_sure_speaks_and_finer_faint_ones_vote(some_known):
    rng = np.random.default_rng(0)
    depths = rng.uniform(0, 5, (4, 9, 14)).astype("f4")
    significance = rng.uniform(0, 4, depths.shape).astype("f4")
    known = rng.random((9, 14), "f4")
    window = np.array([0.02, 0.03, 0.07, 0.15], "f4")
    rule = ScaleVariance(2.5, window, 1.5, 30.0, 0.3, 1e-3)
    voters, variances, candidates = np.empty((3, 3, 9, 14), "f4")
    trust = np.empty((9, 14), "f4")
    none = np.empty((0, 0), "f4")
    choose_scale(
        tuple(depths), tuple(significance), known if some_known else none, rule, voters,
        variances, candidates, trust,
    )  # fmt: skip
    sure = significance > 2.5
    scale = np.where(sure[:3].any(0), sure[:3].argmax(0), 3)
    at = scale[None]
    chosen = np.take_along_axis(depths, at, 0)[0]
    s = np.take_along_axis(significance, at, 0)[0] * (known if some_known else 1)
    np.testing.assert_array_equal(voters, [chosen, depths[0], depths[1]])
    np.testing.assert_array_equal(candidates, [chosen, depths[1], depths[3]])
    best = np.maximum(significance[3], np.where(sure[:3], significance[:3], 0).max(0))
    np.testing.assert_array_equal(trust, best)

    def variance(s, window, least):
        s = np.maximum(s, least)
        return window + (1.5**2 + 30 / s**2) / s**2

    np.testing.assert_allclose(variances[0], variance(s, window[scale], 0.3), rtol=1e-5)
    for v in (1, 2):
        faint = variance(significance[v - 1], window[v - 1], 1e-3)
        expected = np.where(sure[:v].any(0), np.inf, faint)
        np.testing.assert_allclose(variances[v], expected, rtol=1e-5)
