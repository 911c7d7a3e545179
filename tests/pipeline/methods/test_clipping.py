"""What `adaptive` says of clipped highlights, and that nothing else is taken for one."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import zfuse
from zfuse.pipeline.core import Sample
from zfuse.pipeline.methods.parts import ClipLevels
from zfuse.pipeline.simulation._phantom import render_phantom

RADIUS = 16
PLANE = 4.5  # of the disc's focus


@pytest.fixture(scope="module")
def phantom():
    return render_phantom(14, 160, photons=3000, seed=3)


def with_disc(phantom, gain, top, dtype):
    """Return planes with a disc `gain` times as bright as the camera can see, and its distances."""
    y, x = np.mgrid[:160, :160] - 64.0
    distance = np.hypot(y, x)
    disc = (distance <= RADIUS).astype(float)
    planes = phantom.planes - float(phantom.planes.min())
    planes *= 0.5 * top / planes.max()
    cover = np.stack([gaussian_filter(disc, 0.5 + 0.9 * abs(z - PLANE)) for z in range(14)])
    planes = planes * (1 - cover) + cover * gain * top
    return np.clip(np.rint(planes), 0, top).astype(dtype), distance


@pytest.mark.parametrize("top", [255, 4095, 65535])
def test_a_clipped_disc_has_no_confidence_and_its_rims_depth(phantom, top):
    planes, distance = with_disc(phantom, 2.0, top, np.uint8 if top == 255 else np.uint16)
    fused = zfuse.fuse(planes)
    inside = distance < RADIUS - 1
    assert fused.confidence[inside].mean() < 0.1
    assert np.abs(fused.depth - PLANE)[inside].max() < 1
    assert np.median(fused.confidence[(distance > RADIUS + 8) & (distance < RADIUS + 20)]) > 0.9


def test_colours_clip_each_for_itself(phantom):
    planes, distance = with_disc(phantom, 2.0, 255, np.uint8)
    colours = np.stack([planes, planes, planes // 2])
    fused = zfuse.fuse(zfuse.from_array(colours, rgb=True))
    # Blue, 11 % of luma, is not clipped.
    assert fused.confidence[distance < RADIUS - 1].mean() < 0.25


def test_tiles_equal_the_whole_round_a_clipped_disc(phantom):
    planes, _ = with_disc(phantom, 2.0, 255, np.uint8)
    whole = zfuse.fuse(planes)
    tiles = zfuse.fuse(planes, tile=64, workers=2)
    for name in ("image", "depth", "confidence"):
        np.testing.assert_array_equal(getattr(tiles, name), getattr(whole, name))


def test_the_noise_of_the_one_plane_that_is_not_clipped_is_no_focus():
    """A bright field, brighter than the camera sees but in the first plane; detail beside it."""
    rng = np.random.default_rng(0)
    z, columns = np.arange(6.0)[:, None, None], np.arange(400)
    light = np.where(z == 0, 240.0, 300.0) * np.ones((6, 400, 400))
    stripes = 100 + 30 * np.sin(columns / 2) * np.exp(-((z - 3) ** 2) / 4)
    light = np.where(columns < 140, stripes, light)
    planes = np.rint(light + rng.normal(0, 1.5, light.shape)).clip(0, 255).astype(np.uint8)
    fused = zfuse.fuse(planes)
    field, beside = (slice(100, 300), slice(220, 350)), (slice(100, 300), slice(10, 120))
    assert fused.confidence[field].mean() < 0.5  # a guess: 0.4
    assert fused.confidence[beside].mean() > 0.95
    assert np.abs(fused.depth[beside] - 3).mean() < 0.1


def transmitted(top, scatter=0.0):
    """Planes of something dark and fine in a field that is clipped, and how far off it is.

    It is in focus in plane 4 of 6; in plane 0 its shade darkens the field far around.
    """
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:240, :240] - 100.0
    distance = np.hypot(y, x)
    dark = (distance <= 40).astype(float)
    grain = gaussian_filter(rng.normal(0, 1, dark.shape), 1)
    specimen = dark * (0.7 + 0.2 * grain / grain.std())
    sigma = [12, 5, 4, 2.5, 0.6, 2]
    light = 1.2 * top * np.stack([1 - gaussian_filter(specimen, s) for s in sigma])
    light += rng.normal(0, 0.008 * top, light.shape)
    clipped = light.clip(0, top)
    return np.rint(clipped + rng.normal(0, scatter, light.shape)), distance


def colours(scatter=0.6):
    """Return colours that were converted and compressed after they were clipped."""
    planes = [transmitted(top, scatter)[0] for top in (240, 242, 226)]
    return np.stack(planes).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("case", ["uint8", "colours", "uint16", "scaled"])
def test_what_darkens_a_clipped_field_is_not_in_focus_there(case):
    planes, distance = transmitted({"uint16": 4000}.get(case, 255))
    if case == "colours":
        source = zfuse.from_array(colours(), rgb=True)
    elif case == "scaled":
        source = (planes / 255).astype(np.float32)
    else:
        source = planes.astype(case)
    fused = zfuse.fuse(source)
    shade, specimen = (distance > 54) & (distance < 75), distance < 32
    assert fused.confidence[shade].mean() < 0.1
    assert fused.confidence[distance > 75].mean() < 0.1
    assert fused.confidence[specimen].mean() > 0.9
    assert np.abs(fused.depth - 4)[specimen].mean() < 0.3


def levels(planes):
    return ClipLevels.calibrate(Sample(zfuse.from_array(planes)), (1.0,)).most


def test_only_a_plateau_is_a_level(phantom):
    assert levels(phantom.planes) == (65535.0,)
    assert levels(phantom.planes.astype(np.float32)) == (np.inf,)
    rng = np.random.default_rng(0)
    drawing = 100 * rng.integers(0, 2, (8, 96, 96))
    assert levels(drawing.astype(np.uint16)) == (65535.0,)
    evenly = rng.integers(0, 200, (8, 96, 96))
    assert levels(evenly.astype(np.uint16)) == (65535.0,)
    clipped = np.minimum(phantom.planes, np.quantile(phantom.planes, 0.98).astype(np.uint16))
    assert levels(clipped) == (float(clipped.max()),)
    assert levels(clipped / 4095) == (clipped.max() / 4095,)


@pytest.mark.parametrize(("scale", "dtype"), [(1, "u1"), (257, "u2"), (1 / 255, "f4")])
def test_clipped_colours_are_found_on_any_scale(scale, dtype):
    planes = (colours().astype(np.float64) * scale).astype(dtype)
    source = zfuse.from_array(planes, rgb=True)
    found = ClipLevels.calibrate(Sample(source), (1.0, 1.0, 1.0))
    least, most = np.array(found.least) / scale, np.array(found.most) / scale
    tops = (240, 242, 226)
    assert ((least > [t - 7 for t in tops]) & (least < [t - 3 for t in tops])).all()
    assert ((most > tops) & (most < [t + 4 for t in tops])).all()


@pytest.mark.parametrize("light", ["noise of 1 level", "brighter specks", "dark", "two levels"])
def test_a_field_that_is_not_clipped_is_not_taken_for_it(light):
    rng = np.random.default_rng(0)
    planes = 220 + rng.normal(0, 1.0, (8, 200, 200))
    planes[:, ::4] = np.linspace(20, 200, 200)
    if light == "brighter specks":
        planes[:, 5::40, 5::20] = 245
        planes = np.rint((planes - 220) / 2) + 220
    if light == "dark":
        planes = 255 - planes
    if light == "two levels":
        planes[:, 1::4] -= 4
    assert levels(np.rint(planes).astype(np.uint8)) == (255.0,)
