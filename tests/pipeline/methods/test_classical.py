"""What the classical methods promise: nothing lost, noise averaged, better than any plane."""

import numpy as np
import pytest

import zfuse
from zfuse.pipeline.evaluation import depth_mae, ssim
from zfuse.pipeline.methods._complex_wavelet import ComplexWavelet
from zfuse.pipeline.methods._wavelet import Wavelet
from zfuse.pipeline.simulation._phantom import render_phantom

TRANSFORMS = ["guided", "gaussian", "laplacian", "wavelet", "complex-wavelet"]
WAVELETS = ["haar", "db2", "db4", "sym4", "bior2.2", "bior4.4"]
SCALE = 40_000


@pytest.fixture(scope="module")
def phantom():
    return render_phantom(planes=16, size=256, photons=800, seed=5)


@pytest.mark.parametrize("shape", [(64, 64), (131, 77), (3, 200)])
@pytest.mark.parametrize(
    "method", [*TRANSFORMS, *({"name": "wavelet", "wavelet": name} for name in WAVELETS)], ids=str
)
def test_one_plane_comes_back(method, shape):
    plane = np.random.default_rng(0).normal(size=(1, *shape)).astype("f4")
    np.testing.assert_allclose(zfuse.fuse(plane, method).image, plane[0], atol=1e-5)


@pytest.mark.parametrize("method", TRANSFORMS)
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_equal_planes_come_back_to_the_last_count(method, dtype):
    high = np.iinfo(dtype).max
    plane = np.random.default_rng(0).integers(0, high + 1, (70, 90)).astype(dtype)
    fused = zfuse.fuse(np.stack([plane] * 4), method).image.astype(int)
    # float32 has 24 bits: sums over levels and planes cost the last count of 16 bits
    assert abs(fused - plane).max() <= (0 if dtype == "u1" else 1)


@pytest.mark.parametrize(
    ("method", "margin"),
    [
        ("select", 0.25),
        ({"name": "select", "smooth": 2}, 0.30),
        ("laplacian", 0.28),
        ("wavelet", 0.28),
        ("complex-wavelet", 0.30),
        ("gaussian", 0.33),
        ("guided", 0.33),
    ],
    ids=str,
)
def test_beats_the_best_single_plane(phantom, method, margin):
    best = max(ssim(plane, phantom.image, data_range=SCALE) for plane in phantom.planes)
    fused = zfuse.fuse(phantom.planes, method)
    score = ssim(fused.image, phantom.image, data_range=SCALE)
    assert score > best + margin, (score, best)


@pytest.mark.parametrize("method", ["guided", "gaussian"])
def test_noise_is_averaged_where_nothing_is_in_focus(method):
    rng = np.random.default_rng(0)
    planes = (1000 + 30 * rng.normal(size=(12, 200, 200))).astype("u2")
    assert zfuse.fuse(planes, method).image.std() < 0.6 * planes[0].std()


def test_smoothing_calms_depth_and_picture_of_select(phantom):
    plain = zfuse.fuse(phantom.planes, "select")
    calm = zfuse.fuse(phantom.planes, {"name": "select", "smooth": 2})
    assert depth_mae(calm.depth, phantom.depth) < 0.8 * depth_mae(plain.depth, phantom.depth)
    planes = np.take_along_axis(phantom.planes, np.rint(calm.depth).astype(int)[None], 0)[0]
    assert (
        np.mean(planes == calm.image) > 0.99
    )  # the rest: depths on the half plane round either way


@pytest.mark.parametrize("method", ["laplacian", "wavelet", "complex-wavelet"])
def test_limit_keeps_values_within_the_stack(phantom, method):
    low, high = phantom.planes.min(0), phantom.planes.max(0)
    free = zfuse.fuse(phantom.planes, method).image
    held = zfuse.fuse(phantom.planes, {"name": method, "limit": True}).image
    assert ((free < low) | (free > high)).any()
    assert ((held >= low) & (held <= high)).all()


def test_dual_tree_is_nearly_shift_invariant():
    y, x = np.mgrid[:192, :192]

    def spread(transform):
        energies = []
        for shift in range(8):
            low = ((x - 96 - shift) ** 2 + (y - 96) ** 2 < 400).astype("f4")[None, None]
            energies.append([])
            for level in range(3):
                bands, low = transform.split(level, low)
                energies[-1].append((bands**2).sum())
        return (np.std(energies, 0) / np.mean(energies, 0)).max()

    assert spread(ComplexWavelet().transform()) < 0.02
    assert spread(Wavelet().transform()) > 0.05


@pytest.mark.parametrize("method", TRANSFORMS)
def test_holes_leave_no_rim(method):
    rng = np.random.default_rng(0)
    planes = (100 + rng.normal(size=(3, 120, 120))).astype("f4")
    planes[:, 50:60, 40:90] = np.nan  # in no plane
    planes[1, 10:30, 10:30] = np.inf  # in one
    image = zfuse.fuse(planes, method).image
    np.testing.assert_array_equal(np.isnan(image), np.isnan(planes).all(0))
    assert abs(image[np.isfinite(image)] - 100).max() < 6  # the noise itself reaches 4.5


def test_dual_tree_has_the_energies_of_kingsburys():
    # dtcwt 0.14, Transform2d("near_sym_a", "qshift_a"): sum of |z|² of a level's six orientations,
    # times the 4 by which its four trees are scaled down. It does not run on NumPy 2 by itself.
    theirs = [242042.1210693461, 226284.42943975583, 480743.33975494344, 968444.1608352475]
    y, x = np.mgrid[:128, :128]
    low = (((x - 64) ** 2 + (y - 60) ** 2 < 400) * 100).astype("f4")[None, None]
    transform = ComplexWavelet().transform()
    for level, energy in enumerate(theirs):
        bands, low = transform.split(level, low)
        assert (bands.astype("f8") ** 2).sum() == pytest.approx(4 * energy, rel=1e-5)


@pytest.mark.parametrize(
    "method",
    [
        {"name": "select", "smooth": 3},
        {"name": "guided", "radius": 7, "strength": 20},
        {"name": "gaussian", "levels": 2},
        {"name": "laplacian", "levels": 1},
        {"name": "laplacian", "levels": 5, "limit": True},
        {"name": "wavelet", "wavelet": "db4", "levels": 4},
        {"name": "complex-wavelet", "levels": 1, "limit": True},
    ],
    ids=str,
)
def test_tiles_equal_the_whole_with_any_settings(method):
    planes = np.random.default_rng(0).normal(size=(2, 3, 205, 333)).astype("f4")
    planes[0, 1, 60:90, 100:140] = np.nan
    planes[1, :, 120, 130] = np.inf
    whole = zfuse.fuse(planes, method, workers=1)
    tiles = zfuse.fuse(planes, method, tile=64, workers=2)
    for name in ("image", "depth", "confidence"):
        np.testing.assert_array_equal(getattr(tiles, name), getattr(whole, name))
