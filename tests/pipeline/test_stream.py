"""Planes as they come, by public names only: the same bits as the stack at once, in any order."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from support.method_names import CLASSICAL
from support.same import assert_same

import zfuse


def _counts(seed: int, most: int, *shape: int) -> Any:
    return np.random.default_rng(seed).integers(0, most, shape)


def _with_holes(stack: Any) -> Any:
    """Return float32 with pixels that are unknown in one plane or in all."""
    stack = stack.astype(np.float32)
    stack[1, 20:26, 10:50] = np.nan
    stack[:, 3, 5] = np.nan
    stack[2, 30, 30] = np.inf
    return stack


# (Z, Y, X) or (Z, C, Y, X), and what else `Fold` is told. Twice the size of a sample's patches and
# smaller; 12 bits of 16 that are clipped in one stack of a series and not in the next.
STACKS: dict[str, tuple[Any, dict[str, Any]]] = {
    "u16": (_counts(0, 4096, 6, 70, 90).astype(np.uint16), {}),
    "larger": (_counts(3, 4096, 3, 210, 200).astype(np.uint16), {}),
    "clipped": ((_counts(4, 5000, 5, 70, 90).clip(0, 4095)).astype(np.uint16), {}),
    "i16": (_counts(5, 2000, 4, 64, 80).astype(np.int16) - 900, {}),
    "holes": (_with_holes(_counts(6, 4096, 5, 60, 70)), {}),
    "volts": (np.random.default_rng(2).random((4, 300, 40), np.float32), {}),
    "blank": (np.zeros((3, 300, 280), np.float32), {}),
    "each": (_counts(1, 250, 5, 2, 150, 60).astype(np.uint8), {}),
    "together": (_counts(7, 250, 5, 2, 40, 60).astype(np.uint16), {"channel": "together"}),
    "named": (_counts(8, 4000, 4, 2, 40, 60).astype(np.int16), {"channel": 1}),
    "rgb": (_counts(9, 256, 4, 3, 50, 64).astype(np.uint8), {"rgb": True}),
    "one plane": (_counts(10, 256, 1, 50, 64).astype(np.uint8), {}),
}


@cache
def _fused(kind: str, name: str) -> zfuse.Fused:
    planes, told = STACKS[kind]
    array = planes if planes.ndim == 3 else planes.swapaxes(0, 1)
    stack = zfuse.from_array(array, rgb=told.get("rgb", False))
    return zfuse.fuse(stack, name, channel=told.get("channel", "each"))


def _feed(fold: zfuse.Fold, planes: Any, data: st.DataObject) -> None:
    """Let planes come in any order, some of them several at a time."""
    cuts = sorted(data.draw(st.sets(st.integers(1, len(planes)))) | {0, len(planes)})
    borrowed = data.draw(st.booleans())
    for start, stop in data.draw(st.permutations(list(pairwise(cuts)))):
        block = planes[start:stop].copy()
        # Without a sample the first array tells channels from planes by its axes.
        if stop - start > 1 and planes.ndim == 3:
            for i, plane in enumerate(block, start):
                fold.add(plane, i, copy=not borrowed)
        else:
            fold.add(block if stop - start > 1 else block[0], start, copy=not borrowed)
        if not borrowed:
            block[...] = 0  # a camera uses its memory again


@pytest.mark.parametrize("name", CLASSICAL)
@settings(deadline=None, max_examples=12, derandomize=True)
@given(kind=st.sampled_from(sorted(STACKS)), workers=st.integers(1, 3), data=st.data())
def test_any_order_of_arrival_equals_fuse(
    name: str, kind: str, workers: int, data: st.DataObject
) -> None:
    """Also after another stack, whose calibration is not that of this one."""
    planes, told = STACKS[kind]
    keep = data.draw(st.sampled_from([None, 0, 2 * planes[0].nbytes]))
    replay = data.draw(st.sampled_from([None, lambda z: iter(planes[z:])]))
    if keep is not None and replay is None:
        keep = None
    fold = zfuse.Fold(None, name, workers=workers, keep=keep, replay=replay, **told)
    darker = (planes * 0.4).astype(planes.dtype)
    for other in data.draw(st.lists(st.sampled_from([darker, planes[:1]]), max_size=3)):
        for z, plane in enumerate(other):
            fold.add(plane, z)
        if replay is None and data.draw(st.booleans()):
            fold.finish()
        fold.restart()
    _feed(fold, planes, data)
    assert_same(fold.finish(), _fused(kind, name))


@pytest.mark.parametrize("name", CLASSICAL)
@settings(deadline=None, max_examples=4, derandomize=True)
@given(kind=st.sampled_from(["u16", "each", "volts"]), data=st.data())
def test_a_stack_may_be_its_own_sample(name: str, kind: str, data: st.DataObject) -> None:
    planes, _ = STACKS[kind]
    fold = zfuse.Fold(planes if planes.ndim == 3 else planes.swapaxes(0, 1), name)
    for _ in range(2):
        _feed(fold, planes, data)
        assert_same(fold.finish(), _fused(kind, name))
        fold.restart()


@pytest.mark.parametrize("name", ["select", "adaptive"])
def test_results_are_not_touched_by_the_next_stack(name: str) -> None:
    """Nor by planes that come while it is looked at; a stack that was given up leaves no trace."""
    planes, _ = STACKS["u16"]
    fold = zfuse.Fold(method=name)
    results = []
    for stack in (planes, planes[::-1]):
        for z, plane in enumerate(stack):
            fold.add(plane, z)
        results.append(fold.finish())
        fold.restart()
        fold.add(planes[3], 0)
        fold.restart()
    assert_same(results[0], _fused("u16", name))
    assert_same(results[1], zfuse.fuse(planes[::-1], name))


def test_what_calibration_does_not_change_is_folded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the time after the last plane is that of the whole stack."""
    from zfuse.pipeline.methods import make_method

    seen: list[int] = []
    for name, dtype, times in (
        ("select", np.uint16, 1), ("adaptive", np.uint16, 2), ("laplacian", np.uint16, 2)
    ):  # fmt: skip
        method = type(make_method(name))
        plain = method.add
        planes = STACKS["u16"][0].astype(dtype)

        def counted(self: Any, state: Any, block: Any, z: int, plain: Any = plain) -> None:
            if block.shape[2:] == (70, 90):  # the kernels are warmed up with smaller ones
                seen.append(len(block))
            plain(self, state, block, z)

        monkeypatch.setattr(method, "add", counted)
        fold = zfuse.Fold(method=name, workers=1)
        for stack in (planes, planes // 2):  # the second begins with the calibration of the first
            seen.clear()
            for z, plane in enumerate(stack):
                fold.add(plane, z)
            fold.finish()
            assert sum(seen) == times * len(planes), name
            fold.restart()
        monkeypatch.undo()


def test_one_channel_decides_and_a_stack_is_a_sample() -> None:
    planes = STACKS["each"][0].swapaxes(0, 1)
    with zfuse.from_array(planes, channel_names=["a", "b"]) as stack:
        fold = zfuse.Fold(stack, channel="b")
        for z in range(planes.shape[1]):
            fold.add(planes[:, z], z)
        assert_same(fold.finish(), zfuse.fuse(stack, channel=1))
        with pytest.raises(zfuse.ZfuseError, match="no channel 'c'"):
            zfuse.Fold(stack, channel="c")


def test_the_sample_may_be_another_stack() -> None:
    """Of another size in z: what is measured on it is noise and limits, not the specimen."""
    planes, _ = STACKS["u16"]
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
        (np.zeros((8, 9), np.uint8), r"plane 0 is uint8 \(8, 9\), those before it are uint8"),
        (np.zeros((8, 8), np.int16), r"plane 0 is int16 \(8, 8\), those before it are uint8"),
    ],
)
def test_another_kind_of_plane_is_refused(plane: Any, message: str) -> None:
    with pytest.raises(zfuse.ZfuseError, match=message):
        zfuse.Fold(np.zeros((3, 8, 8), np.uint8), "select").add(plane, 0)


