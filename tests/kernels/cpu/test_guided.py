"""The guided filter against its slow twin."""

import numpy as np
import pytest
from support import naive

from zfuse.kernels import guided_filter


@pytest.mark.parametrize("radius", [1, 2, 5])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 2), (33, 50)])
def test_guided_filter_equals_the_slow_twin(shape, radius):
    rng = np.random.default_rng(0)
    plane, guide = rng.normal(size=(2, *shape)).astype("f4")
    out = np.empty_like(plane)
    guided_filter(plane, guide, radius, 0.1, out)
    expected = naive.guided_filter(plane, guide, radius, 0.1)
    np.testing.assert_allclose(out, expected, atol=1e-5)
