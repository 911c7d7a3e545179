"""One contract, and every runner that can serve here."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.engine_cases import GRAPHS, TOY, toy_in

from zfuse import engines
from zfuse.engines import RUNNERS
from zfuse.engines.export._parity import difference
from zfuse.engines.export._verify import random_inputs
from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zfuse.engines import Runner

CASES = [
    pytest.param(name, marks=[pytest.mark.slow] if name == "torch-compile" else [])
    for name in RUNNERS
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The toy network, where torch can export it; the shipped ones need nothing."""
    with toy_in(tmp_path_factory.mktemp("toy") / "weights"):
        yield


@pytest.fixture(scope="module", params=GRAPHS)
def graph(request: pytest.FixtureRequest) -> str:
    """A graph's name."""
    if request.param in TOY.graphs:
        request.getfixturevalue("weights")
    return str(request.param)


@pytest.fixture(scope="module", params=CASES)
def runner(request: pytest.FixtureRequest, graph: str) -> Iterator[Runner]:
    """The graph, opened by each runner."""
    reason = RUNNERS[request.param].is_incompatible()
    if reason:
        pytest.skip(f"{request.param}: {reason}")
    if request.param == "torch-compile" and graph != "toy":
        pytest.skip("compiles for minutes")
    with engines.load(graph, runner=request.param, threads=2).open() as opened:
        yield opened


@pytest.fixture(scope="module")
def truth(graph: str) -> Iterator[Runner]:
    """What all are compared with."""
    with engines.load(graph, runner="onnxruntime").open() as opened:
        yield opened


def multiple(runner: Runner) -> int:
    return engines.card(engines._models.model_of(runner.graph).name).multiple


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("tiles", [(1, 4), (4, 4), (3, 7)], ids=str)
def test_sizes_are_free_and_runners_agree(
    runner: Runner, truth: Runner, batch: int, tiles: tuple[int, int]
) -> None:
    inputs = random_inputs(runner.tensors, batch, 16 * multiple(runner), channels=2)
    inputs = cropped(runner, inputs, tiles)
    outputs = runner(inputs)
    assert outputs.keys() == runner.outputs.keys()
    lengths = engines._axes.measure(runner.inputs, {k: v.shape for k, v in inputs.items()})
    for name, axes in runner.outputs.items():
        assert outputs[name].shape == engines.shape_of(axes, lengths)
        assert outputs[name].dtype == np.float32
    assert difference(outputs, truth(inputs)) < 1e-3


def cropped(runner: Runner, inputs: dict[str, np.ndarray], tiles: tuple[int, int]) -> dict:
    """Another height than width."""
    unit = multiple(runner)
    lengths = engines._axes.measure(runner.inputs, {k: v.shape for k, v in inputs.items()})
    lengths |= {"height": tiles[0] * unit, "width": tiles[1] * unit}
    return {
        name: inputs[name][tuple(slice(n) for n in engines.shape_of(axes, lengths))]
        for name, axes in runner.inputs.items()
    }


def test_calls_at_the_same_time_do_not_mix(runner: Runner, truth: Runner) -> None:
    calls = [
        random_inputs(runner.tensors, 1 + i % 2, (2 + i % 3) * multiple(runner)) for i in range(8)
    ]
    for i, inputs in enumerate(calls):
        first = next(iter(inputs))
        inputs[first] = np.asarray(inputs[first] * np.float32(0.3 + 0.1 * i))
    wanted = [truth(inputs) for inputs in calls]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(runner, calls))
    for i, outputs in enumerate(found):
        assert difference(outputs, wanted[i]) < 1e-3


def test_inputs_are_left_alone_and_outputs_belong_to_the_caller(runner: Runner) -> None:
    inputs = random_inputs(runner.tensors, 2, 4 * multiple(runner))
    before = {name: values.copy() for name, values in inputs.items()}
    first = runner(inputs)
    kept = {name: values.copy() for name, values in first.items()}
    changed = {
        k: v if v.dtype == bool else np.asarray(v * np.float32(0.5)) for k, v in inputs.items()
    }
    runner(changed)
    for name, values in kept.items():
        np.testing.assert_array_equal(first[name], values)
        assert first[name].flags.writeable
        first[name][...] = 7
    for name, values in before.items():
        np.testing.assert_array_equal(inputs[name], values)
    again = runner(inputs)
    assert difference(again, kept) < 1e-5


def test_strided_inputs_are_taken(runner: Runner) -> None:
    inputs = random_inputs(runner.tensors, 2, 4 * multiple(runner))
    strided = {k: np.repeat(v, 2, -1)[..., ::2] if v.ndim else v for k, v in inputs.items()}
    assert difference(runner(strided), runner(inputs)) < 1e-5