def test_a_replay_of_other_planes_is_refused() -> None:
    planes, _ = STACKS["u16"]
    fold = zfuse.Fold(method="adaptive", replay=lambda z: planes[z:4])
    for z, plane in enumerate(planes):
        fold.add(plane, z)
    with pytest.raises(zfuse.ZfuseError, match="replay gave 4 planes, but 6 had come"):
        fold.finish()


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        ("adaptive", np.uint16, "method 'adaptive' takes all planes 2 times, but keep=30000 bytes"),
        ("laplacian", np.float32, "folded once more, calibrated on all, but keep=30000 bytes do"),
    ],
)
def test_planes_that_were_not_kept_are_missed(name: str, dtype: Any, message: str) -> None:
    planes = STACKS["u16"][0].astype(dtype)
    fold = zfuse.Fold(method=name, keep=30_000)
    for z, plane in enumerate(planes):
        fold.add(plane, z)
    with pytest.raises(zfuse.ZfuseError, match=message):
        fold.finish()
    with pytest.raises(zfuse.ZfuseError, match="restart"):  # half of it was folded again
        fold.finish()
    fold.restart()
    fold.add(planes[0], 0)
    assert_same(fold.finish(), zfuse.fuse(planes[:1], name))


def test_a_fold_takes_one_stack_after_the_other() -> None:
    fold = zfuse.Fold()
    fold.restart()
    fold.add(PLANE, 0)
    fold.finish()
    for late in (lambda: fold.add(PLANE, 1), fold.finish):
        with pytest.raises(zfuse.ZfuseError, match=r"finished: restart\(\) the fold"):
            late()
    fold.restart()
    with pytest.raises(zfuse.ZfuseError, match="no plane came"):
        fold.finish()


@pytest.mark.parametrize(
    ("plane", "told", "message"),
    [
        (np.zeros(8, np.uint8), {}, "the first plane has 1 axes: give"),
        (np.zeros((2, 8, 8), np.uint8), {"rgb": True}, r"rgb=True, but .* has 2 channel"),
        (np.zeros((2, 8, 8), np.uint8), {"channel": "DAPI"}, "no channel 'DAPI'"),
        (np.zeros((8, 8), np.complex64), {}, "take the magnitude"),
    ],
)
def test_a_first_plane_that_is_none_is_refused(
    plane: Any, told: dict[str, Any], message: str
) -> None:
    with pytest.raises(zfuse.ZfuseError, match=message):
        zfuse.Fold(**told).add(plane, 0)


def test_masks_and_planes_of_another_byte_order() -> None:
    planes, _ = STACKS["u16"]
    for stack in (planes > 2000, planes.astype(">u2")):
        fold = zfuse.Fold()
        for z, plane in enumerate(stack):
            fold.add(plane, z)
        assert_same(fold.finish(), zfuse.fuse(stack))
