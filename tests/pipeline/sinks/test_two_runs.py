"""Two runs that want one output: one gets it, whole, and the other is told who has it."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from support.outputs import open_output

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Fused, Stack
from zfuse.pipeline.sources import from_array

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FORMATS = ["out.ome.zarr", "out.tif", "out.png"]
SIZE, TILE = 192, 64
ZFUSE = [sys.executable, "-m", "zfuse"]


def write_noise(path: Path, seed: int, between: Callable[[], None] = lambda: None) -> None:
    """Write an output that only this seed makes."""
    rng = np.random.default_rng(seed)
    stack = Stack(from_array(np.zeros((3, SIZE, SIZE), np.uint16)).reader, "zyx", "a", "", ())
    with open_output(path, [stack], tile=TILE, provenance=[{}]) as output:
        for y in range(0, SIZE, TILE):
            for x in range(0, SIZE, TILE):
                maps = rng.random((2, TILE, TILE), np.float32)
                image = rng.integers(0, 9999, (1, TILE, TILE), np.uint16)
                output.sinks[0].write(0, y, x, Fused(image, maps[0], maps[1]))
                between()


def content(folder: Path) -> dict[str, str]:
    """Hash of every file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def compete(seed: int, paths: list[Path], start: Any, results: Any) -> None:
    """Write the same outputs as somebody else, starting at the same moment each time."""
    for path in paths:
        start.wait()
        said = ""
        try:
            write_noise(path, seed, lambda: time.sleep(0.002))
        except ZfuseError as error:
            said = str(error)
        except BaseException as error:  # a traceback in the log of a run
            said = f"\n{type(error)}: {error}"
        results.put((path.parent.name, seed, said))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rounds", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_exactly_one_of_two_processes_writes(tmp_path: Path, name: str, rounds: int) -> None:
    alone = []
    for seed in (0, 1):
        (tmp_path / f"alone{seed}").mkdir()
        write_noise(tmp_path / f"alone{seed}" / name, seed)
        alone.append(content(tmp_path / f"alone{seed}"))
    # In every other round the folder is not there yet.
    paths = [tmp_path / f"round{i}" / name for i in range(rounds)]
    for path in paths[::2]:
        path.parent.mkdir()
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=compete, args=(s, paths, start, results)) for s in (0, 1)]
    for worker in workers:
        worker.start()
    said = [results.get(timeout=120) for _ in range(2 * rounds)]
    for worker in workers:
        worker.join()
    for path in paths:
        outcome = {seed: text for where, seed, text in said if where == path.parent.name}
        winners = [seed for seed, text in outcome.items() if not text]
        assert len(winners) == 1, outcome
        loser = outcome[1 - winners[0]]
        assert "\n" not in loser
        assert "by another zfuse run (process " in loser or "exists" in loser
        assert content(path.parent) == alone[winners[0]]


KILLED = """
import os, sys, time
sys.path[:0] = [{tests!r}, os.path.join({tests!r}, "..", "..")]
from pathlib import Path
from test_two_runs import write_noise
def ready():
    print("writing", flush=True)
    time.sleep(60)
write_noise(Path(sys.argv[1]), 0, ready)
"""


@pytest.mark.parametrize("name", FORMATS)
def test_a_killed_owner_holds_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "alone").mkdir()
    write_noise(tmp_path / "alone" / name, 1)
    place = tmp_path / "out"
    place.mkdir()
    code = KILLED.format(tests=os.path.dirname(__file__))
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(place / name)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "writing\n"
    before = content(place)
    with pytest.raises(ZfuseError, match=f"by another zfuse run .process {owner.pid} on"):
        write_noise(place / name, 1)
    assert content(place) == before
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert list(place.iterdir())  # what it left
    write_noise(place / name, 1)
    assert content(place) == content(tmp_path / "alone")


def fuse(place: Path, name: str) -> subprocess.Popen[str]:
    """`zfuse fuse` of the stack in `place`, to the output that both want."""
    return subprocess.Popen(
        [*ZFUSE, "fuse", str(place), name, "--tile", "64", "--method", "select"],
        cwd=place.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "rounds"),
    [("out.tif", 1), *(pytest.param(name, 20, marks=pytest.mark.slow) for name in FORMATS)],
)
def test_of_two_commands_one_writes_and_one_says_why_not(
    tmp_path: Path, name: str, rounds: int
) -> None:
    places = [tmp_path / "a.zarr", tmp_path / "b.zarr"]
    rng = np.random.default_rng(4)
    for place in places:
        zarr.save_array(place, rng.integers(0, 4096, (6, 300, 400)).astype(np.uint16))
    alone = []
    for i, place in enumerate(places):
        run = fuse(place, f"alone{i}/{name}")
        assert run.communicate(timeout=120) is not None
        assert run.returncode == 0
        alone.append(content(tmp_path / f"alone{i}"))
    for i in range(rounds):
        runs = [fuse(place, f"both{i}/{name}") for place in places]
        said = [run.communicate(timeout=120)[1] for run in runs]
        codes = [run.returncode for run in runs]
        assert sorted(codes) == [0, 1], said
        assert content(tmp_path / f"both{i}") == alone[codes.index(0)]
        *_, last = said[codes.index(1)].splitlines()
        assert "Traceback" not in said[codes.index(1)]
        assert "by another zfuse run (process " in last or "exists" in last
