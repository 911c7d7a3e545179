"""Steps of the Laplacian pyramid against their slow twins."""

import numpy as np
import pytest
from support import naive

from zfuse.kernels import add_expanded, reduce_plane, reduce_signal, subtract_expanded


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


@pytest.mark.parametrize("frame", [(0, 0, 0, 0), (4, 4, 4, 4), (0, 3, 4, 0)])
@pytest.mark.parametrize("shape", [(18, 18), (33, 50)])
def test_a_signal_is_reduced_and_rounded(shape, frame):
    signal = np.random.default_rng(0).integers(0, 65536, shape, "u2")
    coarse = np.empty(((shape[0] + 1) // 2, (shape[1] + 1) // 2), "f4")
    steps = np.empty(coarse.shape, "i4")
    reduce_signal(signal, frame, 4.00001, coarse, steps)
    expected = np.empty_like(coarse)
    reduce_plane(naive.mirrored(signal, frame).astype("f4"), expected)
    np.testing.assert_array_equal(coarse, expected)
    np.testing.assert_array_equal(steps, np.rint(expected * np.float32(4.00001)))
