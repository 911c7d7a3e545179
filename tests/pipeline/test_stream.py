"""Planes as they come, by public names only: the same bits as the stack at once, in any order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from support.method_names import CLASSICAL
from support.same import assert_same

import zfuse

STACKS = {
    "u16": np.random.default_rng(0).integers(0, 4096, (6, 70, 90)).astype(np.uint16),
    "two channels": np.random.default_rng(1).integers(0, 250, (2, 5, 150, 60)).astype(np.uint8),
    "float": np.random.default_rng(2).random((4, 300, 40), np.float32),
}


@pytest.mark.parametrize("name", CLASSICAL)
@settings(deadline=None, max_examples=8, derandomize=True)
@given(kind=st.sampled_from(sorted(STACKS)), workers=st.integers(1, 3), data=st.data())
def test_any_order_of_arrival_equals_fuse(
    name: str, kind: str, workers: int, data: st.DataObject
) -> None:
    stack = STACKS[kind]
    planes = stack if stack.ndim == 3 else stack.swapaxes(0, 1)
    replay = data.draw(st.sampled_from([None, lambda: iter(planes)]))
    fold = zfuse.Fold(stack, name, workers=workers, replay=replay)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(planes)))) | {0, len(planes)})
    for start, stop in data.draw(st.permutations(list(pairwise(cuts)))):
        block = planes[start:stop].copy()
        fold.add(block if stop - start > 1 else block[0], start)
        block[...] = 0  # a camera uses its memory again
    assert_same(fold.finish(), zfuse.fuse(stack, name))


def test_one_channel_decides_and_a_stack_is_a_sample() -> None:
    planes = STACKS["two channels"]
    with zfuse.from_array(planes, channel_names=["a", "b"]) as stack:
        fold = zfuse.Fold(stack, channel="b")
        for z in range(planes.shape[1]):
            fold.add(planes[:, z], z)
        assert_same(fold.finish(), zfuse.fuse(stack, channel=1))
        with pytest.raises(zfuse.ZfuseError, match="no channel 'c'"):
            zfuse.Fold(stack, channel="c")


def test_the_sample_may_be_another_stack() -> None:
    """Of another size in z: what is measured on it is noise and limits, not the specimen."""
    planes = STACKS["u16"]
    fold = zfuse.Fold(planes[:2], "select")
    for z in range(len(planes)):
        fold.add(planes[z], z)
    image = fold.finish().image
    assert (image == planes).any(axis=0).all()


PLANE = np.zeros((8, 8), np.uint8)


@pytest.mark.parametrize(
    ("arrivals", "message"),
    [
        ([], "no plane came"),
        ([0, 2], r"plane 1 is missing: planes \[2\] wait"),
        ([0, 0], "plane 0 came twice"),
        ([1, 1], "plane 1 came twice"),
        ([1, 2, 3, 4], "4 planes wait for plane 0, which did not come; the limit is 3"),
        ([2**16], "plane 65536 came; method 'select' counts up to 65535: split the stack"),
    ],
)
def test_planes_that_cannot_be_ordered_are_refused(arrivals: list[int], message: str) -> None:
    fold = zfuse.Fold(np.zeros((3, 8, 8), np.uint8), "select", limit=3)
    with pytest.raises(zfuse.ZfuseError, match=message):  # noqa: PT012 - any of them may refuse
        for z in arrivals:
            fold.add(PLANE, z)
        fold.finish()


@pytest.mark.parametrize(
    ("plane", "message"),
    [
        (np.zeros((8, 9), np.uint8), r"plane 0 is uint8 \(8, 9\), those of the sample are uint8"),
        (np.zeros((8, 8), np.int16), r"plane 0 is int16 \(8, 8\), those of the sample are uint8"),
    ],
)
def test_another_kind_of_plane_is_refused(plane: Any, message: str) -> None:
    with pytest.raises(zfuse.ZfuseError, match=message):
        zfuse.Fold(np.zeros((3, 8, 8), np.uint8), "select").add(plane, 0)


def test_a_replay_of_other_planes_is_refused() -> None:
    planes = STACKS["u16"]
    fold = zfuse.Fold(planes, replay=lambda: planes[:4])
    fold.add(planes, 0)
    with pytest.raises(zfuse.ZfuseError, match="replay gave 4 planes, but 6 had come"):
        fold.finish()


def test_a_fold_is_for_one_stack() -> None:
    fold = zfuse.Fold(np.zeros((3, 8, 8), np.uint8), "select")
    fold.add(PLANE, 0)
    fold.finish()
    with pytest.raises(zfuse.ZfuseError, match="finished; begin another"):
        fold.add(PLANE, 1)
