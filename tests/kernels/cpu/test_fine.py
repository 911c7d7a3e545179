"""A fine depth on top of a smoother one, against the formula."""

import numpy as np
import pytest
from scipy.ndimage import median_filter
from support import naive

from zfuse.kernels import FineLimits, place_fine

LIMITS = FineLimits(same=(0.4, 0.8), sure=(1.5, 2.5), near=2.0, refined=6.0)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 1), (16, 16), (33, 50)])
def test_fine_depth_is_placed_as_the_formula_says(shape, half):
    rng = np.random.default_rng(0)
    size = tuple(-(-n // 2) for n in shape) if half else shape
    depth = rng.uniform(3, 5, size).astype("f4")
    fine, significance = (
        rng.uniform(1, 8, shape).astype("f4"),
        rng.uniform(0, 9, shape).astype("f4"),
    )
    out, better = np.empty(shape, "f4"), np.empty(shape, "?")
    place_fine(depth, fine, significance, LIMITS, out, better)
    smooth = naive.expand_plane(depth, shape) if half else depth
    apart = abs(fine - smooth)
    passing = np.clip((apart - 0.4) / 0.4, 0, 1) * np.clip(significance - 1.5, 0, 1)
    share = np.where(apart < 2, passing, significance > 6)
    placed = smooth + share * (fine - smooth)
    np.testing.assert_allclose(out, median_filter(placed, 3, mode="nearest"), atol=1e-5)
    unclear = abs(share - 0.5) < 1e-5
    assert (better == (share > 0.5))[~unclear].all()
