"""The vote of neighbours against its slow twin, and what it is for."""

import numpy as np
from hypothesis import given, settings, strategies as st
from support import naive

from zfuse.kernels import majority_filter


def voted(labels, radius, count=None):
    out = np.empty_like(labels)
    majority_filter(labels, 0, 0, radius, count or int(labels.max()) + 1, out)
    return out


@settings(deadline=None, max_examples=60, derandomize=True)
@given(data=st.data())
def test_equals_the_slow_twin_in_any_window(data):
    height, width = data.draw(st.integers(1, 24)), data.draw(st.integers(1, 24))
    count, radius = data.draw(st.integers(1, 300)), data.draw(st.integers(0, 8))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    labels = rng.integers(0, count, (height, width)).astype(np.uint16)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    out = np.empty((height - top, width - left), np.uint16)
    majority_filter(labels, top, left, radius, count, out)
    np.testing.assert_array_equal(out, naive.majority(labels, radius)[top:, left:])


def test_of_two_labels_the_more_frequent_wins():
    rng = np.random.default_rng(0)
    labels = (rng.random((40, 50)) < 0.4).astype(np.uint16)
    ones = naive.window_sum(labels.astype(int), 11)
    votes = naive.window_sum(np.ones_like(labels, int), 11)
    expected = np.where(2 * ones == votes, labels, 2 * ones > votes)
    np.testing.assert_array_equal(voted(labels, 5), expected)


def test_specks_go_steps_and_slopes_stay():
    slope = np.broadcast_to(np.arange(60) // 4, (40, 60)).astype(np.uint16)
    step = np.where(np.arange(60) < 31, 3, 11).astype(np.uint16) * np.ones((40, 1), np.uint16)
    for relief in (slope, step):
        np.testing.assert_array_equal(voted(relief, 4)[:, 4:-4], relief[:, 4:-4])
        specked = relief.copy()
        specked[::7, ::9] = 14
        np.testing.assert_array_equal(voted(specked, 4)[5:-5, 5:-5], relief[5:-5, 5:-5])
