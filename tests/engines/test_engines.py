"""Networks by name, model cards, checksums, sessions, the cache of compiled engines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, strategies as st
from support.engine_cases import shipped, toy_in

from zfuse import engines
from zfuse.engines import MODELS, RUNNERS
from zfuse.engines._axes import measure, shape_of
from zfuse.engines._cards import FOLDER_VARIABLE, read_graph
from zfuse.engines.export._verify import random_inputs, verify
from zfuse.engines.runners import RunnerEntry, fastest
from zfuse.engines.runners.tensorrt import _engine_cache
from zfuse.engines.runners.tensorrt._tile_sizes import TileSizes
from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Path]:
    """The toy network's files in a folder of their own."""
    with toy_in(tmp_path / "weights") as folder:
        yield folder


def test_importing_engines_loads_no_runtime() -> None:
    heavy = "torch onnx onnxruntime openvino tensorrt tensorrt_rtx numba".split()
    code = f"import sys, zfuse.engines; print(*[m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# --- Axes ---


def test_lengths_follow_from_few() -> None:
    axes = {"plane": ("batch", 1, "height", "width"), "state": ("3*channels", "height/2", 7)}
    shapes = {"plane": (2, 1, 64, 48), "state": (6, 32, 7)}
    known = measure(axes, shapes)
    assert known == {"batch": 2, "height": 64, "width": 48, "channels": 2}
    assert {name: shape_of(a, known) for name, a in axes.items()} == shapes


@pytest.mark.parametrize(
    "shapes",
    [
        {"plane": (1, 64), "state": (32, 3)},  # another fixed length
        {"plane": (1, 64), "state": (31, 2)},  # no half of the height
        {"plane": (1, 65), "state": (32, 2)},  # the height has no half
        {"plane": (1, 64, 1), "state": (32, 2)},  # one axis more
    ],
)
def test_tensors_that_disagree_are_refused(shapes: dict[str, tuple[int, ...]]) -> None:
    axes = {"plane": ("batch", "height"), "state": ("height/2", 2)}
    if shapes["plane"][1:] == (65,):
        shapes["state"] = (33, 2)
    with pytest.raises(ZfuseError, match="the graph needs"):
        measure(axes, shapes)


@given(st.integers(1, 9), st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([1, 4, 16]))
def test_covering_sizes_cover(batch: int, height: int, width: int, multiple: int) -> None:
    lengths = {"batch": batch, "height": height * multiple, "width": width * multiple}
    sizes = TileSizes.covering(lengths, multiple)
    assert sizes.cover(lengths)
    assert all(edge % multiple == 0 for edge in sizes.tile)
    assert sizes == TileSizes.covering(lengths | {"width": lengths["height"]}, multiple) or (
        width > height
    )
    assert not sizes.cover(lengths | {"height": sizes.tile[2] + 1})


# --- Cards and checksums ---


def test_a_card_says_what_the_file_is(toy: Path) -> None:
    card = engines.card("toy")
    assert (card.multiple, card.halo, card.scores) == (4, 8, {"ssim": 0.5})
    for graph in MODELS["toy"].graphs:
        content = read_graph(graph)
        assert len(content) == card.graphs[graph].size
    assert card is engines.card("toy")  # read once
    assert card.graphs["toy-fold"].inputs["total"].axes == ("channels", "height/2", "width/2")


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"\0"),
        lambda path: path.write_bytes(path.with_name("toy-fold.onnx").read_bytes()),
        lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    ],
    ids=["cut", "longer", "another graph", "one bit"],
)
def test_a_damaged_file_is_refused_in_one_line(toy: Path, harm: object) -> None:
    with engines.load("toy", runner="onnxruntime").open():
        pass
    harm(toy / "toy.onnx")
    with pytest.raises(ZfuseError) as refusal:
        engines.load("toy", runner="onnxruntime").open()
    message = str(refusal.value)
    for part in (str(toy / "toy.onnx"), "damaged or foreign", "SHA-256", "reinstall"):
        assert part in message
    assert "\n" not in message
    assert engines.card("toy").graphs["toy"].sha256[:16] in message


