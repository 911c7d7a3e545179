import numpy as np
import pytest
from scipy import ndimage

from zfuse.pipeline.simulation._phantom import render_phantom


@pytest.fixture(scope="module")
def phantom():
    return render_phantom(planes=12, size=160, photons=3000, seed=1)


def test_contract(phantom):
    assert (phantom.planes.shape, phantom.planes.dtype) == ((12, 160, 160), np.uint16)
    assert phantom.image.shape == phantom.depth.shape == (160, 160)
    assert phantom.image.dtype == phantom.depth.dtype == np.float32
    assert phantom.depth.min() >= 1
    assert phantom.depth.max() <= 10  # a peak has neighbours on both sides
    assert np.ptp(phantom.depth) > 6


def test_planes_are_sharpest_where_the_depth_says(phantom):
    flat = [ndimage.gaussian_filter(p.astype(float), 1) for p in phantom.planes]
    activity = np.stack([ndimage.uniform_filter(ndimage.laplace(p) ** 2, 9) for p in flat])
    error = np.abs(activity.argmax(0) - phantom.depth)
    assert np.median(error) < 0.6
    assert np.median(np.abs(activity[::-1].argmax(0) - phantom.depth)) > 2  # the order matters


def test_the_plane_in_focus_shows_the_true_image(phantom):
    index = np.rint(phantom.depth).astype(int)
    fused = np.take_along_axis(phantom.planes, index[None], 0)[0].astype(float)
    error = np.abs(fused - phantom.image).mean()
    single = min(np.abs(p - phantom.image).mean() for p in phantom.planes.astype(float))
    assert error < 0.5 * single


def test_the_seed_decides_everything():
    first, again, other = (render_phantom(6, 64, seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(first.planes, again.planes)
    assert (first.planes != other.planes).mean() > 0.9


def test_noise_follows_the_photons():
    """Shot noise has relative variance 1/photons: 16 times the light, a quarter of the noise."""

    def noise(photons: float) -> float:
        # Blur that is flat in the last planes leaves noise as the only fine detail.
        plane = render_phantom(6, 96, photons, seed=2, blur=8, read_noise=0).planes[0].astype(float)
        return float((plane - ndimage.gaussian_filter(plane, 3)).std())

    assert noise(500) / noise(8000) == pytest.approx(4, rel=0.3)


@pytest.mark.parametrize("relief", ["slope", "steps", "fractal", "spheres"])
@pytest.mark.parametrize("texture", ["fine", "spots"])
def test_every_relief_and_texture_fills_the_stack_and_leaves_its_ends_free(relief, texture):
    phantom = render_phantom(8, 96, 1e5, seed=3, relief=relief, texture=texture)
    assert phantom.depth.min() == pytest.approx(1.5, abs=0.01)
    assert phantom.depth.max() == pytest.approx(5.5, abs=0.01)
    index = np.rint(phantom.depth).astype(int)
    copied = np.take_along_axis(phantom.planes, index[None], 0)[0].astype(float)
    planes = phantom.planes.astype(float)
    single = min(((p - phantom.image) ** 2).mean() for p in planes)
    assert ((copied - phantom.image) ** 2).mean() < 0.7 * single


def test_diatoms_fill_the_stack_and_are_sharp_where_the_depth_says():
    phantom = render_phantom(12, 256, relief="diatoms")
    assert (phantom.depth.min(), phantom.depth.max()) == pytest.approx((1.5, 9.5), abs=0.01)
    index = np.rint(phantom.depth).astype(int)
    copied = np.take_along_axis(phantom.planes, index[None], 0)[0].astype(float)
    planes = phantom.planes.astype(float)
    single = min(((p - phantom.image) ** 2).mean() for p in planes)
    assert ((copied - phantom.image) ** 2).mean() < 0.3 * single


@pytest.mark.parametrize("bad", [{"planes": 3}, {"size": 16}, {"photons": 0}])
def test_impossible_phantoms_are_refused(bad):
    with pytest.raises(ValueError, match="cannot be rendered"):
        render_phantom(**bad)
