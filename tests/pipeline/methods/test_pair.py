"""Two planes are compared with each other: each pixel from the plane whose blur is the other."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import zfuse
from zfuse.pipeline.core import Region
from zfuse.pipeline.evaluation import psnr
from zfuse.pipeline.methods.parts import PairDecision

SIZE = 192


def pair(darkened=False):
    """Return two planes, what is sharp everywhere, and where the second plane is sharp.

    Texture, weak in half of the image; `darkened` planes were padded with black when blurred.
    """
    y, x = np.mgrid[:SIZE, :SIZE]
    texture = gaussian_filter(np.random.default_rng(0).normal(size=(SIZE, SIZE)), 1)
    sharp = 120 + 20 * texture / texture.std() * np.where(x < SIZE // 2, 1, 0.3)
    blurred = gaussian_filter(sharp, 3, mode="constant" if darkened else "nearest")
    second = np.hypot(y - 100, x - 90) < 55
    planes = np.stack([np.where(second, blurred, sharp), np.where(second, sharp, blurred)])
    return np.rint(planes).clip(0, 255).astype(np.uint8), sharp, second


def test_each_pixel_is_from_the_plane_that_is_sharp():
    planes, sharp, second = pair()
    fused = zfuse.fuse(planes)
    assert ((fused.depth > 0.5) == second).mean() > 0.985
    assert psnr(fused.image, sharp, data_range=255) > 48


def test_a_darkened_rim_is_no_detail():
    planes, _, second = pair(darkened=True)
    depth = zfuse.fuse(planes).depth
    assert ((depth > 0.5) == second).mean() > 0.985
    assert depth[:6].max() < 0.1


def test_the_other_order_is_the_mirrored_depth():
    planes, _, _ = pair()
    one, other = (zfuse.fuse(np.ascontiguousarray(p)).depth for p in (planes, planes[::-1]))
    np.testing.assert_allclose(other, 1 - one, atol=1e-4)


@pytest.mark.parametrize("blocks", [(2,), (1, 1)])
def test_planes_come_in_blocks_of_any_size(blocks):
    planes, _, second = pair()
    decision = PairDecision(Region.whole(SIZE, SIZE), 255)
    first = 0
    for count in blocks:
        decision.add(planes[first : first + count], [None] * count)
        first += count
    depth = decision.depth()
    assert depth is not None
    assert ((depth > 0.5) == second).mean() > 0.985


@pytest.mark.parametrize("blocks", [(1,), (3,), (2, 1), (1, 1, 1)])
def test_one_plane_and_three_are_none_of_its_business(blocks):
    planes, _, _ = pair()
    decision = PairDecision(Region.whole(SIZE, SIZE), 255)
    for count in blocks:
        decision.add(np.resize(planes, (count, SIZE, SIZE)), [None] * count)
    assert decision.depth() is None


def test_unknown_pixels_do_not_speak():
    planes, _, second = pair()
    hidden = np.zeros((SIZE, SIZE), np.float32)
    hidden[100, 40:140] = 1
    signal = planes.astype(np.int32)
    signal[1][hidden > 0] = 0
    decision = PairDecision(Region.whole(SIZE, SIZE), 255)
    decision.add(signal, [None, hidden])
    depth = decision.depth()
    assert depth is not None
    assert ((depth > 0.5) == second).mean() > 0.98


def test_tiles_equal_the_whole():
    planes, _, _ = pair(darkened=True)
    planes = np.tile(planes, (1, 3, 3))
    whole, tiles = zfuse.fuse(planes), zfuse.fuse(planes, tile=128, workers=2)
    np.testing.assert_array_equal(tiles.image, whole.image)
    np.testing.assert_array_equal(tiles.depth, whole.depth)
