import numpy as np
import pytest

from zfuse.pipeline.figures._overview import (
    _UNKNOWN,
    _VIRIDIS,
    _coloured,
    _limits,
    _mapped,
    _nice,
    _Scale,
    overview,
)

VIRIDIS_AT_HALF = (33, 145, 140)  # matplotlib.colormaps["viridis"](0.5)


def _maps(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image = np.random.default_rng(0).integers(0, 4000, (rows, columns), np.uint16)
    depth = np.linspace(0, 10, rows * columns, dtype=np.float32).reshape(rows, columns)
    return image, depth, np.full((rows, columns), 0.5, np.float32)


@pytest.mark.parametrize("shape", [(64, 64), (40, 300), (300, 40), (900, 700)])
def test_panels_fit_any_aspect(shape):
    image, depth, confidence = _maps(*shape)
    picture = overview({0: image, 5: image}, image, depth, confidence, title="a", pixel_size=0.1)
    assert picture.mode == "RGB"
    assert 120 < picture.height < 640
    pixels = np.asarray(picture)
    assert (pixels[:, -4:] == pixels[0, 0]).all()  # the margin: nothing is cut off at the right


def test_depth_bar_has_the_unit_of_the_request():
    image, depth, confidence = _maps(64, 64)
    planes = overview({}, image, depth, confidence)
    microns = overview({}, image, depth, confidence, depth_unit="µm", depth_scale=0.4)
    assert planes.size == microns.size
    difference = np.abs(np.asarray(planes, int) - np.asarray(microns, int)).max(-1)
    assert difference.any()  # ticks and unit
    assert difference[:, :540].max() == 0  # the fused image stays
    assert difference[60:500, 560:1060].max() <= 2  # so do the depth's colours


def test_scale_bar_only_when_calibrated():
    image, depth, confidence = _maps(128, 128)
    plain, barred = (
        np.asarray(overview({}, image, depth, confidence, pixel_size=p), int) for p in (None, 0.5)
    )
    changed = np.argwhere((plain != barred).any(-1))
    assert len(changed)
    bar_width = np.ptp(changed[:, 1]) + 1
    assert bar_width == pytest.approx(10 / 0.5 * 512 / 128, abs=4)  # 10 µm of the 64 µm shown


def test_viridis_is_the_known_one():
    scale = _Scale(0, 1, _VIRIDIS, "")
    ends = _mapped(np.array([[0.0, 0.5, 1.0, np.nan]]), scale)[0]
    assert tuple(ends[0]) == (68, 1, 84)
    assert tuple(ends[2]) == (253, 231, 37)
    assert np.abs(ends[1].astype(int) - VIRIDIS_AT_HALF).max() <= 3
    assert tuple(ends[3]) == _UNKNOWN


def test_contrast_ignores_hot_pixels_and_nan():
    image = np.tile(np.linspace(100, 200, 100, dtype=np.float32), (100, 1))
    image[0, 0], image[1, 1] = 60_000, np.nan
    ((low, high),) = _limits(image, rgb=False)
    assert (low, high) == (pytest.approx(100, abs=2), pytest.approx(200, abs=2))
    assert _coloured(image, [(low, high)], rgb=False)[1, 1].max() == 0


def test_colours_of_channels():
    image = np.zeros((3, 8, 8), np.uint8)
    image[0, :4] = 100
    image[1, 4:] = 50
    red = _coloured(image, _limits(image, rgb=True), rgb=True)
    assert red[0, 0].tolist() == [255, 0, 0]
    assert red[7, 7].tolist()[1] == pytest.approx(128, abs=1)  # the white balance is kept
    blended = _coloured(image[:2], _limits(image[:2], rgb=False), rgb=False)
    assert blended[0, 0].tolist() == [0, 255, 0]
    assert blended[7, 7].tolist() == [255, 0, 255]


def test_a_constant_image_is_drawn():
    flat = np.zeros((32, 32), np.uint16)
    maps = flat.astype(np.float32)
    assert overview({0: flat}, flat, maps, maps).height > 100


@pytest.mark.parametrize(
    ("value", "expected"), [(0.99, 0.5), (1, 1), (4.9, 2), (73, 50), (2e-3, 2e-3)]
)
def test_round_numbers(value, expected):
    assert _nice(value) == pytest.approx(expected)
