"""Kernels of the soft choice between planes against their slow twins."""

import numpy as np
import pytest
from support import naive

from zfuse.kernels import ACTIVITY_GAIN, NO_WEIGHT, add_weighted, log_activity, log_energy

SHAPES = [(1, 1), (1, 7), (9, 2), (33, 50)]


@pytest.mark.parametrize("shape", SHAPES)
def test_log_activity_equals_the_slow_twin(shape):
    plane = np.random.default_rng(0).normal(0, 100, shape).astype("f4")
    out = np.empty_like(plane)
    log_activity(plane, 30.0, out)
    np.testing.assert_allclose(out, naive.log_activity(plane, 30.0), atol=2e-3)


def test_activity_gain_is_the_energy_of_white_noise():
    noise = np.random.default_rng(0).normal(0, 5, (200, 300)).astype("f4")
    out = np.empty_like(noise)
    log_activity(noise, 1e-3, out)
    assert np.mean(2**out) * 1e-3 / 25 == pytest.approx(ACTIVITY_GAIN, rel=0.02)


def test_add_weighted_is_the_mean_with_weights_of_any_size():
    rng = np.random.default_rng(0)
    exponents = rng.uniform(-300, 300, (6, 8, 9)).astype("f4")
    exponents[:, :, :5] *= 0.01
    exponents[2] = NO_WEIGHT
    bands = rng.normal(size=(6, 2, 8, 9)).astype("f4")
    peak, total = np.full((8, 9), NO_WEIGHT, "f4"), np.zeros((8, 9), "f4")
    sums = np.zeros((2, 8, 9), "f4")
    for exponent, band in zip(exponents, bands, strict=True):
        add_weighted(exponent, band, peak, total, sums)
    weights = 2 ** (exponents.astype("f8") - exponents.max(0))[:, None]
    expected = (weights * bands).sum(0) / weights.sum(0)
    np.testing.assert_allclose(sums / total, expected, atol=2e-3)


def test_nothing_is_added_without_weight():
    peak, total, sums = (
        np.full((1, 3), NO_WEIGHT, "f4"),
        np.zeros((1, 3), "f4"),
        np.zeros((1, 1, 3), "f4"),
    )
    add_weighted(peak.copy(), np.ones((1, 1, 3), "f4"), peak, total, sums)
    assert not total.any()
    assert not sums.any()


def test_log_energy_is_the_mean_over_bands_and_neighbours():
    bands = np.random.default_rng(0).normal(size=(3, 9, 14)).astype("f4")
    out = np.empty((9, 14), "f4")
    log_energy(bands, 0.2, out)
    energy = sum(sum(naive.neighbours(b.astype("f8") ** 2).values()) for b in bands) / 27
    np.testing.assert_allclose(out, np.log2(1 + energy / 0.2), atol=2e-3)
