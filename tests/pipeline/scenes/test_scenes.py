"""Scenes: repeatable, and as true as they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from zfuse.pipeline.scenes._images import cropped
from zfuse.pipeline.scenes._pairs import RecomposedScenes, _objects
from zfuse.pipeline.scenes._renderings import defocus
from zfuse.pipeline.scenes._stacks import MergedScenes, SimulatedScenes


@pytest.mark.parametrize("kind", [SimulatedScenes, MergedScenes])
def test_stacks_depend_on_the_step_alone(kind: type[SimulatedScenes | MergedScenes]) -> None:
    """A resumed run draws what the first one would have, whatever is kept in memory."""
    first, resumed = (kind().open(48, 2) for _ in range(2))
    for step in range(0, 40, 13):
        first.draw(np.random.default_rng(step), step)
    one, other = (source.draw(np.random.default_rng(9), 41) for source in (first, resumed))
    assert np.array_equal(one.planes, other.planes)
    assert np.array_equal(one.truth, other.truth)


def test_merged_runs_hold_all_that_is_asked_for() -> None:
    source = MergedScenes(clean=1, grain=0).open(64, 2)
    better = 0
    for step in range(12):
        scene = source.draw(np.random.default_rng(step), step)
        error = np.abs(scene.planes - scene.truth)
        assert error.min(0).max() < 0.5 / 255 + 1e-6  # some are rounded to 8 bits
        better += bool((error.mean((1, 2, 3)) > 1e-3).all())
    assert better >= 6  # in most scenes neither plane is the truth


def test_noise_of_stacks_is_what_they_say() -> None:
    clean, noisy = SimulatedScenes(clean=1, grain=0), SimulatedScenes(clean=0, photons=(500, 5000))
    for seed in range(6):
        scenes = [s.open(96, 6).draw(np.random.default_rng(seed), 0) for s in (clean, noisy)]
        gain, floor = scenes[1].noise
        assert scenes[0].noise == (0, 0)
        # Both draw the same stack and stretch it alike.
        error = scenes[1].planes - scenes[0].planes
        variance = gain * scenes[0].planes + floor
        assert (error**2).mean() == pytest.approx(variance.mean(), rel=0.1)


def test_grain_is_not_told() -> None:
    still, grainy = (SimulatedScenes(clean=1, grain=g).open(96, 6) for g in (0, 0.01))
    deviations = []
    for seed in range(8):
        scenes = [s.draw(np.random.default_rng(seed), 0) for s in (still, grainy)]
        assert scenes[1].noise == (0, 0)
        assert np.array_equal(scenes[0].truth, scenes[1].truth)
        deviations.append(float((scenes[1].planes - scenes[0].planes).std()))
    assert min(deviations) < 0.005 < max(deviations) < 0.0115  # 0.0011: rounding of both


@pytest.mark.parametrize("disc", [0.0, 0.5, 1.0])
def test_defocus_has_the_variance_it_says(disc: float) -> None:
    field, planes, blur = 128, 5, 0.9
    transfer = defocus(blur, disc, planes, field)
    assert np.allclose(transfer[0], 1)  # in focus
    spread = np.fft.fftshift(np.fft.irfft2(transfer[-1], (field, field)))
    x = np.arange(field) - field // 2
    assert spread.sum() == pytest.approx(1, abs=1e-5)
    variance = float((spread.sum(0) * x**2).sum())
    # The discs' ripples reach the field's end, where they count with x².
    assert variance == pytest.approx((blur * (planes - 1)) ** 2, rel=0.05)


def test_crops_reach_beyond_the_far_edge_as_the_pipeline_does() -> None:
    image = np.arange(40.0)[None, :, None, None] * np.ones((1, 40, 40, 1))
    ends = set()
    for seed in range(200):
        rows = cropped(image, 16, np.random.default_rng(seed), edges=1.0)[0, :, 0, 0]
        if rows[0] != 0:
            beyond = int((rows[8:] != np.arange(rows[0], rows[0] + 16)[8:]).sum())
            ends.add(beyond)
            assert rows[15 - beyond] == 39
            if beyond:  # as NumPy's "symmetric"
                assert list(rows[-beyond:]) == list(range(39, 39 - beyond, -1))
    assert ends == set(range(8))


def test_objects_are_whole_segments_and_a_little_more() -> None:
    rows, columns = np.indices((64, 64)) // 16
    segments = (7 * rows + columns).astype(np.int32)  # labels with gaps, as crops have
    chosen = []
    for seed in range(20):
        inside = _objects(segments, np.random.default_rng(seed))
        shares = ndimage.mean(inside, segments, np.unique(segments))
        assert ((shares == 1) | (shares < 0.8)).all()  # a rim of 4 px at most
        chosen.append((shares == 1).mean())
    assert 0 < np.mean(chosen) < 1


def test_recomposed_planes_hold_the_truth_between_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    blobs = ndimage.gaussian_filter(rng.random((90, 110, 3)), (3, 3, 0))
    image = (255 * (blobs > 0.5)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "sharp.png")
    source = RecomposedScenes(folders=(Path(),), jpeg=0).open(48, 2, tmp_path)
    shares = []
    for seed in range(12):
        scene = source.draw(np.random.default_rng(seed), 0)
        assert scene.truth.shape == (3, 48, 48)
        errors = np.abs(scene.planes - scene.truth).max(1)
        sharp = errors < 1 / 255 + 1e-6
        shares.append(sharp.any(0).mean())
        assert not sharp.all(0).all()
    assert np.median(shares) == 1  # all, unless the outline itself is out of focus
