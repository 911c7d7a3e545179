import importlib.util
import math

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio
from support.shared import METRICS

from zfuse.pipeline.evaluation import (
    average_gradient,
    depth_mae,
    depth_rmse,
    flat_areas,
    luma,
    noise,
    noise_gain,
    psnr,
    q_mi,
    qabf,
    seam_index,
    spatial_frequency,
    ssim,
)


def _pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(rng.random((48, 64)), 2) * 255
    return truth + rng.normal(0, 3, truth.shape), truth


def _ssim_by_definition(a: np.ndarray, b: np.ndarray, data_range: float) -> float:
    """Wang 2004, equation 13, written out; the border that the window leaves is not scored."""

    def mean(image: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(image, 1.5, truncate=3.5)

    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    ma, mb = mean(a), mean(b)
    va, vb, vab = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    score = (2 * ma * mb + c1) * (2 * vab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    return float(score[5:-5, 5:-5].mean())


def test_ssim_follows_its_definition():
    fused, truth = _pair()
    expected = _ssim_by_definition(fused, truth, 255)
    assert 0.2 < expected < 0.98  # the pair tells right from wrong
    assert ssim(fused, truth, data_range=255) == pytest.approx(expected, abs=1e-6)


def test_psnr_agrees_with_skimage():
    fused, truth = _pair()
    expected = peak_signal_noise_ratio(truth, fused, data_range=255)
    assert psnr(fused, truth, data_range=255) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", [ssim, psnr])
def test_scores_follow_the_data_range_not_the_counts(metric):
    fused, truth = _pair()
    assert metric(fused * 200, truth * 200, data_range=255 * 200) == pytest.approx(
        metric(fused, truth, data_range=255), rel=1e-9
    )


def test_equal_images_are_perfect():
    _, truth = _pair()
    assert ssim(truth, truth, data_range=255) == 1
    assert math.isinf(psnr(truth, truth, data_range=255))


def test_unsigned_integers_do_not_wrap():
    low, high = np.full((16, 16), 10, np.uint16), np.full((16, 16), 13, np.uint16)
    assert psnr(low, high, data_range=255) == psnr(high, low, data_range=255) < 60
    assert depth_mae(low, high) == 3


def test_depth_errors_count_only_the_chosen_pixels():
    truth = np.zeros((2, 2), np.float32)
    depth = np.array([[3, 0], [4, 100]], np.float32)
    where = np.array([[True, True], [True, False]])
    assert depth_rmse(depth, truth, where=where) == pytest.approx(math.sqrt(25 / 3))
    assert depth_mae(depth, truth, where=where) == pytest.approx(7 / 3)
    assert math.isnan(depth_rmse(depth, truth, where=np.zeros_like(where)))


def test_bad_pairs_are_refused():
    with pytest.raises(ValueError, match="shapes"):
        psnr(np.zeros((4, 4)), np.zeros((4, 5)), data_range=1)
    with pytest.raises(ValueError, match="data_range"):
        ssim(np.zeros((16, 16)), np.zeros((16, 16)), data_range=0)


def _pictures(seed: int = 0) -> np.ndarray:
    """A fused picture and two sources, colour, in 0..255."""
    rng = np.random.default_rng(seed)
    sharp = ndimage.gaussian_filter(rng.random((40, 56, 3)) * 900 - 200, (1, 1, 0)).clip(0, 255)
    left, right = sharp.copy(), sharp.copy()
    left[:, :28] = ndimage.gaussian_filter(sharp, (2, 2, 0))[:, :28]
    right[:, 28:] = ndimage.gaussian_filter(sharp, (2, 2, 0))[:, 28:]
    return np.rint([sharp, left, right])


@pytest.mark.skipif(not METRICS.is_file(), reason="needs the project's shared folder")
def test_metrics_agree_with_the_shared_ones():
    spec = importlib.util.spec_from_file_location("shared_metrics", METRICS)
    shared = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shared)
    for seed in range(3):
        fused, *sources = _pictures(seed)
        grey, greys = luma(fused), [luma(source) for source in sources]
        assert qabf(grey, greys) == pytest.approx(shared.qabf(fused, sources), abs=1e-6)
        assert q_mi(grey, greys) == pytest.approx(shared.q_mi(fused, sources), abs=1e-6)
        assert spatial_frequency(grey) == pytest.approx(shared.spatial_frequency(fused), abs=1e-6)
        assert average_gradient(grey) == pytest.approx(shared.average_gradient(fused), abs=1e-6)
        other = sources[0]
        assert ssim(luma(other), grey, data_range=255) == pytest.approx(
            shared.ssim(other, fused), abs=1e-6
        )
        assert psnr(other, fused, data_range=255) == pytest.approx(
            shared.psnr(other, fused), abs=1e-6
        )


def test_metrics_keep_their_values():
    """Values of ../shared/eval/metrics.py, which is not there everywhere."""
    fused, *sources = _pictures()
    grey, greys = luma(fused), [luma(source) for source in sources]
    assert qabf(grey, greys) == pytest.approx(0.770054625, abs=1e-6)
    assert q_mi(grey, greys) == pytest.approx(1.188808666, abs=1e-6)
    assert spatial_frequency(grey) == pytest.approx(33.043762861, abs=1e-6)
    assert average_gradient(grey) == pytest.approx(16.019072222, abs=1e-6)
    assert ssim(greys[0], grey, data_range=255) == pytest.approx(0.703328012, abs=1e-6)
    assert psnr(sources[0], fused, data_range=255) == pytest.approx(20.520552212, abs=1e-6)


def test_sharp_halves_keep_more_than_either_source():
    fused, left, right = (luma(picture) for picture in _pictures())
    assert qabf(fused, [fused]) == pytest.approx(
        0.9994 / (1 + np.exp(-7.5)) * 0.9879 / (1 + np.exp(-4.4))
    )
    assert qabf(fused, [left, right]) > qabf(left, [left, right])
    assert q_mi(fused, [fused, fused]) == pytest.approx(2)
    assert math.isnan(qabf(np.zeros((8, 8)), [np.zeros((8, 8))]))


def test_noise_is_measured_and_gains_follow_from_averaging():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:200, :200]
    ground = 3.0 * x - 2 * y + 0.01 * x * y
    planes = ground + rng.normal(0, 5, (9, 200, 200))
    everywhere = np.ones((200, 200), bool)
    assert noise(planes[0], everywhere) == pytest.approx(5, rel=0.03)
    assert noise_gain(planes.mean(0), planes, everywhere) == pytest.approx(1 / 3, rel=0.05)
    assert noise_gain(planes.max(0), planes, everywhere) > 1 / 3


def test_flat_areas_are_where_no_detail_is():
    image = np.zeros((80, 100))
    image[:, 40:] = 50 * np.random.default_rng(0).random((80, 60))
    flat = flat_areas(image, 0.2)
    assert flat.mean() == pytest.approx(0.2, abs=0.1)
    assert not flat[:, 45:].any()


def test_seams_are_seen_at_the_tile_border_only():
    image = np.random.default_rng(0).normal(0, 1, (192, 192))
    assert seam_index(image, 64) == pytest.approx(1, abs=0.1)
    image[:, 64:] += 3
    assert seam_index(image, 64) > 1.3
    assert seam_index(image, 50) == pytest.approx(1, abs=0.1)
    assert math.isnan(seam_index(image, 192))
