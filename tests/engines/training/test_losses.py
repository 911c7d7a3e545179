"""Losses and scores against slow references."""

# ruff: noqa: E402 (without torch the file is skipped before its imports fail)

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import structural_similarity

torch = pytest.importorskip("torch")

from support.training import (
    one_thread as one_thread,
)

from zfuse.engines.training import _losses as losses
from zfuse.engines.training._score import fusion_score
from zfuse.pipeline import evaluation

if TYPE_CHECKING:
    from torch import Tensor


def images(seed: int, *shape: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(rng.random(shape), (0,) * (len(shape) - 2) + (1, 1))
    noisy = truth + 0.05 * rng.standard_normal(shape)
    return torch.tensor(noisy, dtype=torch.float32), torch.tensor(truth, dtype=torch.float32)


@pytest.mark.parametrize("data_range", [1.0, 2.0])
def test_ssim_is_that_of_skimage(data_range: float) -> None:
    image, truth = images(0, 2, 3, 40, 33)
    wanted = np.mean(
        [
            structural_similarity(
                a.double().numpy(),
                b.double().numpy(),
                data_range=data_range,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for a, b in zip(image.flatten(0, 1), truth.flatten(0, 1), strict=True)
        ]
    )
    assert float(losses.ssim(image, truth, data_range=data_range)) == pytest.approx(
        wanted, abs=1e-5
    )


def test_losses_are_float32_under_autocast() -> None:
    image, truth = images(1, 2, 1, 32, 32)
    for loss in (losses.mse, losses.l1, losses.gradient, losses.spatial_frequency, losses.ssim):
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(image, truth)
        assert value.dtype == torch.float32
        assert torch.equal(value, loss(image, truth))
        assert loss(image.bfloat16(), truth).dtype == torch.float32


def test_gradient_and_spatial_frequency_by_slow_loops() -> None:
    image, truth = images(2, 2, 1, 9, 7)
    a, b = image.double().numpy(), truth.double().numpy()
    across = [
        abs((x[i, j + 1] - x[i, j]) - (y[i, j + 1] - y[i, j]))
        for x, y in zip(a[:, 0], b[:, 0], strict=True)
        for i in range(9)
        for j in range(6)
    ]
    down = [
        abs((x[i + 1, j] - x[i, j]) - (y[i + 1, j] - y[i, j]))
        for x, y in zip(a[:, 0], b[:, 0], strict=True)
        for i in range(8)
        for j in range(7)
    ]
    wanted = np.mean(across) + np.mean(down)
    assert float(losses.gradient(image, truth)) == pytest.approx(wanted, rel=1e-5)
    frequencies = [
        abs(evaluation.spatial_frequency(x[0]) - evaluation.spatial_frequency(y[0]))
        for x, y in zip(a, b, strict=True)
    ]
    assert float(losses.spatial_frequency(image, truth)) == pytest.approx(
        np.mean(frequencies), rel=1e-4
    )


def test_flat_images_have_finite_slopes() -> None:
    flat = torch.full((1, 1, 16, 16), 0.5, requires_grad=True)
    _, truth = images(3, 1, 1, 16, 16)
    for loss in (losses.spatial_frequency, losses.gradient, losses.log_mse, losses.log_ssim):
        (slope,) = torch.autograd.grad(loss(flat, truth), flat)
        assert torch.isfinite(slope).all()


def test_the_logs_are_the_scores() -> None:
    image, truth = images(4, 3, 1, 32, 32)
    psnrs = [evaluation.psnr(a, b, data_range=1) for a, b in zip(image, truth, strict=True)]
    from_loss = -10 / math.log(10) * float(losses.log_mse(image, truth))
    assert from_loss == pytest.approx(np.mean(psnrs), abs=0.02)
    deficits = [float(1 - losses.ssim(a[None], b[None])) for a, b in zip(image, truth, strict=True)]
    assert float(losses.log_ssim(image, truth)) == pytest.approx(
        np.mean(np.log(np.add(deficits, 1e-4))), abs=1e-4
    )


def test_descending_the_losses_finds_the_truth() -> None:
    image, truth = images(5, 1, 1, 24, 24)
    found = image.clone().requires_grad_()
    optimiser = torch.optim.Adam([found], lr=5e-3)
    for _ in range(80):
        loss = 1 - losses.ssim(found, truth) + losses.gradient(found, truth)
        optimiser.zero_grad()
        (loss + losses.mse(found, truth)).backward()
        optimiser.step()
    assert losses.psnr(found, truth) > losses.psnr(image, truth) + 8


def test_scores_are_those_of_the_package() -> None:
    image, truth = images(6, 2, 3, 40, 48)
    score = fusion_score((a[None], b[None]) for a, b in zip(image, truth, strict=True))
    psnrs, ssims = [], []
    for a, b in zip(image, truth, strict=True):
        stored = np.rint(a.permute(1, 2, 0).numpy().clip(0, 1) * 255)
        one, two = evaluation.luma(stored), evaluation.luma(b.permute(1, 2, 0).numpy() * 255)
        psnrs.append(evaluation.psnr(one, two, data_range=255))
        ssims.append(evaluation.ssim(one, two, data_range=255))
    assert score["psnr"] == pytest.approx(np.mean(psnrs), abs=1e-3)
    assert score["ssim"] == pytest.approx(np.mean(ssims), abs=1e-5)
    assert score["score"] == pytest.approx(
        score["psnr"] - 10 * math.log10(1 - score["ssim"]), abs=1e-6
    )
