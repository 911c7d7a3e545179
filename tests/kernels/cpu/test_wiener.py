"""Wiener shrinkage against the formula."""

import numpy as np
import pytest
from scipy import ndimage

from zfuse.kernels import settle_band


@pytest.mark.parametrize("shape", [(31, 40), (3, 5), (1, 1)])
def test_shrinkage_equals_the_formula(shape):
    rng = np.random.default_rng(0)
    band = rng.normal(size=shape).astype("f4")
    noise = rng.uniform(0.2, 0.8, shape).astype("f4")
    energy = ndimage.uniform_filter(band.astype("f8") ** 2, 7, mode="nearest")
    pilot = band * np.maximum(energy - noise, 0) / energy
    second = ndimage.uniform_filter(pilot**2, 3, mode="nearest")
    expected = band * second / np.maximum(second + 0.5 * noise, 1e-30)
    coarse = np.full(((shape[0] + 1) // 2, (shape[1] + 1) // 2), 5, "f4")
    norm = np.full(shape, 4, "f4")
    total = band * 4
    settle_band(norm, noise * 16 / 3, coarse, 0.2, 0.5, 2.0, 3, 0.5, total)
    np.testing.assert_allclose(total, 5 + expected, atol=4e-6)
