"""Wavelet kernels: against slow twins, against PyWavelets, and there and back."""

import numpy as np
import pytest
from support import naive

from zfuse.kernels import analyse_plane, synthesise_plane
from zfuse.pipeline.methods.parts._filters import dual_tree, wavelet

WAVELETS = ["haar", "db2", "db4", "sym4", "bior2.2", "bior4.4"]
BANKS = {name: wavelet(name) for name in WAVELETS}
BANKS |= {f"tree {t}, level {n}": dual_tree(first=n == 0)[t] for t in (0, 1) for n in (0, 1)}


def split(plane, bank):
    bands = np.empty((4, (plane.shape[0] + 1) // 2, (plane.shape[1] + 1) // 2), "f4")
    analyse_plane(plane, bank.down, bank.down, bank.origin, bank.origin, *bands)
    return bands


@pytest.mark.parametrize("name", BANKS)
@pytest.mark.parametrize("shape", [(1, 1), (7, 2), (32, 51)])
def test_analysis_equals_the_slow_twin(shape, name):
    bank = BANKS[name]
    plane = np.random.default_rng(0).normal(size=shape).astype("f4")
    for band, (y, x) in zip(split(plane, bank), [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
        columns = naive.filter_down(plane.T, bank.down[y], bank.origin).T
        expected = naive.filter_down(columns, bank.down[x], bank.origin)
        np.testing.assert_allclose(band, expected, atol=1e-5)


@pytest.mark.parametrize("name", BANKS)
@pytest.mark.parametrize("shape", [(48, 64), (47, 55)])
def test_going_up_undoes_going_down(shape, name):
    bank = BANKS[name]
    plane = np.random.default_rng(0).normal(size=shape).astype("f4")
    back = np.zeros_like(plane)
    bands = split(plane, bank)
    synthesise_plane(*bands, bank.up, bank.up, bank.origin, bank.origin, 1, back)
    inner = slice(bank.mirror, -bank.mirror)  # beyond it the mirrored edge would matter
    np.testing.assert_allclose(back[inner, inner], plane[inner, inner], atol=2e-6)


@pytest.mark.parametrize("name", WAVELETS)
def test_taps_are_those_of_pywavelets(name):
    pywt = pytest.importorskip("pywt")
    theirs, ours = pywt.Wavelet(name), BANKS[name]
    n = ours.length
    np.testing.assert_allclose(ours.down[0, :n], theirs.dec_lo[::-1], atol=1e-7)
    np.testing.assert_allclose(ours.up[0, :n], theirs.rec_lo, atol=1e-7)
    # The sign of a high-pass filter is a convention; down and up must share it.
    sign = np.sign(ours.up[1, :n] @ np.array(theirs.rec_hi))
    np.testing.assert_allclose(sign * ours.down[1, :n], theirs.dec_hi[::-1], atol=1e-7)
    np.testing.assert_allclose(sign * ours.up[1, :n], theirs.rec_hi, atol=1e-7)


@pytest.mark.parametrize(("first", "gap"), [(True, 1.0), (False, 0.5)])
def test_trees_lie_half_a_sample_apart(first, gap):
    # On the first level one sample is half of a coarse one; below, tree b's input lags already.
    frequency = np.linspace(0.2, 0.5, 7) * np.pi
    delays = []
    for bank in dual_tree(first=first):
        at = np.arange(bank.down.shape[1]) - bank.origin
        response = np.exp(-1j * np.outer(frequency, at)) @ bank.down[0]
        delays.append(-np.unwrap(np.angle(response)) / frequency)
    np.testing.assert_allclose(delays[1] - delays[0], gap, atol=0.15)
