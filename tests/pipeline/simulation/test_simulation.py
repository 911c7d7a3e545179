import numpy as np
import pytest
import zarr
from scipy import ndimage
from yaozarrs import validate_zarr_store

from zfuse.errors import ZfuseError
from zfuse.pipeline.simulation import make_settings, simulate, write_simulated
from zfuse.pipeline.simulation._camera import Camera
from zfuse.pipeline.simulation._layers import layer_count, render_surface, render_volume
from zfuse.pipeline.simulation._optics import Optics, psf, transfer_functions
from zfuse.pipeline.sources import open_stack

LOW = Optics(na=0.3, wavelength=0.5, index=1.0, pixel_size=0.3, z_step=2.0)
HIGH = Optics(na=1.2, wavelength=0.52, index=1.33, pixel_size=0.1, z_step=0.3)
KINDS = ("relief", "fluorescence", "section")


def _half_width(at: np.ndarray, values: np.ndarray) -> float:
    """Full width at half maximum of a profile that starts at its maximum."""
    return 2 * float(at[np.argmax(values < values[0] / 2)])


@pytest.mark.parametrize("optics", [LOW, HIGH])
def test_resolution_is_the_diffraction_limit(optics):
    r = np.linspace(0, 2 * optics.wavelength / optics.na, 2001)
    expected = 0.51 * optics.wavelength / optics.na
    assert _half_width(r, psf(optics, r, 0)[0]) == pytest.approx(expected, rel=0.1)


def test_depth_of_field_is_the_paraxial_one():
    """On the axis the intensity is sinc²(NA² z / (2 n λ)), half at 0.886 n λ / NA²."""
    z = np.linspace(0, 3 * LOW.wavelength / LOW.na**2, 2001)
    expected = 1.772 * LOW.wavelength / LOW.na**2
    assert _half_width(z, psf(LOW, 0, z)[:, 0]) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("optics", [LOW, HIGH])
def test_no_light_is_lost_out_of_focus_and_it_spreads(optics):
    unit = optics.wavelength / optics.na
    step = unit / 16
    r = np.arange(0, 60 * unit, step)
    z = np.array([0, 5, 10, 20]) * unit
    ring = psf(optics, r, z) * 2 * np.pi * r * step
    np.testing.assert_allclose(ring.sum(1), 1, atol=0.02)
    radius = [r[np.searchsorted(np.cumsum(row), 0.5)] for row in ring]
    assert radius == sorted(radius)
    # Geometric optics: a cone evenly full of light, half of it within half of the solid angle.
    half = np.arccos((1 + np.cos(optics.half_angle)) / 2)
    assert radius[-1] == pytest.approx(z[-1] * np.tan(half), rel=0.05)


def test_transfer_keeps_the_mean_and_falls_with_frequency_and_defocus():
    transfer = transfer_functions(LOW, [0, 4, 12], 64)
    assert transfer.shape == (3, 64, 33)
    np.testing.assert_array_equal(transfer[:, 0, 0], 1)
    assert (np.diff(transfer[0, 0]) <= 0.002).all()
    for frequency in (3, 6):
        low, middle, high = np.abs(transfer[:, 0, frequency])
        assert low > middle > high
    cutoff = 2 * HIGH.na / HIGH.wavelength * HIGH.pixel_size  # 0.46 cycles a pixel
    assert transfer_functions(HIGH, [0], 256)[0, 0, int(cutoff * 256) + 1 :].max() == 0


def test_in_focus_transfer_is_that_of_the_textbook():
    """For a low NA: (2 / π) (acos ν - ν sqrt(1 - ν²)), ν in units of 2 NA / λ."""
    nu = np.fft.rfftfreq(256) / LOW.pixel_size / (2 * LOW.na / LOW.wavelength)
    nu = nu.clip(0, 1)
    expected = 2 / np.pi * (np.arccos(nu) - nu * np.sqrt(1 - nu**2))
    found = transfer_functions(LOW, [0], 256)[0, 0] / np.sinc(np.fft.rfftfreq(256))
    np.testing.assert_allclose(found, expected, atol=0.015)


