import importlib.util
import math

import numpy as np
import pytest
from scipy import ndimage
from support.shared import INVENTED

from zfuse.pipeline.evaluation import invented_edges


def _stack(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    sharp = ndimage.gaussian_filter(rng.random((60, 70)), 1.5) * 900
    return np.stack([ndimage.gaussian_filter(sharp, s) for s in (0.3, 2, 4)]).astype(np.float32)


def test_a_plane_has_no_invented_edges():
    planes = _stack()
    for plane in planes:
        assert invented_edges(plane, planes) == 0


def test_a_step_between_planes_is_invented():
    """By hand: a step of h after a Gaussian of 1 px rises by about h / sqrt(2 pi) a pixel."""
    planes = np.zeros((2, 64, 64), np.float32)
    planes += np.linspace(0, 63, 64, dtype=np.float32)[:, None]  # slope 1 along y, so mean(B) = 1
    planes[1] += 100
    patched = planes[0].copy()
    patched[:, 32:] = planes[1, :, 32:]
    columns = np.arange(64)
    step = ndimage.gaussian_filter1d(np.where(columns < 32, 0.0, 100.0), 1.0)
    rise = np.convolve(step, [1, 0, -1], "same") / 2
    expected = 100 * np.maximum(np.hypot(rise, 1) - 1, 0)[8:-8].mean()
    assert invented_edges(patched, planes) == pytest.approx(expected, rel=1e-4)


def test_scale_does_not_count_and_nothing_to_compare_is_nan():
    planes = _stack()
    mixed = np.where(np.indices(planes[0].shape)[1] < 35, planes[0], planes[2] + 400)
    value = invented_edges(mixed, planes)
    assert value > 1
    assert invented_edges(mixed * 7, planes * 7) == pytest.approx(value, rel=1e-4)
    assert math.isnan(invented_edges(np.zeros((32, 32)), np.zeros((2, 32, 32))))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="larger than 16"):
        invented_edges(np.zeros((16, 40)), np.zeros((2, 16, 40)))
    with pytest.raises(ValueError, match="plane 0"):
        invented_edges(np.zeros((20, 40)), np.zeros((2, 20, 41)))


@pytest.mark.skipif(not INVENTED.is_file(), reason="needs the project's shared folder")
def test_it_agrees_with_the_shared_one():
    spec = importlib.util.spec_from_file_location("shared_invented", INVENTED)
    shared = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shared)
    for seed in range(3):
        planes = _stack(seed)
        fused = np.where(planes[0] > planes[1], planes[0], planes[2] + 300)
        expected, _ = shared.invented(fused, planes)
        assert invented_edges(fused, planes) == pytest.approx(expected, rel=1e-6)
        assert expected > 0
