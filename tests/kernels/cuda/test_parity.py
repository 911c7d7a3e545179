"""Every CUDA kernel against its CPU twin and the slow references.

In numba's simulator (`NUMBA_ENABLE_CUDASIM=1 python -m pytest tests/kernels/cuda`), and, marked
`gpu`, on a card. Index and pixels are the same; so are values, but for what takes a logarithm.
"""

import numpy as np
import pytest
from numba import config

pytest.importorskip("numba_cuda", reason="needs numba-cuda: pip install zfuse[cuda]")

from numba import cuda
from support import naive
from support.cuda_cases import CASES

from zfuse import kernels as cpu
from zfuse.errors import ZfuseError
from zfuse.kernels import cuda as face

SIMULATED = bool(config.ENABLE_CUDASIM)
in_simulator = pytest.mark.skipif(
    not SIMULATED, reason="needs numba's simulator: NUMBA_ENABLE_CUDASIM=1"
)
# Sums with INVALID wrap round before they are cleared; the simulator's scalars say so.
quiet = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def check(name):
    expected = CASES[name](cpu, np.array)
    found = [array.copy_to_host() for array in CASES[name](face, cuda.to_device)]
    assert len(found) == len(expected)
    for number, (a, b) in enumerate(zip(expected, found, strict=True)):
        if name.startswith("fold_focus") and number == 7:  # depth: ends go through a logarithm
            np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-6)
        else:
            np.testing.assert_array_equal(b, a, err_msg=f"result {number} of {name}")


@in_simulator
@quiet
@pytest.mark.parametrize("name", CASES)
def test_equals_the_cpu(name):
    check(name)


@pytest.mark.gpu
@pytest.mark.skipif(SIMULATED or not cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name", CASES)
def test_equals_the_cpu_on_a_card(name):
    check(name)


def new(*shape, dtype="f4"):
    return cuda.to_device(np.zeros(shape, dtype))


@in_simulator
@pytest.mark.parametrize("measure", sorted(cpu.MEASURES))
def test_focus_equals_the_slow_twin(measure):
    signal = np.random.default_rng(0).integers(0, 65536, (4, 7, 9)).astype("u2")
    peak = cpu.RunningPeak(
        cuda.to_device(np.full((7, 9), -2, "f4")),
        *(new(7, 9, dtype=d) for d in ("f4", "f4", "u2", "u2", "u2")),
    )
    image = new(1, 7, 9, dtype="u2")
    face.fold_focus(
        cuda.to_device(signal), new(4, dtype=bool), cuda.to_device(signal[:, None]), 0, 0, 0,
        cpu.MEASURES[measure], False, 3, cpu.accumulator(measure), peak, image,
    )  # fmt: skip
    index, _, _ = naive.focus(signal, measure, 3)
    np.testing.assert_array_equal(peak.plane.copy_to_host(), index)
    winners = np.take_along_axis(signal, index[None], 0)
    np.testing.assert_array_equal(image.copy_to_host(), winners)


@in_simulator
def test_planes_equal_the_slow_twins():
    rng = np.random.default_rng(1)
    plane, guide = rng.normal(size=(2, 9, 11)).astype("f4")
    there = cuda.to_device(plane)
    coarse, band, out = new(5, 6), new(9, 11), new(9, 11)
    face.reduce_plane(there, coarse)
    np.testing.assert_allclose(coarse.copy_to_host(), naive.reduce_plane(plane), atol=1e-6)
    face.subtract_expanded(there, coarse, band)
    expanded = naive.expand_plane(coarse.copy_to_host(), plane.shape)
    np.testing.assert_allclose(band.copy_to_host(), plane - expanded, atol=1e-6)
    face.guided_filter(there, cuda.to_device(guide), 2, 0.3, out)
    slow = naive.guided_filter(plane, guide, 2, 0.3)
    np.testing.assert_allclose(out.copy_to_host(), slow, atol=1e-5)
    face.log_activity(there, 0.3, out)
    np.testing.assert_allclose(out.copy_to_host(), naive.log_activity(plane, 0.3), atol=2e-3)


@in_simulator
def test_labels_and_counts_equal_the_slow_twins():
    labels = np.random.default_rng(2).integers(0, 20, (9, 11)).astype("u2")
    out = new(9, 11, dtype="u2")
    face.majority_filter(cuda.to_device(labels), 0, 0, 2, 20, out)
    np.testing.assert_array_equal(out.copy_to_host(), naive.majority(labels, 2))
    smooth = new(9, 11, dtype="i4")
    face.smooth_signal(cuda.to_device(labels), 0, 9, 0, False, smooth)
    np.testing.assert_array_equal(smooth.copy_to_host(), naive.smooth(labels))


@in_simulator
def test_an_array_of_the_host_is_refused():
    host = np.zeros((4, 4), "f4")
    with pytest.raises(ZfuseError, match=r"numpy\.ndarray, which lies in the host's memory"):
        face.reduce_plane(host, new(2, 2))


@in_simulator
def test_a_window_beyond_shared_memory_is_refused():
    peak = cpu.RunningPeak(*(new(4, 4) for _ in range(3)), *(new(4, 4, dtype="u2") for _ in "abc"))
    planes = new(1, 4, 4, dtype="u2")
    with pytest.raises(ZfuseError, match="window of 201 pixels is too large"):
        face.fold_focus(
            planes, new(1, dtype=bool), planes.reshape(1, 1, 4, 4), 0, 0, 0, 0, False, 201,
            np.int32, peak, new(1, 4, 4, dtype="u2"),
        )  # fmt: skip
