"""Confidence is the probability that the depth is within one plane of the truth."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import zfuse
from zfuse.pipeline.evaluation import calibration_error, ranking
from zfuse.pipeline.simulation import make_settings, render_phantom, simulate

CALIBRATED = ["adaptive"]


@cache
def stacks() -> list[tuple[Any, Any]]:
    """Planes and depth in planes: fast phantoms and real optics, from bright to dark."""
    made = []
    for seed, (relief, texture, photons) in enumerate(
        (("spheres", "rough", 1500), ("mixed", "weak", 700), ("steps", "sparse", 1200),
         ("fractal", "fine", 400))
    ):  # fmt: skip
        phantom = render_phantom(
            14, 192, photons, seed=880_000 + seed, relief=relief, texture=texture
        )
        made.append((phantom.planes, phantom.depth))
    for seed, photons in enumerate((2000, 300)):
        settings = make_settings(
            "relief", size=192, seed=990_000 + seed, texture="sparse", photons=photons
        )
        stack = simulate(settings)
        made.append((stack.planes, stack.depth_um / settings.optics.z_step))
    return made


@pytest.mark.parametrize("method", CALIBRATED)
def test_confidence_is_how_often_depth_is_right(method: str) -> None:
    errors, confidences = [], []
    for planes, depth in stacks():
        fused = zfuse.fuse(planes, method)
        error = np.abs(fused.depth - depth)
        known = np.isfinite(error)
        errors.append(error[known])
        confidences.append(fused.confidence[known])
    right, sure = np.concatenate(errors) <= 1, np.concatenate(confidences)
    assert 0.05 < np.mean(~right) < 0.5  # there is something to tell apart
    assert calibration_error(sure, right) < 0.06
    assert ranking(sure, right) > 0.88


@pytest.mark.parametrize("photons", [50, 400, 5000])
@pytest.mark.parametrize("method", CALIBRATED)
def test_an_empty_field_has_little_confidence(method: str, photons: int) -> None:
    rng = np.random.default_rng(5)
    empty = rng.poisson(photons, (15, 128, 128)).astype(np.uint16)
    assert zfuse.fuse(empty, method).confidence.mean() < 0.4  # guessing reaches 0.14 to 0.2


def test_what_the_sample_misses_is_trusted_where_it_is_sharp() -> None:
    """Few bright dots in an empty field, between the patches that a stack is calibrated on."""
    rng = np.random.default_rng(4)
    dots = np.zeros((400, 400))
    dots[rng.integers(185, 215, 40), rng.integers(185, 215, 40)] = 450
    light = [20 + gaussian_filter(dots, np.hypot(z - 5, 1)) for z in range(12)]
    fused = zfuse.fuse(rng.poisson(light).astype(np.uint16), "adaptive")
    specimen = slice(188, 212), slice(188, 212)
    assert np.abs(fused.depth[specimen] - 5).mean() < 0.1
    assert fused.confidence[specimen].mean() > 0.9  # was 0.54
    assert fused.confidence[:120, :120].mean() < 0.3
