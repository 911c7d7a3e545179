import itertools
import math

import numpy as np
import pytest

from zfuse.pipeline.evaluation import calibration_error, ranking, reliability, surest_error


def _samples(seed: int = 0, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Confidences with many ties, and errors that are larger where it is low."""
    rng = np.random.default_rng(seed)
    sure = rng.integers(0, 12, count) / 11
    return sure, rng.exponential(0.4 + 2 * (1 - sure))


def test_reliability_by_hand():
    found = reliability([0.05, 0.0, 0.1, 0.95, 1.0, 1.0], [0, 0, 1, 1, 1, 0])
    assert found.samples.tolist() == [2, 1, 0, 0, 0, 0, 0, 0, 0, 3]
    assert found.confidence[[0, 1, 9]] == pytest.approx([0.025, 0.1, 2.95 / 3])
    assert found.right[[0, 1, 9]] == pytest.approx([0, 1, 2 / 3])
    assert np.isnan(found.confidence[2:9]).all()
    assert np.isnan(found.right[2:9]).all()


def test_calibration_error_by_hand():
    # 2 of 6 are off by .025, 1 by .9, 3 by .95 / 3 + ... = .3166…
    value = calibration_error([0.05, 0.0, 0.1, 0.95, 1.0, 1.0], [0, 0, 1, 1, 1, 0])
    assert value == pytest.approx((2 * 0.025 + 0.9 + 3 * (2.95 / 3 - 2 / 3)) / 6)
    assert calibration_error([0.25] * 4, [1, 0, 0, 0]) == 0
    assert calibration_error([0.95] * 10, [0] * 10) == pytest.approx(0.95)
    assert math.isnan(calibration_error([], []))


def test_calibrated_samples_have_a_small_error_and_overconfident_ones_do_not():
    rng = np.random.default_rng(1)
    sure = rng.random(200_000)
    right = rng.random(sure.size) < sure
    assert calibration_error(sure, right) < 0.005
    assert calibration_error(np.sqrt(sure), right) == pytest.approx(2 / 3 - 1 / 2, abs=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_ranking_is_the_part_of_pairs_in_order(seed):
    sure, error = _samples(seed)
    right = error <= 1
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a, b in itertools.product(sure[right], sure[~right])
    ]
    assert ranking(sure, right) == pytest.approx(np.mean(pairs), rel=1e-12)


def test_ranking_at_its_limits():
    assert ranking([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]) == 1
    assert ranking([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0]) == 0
    assert ranking([0.5] * 4, [1, 0, 0, 1]) == 0.5
    assert math.isnan(ranking([0.5, 0.6], [1, 1]))
    assert math.isnan(ranking([0.5, 0.6], [0, 0]))


@pytest.mark.parametrize(("seed", "part"), [(0, 0.8), (1, 0.8), (2, 0.37), (3, 1.0)])
def test_surest_error_is_the_mean_over_all_orders_of_ties(seed, part):
    sure, error = _samples(seed, 40)
    wanted, kept, total = part * sure.size, 0.0, 0.0
    for level in sorted(set(sure), reverse=True):
        of_level = error[sure == level]
        taken = min(len(of_level), wanted - kept)
        total += taken * of_level.mean()
        kept += taken
    assert kept == pytest.approx(wanted)
    assert surest_error(sure, error, part=part) == pytest.approx(total / wanted, rel=1e-12)


def test_surest_error_by_hand():
    assert surest_error([0.9, 0.1, 0.8, 0.7, 0.6], [1, -100, 2, -3, 6]) == 3
    assert surest_error([0.5] * 5, [1, -100, 2, -3, 6]) == pytest.approx(112 / 5)
    error = np.array([3.0, 1, 2, 50, 4])
    assert surest_error(-error, error) == 2.5  # the oracle's
    assert math.isnan(surest_error([], []))


def test_bad_samples_are_refused():
    with pytest.raises(ValueError, match=r"0\.\.1"):
        reliability([0.5, 1.5], [0, 1])
    with pytest.raises(ValueError, match=r"0\.\.1"):
        reliability([0.5, np.nan], [0, 1])
    with pytest.raises(ValueError, match="do not fit"):
        ranking([0.5], [0, 1])
    with pytest.raises(ValueError, match="do not fit"):
        surest_error([0.5], [0, 1])
    with pytest.raises(ValueError, match="part is 0"):
        surest_error([0.5], [0], part=0)
