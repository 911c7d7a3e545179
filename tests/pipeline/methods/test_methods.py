"""What each family promises: copied pixels, who decides for whom, quiet fallbacks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.method_names import NETWORKS

import zfuse
from zfuse.errors import ZfuseError
from zfuse.pipeline.evaluation import ssim
from zfuse.pipeline.methods import METHODS, make_method
from zfuse.pipeline.simulation._phantom import Phantom, render_phantom

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]
MEASURES = ["sml", "laplacian-energy", "tenengrad", "brenner", "variance", "spatial-frequency"]

every_method = pytest.mark.parametrize("name", sorted(METHODS))
copying = pytest.mark.parametrize(
    "name", [name for name in sorted(METHODS) if make_method(name).copies_pixels]
)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return render_phantom(12, 192, seed=3)


def noise(shape: tuple[int, ...], dtype: Any = "u2", high: int = 4096) -> Any:
    kind = np.dtype(dtype)
    top = min(high, np.iinfo(kind).max) if kind.kind in "ui" else high
    return np.random.default_rng(0).integers(0, top, shape).astype(kind)


@copying
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_pixel_is_an_input_pixel_of_the_winning_plane(name: str, dtype: str) -> None:
    planes = noise((3, 6, 40, 50), dtype)
    fused = zfuse.fuse(planes, name, channel="together")
    assert fused.image.dtype == planes.dtype
    winner = np.rint(fused.depth).astype(int)  # refined by at most half a plane
    low, high = np.maximum(winner - 1, 0), np.minimum(winner + 1, 5)
    same = np.zeros((3, 40, 50), bool)
    for index in (winner, low, high):
        copy = np.take_along_axis(planes, np.broadcast_to(index, (3, 40, 50))[:, None], 1)[:, 0]
        same_plane = (fused.image == copy).all(0)  # all channels from one and the same plane
        same |= same_plane
    assert same.all()


@every_method
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_and_range_are_kept(name: str, dtype: str) -> None:
    planes = noise((5, 30, 40), dtype)
    fused = zfuse.fuse(planes, name)
    assert fused.image.dtype == planes.dtype
    assert fused.depth.dtype == fused.confidence.dtype == np.float32
    assert 0 <= fused.depth.min()
    assert fused.depth.max() <= 4
    assert 0 <= fused.confidence.min()
    assert fused.confidence.max() <= 1


@every_method
def test_one_channel_decides_for_all(name: str) -> None:
    planes = noise((3, 7, 48, 48))
    alone = zfuse.fuse(planes[1], name)
    fused = zfuse.fuse(planes, name, channel=1)
    # A lone 16-bit channel is measured as it is, one of several as 18-bit integers: ties apart.
    assert (np.abs(fused.depth - alone.depth) > 0.01).mean() < 1e-3
    others = planes.copy()
    others[[0, 2]] = others[[0, 2], ::-1]
    np.testing.assert_array_equal(fused.depth, zfuse.fuse(others, name, channel=1).depth)
    by_name = zfuse.fuse(planes, name, channel="channel 1")
    np.testing.assert_array_equal(fused.image, by_name.image)


@every_method
def test_an_empty_channel_does_not_change_the_decision(name: str, phantom: Phantom) -> None:
    alone = zfuse.fuse(phantom.planes, name)
    planes = np.stack([phantom.planes, np.zeros_like(phantom.planes)])
    both = zfuse.fuse(planes, name, channel="together")
    assert (np.abs(both.depth - alone.depth) > 0.05).mean() < 0.01
    assert not both.image[1].any()


@every_method
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_a_blank_stack_stays_blank(name: str, channels: int, dtype: str) -> None:
    fused = zfuse.fuse(np.full((channels, 4, 30, 30), 7, dtype), name)
    copies = make_method(name).copies_pixels or dtype != "f4"
    rounding = 1e-3 if name in NETWORKS else 1e-5
    np.testing.assert_allclose(fused.image, 7, rtol=0 if copies else rounding)
    assert (fused.confidence == 0).all()


@every_method
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_one_plane_is_copied_without_confidence(name: str, dtype: str) -> None:
    plane = noise((1, 30, 40), dtype)
    fused = zfuse.fuse(plane, name)
    copies = make_method(name).copies_pixels or dtype != "f4"
    np.testing.assert_allclose(fused.image, plane[0], rtol=0 if copies else 1e-5, atol=1e-3)
    assert (fused.depth == 0).all()
    assert (fused.confidence == 0).all()


@every_method
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_the_input_is_not_changed(name: str, dtype: str) -> None:
    planes = noise((5, 60, 60), dtype)
    before = planes.copy()
    zfuse.fuse(planes, name)
    assert np.array_equal(planes, before)


@every_method
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_are_never_in_focus(name: str, bad: float) -> None:
    planes = noise((5, 60, 60), "f4")
    planes[2] *= 20  # sharpest everywhere …
    planes[2, 20:30, 20:30] = bad  # … but unknown here
    planes[:, 45, 45] = bad  # and nobody knows this one
    fused = zfuse.fuse(planes, name)
    inside = np.zeros((60, 60), bool)
    inside[20:30, 20:30] = True
    nowhere = np.zeros((60, 60), bool)
    nowhere[45, 45] = True
    assert np.isfinite(fused.image[~nowhere]).all()
    if name == "pdmnet":  # a mean over planes: of the other four, which show nothing, it is 2 too
        inside[[20, 29]] = inside[:, [20, 29]] = False  # the rim may follow its neighbours
        assert np.median(fused.confidence[inside]) < 0.2
        # Of five planes a guess is within one plane half of the time, and no more is said.
        assert (fused.confidence[inside] < 0.55).all()
    elif name == "adaptive":  # its depth is the neighbours', which see plane 2; its picture is not
        known = planes[[0, 1, 3, 4]][:, inside]
        assert (np.abs(fused.image[inside]) < 1.5 * np.abs(known).max()).all()
        assert fused.confidence[inside].max() < np.median(fused.confidence[:20])
    else:
        assert (np.abs(fused.depth[inside] - 2) > 0.5).all()
    assert not np.isfinite(fused.image[nowhere]).any()
    assert fused.confidence[45, 45] == 0
    assert np.isfinite(fused.depth).all()
    assert np.isfinite(fused.confidence).all()


@copying
@pytest.mark.parametrize("contrast", [1e2, -1e2, 5e3])
def test_what_the_sample_missed_is_in_focus_all_the_same(name: str, contrast: float) -> None:
    """Floating point has no range of its own, and the sample sees dark corners only."""
    if name == "umis" and contrast < 0:
        pytest.skip("it was trained on values within the range, and sees little far below it")
    rng = np.random.default_rng(0)
    planes = rng.normal(0, 1e-3, (5, 512, 512)).astype(np.float32)
    bead = (slice(180, 200), slice(200, 220))  # between the patches of the sample
    planes[3][bead] += contrast * 1e-3 * rng.random((20, 20))
    fused = zfuse.fuse(planes, name)
    assert (np.rint(fused.depth[bead])[4:-4, 4:-4] == 3).all()
    np.testing.assert_array_equal(fused.image[bead][4:-4, 4:-4], planes[3][bead][4:-4, 4:-4])


def test_all_nan_stays_nan() -> None:
    fused = zfuse.fuse(np.full((4, 20, 20), np.nan, np.float32))
    assert np.isnan(fused.image).all()
    assert (fused.confidence == 0).all()


@pytest.mark.parametrize("measure", MEASURES)
def test_depth_of_the_phantom(phantom: Phantom, measure: str) -> None:
    fused = zfuse.fuse(phantom.planes, {"name": "select", "measure": measure})
    error = np.abs(fused.depth - phantom.depth)
    assert np.median(error) < 0.5  # planes
    assert error.mean() < 1.0


@every_method
def test_depth_and_confidence_tell_where_it_is_sharp(name: str, phantom: Phantom) -> None:
    fused = zfuse.fuse(phantom.planes, name)
    assert np.median(np.abs(fused.depth - phantom.depth)) < 0.5
    blank = zfuse.fuse(np.random.default_rng(1).poisson(400, (12, 64, 64)).astype(np.uint16), name)
    assert np.median(fused.confidence) > np.median(blank.confidence) + 0.1


@every_method
def test_better_than_the_best_single_plane(name: str, phantom: Phantom) -> None:
    span = float(np.ptp(phantom.image))
    best = max(ssim(plane, phantom.image, data_range=span) for plane in phantom.planes)
    fused = zfuse.fuse(phantom.planes, name)
    assert ssim(fused.image, phantom.image, data_range=span) > best + 0.05


def test_the_peak_is_fitted_below_one_plane() -> None:
    """A blur that is least at plane 4.3: whole planes alone would be 0.3 off."""
    from scipy.ndimage import gaussian_filter

    texture = np.random.default_rng(0).normal(1000, 200, (96, 96))
    planes = [gaussian_filter(texture, 1 + 0.4 * abs(z - 4.3)) for z in range(9)]
    fused = zfuse.fuse(np.stack(planes).astype(np.uint16))
    assert abs(np.median(fused.depth) - 4.3) < 0.15


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("selct", "unknown method 'selct': did you mean 'select'"),
        ("zzz", "unknown method 'zzz': choose from"),
        ({"window": 9}, "unknown method None"),
        ({"name": "select", "windw": 9}, "unknown key 'windw': did you mean 'window'"),
        ({"name": "select", "window": 8}, "window = 8: must be odd"),
        ({"name": "select", "window": 99}, "window = 99: must be 45 or less"),
        ({"name": "select", "measure": "sharpness"}, "must be 'sml', "),
        ({"name": "laplacian", "levels": 0}, "levels = 0: must be 1 or more"),
    ],
)
def test_settings_that_are_wrong_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ZfuseError, match=message) as caught:
        make_method(settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "more", "message"),
    [
        (noise((2, 3, 4, 20, 20)), {}, "2 time points"),
        (noise((4, 20, 20)), {"channel": 1}, "no channel 1 in array: it has 0: channel 0"),
        (noise((2, 4, 20, 20)), {"channel": "chanel 1"}, "did you mean 'channel 1'"),
        (noise((4, 20, 20)), {"tile": 65}, "multiple of 64"),
        (noise((4, 20, 20)).astype(np.float16), {}, "float16"),
        (noise((4, 20, 20)).astype(object), {}, "dtype object"),
        (noise((4, 20, 20)).astype(complex), {}, "complex128"),
    ],
)
def test_arrays_that_cannot_be_fused_are_refused(array: Any, more: Any, message: str) -> None:
    with pytest.raises(ZfuseError, match=message):
        zfuse.fuse(array, **more)


def test_the_table_matches_the_classes() -> None:
    for name, entry in METHODS.items():
        method = make_method(name)
        assert method.name == name
        assert type(method).__name__ == entry.class_name
        assert method.family in ("selection", "transform", "pairwise")
        assert entry.summary
        assert method.halo % method.grid_step == 0 or method.grid_step == 1
