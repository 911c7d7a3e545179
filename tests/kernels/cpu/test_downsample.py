"""The 2x2 mean against a reference that spells it out, and tiles against the whole."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from zfuse.kernels import downsample

if TYPE_CHECKING:
    from numpy.typing import NDArray

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32"]
SHAPES = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 5), (8, 7), (17, 33)]


def naive(image: NDArray[Any]) -> NDArray[Any]:
    """The mean of 2x2 pixels, pixel by pixel, in exact arithmetic for integers."""
    padded = np.pad(image, [(0, image.shape[0] % 2), (0, image.shape[1] % 2)], mode="edge")
    out = np.empty((padded.shape[0] // 2, padded.shape[1] // 2), image.dtype)
    for y, x in np.ndindex(out.shape):
        block = padded[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].ravel()
        if image.dtype.kind in "iu":
            out[y, x] = floor(Fraction(sum(block.tolist()), 4) + Fraction(1, 2))
        else:
            seen = block[~np.isnan(block)].astype(np.float64)
            out[y, x] = seen.mean() if seen.size else np.nan
    return out


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_exact_up_to_the_ends_of_their_range(
    dtype: str, shape: tuple[int, int]
) -> None:
    info = np.iinfo(dtype)
    rng = np.random.default_rng(7)
    image = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    np.testing.assert_array_equal(downsample(image), naive(image))
    for extreme in (info.min, info.max):
        assert (downsample(np.full(shape, extreme, dtype)) == extreme).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_leave_out_nan(dtype: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    image = rng.normal(100, 20, shape).astype(dtype)
    image[rng.random(shape) < 0.3] = np.nan
    with np.errstate(invalid="ignore"):  # 0/0 of four NaN
        out = downsample(image)
    assert out.dtype == image.dtype
    np.testing.assert_allclose(out, naive(image), rtol=1e-6)


def test_tiles_with_even_edges_agree_with_the_whole() -> None:
    image = np.random.default_rng(1).integers(0, 65535, (37, 51), np.uint16)
    whole = downsample(image)
    for y in range(0, 37, 16):
        for x in range(0, 51, 16):
            tile = downsample(image[y : y + 16, x : x + 16])
            cut = whole[y // 2 : y // 2 + 8, x // 2 : x // 2 + 8]
            np.testing.assert_array_equal(tile, cut)


def test_any_array_can_be_filled() -> None:
    image = np.random.default_rng(1).integers(0, 65535, (7, 9), np.uint16)
    into = np.zeros((4, 10), np.uint16)
    assert np.shares_memory(downsample(image, into[:, ::2]), into)
    np.testing.assert_array_equal(into[:, ::2], naive(image))
    assert not into[:, 1::2].any()


def test_refuses_what_it_cannot_halve() -> None:
    with pytest.raises(ValueError, match="complex64"):
        downsample(np.zeros((2, 2), np.complex64))
    with pytest.raises(ValueError, match="halves to"):
        downsample(np.zeros((3, 3), np.uint8), np.zeros((1, 1), np.uint8))
