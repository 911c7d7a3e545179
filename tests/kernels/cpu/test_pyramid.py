"""Steps of the Laplacian pyramid against their slow twins."""

import numpy as np
import pytest
from support import naive

from zfuse.kernels import add_expanded, reduce_plane, subtract_expanded


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 1), (16, 16), (33, 50)])
def test_pyramid_steps_equal_the_slow_twin(shape):
    fine = np.random.default_rng(0).random(shape, "f4")
    coarse = np.empty(((shape[0] + 1) // 2, (shape[1] + 1) // 2), "f4")
    reduce_plane(fine, coarse)
    np.testing.assert_allclose(coarse, naive.reduce_plane(fine), atol=1e-6)
    band, back = np.empty_like(fine), np.empty_like(fine)
    subtract_expanded(fine, coarse, band)
    np.testing.assert_allclose(band, fine - naive.expand_plane(coarse, shape), atol=1e-6)
    add_expanded(band, coarse, back)
    np.testing.assert_allclose(back, fine, atol=1e-6)
