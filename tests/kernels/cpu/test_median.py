"""The median against scipy."""

import numpy as np
from scipy import ndimage

from zfuse.kernels import median_3x3


def test_median_equals_scipy():
    values = np.random.default_rng(0).random((17, 23), "f4")
    out = np.empty_like(values)
    median_3x3(values, out)
    np.testing.assert_array_equal(out, ndimage.median_filter(values, 3, mode="nearest"))