def test_wrong_inputs_are_refused_in_one_line(runner: Runner) -> None:
    good = random_inputs(runner.tensors, 2, 4 * multiple(runner))
    name = next(iter(good))
    image = good[name]
    wrong = [
        ({k: v for k, v in good.items() if k != name}, f"graph {runner.graph} takes {name}"),
        (good | {"extra": image}, "it was given"),
        ({}, "it was given nothing"),
        (good | {name: image.astype(np.float64)}, f"{name} is float64, it must be a float32 array"),
        (good | {name: image.tolist()}, f"{name} is list, it must be a float32 array"),
        (good | {name: image[0]}, f"{name} is "),
        (good | {name: image[:0]}, ""),
    ]
    if multiple(runner) > 1:
        wrong.append((good | {name: image[..., 1:]}, ""))
    for arrays, message in wrong:
        with pytest.raises(ZfuseError) as refusal:
            runner(arrays)
        assert message in str(refusal.value)
        assert "\n" not in str(refusal.value)
    assert runner(good)  # none of it did harm


def test_a_tile_that_is_no_multiple_is_refused(truth: Runner) -> None:
    unit = multiple(truth)
    if unit == 1:
        pytest.skip("any size will do")
    with pytest.raises(ZfuseError, match=f"it must be a multiple of {unit}: pad the image"):
        truth(random_inputs(truth.tensors, 1, 4 * unit + unit // 2))


@pytest.mark.parametrize("name", CASES)
def test_closed_is_closed_and_opens_again(weights: None, name: str) -> None:
    reason = RUNNERS[name].is_incompatible()
    if reason:
        pytest.skip(reason)
    recipe = engines.load("toy", runner=name)
    with recipe.open() as runner:
        inputs = random_inputs(runner.tensors, 1, 16)
        wanted = runner(inputs)
    runner.close()  # twice does no harm
    with pytest.raises(ZfuseError, match="the runner of graph toy is closed: open it again"):
        runner(inputs)
    with recipe.open() as again:
        assert difference(again(inputs), wanted) < 1e-5


def test_closing_waits_for_calls(weights: None) -> None:
    runner = engines.load("toy", runner="onnxruntime").open()
    inputs = random_inputs(runner.tensors, 1, 16)
    inside, go_on = threading.Event(), threading.Event()
    run = runner._run

    def slowly(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        inside.set()
        assert go_on.wait(10)
        return run(arrays)

    runner._run = slowly  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        call = pool.submit(runner, inputs)
        assert inside.wait(10)
        closing = pool.submit(runner.close)
        assert not closing.done()
        go_on.set()
        assert call.result(10)["image"].shape == (1, 1, 16, 16)
        closing.result(10)
    assert runner._session is None


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_graph_that_cannot_be_opened_is_one_line(weights: None, name: str) -> None:
    reason = RUNNERS[name].is_incompatible()
    if reason:
        pytest.skip(reason)
    opened = engines.load("toy").read()
    broken = type(opened)("toy", b"no graph", opened.file)
    with pytest.raises(ZfuseError, match="cannot open graph toy") as refusal:
        RUNNERS[name].load()(broken)
    assert "\n" not in str(refusal.value)


def test_bfloat16_is_near_float32(weights: None) -> None:
    reason = RUNNERS["openvino"].is_incompatible("bf16")
    if reason:
        pytest.skip(reason)
    with engines.load("toy", runner="onnxruntime").open() as runner:
        inputs = random_inputs(runner.tensors, 1, 32)
        wanted = runner(inputs)
    with engines.load("toy", runner="openvino", precision="bf16").open() as runner:
        assert difference(runner(inputs), wanted) < 3e-2
    with pytest.raises(ZfuseError, match="onnxruntime cannot serve here: it computes in fp32 or"):
        engines.load("toy", runner="onnxruntime", precision="bf16").open()


@pytest.mark.parametrize(
    ("graph", "runner", "precision"),
    [
        ("umis", "openvino", "bf16"),
        ("rpsnn", "openvino", "bf16"),
        ("umis", "onnxruntime", "fp32"),  # has no bfloat16
        ("pdmnet-merge", "openvino", "fp32"),  # adds up planes, and is not faster
    ],
)
def test_auto_is_bfloat16_where_it_keeps_scores(graph: str, runner: str, precision: str) -> None:
    recipe = engines.load(graph, runner=runner, precision="auto")
    assert recipe.resolved().precision == precision
