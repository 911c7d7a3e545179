import numpy as np
import pytest

from zfuse.pipeline.core import Fused


@pytest.mark.parametrize("shape", [(6, 9), (3, 6, 9)])
def test_depth_is_blanked_by_each_channels_own_confidence(shape):
    rng = np.random.default_rng(0)
    depth, confidence = (rng.random(shape, np.float32) for _ in range(2))
    image = np.zeros(shape, np.uint8)
    confidence.flat[0] = 0.5
    fused = Fused(image, depth.copy(), confidence)
    blanked = fused.blanked(0.5)
    assert blanked.depth.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(blanked.depth), confidence < 0.5)
    kept = confidence >= 0.5
    np.testing.assert_array_equal(blanked.depth[kept], depth[kept])
    assert kept.flat[0]
    np.testing.assert_array_equal(fused.depth, depth)  # the whole one is as it was
    assert blanked.image is image
    assert blanked.confidence is confidence


def test_no_confidence_at_all_keeps_no_depth():
    nothing = np.full((2, 2), np.nan, np.float32)
    assert np.isnan(Fused(nothing, np.ones((2, 2), np.float32), nothing).blanked(0).depth).all()
