"""Planes once more: from memory up to a budget, then replayed, in order and complete."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import zfuse
from zfuse.pipeline._kept import KeptPlanes


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    budget=st.none() | st.integers(0, 30), replayed=st.booleans(), copy=st.booleans(),
    data=st.data(),
)  # fmt: skip
def test_planes_are_given_once_more(
    budget: int | None, replayed: bool, copy: bool, data: st.DataObject
) -> None:
    """One after another stack; never more bytes are kept than may be."""
    asked: list[int] = []

    def replay(z: int) -> np.ndarray:
        asked.append(z)
        return stack[z:]

    kept = KeptPlanes(budget, replay if replayed else None, lambda p, z: p[np.newaxis])
    for planes in data.draw(st.lists(st.integers(1, 25), min_size=1, max_size=3)):
        stack = np.arange(planes, dtype=np.uint8).reshape(planes, 1, 1, 1)
        z = 0
        while z < planes:
            n = data.draw(st.integers(1, planes - z))
            block = stack[z : z + n].copy()
            kept.take(block, copy=copy)
            if copy:
                block[:] = 255
            z += n
        fits = budget is None or planes <= budget
        assert kept.whole == (fits or replayed)
        if kept.whole:
            blocks = list(kept.again("why"))
            assert np.concatenate([b for b, _ in blocks]).ravel().tolist() == list(range(planes))
            assert all(block[0].item() == z for block, z in blocks)
            assert asked == ([] if fits else [budget])
            assert kept.plane(planes - 1).ravel().tolist() == [planes - 1]
        else:
            with pytest.raises(zfuse.ZfuseError, match=f"hold the {planes} planes that came"):
                list(kept.again("why"))
        asked.clear()
        kept.clear()
