"""The centroid of focus scores against the sum over all planes at once."""

import numpy as np
from support import naive

from zfuse.kernels import MEASURES, RunningCentroid, accumulator, fold_centroid


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
