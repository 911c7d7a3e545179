"""Networks as folds: tiles agree, any stack has an answer, and what they may use is bounded."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from scipy.ndimage import gaussian_filter
from support.method_names import NETWORKS
from support.same import assert_same
from typer.testing import CliRunner

import zfuse
from zfuse import engines
from zfuse.errors import ZfuseError
from zfuse.pipeline import make_job
from zfuse.pipeline._plan import plan_tiles
from zfuse.pipeline.cli._app import app
from zfuse.pipeline.core._region import Region
from zfuse.pipeline.core._sample import Sample
from zfuse.pipeline.core._signal import Signal
from zfuse.pipeline.methods import make_method
from zfuse.pipeline.methods._umis import Umis
from zfuse.pipeline.methods.parts._value_range import ChannelRange, DecisionRange
from zfuse.pipeline.sources import from_array

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from zfuse.pipeline.core._fused import Fused

every_network = pytest.mark.parametrize("name", NETWORKS)
every_pairwise = pytest.mark.parametrize("name", ["fusion2void", "fusionnet", "rpsnn"])


def scene(
    planes: int = 3, shape: tuple[int, int] = (48, 64), dtype: str = "u2", *, seed: int = 0
) -> Any:
    """Texture of all scales on a slope through the planes, (Z, Y, X), with a little noise."""
    rng = np.random.default_rng(seed)
    texture = sum(s * gaussian_filter(rng.random(shape), s, mode="wrap") for s in (0.6, 1.5, 4))
    texture = (texture - texture.min()) / max(np.ptp(texture), 1e-9)
    blurs = np.stack([gaussian_filter(texture, s) for s in (0, 0.8, 1.6, 3.2)])
    focus = np.linspace(0, planes - 1, shape[1])
    away = np.abs(np.arange(planes)[:, None] - focus).round().clip(0, 3).astype(int)
    rows, columns = np.indices(shape)
    stack = np.stack([blurs[level[None], rows, columns] for level in away])
    top = 250 if dtype in ("u1", "i1") else 3000
    stack = top * (0.1 + 0.8 * stack) + rng.normal(0, top / 500, stack.shape)
    return stack.round().clip(0, top).astype(dtype) if dtype[0] in "ui" else stack.astype(dtype)


def rgb(stack: Any) -> Any:
    """Return a (C, Z, Y, X) array as a stack of colour images."""
    return replace(from_array(stack), rgb=True)


def agrees(one: Any, other: Any, grey: float) -> bool:
    """At most one grey level apart on 99.9 % of the pixels."""
    apart = np.abs(one.astype(np.float64) - other.astype(np.float64))
    return bool((apart <= grey).mean() >= 0.999)


def folded(name: str, stack: Any, blocks: list[int]) -> Fused:
    """Fold the planes in blocks of these lengths."""
    opened = from_array(stack)
    planes = np.ascontiguousarray(np.moveaxis(np.atleast_3d(stack)[None], 0, 1))
    method = make_method(name)
    calibration = method.calibrate(Sample(opened))
    state = method.start(Region.whole(*planes.shape[2:]), 1, opened.dtype, calibration)
    for turn in range(method.passes):
        if turn:
            state = method.next_pass(state)
        z = 0
        for length in blocks:
            method.add(state, planes[z : z + length], z)
            z += length
    return method.finish(state)


# Tiles ----------------------------------------------------------------------------------------


@every_network
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_tiles_agree_with_the_whole_image(name: str, dtype: str) -> None:
    planes = scene(3, (48, 640), dtype)
    method = make_method(name)
    assert 128 + 2 * method.halo < 640  # or tiles would see the whole image
    exact = {"name": name, "precision": "fp32"}
    whole, tiled = zfuse.fuse(planes, exact), zfuse.fuse(planes, exact, tile=128)
    assert agrees(tiled.image, whole.image, np.ptp(planes.astype(float)) / 255)
    assert agrees(tiled.depth, whole.depth, 0.1)
    assert agrees(tiled.confidence, whole.confidence, 0.02)
    # As it is used, perhaps in bfloat16: a rounding more or less is one of 255 grey levels.
    whole, tiled = zfuse.fuse(planes, name), zfuse.fuse(planes, name, tile=128)
    assert agrees(tiled.image, whole.image, max(1.0, np.ptp(planes.astype(float)) / 255))
    assert agrees(tiled.depth, whole.depth, 0.1)
    assert agrees(tiled.confidence, whole.confidence, 0.02)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_small_tiles_of_pdmnet_change_a_count_at_most(dtype: str) -> None:
    """Noise of full range, where what lies beyond the halo shows most; as docs/methods.md says."""
    top = np.iinfo(dtype).max
    planes = np.random.default_rng(0).integers(0, top, (5, 200, 264)).astype(dtype)
    whole, tiled = zfuse.fuse(planes, "pdmnet"), zfuse.fuse(planes, "pdmnet", tile=64)
    apart = np.abs(whole.image.astype(int) - tiled.image)
    assert apart.max() <= (dtype == "u2")
    assert (apart > 0).mean() < 0.005
    np.testing.assert_allclose(tiled.depth, whole.depth, atol=1e-4)
    # Made of how rough the depth is: 1e-4 planes are up to 3.4e-4 of it.
    np.testing.assert_allclose(tiled.confidence, whole.confidence, atol=1e-3)


@every_network
@pytest.mark.parametrize("blocks", [[1, 1, 1, 1, 1], [2, 3], [4, 1]])
def test_blocks_do_not_change_a_bit(name: str, blocks: list[int]) -> None:
    planes = scene(5, (40, 56))
    assert_same(folded(name, planes, blocks), folded(name, planes, [5]))


@pytest.mark.parametrize("name", ["pdmnet", "umis"])
def test_planes_may_go_through_the_network_together(name: str) -> None:
    planes = scene(5, (40, 56))
    one, other = zfuse.fuse(planes, name), zfuse.fuse(planes, {"name": name, "batch": 4})
    assert agrees(one.image, other.image, np.ptp(planes) / 2550)
    assert agrees(one.depth, other.depth, 0.01)


@every_network
def test_the_order_of_arrival_does_not_change_a_bit(name: str) -> None:
    planes = scene(5, (40, 56))
    whole = folded(name, planes, [5])
    for fold in (zfuse.Fold(planes, name), zfuse.Fold(method=name)):  # also calibrated at the end
        for z in (3, 0, 4, 1, 2):
            fold.add(planes[z], z)
        assert_same(fold.finish(), replace(whole, image=whole.image[0]))


# Any stack ------------------------------------------------------------------------------------


@every_network
@pytest.mark.parametrize(
    "shape", [(2, 1, 1), (2, 1, 9), (3, 5, 7), (2, 17, 33), (4, 61, 47), (200, 12, 20)]
)
def test_any_size_has_an_answer(name: str, shape: tuple[int, int, int]) -> None:
    planes = scene(shape[0], shape[1:])
    fused = zfuse.fuse(planes, name)
    assert fused.image.shape == fused.depth.shape == fused.confidence.shape == shape[1:]
    assert fused.image.dtype == planes.dtype
    low, high = planes.min(), planes.max()
    assert (fused.image >= low - 0.1 * high).all()
    assert (fused.image <= 1.1 * high).all()
    assert ((fused.depth >= 0) & (fused.depth <= shape[0] - 1)).all()
    assert ((fused.confidence >= 0) & (fused.confidence <= 1)).all()


@every_network
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_one_plane_is_returned_as_it_is(name: str, dtype: str) -> None:
    plane = scene(1, (33, 41), dtype)
    fused = zfuse.fuse(plane, name)
    np.testing.assert_array_equal(fused.image, plane[0])
    assert not fused.depth.any()
    assert not fused.confidence.any()


@every_network
def test_the_picture_does_not_depend_on_the_dtype(name: str) -> None:
    planes = scene(3, (48, 64), "u2")
    one, other = zfuse.fuse(planes, name), zfuse.fuse(planes.astype("f4"), name)
    assert agrees(one.image, other.image, 1)
    assert agrees(one.depth, other.depth, 0.1)


@every_network
def test_grey_is_a_colour_image_whose_colours_are_averaged(name: str) -> None:
    grey = scene(2, (48, 64), "f4")
    settings = {"name": name}
    if make_method(name).family == "pairwise":
        settings["clamp"] = False  # which holds each colour by itself
    fused = zfuse.fuse(rgb(np.stack([grey] * 3)), settings)
    alone = zfuse.fuse(grey, settings)
    np.testing.assert_allclose(fused.image.mean(0), alone.image, atol=np.ptp(grey) / 1000)
    assert agrees(fused.depth, alone.depth, 0.1)


@every_network
def test_channels_keep_their_own_range(name: str) -> None:
    bright, dark = scene(3, (48, 64)), scene(3, (48, 64), seed=1) // 16
    fused = zfuse.fuse(np.stack([bright, dark]), name)
    alone = zfuse.fuse(bright, name)
    assert fused.image.shape == (2, 48, 64)
    assert fused.image[1].max() <= dark.max() * 1.1
    if make_method(name).family == "pairwise":  # they decide for each channel
        assert agrees(fused.image[0], alone.image, 1)


@every_network
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_holes_do_not_spread(name: str, bad: float) -> None:
    planes = scene(4, (48, 64), "f4")
    planes[1, 10:20, 10:20] = bad
    planes[:, 30, 40] = bad
    fused = zfuse.fuse(planes, name)
    nowhere = np.zeros((48, 64), bool)
    nowhere[30, 40] = True
    assert np.array_equal(~np.isfinite(fused.image), nowhere)
    assert np.isfinite(fused.depth).all()
    assert np.isfinite(fused.confidence).all()
    assert fused.confidence[30, 40] == 0


@every_network
def test_better_than_any_single_plane(name: str) -> None:
    planes = scene(3, (96, 144))
    truth = scene(1, (96, 144))[0].astype(float)  # one plane is sharp all over
    fused = zfuse.fuse(planes, name)
    errors = [np.square(p - truth).mean() for p in (fused.image, *planes.astype(float))]
    assert errors[0] < 0.5 * min(errors[1:])


# The range of values --------------------------------------------------------------------------


def limits_of(stack: Any) -> ChannelRange:
    return ChannelRange.calibrate(Sample(stack))


def test_8_bit_pixels_are_scaled_by_their_range_others_by_robust_limits() -> None:
    assert limits_of(from_array(scene(dtype="u1"))) == ChannelRange((0.0,), (255.0,))
    assert limits_of(from_array(scene(dtype="u1").astype("i1"))) == ChannelRange(
        (-128.0,), (255.0,)
    )
    planes = scene()
    planes[0, 3, 3] = 65535  # a hot pixel
    (low,), (span,) = (getattr(limits_of(from_array(planes)), part) for part in ("low", "span"))
    assert low <= planes.min()
    assert planes[1:].max() <= low + span < 4000
    blank = limits_of(from_array(np.full((2, 20, 20), 7, "u2")))
    assert blank == ChannelRange((7.0,), (1.75,))
    planes = np.full((2, 40, 40), 7, "u2")
    planes[0, 9, 9] = 900  # a spot too small for the percentiles
    (low,), (span,) = (getattr(limits_of(from_array(planes)), part) for part in ("low", "span"))
    assert low < 7 < 900 < low + span
    assert limits_of(from_array(np.full((2, 20, 20), np.nan, "f4"))) == ChannelRange((0.0,), (1.0,))


def test_colours_share_their_limits_channels_do_not() -> None:
    stack = np.stack([scene(), scene() // 2, scene() // 4])
    assert len(set(limits_of(rgb(stack)).span)) == 1
    assert len(set(limits_of(from_array(stack)).span)) == 3


def test_scaling_is_undone() -> None:
    limits = ChannelRange((100.0, 0.0), (50.0, 7.0))
    planes = np.random.default_rng(0).normal(size=(2, 9, 9)).astype("f4")
    np.testing.assert_allclose(limits.restore(limits.scale(planes.copy())), planes, atol=1e-4)


def test_the_decision_signal_of_8_bit_colours_is_luma_in_0_to_1() -> None:
    sample = Sample(rgb(np.stack([scene(dtype="u1")] * 3)))
    decision = DecisionRange.calibrate(sample, Signal.calibrate(sample))
    np.testing.assert_allclose(decision.weights, (0.299, 0.587, 0.114), rtol=1e-5)
    white = np.full((3, 4, 5), 255, np.float32)
    np.testing.assert_allclose(decision.signal(white), 1, rtol=1e-5)


# Pairs ----------------------------------------------------------------------------------------


class Rule:
    """Stands for a pairwise network where the fold around it is looked at."""

    inputs = dict.fromkeys(("first", "second"), ("batch", 3, "height", "width"))

    def __init__(self, rule: Callable[[Any, Any], Any]) -> None:
        self.rule, self.calls = rule, 0

    def __call__(self, arrays: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        assert all(0 <= a.min() and a.max() <= 1 for a in arrays.values())
        return {"fused": self.rule(arrays["first"], arrays["second"]).astype(np.float32)}


def ruled(monkeypatch: pytest.MonkeyPatch, rule: Callable[[Any, Any], Any]) -> Rule:
    runner = Rule(rule)
    monkeypatch.setattr(engines, "session", lambda *_, **__: runner)
    return runner


@pytest.mark.parametrize("order", ["cascade", "tree"])
@pytest.mark.parametrize("planes", [2, 3, 7, 8, 13])
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_every_plane_is_fused_once(
    order: str, planes: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = scene(planes, (20, 24), dtype)
    stack[planes // 2, 5, 5] = 60000  # far beyond the robust limits: cut off, and given back
    runner = ruled(monkeypatch, np.maximum)
    fused = zfuse.fuse(stack, {"name": "fusionnet", "order": order})
    assert runner.calls == planes - 1
    np.testing.assert_allclose(fused.image, stack.max(0), rtol=1e-6)


@pytest.mark.parametrize(("order", "most"), [("cascade", 1), ("tree", 4)])
def test_images_that_wait_do_not_grow_with_the_planes(
    order: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ruled(monkeypatch, np.minimum)
    method = make_method({"name": "fusionnet", "order": order})
    stack = from_array(scene(13, (8, 8)))
    state = method.start(Region.whole(8, 8), 1, stack.dtype, method.calibrate(Sample(stack)))
    waiting = []
    for z in range(13):
        method.add(state, np.full((1, 1, 8, 8), z, "u2"), z)
        waiting.append(len(state._waiting))
    assert max(waiting) == (1 if order == "cascade" else 3)
    assert max(waiting) <= most


@every_pairwise
def test_no_value_comes_out_that_was_in_no_plane(name: str) -> None:
    planes = scene(4, (40, 48))
    fused = zfuse.fuse(planes, name).image
    assert ((fused >= planes.min(0)) & (fused <= planes.max(0))).all()


def test_a_clamp_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ruled(monkeypatch, lambda first, second: 0 * first + 0.5)
    planes = np.full((2, 8, 8), 9, "u1")
    assert (zfuse.fuse(planes, "fusionnet").image == 9).all()
    assert (zfuse.fuse(planes, {"name": "fusionnet", "clamp": False}).image == 128).all()


@every_pairwise
def test_pairs_know_no_depth_and_say_so(name: str) -> None:
    method = make_method(name)
    planes = scene(5, (64, 80))
    assert not method.knows_depth
    other = zfuse.fuse(planes, "gaussian")  # the same focus measure beside another picture
    assert_same(replace(zfuse.fuse(planes, name), image=other.image), other)


# UMIS -----------------------------------------------------------------------------------------


class Spy:
    """Keeps what a runner was asked."""

    def __init__(self, runner: Any) -> None:
        self.runner, self.inputs, self.asked = runner, runner.inputs, []

    def __call__(self, arrays: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(arrays)
        return self.runner(arrays)


def spied(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Spy], list[dict[str, Any]]]:
    """Return the runners that will be opened, by graph, and with which settings they were."""
    opened: dict[str, Spy] = {}
    settings: list[dict[str, Any]] = []
    session = engines.session

    def open_spy(graph: str, **how: Any) -> Spy:
        settings.append(how)
        return opened.setdefault(graph, Spy(session(graph, **how)))

    monkeypatch.setattr(engines, "session", open_spy)
    return opened, settings


def test_attention_is_measured_once_and_shared_by_all_tiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened, _ = spied(monkeypatch)
    planes = scene(3, (70, 140))
    zfuse.fuse(planes, "umis", tile=64)
    asked = opened["umis"].asked
    measured = [arrays for arrays in asked if arrays["measure"]]
    used = [arrays["attention"] for arrays in asked if not arrays["measure"]]
    assert len(measured) == 1
    assert len(used) == 3 * 6  # each plane of each tile
    assert all(np.array_equal(vector, used[0]) for vector in used)
    assert used[0].std() > 0


@pytest.mark.parametrize(
    ("image", "planes", "majority", "side"),
    [
        ((520, 520), 2, "auto", 27),  # as published: 26, made odd
        ((350, 500), 2, "auto", 17),
        ((4096, 4096), 2, "auto", 51),
        ((2048, 2048), 12, "auto", 17),
        ((512, 512), 24, "auto", 5),
        ((50, 50), 2, "auto", 5),
        ((512, 512), 2, 1, 1),
        ((512, 512), 24, 21, 21),
    ],
)
def test_the_vote_shrinks_with_the_number_of_planes(
    image: tuple[int, int], planes: int, majority: str | int, side: int
) -> None:
    method = Umis.model_validate({"majority": majority})
    assert 2 * method.vote_radius(image, planes) + 1 == side


def test_the_vote_takes_away_specks(monkeypatch: pytest.MonkeyPatch) -> None:
    planes = np.random.default_rng(0).normal(1000, 100, (4, 96, 96)).astype("u2")
    rough = zfuse.fuse(planes, {"name": "umis", "window": 1, "majority": 1})
    calm = zfuse.fuse(planes, {"name": "umis", "window": 1, "majority": 21})

    def borders(fused: Fused) -> float:
        return float((np.diff(np.rint(fused.depth), axis=0) != 0).mean())

    assert borders(calm) < 0.5 * borders(rough)
    overruled = np.rint(calm.depth) != np.rint(rough.depth)
    assert overruled.any()
    # Of noise a plane is a guess, overruled or not: within one of four planes are two guesses in 3.
    for part in (overruled, ~overruled):
        assert calm.confidence[part].mean() == pytest.approx(2 / 3, abs=0.1)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_soft_borders_mix_what_is_copied(dtype: str) -> None:
    """Against a slow reference: weights are the softened masks of the planes that are copied."""
    which = np.arange(4)[:, None, None]  # told by the value
    planes = (np.random.default_rng(0).integers(0, 60, (4, 60, 70)) * 4 + which).astype(dtype)
    copied = zfuse.fuse(planes, {"name": "umis", "feather": 0})
    soft = zfuse.fuse(planes, {"name": "umis", "feather": 1.5})
    assert (copied.image == planes).any(0).all()
    assert not (soft.image == planes).any(0).all()
    assert soft.image.dtype == dtype
    chosen = (copied.image % 4 == which).astype("f8")
    weights = gaussian_filter(chosen, (0, 1.5, 1.5), mode="nearest", truncate=3)
    off = np.abs(soft.image - (weights * planes).sum(0))
    assert off.max() < (0.01 if dtype == "f4" else 0.51)
    assert np.array_equal(copied.depth, soft.depth)
    assert np.array_equal(copied.confidence, soft.confidence)


def test_soft_borders_leave_out_holes() -> None:
    planes = scene(3, (64, 80)).astype("f4")
    planes[0, 10:30, 10:40] = np.nan
    planes[:, 50:54, 60:70] = np.nan
    soft = zfuse.fuse(planes, "umis").image
    assert np.array_equal(np.isnan(soft), np.isnan(planes).all(0))
    low, high = np.fmin.reduce(planes), np.fmax.reduce(planes)
    known = np.isfinite(soft)
    assert (soft[known] >= low[known] - 1e-2).all()
    assert (soft[known] <= high[known] + 1e-2).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"feather": 9}, "feather = 9: must be 8.0 or less"),
        ({"majority": 10}, "majority = 10: must be odd"),
        ({"majority": 53}, "majority = 53: must be odd, from 1 to 51"),
        ({"window": 30}, "window = 30: must be odd"),
        ({"runner": "tensorflow"}, "runner = 'tensorflow'"),
        ({"precision": "int8"}, "precision = 'int8'"),
    ],
)
def test_settings_that_are_wrong_are_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ZfuseError, match=message) as caught:
        make_method({"name": "umis", **settings})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["pdmnet", "umis"])
def test_200_planes_on_a_slope(name: str) -> None:
    planes = scene(200, (24, 400))
    focus = np.linspace(0, 199, 400)
    fused = zfuse.fuse(planes, name)
    assert np.median(np.abs(fused.depth - focus)) < 1
    truth = planes[focus.round().astype(int), :, np.arange(400)].T.astype(float)
    error = (fused.image - truth).std()
    assert error < 0.6 * (planes.mean(0) - truth).std()


# PDMNet ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "number", "calls"), [(1, "-one", 5), (2, "", 3)])
def test_pdmnet_sees_every_plane_once_a_pass_and_carries_what_it_was_given(
    batch: int, number: str, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, _ = spied(monkeypatch)
    planes = scene(5, (40, 56))
    zfuse.fuse(planes, {"name": "pdmnet", "batch": batch})
    survey, merge = opened["pdmnet-survey" + number], opened["pdmnet-merge" + number]
    assert len(survey.asked) == len(merge.asked) == calls
    assert len(opened["pdmnet-share"].asked) == len(opened["pdmnet-reconstruct"].asked) == 1
    assert [float(z) for arrays in merge.asked for z in arrays["z"]] == [0, 1, 2, 3, 4]
    for one, other in zip(survey.asked, merge.asked, strict=True):
        np.testing.assert_array_equal(one["signal"], other["signal"])
    for graph in (survey, merge):
        carried = [name for name in graph.inputs if f"{name}_out" in graph.runner.outputs]
        assert carried
        for name in carried:
            assert not graph.asked[0][name].any()  # no plane yet
            sizes = {arrays[name].nbytes for arrays in graph.asked}
            assert len(sizes) == 1  # however many planes


def test_pdmnet_knows_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, _ = spied(monkeypatch)
    rng = np.random.default_rng(0)
    level = np.broadcast_to(np.linspace(200, 3000, 160), (160, 160))
    planes = rng.poisson(level, (4, 160, 160)) + rng.normal(0, 12, (4, 160, 160))
    zfuse.fuse(planes.round().clip(0).astype("u2"), "pdmnet")
    asked = opened["pdmnet-survey-one"].asked[0]
    gain, floor = asked["noise"]
    limits = limits_of(from_array(planes.round().clip(0).astype("u2")))
    (low,), (span,) = limits.low, limits.span
    for value in (0.2, 0.8):  # in the middle of the range the model holds: x + 12² counts²
        truth = (value * span + low + 144) / span**2
        assert gain * value + floor == pytest.approx(truth, rel=0.25)


# What they may use ----------------------------------------------------------------------------


@every_network
@pytest.mark.parametrize("workers", [1, 3])
def test_one_call_at_a_time_has_all_threads_of_the_run(
    name: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, settings = spied(monkeypatch)
    planes = scene(2, (64, 300))
    job = make_job(from_array(planes), make_method(name), workers=workers, tile=64)
    assert (job.plan.strips, job.plan.in_flight) == (1, 1)
    zfuse.fuse(planes, name, workers=workers, tile=128)
    assert {how["threads"] for how in settings} == {workers}


@every_network
def test_threads_are_no_part_of_the_record(name: str) -> None:
    method = make_method(name).with_workers(7)
    assert method.threads == 7
    assert method.model_dump() == make_method(name).model_dump()
    assert make_method({"name": name, "threads": 2}).with_workers(7).threads == 2


@every_network
@pytest.mark.parametrize("memory", [10**9, 2 * 10**9, 8 * 10**9])
def test_tiles_are_as_large_as_the_memory_allows(name: str, memory: int) -> None:
    method, stack = make_method(name), from_array(np.zeros((2, 5000, 7000), "u2"))
    try:
        plan = plan_tiles(stack, method, memory=memory, workers=4)
    except ZfuseError as error:
        assert "is too little" in str(error)  # noqa: PT017 - either is right
        assert memory == 10**9
        return
    window = (plan.tile + 2 * method.halo) ** 2
    assert window * method.activation_bytes < memory
    assert plan.tile % 64 == 0
    larger = (plan.tile + 64 + 2 * method.halo) ** 2
    assert larger * method.state_bytes(1, 2) > 0.6 * memory - 3e8


def test_too_little_memory_is_one_line() -> None:
    with pytest.raises(ZfuseError, match=r"memory of 300MB is too little: .* Give at least") as e:
        zfuse.fuse(np.zeros((2, 4000, 4000), "u1"), "umis", memory=3 * 10**8)
    assert "\n" not in str(e.value)


# Where users meet them ------------------------------------------------------------------------


def run_cli(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


@pytest.mark.parametrize(
    ("method", "made"),
    [("umis", "copied"), ("select", "copied"), ("adaptive", "blended"), ("pdmnet", None)],
)
def test_quantitative_leaves_intensities_or_refuses(
    method: str, made: str | None, tmp_path: Path
) -> None:
    zarr.create_array(tmp_path / "in.zarr", data=scene(3, (70, 90)))
    output = tmp_path / "out.ome.zarr"
    done = run_cli(
        "fuse", str(tmp_path / "in.zarr"), str(output), "--method", method, "--quantitative"
    )
    if made is None:
        assert done.exit_code != 0
        assert "use adaptive, select or umis" in " ".join((done.stdout + done.stderr).split())
        assert not output.exists()
    else:
        assert done.exit_code == 0, done.stderr
        record = dict(zarr.open_group(output, mode="r").attrs)["zfuse"]
        assert record["pixels"] == made


@every_network
def test_the_command_line_fuses_and_records_what_was_done(name: str, tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "in.zarr", data=scene(3, (70, 90)))
    output = tmp_path / "out.ome.zarr"
    done = run_cli("fuse", str(tmp_path / "in.zarr"), str(output), "--method", name)
    assert done.exit_code == 0, done.stderr
    record = dict(zarr.open_group(output, mode="r").attrs)["zfuse"]
    method = make_method(name)
    assert record["method"]["name"] == name
    assert record["pixels"] == method.pixels
    knows = method.family != "pairwise"
    assert record["depth"] == ("of the method" if knows else "of a focus measure")
    said = f"method {name} decides no depth: the maps are a focus measure's"
    assert (said in " ".join((done.stdout + done.stderr).split())) == (not knows)


@every_network
def test_a_network_shows_its_scores_source_and_model_card(name: str) -> None:
    said = run_cli("methods", name).stdout
    scores = engines.card(name).scores
    assert f"SSIM {scores['mfi_whu_71_80_ssim']:.4f}" in said
    assert f"{scores['mfi_whu_71_80_psnr']:.1f} dB" in said
    assert engines.MODELS[name].source in said
    assert f"{name}.json" in said


@every_network
def test_missing_weights_are_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zarr.create_array(tmp_path / "in.zarr", data=scene(2, (30, 40)))
    for graph in engines.MODELS[name].graphs:
        if f"{graph}-one" in engines.MODELS[name].graphs:
            continue  # it takes several planes a call, which nobody asks for here
        monkeypatch.setattr("zfuse.engines.runners._session._SESSIONS", {})
        source = _weights(name)
        folder = tmp_path / graph
        folder.mkdir()
        for file in source.iterdir():
            if file.is_file() and file.stem != graph:
                (folder / file.name).write_bytes(file.read_bytes())
        (folder / f"{name}.json").write_bytes((source / f"{name}.json").read_bytes())
        with monkeypatch.context() as context:
            context.setenv("ZFUSE_WEIGHTS", str(folder))
            output = tmp_path / "out.ome.zarr"
            done = run_cli("fuse", str(tmp_path / "in.zarr"), str(output), "--method", name)
        assert done.exit_code == 1
        line = done.stderr.splitlines()[-1]
        assert line.startswith("error: ")
        assert f"{graph}.onnx" in line
        assert not output.exists()


def _weights(name: str) -> Path:
    from zfuse.engines import _cards

    return _cards._folder(name)


def test_networks_need_no_torch() -> None:
    code = (
        "import sys, numpy, zfuse\n"
        "planes = numpy.random.default_rng(0).integers(0, 255, (2, 32, 32), 'u1')\n"
        "for name in ('umis', 'pdmnet', 'fusionnet'): zfuse.fuse(planes, name)\n"
        "print([m for m in ('torch', 'onnx', 'tensorrt') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
