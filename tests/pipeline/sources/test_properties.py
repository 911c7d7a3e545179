"""Any axes order, shape, chunking and dtype: a window of the reader is a slice of the array."""

from __future__ import annotations

from typing import Any

import numpy as np
import zarr
from hypothesis import HealthCheck, given, settings, strategies as st

from zfuse.pipeline.sources import from_array

DTYPES = ["|u1", "<u2", ">u2", "<i4", "<f4", ">f8", "|b1"]


@st.composite
def arrays(draw: Any) -> tuple[Any, str]:
    extra = draw(st.sets(st.sampled_from("tc")))
    axes = "".join(draw(st.permutations([*"zyx", *sorted(extra)])))
    shape = tuple(draw(st.integers(1, 9)) for _ in axes)
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 3, shape)
    pixels = values.astype(draw(st.sampled_from(DTYPES)))
    chunks = tuple(draw(st.integers(1, n)) for n in shape)
    kind = draw(st.sampled_from(["numpy", "v2", "v3", "sharded"]))
    if kind == "numpy":
        return pixels, axes
    array = zarr.create_array(
        zarr.storage.MemoryStore(),
        shape=shape,
        dtype=pixels.dtype,
        chunks=chunks,
        shards=tuple(2 * n for n in chunks) if kind == "sharded" else None,
        zarr_format=2 if kind == "v2" else 3,
        compressors=None,
        config={"write_empty_chunks": True},
    )
    array[...] = pixels
    return array, axes


@given(arrays(), st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_windows_equal_slices(made: tuple[Any, str], data: Any) -> None:
    array, axes = made
    reader = from_array(array, axes=axes).reader
    here = [letter for letter in "tczyx" if letter in axes]
    truth = np.asarray(array[...]).transpose([axes.index(letter) for letter in here])
    absent = tuple(i for i, letter in enumerate("tczyx") if letter not in axes)
    truth = np.expand_dims(truth, absent)
    assert reader.shape == truth.shape
    t = data.draw(st.integers(0, truth.shape[0] - 1))
    cuts = []
    for length in truth.shape[2:]:
        start = data.draw(st.integers(0, length))
        cuts.append(slice(start, data.draw(st.integers(start, length))))
    got = reader.read(t, *cuts)
    assert got.dtype == reader.dtype
    assert got.dtype.isnative
    np.testing.assert_array_equal(got, truth[t][:, *cuts].swapaxes(0, 1))
