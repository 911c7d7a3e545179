"""The decision signal: mixed from channels, and smoothed."""

import numpy as np
import pytest
from support import naive

from zfuse.kernels import INVALID, mix_signal, smooth_signal


def test_mix_signal_rounds_clips_and_marks():
    pixels = np.array([[[[0.0, 1.0, np.nan]], [[2.0, 1e9, 5.0]]]], "f4")
    signal, invalid = np.empty((1, 1, 3), "i4"), np.zeros(1, bool)
    mix_signal(pixels, np.array([10.0, 1.0]), 0.6, np.empty(3), signal, invalid)
    assert signal.tolist() == [[[3, 2**18 - 1, INVALID]]]
    assert invalid.all()
    mix_signal(pixels, np.array([0.0, 1.0]), -100.0, np.empty(3), signal, invalid)
    assert signal.tolist() == [[[0, 2**18 - 1, 0]]]
    assert not invalid.any()


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4"])
@pytest.mark.parametrize("shift", [0, 2, 4])
@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (20, 33)])
def test_smooth_signal_equals_the_slow_twin(shape, shift, dtype):
    plane = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    out = np.empty(shape, "i4")
    smooth_signal(plane, 0, shape[0], shift, False, out)
    np.testing.assert_array_equal(out, (naive.smooth(plane) + (1 << shift) // 2) >> shift)


def test_smoothing_keeps_invalid_pixels_and_leaves_them_out():
    plane = np.full((9, 9), 700, "i4")
    plane[4, 4] = INVALID
    out = np.empty_like(plane)
    with np.errstate(over="ignore"):  # sums with INVALID wrap round before they are done again
        smooth_signal(plane, 0, 9, 4, True, out)
    np.testing.assert_array_equal(out, plane)