def test_a_missing_file_and_a_bad_card_are_refused(toy: Path) -> None:
    (toy / "toy.onnx").unlink()
    with pytest.raises(ZfuseError, match=r"toy\.onnx cannot be read"):
        engines.load("toy").open()
    values = json.loads((toy / "toy.json").read_text())
    (toy / "toy.json").write_text(json.dumps(values | {"multiple": 0}))
    with pytest.raises(ZfuseError, match="multiple: Input should be greater"):
        engines.card("toy")
    (toy / "toy.json").write_text("no JSON")
    with pytest.raises(ZfuseError, match="cannot be read"):
        engines.card("toy")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"graph": "umi"}, "unknown graph 'umi': did you mean 'umis'?"),
        ({"graph": "zzz"}, "choose from fusion2void"),
        ({"graph": "umis", "runner": "onyx"}, "unknown runner 'onyx': choose from auto, onnx"),
        ({"graph": "umis", "precision": "int8"}, "unknown precision 'int8'"),
        ({"graph": "umis", "threads": 0}, "threads = 0: must be 1 or more"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_read(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ZfuseError) as refusal:
        engines.load(**arguments)
    assert message in str(refusal.value)


def test_a_network_without_weights_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines._cards, "PACKAGED", tmp_path)
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    with pytest.raises(ZfuseError, match=r"has no weights: .*umis\.json is missing; reinstall"):
        engines.load("umis").open()  # a session may be open already


def test_a_runner_that_cannot_serve_says_why(toy: Path) -> None:
    with pytest.raises(ZfuseError, match="openvino cannot serve here: it computes in fp32 or bf1"):
        engines.load("toy", runner="openvino", precision="fp16").open()


# --- Sessions ---


def test_one_session_a_process_and_settings(toy: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: engines.session("toy", runner="onnxruntime"), range(8)))
    first = opened[0]
    assert all(session is first for session in opened)
    assert engines.session("toy", runner="onnxruntime", threads=2) is not first
    first.close()
    again = engines.session("toy", runner="onnxruntime")
    assert again is not first
    assert not again.closed
    inputs = random_inputs(again.tensors, 1, 16)
    assert again(inputs)["image"].shape == (1, 1, 16, 16)


