"""Resampling against its slow twin, and what a transform does not reach."""

import numpy as np
import pytest
from support import naive

from zfuse.kernels import WARP_REACH, invalidate_unreached, warp_plane

IDENTITY = np.array([1.0, 0, 0, 0, 1, 0])
TURNED = np.array([0.98, 0.05, -1.3, -0.05, 0.98, 2.6])
SHARP = (0.0, 0.0, 0.0, 0.0)


def warp(plane, transform, fill=np.nan, fade=SHARP, rows=slice(None)):
    """Warp the rows of a whole plane; `fill` stays where the plane does not reach."""
    at, height = rows.start or 0, len(range(plane.shape[0])[rows])
    out = np.full((height, plane.shape[1]), fill, "f8")
    limits = (-np.inf, np.inf)
    warp_plane(plane, (0, 0), plane.shape, transform, (at, 0), False, limits, fade, out)
    return out


@pytest.mark.parametrize("transform", [IDENTITY, TURNED], ids=["identity", "turned"])
def test_equals_the_slow_twin(transform):
    plane = np.random.default_rng(0).random((24, 31))
    # Places are rounded to 1/1024 of a pixel.
    np.testing.assert_allclose(warp(plane, transform), naive.warp(plane, transform), atol=3e-3)


def test_a_shift_by_whole_pixels_copies_and_leaves_the_rest_alone():
    plane = np.random.default_rng(0).random((9, 12))
    shifted = warp(plane, np.add(IDENTITY, [0, 0, 2, 0, 0, -3]), fill=7)
    np.testing.assert_array_equal(shifted[:-2, 3:], plane[2:, :-3])
    assert (shifted[-2:] == 7).all()
    assert (shifted[:, :3] == 7).all()


def test_a_window_gives_the_same_bits_as_the_whole_plane():
    plane = np.random.default_rng(0).random((40, 30))
    whole = warp(plane, TURNED)
    first, margin = 5, WARP_REACH + 1
    out = np.full((10, 30), np.nan)
    window = plane[first : 40 - margin]
    limits = (-np.inf, np.inf)
    warp_plane(window, (first, 0), plane.shape, TURNED, (18, 0), False, limits, SHARP, out)
    np.testing.assert_array_equal(out, whole[18:28])


def test_integers_are_rounded_and_held_within_limits():
    plane = np.zeros((12, 12), "u1")
    plane[:, 6:] = 255
    out = np.zeros_like(plane)
    half = np.add(IDENTITY, [0, 0, 0, 0, 0, 0.5])
    warp_plane(plane, (0, 0), plane.shape, half, (0, 0), True, (0.0, 255.0), SHARP, out)
    assert set(np.unique(out[:, 5])) == {128}  # half of 255, rounded up
    assert out[:, 4].max() == 0  # Lanczos undershoots
    assert out[:, 6].min() == 255


def test_fading_goes_from_what_is_there_to_the_plane():
    out = warp(np.ones((20, 20)), IDENTITY, fill=0, fade=(8.0, 0.0, 0.0, 0.0))
    assert (np.diff(out[:9, 0]) > 0).all()
    assert (out[8:] == 1).all()
    u = 0.5 / 8
    assert out[0, 0] == pytest.approx(u * u * (3 - 2 * u))


def test_a_depth_between_planes_needs_both():
    transforms = np.stack(
        [IDENTITY, np.add(IDENTITY, [0, 0, 3, 0, 0, 0])]
    )  # plane 1 lacks the last rows
    depth = np.array([[0, 0.25, 0.75, 1, np.nan]], "f4").repeat(10, 0)
    confidence = np.ones_like(depth)
    invalidate_unreached(transforms, (10, 5), (0, 0), 0, depth, confidence)
    assert confidence[:7].all()
    np.testing.assert_array_equal(confidence[7:], [[1, 0, 0, 0, 1]] * 3)
    np.testing.assert_array_equal(depth[6], np.array([0, 0.25, 0.75, 1, np.nan], "f4"))
    np.testing.assert_array_equal(depth[7], np.array([0, 0.25, 0, 0, np.nan], "f4"))
