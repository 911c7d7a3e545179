"""Confidence is the probability that the depth is within one plane: on stacks nobody fitted on."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import zfuse
from zfuse.pipeline.evaluation import calibration_error, ranking
from zfuse.pipeline.simulation._phantom import Phantom, render_phantom

# planes, photons, blur in px a plane, relief, texture: from plain to hard
STACKS: tuple[tuple[int, float, float, Any, Any], ...] = (
    (7, 3000, 1.5, "steps", "fine"),
    (14, 900, 0.9, "mixed", "sparse"),
    (24, 500, 0.6, "fractal", "rough"),
    (33, 2500, 0.4, "slope", "weak"),
    (18, 700, 1.1, "spheres", "spots"),
)
# Calibration error and area under ROC, of all pixels at once.
METHODS = {"adaptive": (0.05, 0.88), "select": (0.08, 0.8), "laplacian": (0.08, 0.8)}


@cache
def phantoms() -> list[Phantom]:
    return [
        render_phantom(
            planes, 160, photons, seed=900 + n, relief=relief, texture=texture, blur=blur
        )
        for n, (planes, photons, blur, relief, texture) in enumerate(STACKS)
    ]


@pytest.mark.parametrize("name", ["select", "laplacian"])  # adaptive: test_confidence.py
def test_confidence_is_how_often_the_depth_is_right(name: str) -> None:
    sure, right = [], []
    for phantom in phantoms():
        fused = zfuse.fuse(phantom.planes, name)
        sure.append(fused.confidence.ravel())
        right.append((np.abs(fused.depth - phantom.depth) <= 1).ravel())
    most, area = METHODS[name]
    assert calibration_error(np.concatenate(sure), np.concatenate(right)) < most
    assert ranking(np.concatenate(sure), np.concatenate(right)) > area


@pytest.mark.parametrize("name", METHODS)
def test_pure_noise_is_a_guess(name: str) -> None:
    noise = np.random.default_rng(0).poisson(200, (20, 96, 96)).astype(np.uint16)
    fused = zfuse.fuse(noise, name)
    assert fused.confidence.mean() < 0.25  # two planes of 19 are 0.1


@pytest.mark.parametrize("name", METHODS)
def test_a_bare_patch_is_no_more_than_a_guess(name: str) -> None:
    phantom = phantoms()[0]
    planes = phantom.planes.astype(np.float64)
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:160, :160] - 80
    bare = gaussian_filter((np.hypot(y, x) < 50).astype(float), 1)
    flat = rng.normal(20_000, 500, planes.shape)
    fused = zfuse.fuse((planes * (1 - bare) + flat * bare).astype(np.uint16), name)
    inside, outside = np.hypot(y, x) < 30, np.hypot(y, x) > 65
    assert fused.confidence[inside].mean() < fused.confidence[outside].mean() - 0.2


@pytest.mark.parametrize("name", METHODS)
def test_nothing_at_all_and_one_plane_have_none(name: str) -> None:
    flat = np.full((5, 40, 40), 700, np.uint16)
    assert not zfuse.fuse(flat, name).confidence.any()
    one = phantoms()[0].planes[:1]
    assert not zfuse.fuse(one, name).confidence.any()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", [(2, 33, 41), (3, 1, 9), (2, 2, 1)])
def test_few_planes_and_small_images(name: str, shape: tuple[int, ...]) -> None:
    planes = np.random.default_rng(2).integers(0, 4000, shape).astype(np.uint16)
    confidence = zfuse.fuse(planes, name).confidence
    assert confidence.shape == shape[1:]
    assert ((confidence >= 0) & (confidence <= 1)).all()


@pytest.mark.parametrize("name", METHODS)
def test_tiles_scale_and_dtype_change_nothing(name: str) -> None:
    planes = phantoms()[0].planes[:, :150, :131]
    whole = zfuse.fuse(planes, name)
    tiled = zfuse.fuse(planes, name, tile=64)
    np.testing.assert_array_equal(tiled.confidence, whole.confidence)
    scaled = zfuse.fuse((planes.astype(np.float32) * 0.5 + 7), name)
    assert np.abs(scaled.confidence - whole.confidence).mean() < 2e-3
    turned = zfuse.fuse(planes[::-1].copy(), name)
    np.testing.assert_allclose(turned.confidence, whole.confidence, atol=0.01)