def test_auto_is_the_fastest_that_is_there(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = engines.session("toy")
    assert chosen is engines.session("toy", runner=chosen.name)
    missing = {"tensorrt", "onnxruntime-cuda"}
    monkeypatch.setattr(
        RunnerEntry, "is_incompatible", lambda self, _: self.install in absent and "not there"
    )
    absent = {RUNNERS[name].install for name in missing}
    assert fastest("fp32", "onnxruntime") == "onnxruntime"
    assert fastest("fp32", "openvino") == "openvino"
    absent.add(RUNNERS["openvino"].install)
    assert fastest("fp32", "openvino") == "onnxruntime"
    absent.clear()
    assert fastest("fp32", "openvino") == "tensorrt"
    absent.update(entry.install for entry in RUNNERS.values())
    with pytest.raises(ZfuseError, match="nothing here runs networks in fp32: tensorrt: not the"):
        fastest("fp32")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_opens_its_own(toy: Path) -> None:
    code = """
import os, sys
import numpy as np
from zfuse import engines
from support.engine_cases import TOY
from zfuse.engines.export._verify import random_inputs
engines.MODELS["toy"] = TOY
parent = engines.session("toy", runner="onnxruntime", threads=2)
inputs = random_inputs(parent.tensors, 1, 32)
wanted = parent(inputs)["image"]
child = os.fork()
if child == 0:
    session = engines.session("toy", runner="onnxruntime", threads=2)
    same = np.array_equal(session(inputs)["image"], wanted)
    os._exit(0 if same and session is not parent else 1)
_, status = os.waitpid(child, 0)
assert np.array_equal(parent(inputs)["image"], wanted)
sys.exit(os.waitstatus_to_exitcode(status))
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, timeout=60, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("name", sorted(MODELS))
def test_shipped_weights_are_whole_and_run(name: str) -> None:
    graphs = [graph for graph in MODELS[name].graphs if graph in shipped()]
    if not graphs:
        pytest.skip(f"{name} has no weights yet")
    checks = list(verify(name))
    assert {check.graph for check in checks} == set(MODELS[name].graphs)
    assert [check for check in checks if not check.passed] == []
    card = engines.card(name)
    assert max(v for k, v in card.parity.items() if ":" not in k) <= 1e-3
    assert card.licence
    assert card.training


# --- Compiled engines ---

KEY = {"graph": "toy", "model": "ab", "sizes": "64"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv(_engine_cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


class Builder:
    """Counts how often it is asked."""

    def __init__(self, engine: bytes = b"engine\nwith\0bytes") -> None:
        self.engine, self.asked = engine, 0

    def __call__(self) -> bytes:
        self.asked += 1
        return self.engine


def test_an_engine_is_built_once_for_each_key(cache: Path) -> None:
    builder = Builder()
    for _ in range(3):
        assert _engine_cache.cached(KEY, builder) == builder.engine
    assert builder.asked == 1
    for changed in KEY:
        assert _engine_cache.cached(KEY | {changed: "other"}, builder) == builder.engine
    assert builder.asked == 1 + len(KEY)
    assert {entry["state"] for entry in _engine_cache.entries()} == {"ok"}
    assert len(_engine_cache.entries()) == 1 + len(KEY)


@pytest.mark.parametrize("position", [0, 70, -1])
@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "foreign"])
def test_a_damaged_entry_is_built_anew(cache: Path, harm: str, position: int) -> None:
    builder = Builder()
    _engine_cache.cached(KEY, builder)
    (entry,) = cache.iterdir()
    content = bytearray(entry.read_bytes())
    if harm == "flip":
        content[position] ^= 1
    elif harm == "cut":
        del content[position or 1 :]
    elif harm == "empty":
        content.clear()
    else:  # whole, but of another key: as if file names had clashed
        _engine_cache.cached(KEY | {"model": "other"}, Builder(b"of another model"))
        (other,) = set(cache.iterdir()) - {entry}
        content = bytearray(other.read_bytes())
        other.unlink()
    entry.write_bytes(content)
    assert _engine_cache.cached(KEY, builder) == builder.engine
    assert builder.asked == 2
    assert _engine_cache.cached(KEY, builder) == builder.engine
    assert builder.asked == 2


def test_damaged_entries_are_listed(cache: Path) -> None:
    _engine_cache.cached(KEY, Builder())
    (entry,) = cache.iterdir()
    entry.write_bytes(entry.read_bytes()[:-1])
    assert _engine_cache.entries() == [{"file": entry.name, "state": "damaged"}]


def test_builders_at_the_same_time_do_not_clash(cache: Path) -> None:
    def build(number: int) -> bytes:
        engine = bytes([number]) * 100_000

        def slowly() -> bytes:
            time.sleep(0.05)
            return engine

        return _engine_cache.cached(KEY, slowly)

    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(build, range(8)))
    assert all(len(set(engine)) == 1 and len(engine) == 100_000 for engine in built)
    (entry,) = _engine_cache.entries()
    assert entry["state"] == "ok"
    assert [path.suffix for path in cache.iterdir()] == [".engine"]


def test_a_cache_that_cannot_be_written_only_costs_time(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(_engine_cache.FOLDER_VARIABLE, str(tmp_path / "file"))
    builder = Builder()
    for _ in range(2):
        assert _engine_cache.cached(KEY, builder) == builder.engine
    assert builder.asked == 2


def test_random_inputs_follow_the_card(toy: Path) -> None:
    inputs = random_inputs(engines.card("toy").graphs["toy"].inputs, 2, 16)
    assert inputs["plane"].shape == (2, 1, 16, 16)
    assert inputs["measure"].dtype == np.bool_
    assert inputs["measure"].shape == ()
