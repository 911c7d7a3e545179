"""What is cut out of planes while they pass is what a sample of the whole stack takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from support.same import assert_same

import zfuse
from zfuse.pipeline._gather import Gathered
from zfuse.pipeline.core import Sample


def _whole(z: int) -> np.ndarray:
    raise AssertionError(f"all of plane {z} was asked for")


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 420), st.integers(1, 420)),
    data=st.data(),
)
def test_the_sample_is_that_of_the_whole_stack(
    size: tuple[int, int, int, int], data: st.DataObject
) -> None:
    channels, planes, height, width = size
    stack = np.random.default_rng(0).integers(0, 9999, size).astype(np.uint16)
    gathered = Gathered(zfuse.from_array(stack[:, :1]))
    z = 0
    while z < planes:
        n = data.draw(st.integers(1, planes - z))
        gathered.take(np.ascontiguousarray(stack[:, z : z + n].swapaxes(0, 1)))
        z += n
    assert not gathered.read
    for c in (None, *range(channels)):
        live, offline = Sample(gathered.stack(_whole)), Sample(zfuse.from_array(stack))
        if c is not None:
            live, offline = live.only(c), offline.only(c)
        assert_same(live.patches, offline.patches)
        assert_same(live.columns, offline.columns)
        assert live.stack.shape == offline.stack.shape
    assert gathered.read
    if height > 300 and width > 300:  # small enough that patches reach everywhere
        with pytest.raises(AssertionError, match=f"all of plane {planes // 2} was"):
            Sample(gathered.stack(_whole)).field  # noqa: B018
