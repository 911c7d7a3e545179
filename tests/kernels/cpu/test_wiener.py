"""Wiener shrinkage against the formula."""

import numpy as np
import pytest
from scipy import ndimage

from zfuse.kernels import shrink_band


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
