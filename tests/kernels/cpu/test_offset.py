"""The offset from a depth that is nearly right: sums against the slow twin, and what it finds."""

import numpy as np
import pytest

from zfuse.kernels import RunningOffset, add_offset, settle_offset

WIDTH = 1.2
RADII, PRIORS = np.array([3, 1]), np.array([0.1, 0.05], "f4")


def new_sums(depth):
    return RunningOffset(depth, np.zeros_like(depth), np.zeros_like(depth))


def left(t):
    return np.maximum(1 - t**2 / (6 * WIDTH**2), 0) ** 3


def slope(t):
    return np.maximum(1 - t**2 / (6 * WIDTH**2), 0) ** 2 * t / WIDTH**2


def test_sums_equal_the_slow_twin():
    rng = np.random.default_rng(0)
    planes = rng.uniform(0, 100, (5, 12, 14)).astype("f4")
    sums = new_sums(rng.uniform(0, 4, (9, 10)).astype("f4"))
    for z, plane in enumerate(planes):
        add_offset(plane, 0, 2, z, WIDTH, sums)
    padded = np.pad(planes.astype("f8"), ((0, 0), (1, 1), (1, 1)), "edge")
    energy = 4 * planes - padded[:, 1:-1, :-2] - padded[:, 1:-1, 2:]
    energy = (energy - padded[:, :-2, 1:-1] - padded[:, 2:, 1:-1]) ** 2
    away = np.arange(5)[:, None, None] - sums.depth
    energy = energy[:, :9, 2:12]
    np.testing.assert_allclose(sums.level, (energy * left(away)).sum(0), rtol=1e-4)
    np.testing.assert_allclose(sums.slope, (energy * slope(away)).sum(0), rtol=1e-3, atol=1)


@pytest.mark.parametrize("depth", [0.0, 0.4, 3.3, 6.0, 5.7])
@pytest.mark.parametrize("off", [-0.2, 0.25])
def test_the_offset_is_found_at_both_ends_as_in_the_middle(depth, off):
    """Seven planes; the peak may lie beyond them."""
    shape, floor = (12, 12), 3.0
    start = np.full(shape, depth, "f4")
    sums = new_sums(start)
    z = np.arange(7)
    energy = floor + 1000 * left(z - depth - off)
    sums.level[:] = (energy * left(z - depth)).sum()
    sums.slope[:] = (energy * slope(z - depth)).sum()
    out = np.empty(shape, "f4")
    settle_offset(sums, np.full(shape, floor, "f4"), 7, WIDTH, 0.5, RADII, PRIORS, out)
    np.testing.assert_allclose(out, off, atol=0.05)


def test_noise_moves_nothing():
    rng = np.random.default_rng(1)
    depth = np.full((40, 40), 3, "f4")
    sums = new_sums(depth)
    for z in range(9):
        add_offset(rng.normal(0, 5, depth.shape).astype("f4"), 0, 0, z, WIDTH, sums)
    out = np.empty_like(depth)
    settle_offset(sums, np.full_like(depth, 500), 9, WIDTH, 0.5, RADII, PRIORS, out)
    assert np.sqrt((out**2).mean()) < 0.15
