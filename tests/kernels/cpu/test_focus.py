"""The fold into the focus peak against the slow twin, and in any core and blocks."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from support import naive

from zfuse.kernels import (
    INVALID,
    MEASURES,
    NO_FRAME,
    RunningPeak,
    accumulator,
    finish_focus,
    fit_ends,
    fold_focus,
)


def run_focus(
    signal, measure, window, block=None, core=None, pixels=None, least=False, frame=NO_FRAME
):
    """Fold a (Z, Y, X) signal; the core is a pair of slices."""
    planes, height, width = signal.shape
    ys, xs = core or (slice(0, height), slice(0, width))
    shape = (ys.stop - ys.start, xs.stop - xs.start)
    pixels = signal[:, None] if pixels is None else pixels
    peak = RunningPeak(
        np.full(shape, -2, "f4"),
        *(np.zeros(shape, "f4") for _ in range(2)),
        *(np.zeros(shape, "u2") for _ in range(3)),
    )
    image = np.zeros((pixels.shape[1], *shape), pixels.dtype)
    for z in range(0, planes, block or planes):
        part = slice(z, z + (block or planes))
        s = np.ascontiguousarray(signal[part])
        fold_focus(
            s, (s == INVALID).any((1, 2)), np.ascontiguousarray(pixels[part]), ys.start, xs.start,
            z, MEASURES[measure], least, window, accumulator(measure), peak, image,
            frame,
        )  # fmt: skip
    depth, confidence = np.empty(shape, "f4"), np.empty(shape, "f4")
    finish_focus(peak, planes, depth, confidence)
    fit_ends(peak.plane, peak.before, peak.after, confidence, planes, depth)
    return image, peak.plane, depth, confidence


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4"])
@pytest.mark.parametrize("measure", sorted(MEASURES))
@pytest.mark.parametrize(("window", "shape"), [(9, (5, 40, 37)), (3, (3, 1, 600)), (5, (1, 9, 9))])
def test_focus_equals_the_slow_twin(dtype, measure, window, shape):
    high = 255 if dtype == "u1" else 65535
    signal = np.random.default_rng(0).integers(0, high + 1, shape).astype(dtype)
    image, index, depth, confidence = run_focus(signal, measure, window)
    true_index, true_depth, true_confidence = naive.focus(signal, measure, window)
    np.testing.assert_array_equal(index, true_index)
    np.testing.assert_array_equal(image[0], np.take_along_axis(signal, true_index[None], 0)[0])
    # before and after are kept as 16-bit fractions of the peak: 1e-5 planes, more where it is blunt
    np.testing.assert_allclose(depth, true_depth, atol=0.02)
    assert abs(depth - true_depth).mean() < 5e-5
    np.testing.assert_allclose(confidence, true_confidence, atol=2e-6)


@pytest.mark.parametrize("frame", [(4, 4, 4, 4), (0, 1, 4, 2)])
@pytest.mark.parametrize("measure", ["sml", "laplacian-energy"])
def test_a_frame_shows_what_lies_inside(measure, frame):
    signal = np.random.default_rng(0).integers(0, 65536, (4, 30, 33)).astype("u2")
    found = run_focus(signal, measure, 5, pixels=signal[:, None], frame=frame)
    mirrored = naive.mirrored(signal, frame)
    expected = run_focus(mirrored, measure, 5, pixels=signal[:, None])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**16),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 40), st.integers(1, 40)),
    window=st.sampled_from([1, 3, 9, 15]),
    measure=st.sampled_from(sorted(MEASURES)),
    block=st.integers(1, 4),
    data=st.data(),
)
def test_any_core_and_block_gives_the_same_bits(seed, shape, window, measure, block, data):
    signal = np.random.default_rng(seed).integers(0, 65536, shape).astype("u2")
    _, height, width = shape
    y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    y1, x1 = data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width))
    halo = window // 2 + 1
    a, b = max(0, y0 - halo), max(0, x0 - halo)
    cut = signal[:, a : y1 + halo, b : x1 + halo]
    core = (slice(y0 - a, y1 - a), slice(x0 - b, x1 - b))
    whole = run_focus(signal, measure, window)
    part = run_focus(cut, measure, window, block, core)
    for w, p in zip(whole, part, strict=True):
        assert np.array_equal(w[..., y0:y1, x0:x1], p)


def test_invalid_pixels_never_win():
    rng = np.random.default_rng(0)
    signal = rng.integers(0, 1000, (4, 20, 20)).astype("i4")
    signal[1] = rng.integers(0, 100000, (20, 20))  # sharpest everywhere …
    signal[1, 5:9, 5:9] = INVALID  # … but unknown here
    signal[:, 15, 15] = INVALID
    with np.errstate(over="ignore"):  # sums with INVALID wrap round before they are cleared
        _, index, _, confidence = run_focus(signal, "sml", 3)
    assert not (index[5:9, 5:9] == 1).any()
    assert (index[10:14, 10:14] == 1).all()
    assert index[15, 15] == 0
    assert confidence[15, 15] == 0


@pytest.mark.parametrize("measure", sorted(MEASURES))
def test_least_contrast_is_the_slow_twins_minimum(measure):
    signal = np.random.default_rng(0).integers(0, 65536, (5, 30, 31)).astype("u2")
    _, index, _, confidence = run_focus(signal, measure, 5, least=True)
    scores = np.stack([naive.score(measure, plane, 5) for plane in signal]).astype("f4")
    expected = (np.float32(1e6) / (scores + np.float32(1))).argmax(0)
    np.testing.assert_array_equal(index, expected)
    assert (confidence >= 0).all()


@pytest.mark.parametrize("window", [1, 5])
def test_depth_is_fitted_at_both_ends(window):
    """Energies of Gaussian falloff: no depth piles up on the first or the last plane."""
    rng = np.random.default_rng(0)
    depth = np.linspace(0, 5, 501)
    texture = rng.normal(0, 1, (20, 501))
    away = np.arange(6)[:, None, None] - depth
    signal = 30000 + 4000 * texture * np.exp(-(away**2) / 4)
    fitted = run_focus(signal.astype("u2"), "laplacian-energy", window)[2]
    error = np.abs(fitted - depth)
    ends = (depth < 0.5) | (depth > 4.5)
    assert error[:, ends].mean() < 1.5 * error[:, ~ends].mean() + 0.02
    for end in (0, 5):
        assert (np.abs(fitted - end) < 0.02).mean() < 0.03
