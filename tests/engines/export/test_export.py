"""Export: torch to ONNX with free sizes, weights in half, the card; fp16 graphs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.engine_cases import GRAPHS, TOY, shipped, toy_in

from zfuse import engines
from zfuse.engines import MODELS
from zfuse.engines._cards import card, read_graph
from zfuse.engines._models import Model
from zfuse.engines.export._parity import LARGEST_DIFFERENCE, difference
from zfuse.engines.export._verify import random_inputs
from zfuse.engines.runners._onnxruntime import OnnxRuntimeRunner
from zfuse.engines.runners._session import load
from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Iterator

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from onnx import TensorProto, numpy_helper  # noqa: E402
from support.toy_network import Toy  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from zfuse.engines import _stored  # noqa: E402
from zfuse.engines.export import _export  # noqa: E402
from zfuse.engines.runners import _half  # noqa: E402


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The toy network's files."""
    with toy_in(tmp_path_factory.mktemp("toy") / "weights") as folder:
        yield folder


def load_model(graph: str) -> Any:
    return onnx.load_model_from_string(read_graph(graph))


# --- What is written ---


def test_card_and_files_agree(toy: Path) -> None:
    about = card("toy")
    assert set(about.graphs) == set(TOY.graphs)
    for graph, file in about.graphs.items():
        content = (toy / f"{graph}.onnx").read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.sha256
        assert about.parity[graph] <= 1e-5
        assert 0 < about.parity[f"{graph}: weights in half"] < 1e-3
    assert sorted(p.name for p in toy.iterdir()) == ["toy-fold.onnx", "toy.json", "toy.onnx"]


def test_weights_keep_their_names_and_values_in_half(toy: Path) -> None:
    network = Toy()
    stored = {i.name: i for graph in TOY.graphs for i in load_model(graph).graph.initializer}
    for name, value in network.named_parameters():
        if name.startswith("unused"):
            continue
        initializer = stored[f"net.{name}"]
        wanted = value.detach().numpy()
        if value.ndim >= 2:
            assert initializer.data_type == TensorProto.FLOAT16
            wanted = wanted.astype(np.float16)
        np.testing.assert_array_equal(numpy_helper.to_array(initializer), wanted)
    assert {"net.norm.running_mean", "net.norm.running_var"} <= set(stored)
    assert not [name for name in stored if "unused" in name]


def test_a_file_says_what_it_is_and_nothing_of_this_machine(toy: Path) -> None:
    for graph in TOY.graphs:
        props = {p.key: p.value for p in load_model(graph).metadata_props}
        assert (props["zfuse.network"], props["zfuse.graph"]) == ("toy", graph)
        assert props["zfuse.version"]
        content = (toy / f"{graph}.onnx").read_bytes()
        assert b"stack_trace" not in content
        assert str(Path(__file__).parents[3]).encode() not in content


def test_runtime_folds_the_casts_and_computes_in_float32(toy: Path, tmp_path: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(read_graph("toy"), options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(tmp_path / "optimised.onnx").graph
    assert not [n for n in optimised.node if n.op_type in ("Cast", "BatchNormalization")]
    assert not [i for i in optimised.initializer if i.data_type == TensorProto.FLOAT16]


@pytest.mark.parametrize("graph", GRAPHS)
def test_widened_weights_change_nothing(toy: Path, graph: str) -> None:
    recipe = load(graph)
    opened = recipe.read()
    wide = _stored.wide_content(opened.content)
    assert len(wide) > len(opened.content)
    assert not [i for i in onnx.load_model_from_string(wide).graph.initializer if i.data_type == 10]
    inputs = random_inputs(opened.file.inputs, 2, 4 * opened.multiple)
    with OnnxRuntimeRunner(opened) as stored:
        found = stored(inputs)
    widened = type(opened)(graph, wide, opened.file, opened.multiple)
    with OnnxRuntimeRunner(widened) as runner:
        for name, values in runner(inputs).items():
            np.testing.assert_array_equal(values, found[name])


def test_weights_beyond_half_stay_float32() -> None:
    values = np.array([[1e5, 1.0]], np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(values, "w")],
    )
    model = onnx.helper.make_model(graph)
    _stored.store_half(model, {"w"})
    assert model.graph.initializer[0].data_type == TensorProto.FLOAT


# --- Refusals: nothing is written ---


class Odd(nn.Module):
    """One graph, built to be wrong in one way."""

    name, multiple, halo = "odd", 1, 0
    output_names: tuple[str, ...] = ("y",)
    dynamic_axes: dict[str, dict[int, str]] = {"x": {0: "batch"}, "y": {0: "batch"}}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 3))

    def graphs(self) -> dict[str, nn.Module]:
        return {"odd": self}

    def example_inputs(self) -> dict[str, Tensor]:
        return {"x": torch.rand(2, 3)}

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class Fixed(Odd):
    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + torch.ones(2, 3)


class FixedOutput(Odd):
    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.weight).sum(0, keepdim=True)


class Unnamed(Odd):
    dynamic_axes = {"x": {0: "batch"}}  # noqa: RUF012


class Clash(Odd):
    output_names = ("x",)
    dynamic_axes = {"x": {0: "batch"}}  # noqa: RUF012


