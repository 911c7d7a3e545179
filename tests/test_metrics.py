import math

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio

from zfuse.pipeline._metrics import depth_mae, depth_rmse, psnr, ssim


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
