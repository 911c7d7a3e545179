"""The strongest speaks: for coefficients of planes, and for a depth map halved."""

import numpy as np
import pytest
from support import naive

from zfuse.kernels import keep_strongest, reduce_by_strength


@pytest.mark.parametrize("count", [1, 2])
def test_keep_strongest_takes_the_plane_with_most_energy(count):
    rng = np.random.default_rng(0)
    bands = rng.normal(size=(3, 2, 12, 17)).astype("f4")
    best, kept = np.full((12, 17), -1, "f4"), np.zeros((2, 12, 17), "f4")
    for band in bands:
        keep_strongest(band[:count], band, best, kept)
    squares = (bands[:, :count].astype("f8") ** 2).sum(1)
    padded = np.pad(squares, ((0, 0), (1, 1), (1, 1)), mode="edge")
    energy = np.stack([naive.window_sum(p, 3)[1:-1, 1:-1] for p in padded])
    winner = energy.argmax(0)
    expected = np.take_along_axis(bands, winner[None, None], 0)[0]
    np.testing.assert_array_equal(kept, expected)
    np.testing.assert_allclose(best, energy.max(0), rtol=1e-5)


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