class Differs(Odd):
    """What is exported depends on what cannot be exported: here the exporter's own presence."""

    def forward(self, x: Tensor) -> Tensor:
        wrong = 2e-3 if torch.compiler.is_exporting() else 0.0
        return x @ self.weight + wrong * x.sum()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Fixed, "torch cannot export Fixed with these axes free: "),
        (FixedOutput, "axis 0 of y should be free (batch), the module fixes it to 1"),
        (Unnamed, "axis 0 of y has no name: add it to the module's dynamic_axes"),
        (Clash, "input and output are both named x: rename one"),
        (Differs, "differs from torch by"),
    ],
)
def test_a_graph_that_will_not_do_is_refused(
    network: type[Odd], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        MODELS, "odd", Model("odd", network.__name__, ("odd",), "", module=__name__)
    )
    monkeypatch.setattr(Model, "load", lambda self: network)
    with pytest.raises(ZfuseError) as refusal:
        _export.export("odd", network().state_dict(), tmp_path / "out")
    assert message in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_an_odd_network_that_is_right_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "odd", Model("odd", "Odd", ("odd",), "", module=__name__))
    monkeypatch.setattr(Model, "load", lambda self: Odd)
    about = _export.export("odd", Odd().state_dict(), tmp_path / "out", scores={"ssim": 1.0})
    assert about.scores == {"ssim": 1.0}
    assert about.graphs["odd"].inputs["x"].axes == ("batch", 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ({"networks": {"other": {}}}, "holds other, not toy"),
        ({"networks": {"toy": {}}}, "weights do not fit network toy"),
    ],
)
def test_a_checkpoint_that_will_not_do_is_refused(
    toy: Path, content: Any, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "best.pt"
    if content is not None:
        torch.save(content, path)
    else:
        path.write_bytes(b"no checkpoint")
    with pytest.raises(ZfuseError) as refusal:
        _export.export("toy", path, tmp_path / "out")
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


# --- fp16 ---


def heavy(model: Any) -> dict[str, int]:
    """Element types of the kernels of heavy operations, by output."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*inferred.input, *inferred.value_info)}
    types |= {v.name: v.type.tensor_type.elem_type for v in inferred.output}
    return {
        node.output[0]: types[node.output[0]]
        for node in inferred.node
        if node.op_type in ("Conv", "MatMul")
    }


def test_convolutions_are_in_half_and_the_last_is_not(toy: Path) -> None:
    half = _half.in_half(load_model("toy"))
    onnx.checker.check_model(half, full_check=True)
    kinds = list(heavy(half).values())
    assert kinds.count(TensorProto.FLOAT16) == 3
    assert kinds.count(TensorProto.FLOAT) == 1
    kernels = {i.name: i.data_type for i in half.graph.initializer}
    assert kernels["net.last.weight"] == TensorProto.FLOAT
    assert "net.norm.running_var" not in kernels  # joined with the convolution, before rounding
    for value in (*half.graph.input, *half.graph.output):
        assert value.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.BOOL)


@pytest.mark.parametrize("graph", GRAPHS)
def test_half_stays_near_float32(toy: Path, graph: str) -> None:
    opened = load(graph).read()
    inputs = random_inputs(opened.file.inputs, 2, 4 * opened.multiple)
    if graph == "pdmnet-reconstruct":  # it divides by sums of weights, which are positive
        inputs = {name: np.abs(values) + np.float32(0.5) for name, values in inputs.items()}
    with load(graph, runner="onnxruntime").open() as runner:
        wanted = runner(inputs)
    with load(graph, runner="onnxruntime", precision="fp16").open() as runner:
        found = runner(inputs)
    assert all(values.dtype == np.float32 for values in found.values())
    assert difference(found, wanted) < 1e-2
    if graph != "pdmnet-share":  # its convolutions are its last: they stay in float32
        assert difference(found, wanted) > 0


def test_running_sums_stay_in_float32(toy: Path) -> None:
    """What is added to a sum of millions must not be lost, as a half's 11 bits would lose it."""
    opened = load("toy-fold").read()
    inputs = random_inputs(opened.file.inputs, 2, 16)
    inputs["total"] = inputs["total"] + np.float32(1e6)
    with load("toy-fold", runner="onnxruntime", precision="fp16").open() as runner:
        gained = runner(inputs)["total_out"] - inputs["total"]
    with load("toy-fold", runner="onnxruntime").open() as runner:
        wanted = runner(inputs)["total_out"] - inputs["total"]
    assert wanted.min() > 0.5
    np.testing.assert_allclose(gained, wanted, rtol=0.05, atol=0.25)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_real_networks_export(name: str, tmp_path: Path) -> None:
    """Untrained, so that a network's definition cannot break its export unseen."""
    if set(MODELS[name].graphs) <= set(shipped()):
        network = MODELS[name].load()
        assert card(name).multiple == network.multiple
        pytest.skip("shipped: test_engines runs its files")
    about = _export.export(name, MODELS[name].load()().state_dict(), tmp_path)
    assert max(v for key, v in about.parity.items() if ":" not in key) <= LARGEST_DIFFERENCE


def test_torch_runner_refuses_weights_of_another_network(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Smaller(Toy):
        def __init__(self) -> None:
            super().__init__()
            self.deep = nn.Conv2d(8, 4, 3, padding=1)

    class Renamed(Toy):
        def __init__(self) -> None:
            super().__init__()
            self.deeper = self.deep
            del self.deep

    for network, message in ((Smaller, "do not fit its network"), (Renamed, "has no net.deep")):
        monkeypatch.setattr(Model, "load", lambda self, network=network: network)
        with pytest.raises(ZfuseError, match=message):
            engines.load("toy", runner="torch").open()