def test_a_near_edge_in_focus_hides_the_ground_and_out_of_focus_does_not():
    planes, field = 9, 96
    optics = Optics(na=0.5, pixel_size=0.5, z_step=3.0)
    distances = np.arange(layer_count(planes)) * optics.z_step / 2
    transfer = transfer_functions(optics, distances.tolist(), field)
    near = np.zeros((field, field), bool)
    near[:, field // 2 :] = True
    depth = np.where(near, 7, 1).astype(np.float32)
    surface = np.where(near, 0.1, 0.9).astype(np.float32)
    rows = [plane[field // 2] for plane in render_surface(surface, depth, transfer, planes)]
    edge = field // 2
    assert rows[7][edge + 3 : -20] == pytest.approx(0.1, abs=0.02)  # in focus
    assert rows[7][edge - 3] > 0.85  # the ground goes on right up to it
    assert 0.3 < rows[1][edge - 1] < 0.75  # out of focus, it blocks half of the cone


def test_volume_adds_up():
    planes, field = 4, 32
    transfer = transfer_functions(LOW, [0.0, 1, 2, 3, 4, 5, 6], field)
    layers = np.zeros((7, field, field), np.float32)
    layers[2, 16, 16] = 5  # on plane 1
    rendered = list(render_volume(layers, transfer, planes))
    assert [plane.sum() for plane in rendered] == pytest.approx([5] * planes, rel=1e-4)
    assert np.argmax([plane.max() for plane in rendered]) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_planes_are_sharpest_at_the_true_depth(kind):
    stack = simulate(make_settings(kind, size=160, planes=12, photons=1e5, seed=2))
    assert stack.planes.dtype == np.uint16
    assert stack.image.dtype == stack.depth_um.dtype == np.float32
    fine = [ndimage.gaussian_laplace(plane.astype(float), 1) for plane in stack.planes]
    activity = np.stack([ndimage.gaussian_filter(detail**2, 2) for detail in fine])
    depth = stack.depth_um / stack.settings.optics.z_step
    known = np.isfinite(depth)
    error = np.abs(activity.argmax(0) - depth)[known]
    assert np.median(error) < 0.5
    assert known.mean() > 0.03


def test_noise_is_that_of_photons_and_camera():
    camera = Camera(photons=400, read_noise=3, offset=300, bits=12)
    light = np.full((400, 400), 0.5, np.float32)
    counts = camera.expose(light, np.random.default_rng(0)).astype(float)
    gain = camera.full_scale / 400
    assert counts.mean() == pytest.approx(camera.counts(0.5), rel=2e-3)
    assert counts.var() == pytest.approx(gain**2 * (400 * 0.5 + 3**2) + 1 / 12, rel=0.02)
    assert camera.expose(light * 9, np.random.default_rng(0)).max() == 4095


def test_vignetting_and_background_do_what_they_say():
    usual = simulate(make_settings(size=96, planes=6)).image - 200
    settings = make_settings(size=96, planes=6, vignetting=0.4, background=0.1)
    light = (simulate(settings).image - 200) / (usual + 0.1 * settings.camera.full_scale)
    assert light[48, 48] == pytest.approx(1, abs=0.01)
    assert light[0, 0] == pytest.approx(0.6, abs=0.01)


def test_drift_moves_the_planes_and_not_the_truth():
    still, moving = (
        simulate(make_settings(size=96, planes=7, photons=1e7, read_noise=0, drift=drift))
        for drift in (0, 6)
    )
    np.testing.assert_array_equal(still.image, moving.image)
    assert np.linalg.norm(moving.shifts[-1] - moving.shifts[0]) == pytest.approx(6, abs=0.6)
    assert not moving.shifts[3].any()
    for plane in (0, 3, 6):
        expected = ndimage.shift(still.planes[plane].astype(float), moving.shifts[plane])
        error = (moving.planes[plane] - expected)[10:-10, 10:-10]
        assert np.abs(error).mean() < 0.005 * np.ptp(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_everything(kind):
    first, again, other = (
        simulate(make_settings(kind, size=48, planes=4, seed=s)) for s in (5, 5, 6)
    )
    np.testing.assert_array_equal(first.planes, again.planes)
    np.testing.assert_array_equal(first.depth_um, again.depth_um)
    assert (first.planes != other.planes).mean() > 0.9


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"na": 1.2}, "at most 0.99"),
        ({"texture": "velvet"}, "velvet"),
        ({"nuclei": 3}, "no setting of a relief"),
        ({"planes": 2}, "planes = 2"),
        ({"photons": 0}, "photons = 0"),
        ({"size": 8000, "planes": 20}, "1280 Mvoxel"),
    ],
)
def test_impossible_settings_are_refused(given, says):
    with pytest.raises(ZfuseError, match=says):
        make_settings(**given)


def test_files_hold_stack_and_truth_with_their_calibration(tmp_path):
    simulated = simulate(make_settings("fluorescence", size=48, planes=5))
    path = write_simulated(simulated, tmp_path / "a.ome.zarr")
    for image in (path, path / "truth", path / "truth" / "depth"):
        validate_zarr_store(image)
    stack = open_stack(path)
    assert stack.shape == (1, 1, 5, 48, 48)
    assert stack.z_step == pytest.approx(0.3)
    assert stack.pixel_size == pytest.approx((0.108, 0.108))
    assert zarr.open_array(path / "0").chunks == (1, 48, 48)
    np.testing.assert_array_equal(zarr.open_array(path / "0")[:], simulated.planes)
    np.testing.assert_array_equal(zarr.open_array(path / "truth/0")[0], simulated.image)
    np.testing.assert_array_equal(zarr.open_array(path / "truth/depth/0")[0], simulated.depth_um)
    assert zarr.open_group(path).attrs["zfuse"]["simulation"]["seed"] == 0
    with pytest.raises(ZfuseError, match="exists"):
        write_simulated(simulated, path)
    write_simulated(simulated, path, overwrite=True)
    with pytest.raises(ZfuseError, match=r"\.ome\.zarr"):
        write_simulated(simulated, tmp_path / "a.tif")
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.zarr"]
