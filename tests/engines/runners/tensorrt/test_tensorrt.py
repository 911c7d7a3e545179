"""TensorRT: engines are compiled for real, with no GPU; running them is proved on a stand-in.

Reading an engine back needs a GPU, so that inputs, outputs, precisions and profiles are checked on
the network just before it is compiled, and in the engine where there is a GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.engine_cases import GRAPHS, TOY, toy_in

from zfuse import engines
from zfuse.engines.runners._gpu import gpu
from zfuse.engines.runners._runner import Opened
from zfuse.engines.runners._session import load
from zfuse.engines.runners.tensorrt import _engine_cache
from zfuse.engines.runners.tensorrt._tile_sizes import TileSizes
from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("onnx")
if not any(map(find_spec, ("tensorrt_rtx", "tensorrt"))):
    pytest.skip("no TensorRT is installed", allow_module_level=True)

from zfuse.engines.runners.tensorrt import _build as tensorrt

TRT = tensorrt.library()
if TRT.__name__ == "tensorrt" and gpu().missing:
    pytest.skip("tensorrt builds on a GPU only; tensorrt_rtx would do", allow_module_level=True)

PRECISIONS = ("fp32", "fp16")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The toy network."""
    with toy_in(tmp_path_factory.mktemp("toy") / "weights"):
        yield


@pytest.fixture(params=GRAPHS)
def graph(request: pytest.FixtureRequest) -> str:
    """A graph's name."""
    if request.param in TOY.graphs:
        request.getfixturevalue("weights")
    return str(request.param)


