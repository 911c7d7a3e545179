"""A stack in a person's hands: closed by `with`, read as arrays, and what it says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from support.runs import TCZYX, write_image

import zfuse

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("axes", ["zyx", "czyx", "tzyx", "tczyx", "yxzc"])
def test_arrays_have_the_axes_that_the_source_has(tmp_path: Path, axes: str) -> None:
    index = tuple(slice(None) if a in axes else 0 for a in "tczyx")
    canonical = [a for a in "tczyx" if a in axes]
    truth = TCZYX[index]
    write_image(tmp_path / "in.zarr", truth.transpose([canonical.index(a) for a in axes]), axes)
    with zfuse.open(tmp_path / "in.zarr") as stack:
        np.testing.assert_array_equal(np.asarray(stack), truth)
        assert np.asarray(stack, np.float32).dtype == np.float32
        assert stack.dask.shape == truth.shape
        assert stack.dask.dtype == truth.dtype
        np.testing.assert_array_equal(stack.dask.compute(), truth)
        np.testing.assert_array_equal(
            stack.dask[..., 3:90:7, 150].compute(), truth[..., 3:90:7, 150]
        )
    with pytest.raises(ValueError, match="closed"):
        np.asarray(stack)


def test_a_dask_array_reads_when_it_is_computed_and_only_what_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = np.random.default_rng(0).integers(0, 99, (2, 7, 40, 50)).astype(np.uint8)
    stack = zfuse.from_array(pixels)
    reads: list[Any] = []
    fill = type(stack.reader).fill

    def counted(self: Any, t: int, z: slice, *more: Any) -> None:
        reads.append(z)
        fill(self, t, z, *more)

    monkeypatch.setattr(type(stack.reader), "fill", counted)
    lazy = stack.dask
    assert lazy.chunks == ((2,), (1,) * 7, (40,), (50,))
    assert reads == []
    np.testing.assert_array_equal(lazy[:, 4].compute(), pixels[:, 4])
    assert reads == [slice(4, 5)]


@pytest.mark.parametrize(
    ("size", "chunk", "expected"),
    [
        ((4, 300, 200), (2, 64, 64), ((2, 2), (300,), (200,))),  # planes: chunks are small
        ((4, 9000, 9000), (1, 1000, 1000), (1, 1000)),  # whole chunks of the file in each
    ],
)
def test_chunks_are_planes_or_chunks_of_the_file(
    size: tuple[int, ...], chunk: tuple[int, ...], expected: Any
) -> None:
    import dask.array as da

    lazy = zfuse.from_array(da.zeros(size, chunks=chunk, dtype=np.uint16)).dask
    if len(expected) == 3:
        assert lazy.chunks == expected
        return
    z, edge = expected
    assert set(lazy.chunks[0]) == {z}
    for lengths in lazy.chunks[1:]:
        assert all(n % edge == 0 for n in lengths)
        assert max(lengths) < 9000
    assert lazy[:, :3, :3].compute().shape == (4, 3, 3)


def test_a_view_of_what_is_not_in_memory_is_refused() -> None:
    stack = zfuse.from_array(np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(ValueError, match="copy=False cannot be kept"):
        stack.__array__(copy=False)


def test_what_it_says_of_itself(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", TCZYX)
    with zfuse.open(tmp_path / "in.zarr") as stack:
        assert repr(stack) == (
            "<zfuse.Stack 'in.zarr': t 2, c 2, z 5, y 150, x 200; uint16; z step 0.5 µm; "
            "pixels of 0.1 x 0.1 µm (x, y); channels 'channel 0', 'channel 1'>"
        )
    tifffile.imwrite(tmp_path / "in.tif", TCZYX[0, 0], metadata={"axes": "ZYX"})
    with zfuse.open(tmp_path / "in.tif") as stack:
        assert "z step unknown; pixel size unknown" in repr(stack)
