"""Mirrored, turned or read from the other end, a stack gives the mirrored result.

Images are 8 n + 1 pixels wide: a pyramid's coarse pixels then lie alike from either side. (Of 8 n
pixels they don't, and the result is another one, as good.) The grids of the wavelets are never so,
and mirrored planes give other pictures, as good: these are not compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.method_names import CLASSICAL

import zfuse
from zfuse.pipeline.simulation._phantom import render_phantom

if TYPE_CHECKING:
    from collections.abc import Callable

PLANES = render_phantom(7, 97, photons=1000, seed=2).planes
MIRRORS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rows": lambda a: a[..., ::-1, :],
    "columns": lambda a: a[..., ::-1],
    "turned": lambda a: np.swapaxes(a, -1, -2),
}

every_method = pytest.mark.parametrize("name", CLASSICAL)
every_dtype = pytest.mark.parametrize("dtype", ["u2", "f4"])


def assert_same(fused: Any, image: np.ndarray | None, depth: np.ndarray, sure: Any) -> None:
    np.testing.assert_allclose(fused.depth, depth, atol=0.01)
    # The half-size pixels that the whole and each pixel are judged by are others: 2.5e-3 measured.
    np.testing.assert_allclose(
        fused.confidence, sure, atol=3e-3
    )  # half-size pixels lie elsewhere: 2.5e-3
    if image is not None:
        off = np.abs(fused.image.astype(np.float64) - image)
        assert np.quantile(off, 0.99) < 0.1 * np.std(np.diff(PLANES[0].astype(float)))


@every_method
@every_dtype
@pytest.mark.parametrize("mirror", MIRRORS)
def test_mirrored_in_the_plane(name: str, dtype: str, mirror: str) -> None:
    planes, flip = PLANES.astype(dtype), MIRRORS[mirror]
    expected = zfuse.fuse(planes, name)
    fused = zfuse.fuse(np.ascontiguousarray(flip(planes)), name)
    grid_turns = mirror == "turned" or "wavelet" not in name
    image = flip(expected.image) if grid_turns else None
    assert_same(fused, image, flip(expected.depth), flip(expected.confidence))


@every_method
@every_dtype
def test_read_from_the_other_end(name: str, dtype: str) -> None:
    planes = PLANES.astype(dtype)
    expected = zfuse.fuse(planes, name)
    fused = zfuse.fuse(planes[::-1].copy(), name)
    depth = len(planes) - 1 - expected.depth
    assert_same(fused, expected.image, depth, expected.confidence)


@every_method
@every_dtype
def test_channels_in_another_order(name: str, dtype: str) -> None:
    planes = np.stack([PLANES, PLANES[:, ::-1] // 3, PLANES[:, :, ::-1] // 2]).astype(dtype)
    order = [2, 0, 1]
    each, permuted = (zfuse.fuse(p, name) for p in (planes, planes[order].copy()))
    for part in ("image", "depth", "confidence"):
        np.testing.assert_array_equal(getattr(permuted, part), getattr(each, part)[order])
    expected = zfuse.fuse(planes, name, channel="together")
    fused = zfuse.fuse(planes[order].copy(), name, channel="together")
    np.testing.assert_allclose(fused.depth, expected.depth, atol=0.01)
    np.testing.assert_allclose(fused.confidence, expected.confidence, atol=1e-3)
    np.testing.assert_allclose(fused.image, expected.image[order], atol=2)