@pytest.fixture(params=PRECISIONS)
def opened(request: pytest.FixtureRequest, graph: str) -> Opened:
    """The graph, to be built in each precision."""
    return load(graph, precision=request.param).read()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv(_engine_cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def sizes_for(opened: Opened) -> TileSizes:
    lengths = {"batch": 3, "channels": 2, "height": 256, "width": 200}
    return TileSizes.covering(lengths, opened.multiple)


def test_the_network_that_is_compiled(opened: Opened) -> None:
    """Inputs and outputs as the card says, free axes free, arithmetic in the wanted precision."""
    network = tensorrt.parse(opened)
    definition, types = network.definition, TRT.DataType
    wanted = {"float32": types.FLOAT, "bool": types.BOOL, "int64": types.INT64}
    for count, get, tensors in (
        (definition.num_inputs, definition.get_input, opened.file.inputs),
        (definition.num_outputs, definition.get_output, opened.file.outputs),
    ):
        found = {get(i).name: get(i) for i in range(count)}
        assert found.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert found[name].dtype == wanted[tensor.dtype]
            free = tuple(-1 if isinstance(axis, str) else axis for axis in tensor.axes)
            assert tuple(found[name].shape) == free
    layers = [definition.get_layer(i) for i in range(definition.num_layers)]
    convolutions = [
        layer.get_output(0).dtype for layer in layers if layer.type == TRT.LayerType.CONVOLUTION
    ]
    reductions = {
        layer.get_output(0).dtype for layer in layers if layer.type == TRT.LayerType.REDUCE
    }
    assert convolutions
    assert reductions <= {types.FLOAT}
    if opened.precision == "fp32":
        assert set(convolutions) == {types.FLOAT}
    else:
        assert convolutions.count(types.HALF) >= max(1, len(convolutions) - 2)


def test_engines_are_compiled(opened: Opened, cache: Path) -> None:
    sizes = sizes_for(opened)
    built = tensorrt.engine(opened, sizes)
    assert len(built) > 10_000
    (entry,) = _engine_cache.entries()
    assert entry["state"] == "ok"
    assert entry["precision"] == opened.precision
    assert entry["model"] == opened.file.sha256
    assert entry["library"] == f"{TRT.__name__} {TRT.__version__}"
    assert TileSizes.model_validate_json(entry["sizes"]) == sizes
    assert tensorrt.engine(opened, sizes) == built  # from the cache: builds differ in their bytes


def test_the_profile_is_what_the_engine_is_built_for(opened: Opened) -> None:
    """TensorRT keeps what it was given; and refuses a profile that the network does not allow."""
    sizes = sizes_for(opened)
    network = tensorrt.parse(opened)
    profile = network.builder.create_optimization_profile()
    for name, shapes in sizes.profile(opened.file.inputs).items():
        profile.set_shape(name, *shapes)
        assert [tuple(shape) for shape in profile.get_shape(name)] == list(shapes)
        smallest, typical, largest = shapes
        assert all(a <= b <= c for a, b, c in zip(smallest, typical, largest, strict=True))
    assert bool(profile)
    free = {n for n, t in opened.file.inputs.items() if any(isinstance(a, str) for a in t.axes)}
    assert free == sizes.profile(opened.file.inputs).keys()


def test_half_makes_the_engine_smaller(weights: None) -> None:
    built = {}
    for precision in PRECISIONS:
        opened = load("toy", precision=precision).read()
        built[precision] = tensorrt.build(opened, sizes_for(opened))
    assert len(built["fp16"]) < len(built["fp32"])


def test_another_model_precision_or_size_is_another_engine(weights: None) -> None:
    opened = load("toy").read()
    sizes = sizes_for(opened)
    other = Opened("toy", b"", opened.file.model_copy(update={"sha256": "0" * 64}), 4)
    keys = [
        tensorrt.key(opened, sizes),
        tensorrt.key(other, sizes),
        tensorrt.key(load("toy", precision="fp16").read(), sizes),
        tensorrt.key(opened, TileSizes(tile=(4, 64, 128))),
    ]
    assert len({str(sorted(key.items())) for key in keys}) == len(keys)


def test_what_tensorrt_says_is_in_the_refusal(weights: None) -> None:
    opened = load("toy").read()
    import onnx

    model = onnx.load_model_from_string(opened.content)
    model.graph.node[-1].op_type = "NoSuchOperation"
    broken = Opened("toy", model.SerializeToString(), opened.file, 4)
    with pytest.raises(ZfuseError, match=r"cannot read graph toy in fp32: .*NoSuchOp") as refusal:
        tensorrt.parse(broken)
    assert "\n" not in str(refusal.value)
    other = Opened("toy", opened.content, engines.card("toy").graphs["toy-fold"], 4)
    with pytest.raises(ZfuseError, match=r"the model card says .*: export it anew"):
        tensorrt.parse(other)
    narrow = load("toy", precision="bf16").read()
    with pytest.raises(ZfuseError, match="TensorRT computes in fp16 or fp32, not bf16"):
        tensorrt.parse(narrow)


@pytest.mark.skipif(not gpu().missing, reason="there is a GPU")
def test_running_without_a_gpu_is_refused(weights: None) -> None:
    with pytest.raises(ZfuseError, match="runner tensorrt cannot serve here: it needs an NVIDIA"):
        engines.load("toy", runner="tensorrt").open()


@pytest.mark.gpu
@pytest.mark.skipif(bool(gpu().missing), reason="no GPU")
def test_the_engine_itself(opened: Opened) -> None:
    sizes = sizes_for(opened)
    runtime = TRT.Runtime(tensorrt.make_log(TRT))
    engine: Any = runtime.deserialize_cuda_engine(tensorrt.engine(opened, sizes))
    assert engine is not None
    names = {engine.get_tensor_name(i) for i in range(engine.num_io_tensors)}
    assert names == {*opened.file.inputs, *opened.file.outputs}
    for name, shapes in sizes.profile(opened.file.inputs).items():
        assert [tuple(s) for s in engine.get_tensor_profile_shape(name, 0)] == list(shapes)
        assert engine.get_tensor_dtype(name) == TRT.DataType.FLOAT


def test_the_runner_on_a_stand_in(weights: None) -> None:
    """All but TensorRT's arithmetic: lanes, buffers, sizes, threads, on numba's CUDA simulator."""
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    script = Path(__file__).parents[3] / "support" / "tensorrt_stand_in.py"
    done = subprocess.run(
        [sys.executable, str(script)],
        env=environment | {"PYTHONPATH": str(script.parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["engines:", "2", "lanes:", "2"]
