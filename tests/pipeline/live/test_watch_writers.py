"""Real writers in another process, writers and watchers killed at random moments.

Every fused stack must equal what `zfuse.fuse` makes of the same planes, bit for bit: then nothing
half-written was ever fused.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support import writers

import zfuse
from zfuse.live import watch
from zfuse.pipeline.core import Progress
from zfuse.pipeline.sources import open_fused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.process import BaseProcess
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork beside threads

ALL = (*writers.RESUMABLE, *writers.OME_WRITERS, "ndstorage")


def needed(kind: str) -> None:
    for module in writers.NEEDS.get(kind, ()):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{kind} needs {module}")


def context() -> Any:
    """Return what starts processes quickly, which is what lets many be killed."""
    if os.name == "nt":
        return multiprocessing.get_context("spawn")
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["zfuse.live", "zfuse.pipeline.live._session", "zarr", "numba"])
    return found


def _watch(source: str, output: str, until_idle: float | None, fused: Any = None) -> None:
    watch(
        source, output, poll=0.03, expect_planes=writers.PLANES, until_idle=until_idle,
        on_fused=None if fused is None else lambda key, c, result: fused.set(),
    )  # fmt: skip


@pytest.fixture
def processes() -> Iterator[Any]:
    made: list[BaseProcess] = []

    def start(target: Any, *arguments: Any) -> BaseProcess:
        made.append(context().Process(target=target, args=arguments))
        made[-1].start()
        return made[-1]

    yield start
    for process in made:
        process.kill()
        process.join()


def check(output: Path, *, partial: bool = False) -> int:
    """Compare every stack of an output with what is fused offline; return how many there are."""
    count = 0
    for p in range(writers.POSITIONS):
        if partial and not (output / str(p)).exists():
            continue
        for said in stack_notes(output / str(p)):
            failed = said["status"] == "failed"
            found = None if failed else open_fused(output / str(p), time=said["t"])
            for c, planes in enumerate(said.get("planes", ())):
                if found is None or not planes:
                    assert partial
                    continue
                assert partial or planes == writers.PLANES
                want = zfuse.fuse(writers.truth(said["t"], p, c)[:planes], "select")
                assert np.array_equal(found.image[c], want.image), (p, said, c)
                for map_, expected in (
                    (found.depth, want.depth), (found.confidence, want.confidence)
                ):  # fmt: skip
                    assert map_ is not None
                    got = map_.reshape(-1, *writers.SIZE)[c]  # stored in steps of 1/256
                    assert np.allclose(got, expected, rtol=0, atol=1 / 256, equal_nan=True)
                count += 1
    assert partial or count == writers.TIMES * writers.POSITIONS * writers.CHANNELS
    return count


def stack_notes(image: Path) -> list[dict[str, Any]]:
    import zarr

    attributes = zarr.open_group(str(image), mode="r").attrs.asdict()
    return list(attributes["zfuse"]["stacks"])


def kill_watchers(
    start: Any, source: Path, output: Path, kills: int, random: np.random.Generator
) -> tuple[int, int]:
    """Start watchers and kill them, every second one while it fuses; then let one end.

    Returns how many were alive when they were killed, and how many of those had fused something.
    """
    killed = busy = 0
    while killed < kills and not output.exists():
        fused = context().Event()
        process = start(_watch, str(source), str(output), None, fused)
        if killed % 2:
            fused.wait(60)
        process.join(float(random.uniform(0.0, 0.4 if killed % 2 else 1.2)))
        if process.exitcode is None:
            process.kill()
            killed += 1
            busy += fused.is_set()
        process.join()
    process = start(_watch, str(source), str(output), None)
    process.join(120)
    assert process.exitcode == 0 or killed < kills  # else the one before had just ended
    return killed, busy


@pytest.mark.parametrize("kind", ["tifffile", "zarr-python shards"])
def test_a_slow_writer_and_a_watcher_that_is_killed(
    tmp_path: Path, processes: Any, kind: str
) -> None:
    writer = processes(writers.write, kind, str(tmp_path), 0.03)
    output = tmp_path / "out.ome.zarr"
    random = np.random.default_rng(1)
    _, busy = kill_watchers(processes, writers.input_of(kind, tmp_path), output, 2, random)
    writer.join(60)
    check(output)
    assert busy


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALL)
def test_watchers_killed_at_random_moments(tmp_path: Path, processes: Any, kind: str) -> None:
    needed(kind)
    writer = processes(writers.write, kind, str(tmp_path), 0.25)
    output = tmp_path / "out.ome.zarr"
    random = np.random.default_rng(len(kind))
    source = writers.input_of(kind, tmp_path)
    killed, busy = kill_watchers(processes, source, output, 7, random)
    writer.join(120)
    check(output)
    assert killed >= 5
    assert busy >= 2
    print(f"{kind}: {killed} watchers killed, {busy} of them after they had fused")


@pytest.mark.slow
@pytest.mark.parametrize("kind", writers.RESUMABLE)
def test_writers_killed_at_random_moments_that_go_on(
    tmp_path: Path, processes: Any, kind: str
) -> None:
    needed(kind)
    random = np.random.default_rng(len(kind))
    output = tmp_path / "out.ome.zarr"
    watcher = processes(_watch, str(writers.input_of(kind, tmp_path)), str(output), None)
    killed = 0
    for _ in range(7):
        writer = processes(writers.write, kind, str(tmp_path), 0.15)
        writer.join(float(random.uniform(0.4, 1.2)))
        killed += writer.exitcode is None
        writer.kill()
        writer.join()
    assert killed >= 5
    writer = processes(writers.write, kind, str(tmp_path), 0.0)
    writer.join(60)
    watcher.join(120)
    assert watcher.exitcode == 0
    check(output)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*writers.OME_WRITERS, "tifffile", "zarrs shards"])
def test_writers_killed_for_good(tmp_path: Path, processes: Any, kind: str) -> None:
    needed(kind)
    random = np.random.default_rng(len(kind))
    fused: list[int] = []
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        output = folder / "out.ome.zarr"
        source = writers.input_of(kind, folder)
        watcher = processes(_watch, str(source), str(output), 2.5)
        writer = processes(writers.write, kind, str(folder), 0.1)
        until = time.monotonic() + 30
        while not source.exists() and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(float(random.uniform(0.7, 1.8)))
        assert writer.exitcode is None
        writer.kill()
        writer.join()
        watcher.join(120)
        assert watcher.exitcode == 0
        fused.append(check(output, partial=True) if output.exists() else 0)
    most = writers.TIMES * writers.POSITIONS * writers.CHANNELS
    assert 0 < sum(fused) < 3 * most


class _Lines(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warn(self, line: str) -> None:
        self.lines.append(line)


@pytest.mark.parametrize("kind", ALL)
def test_what_each_writer_left_is_fused_as_offline(tmp_path: Path, kind: str) -> None:
    needed(kind)
    writers.write(kind, str(tmp_path), 0.0)
    source = writers.input_of(kind, tmp_path)
    lines = _Lines()
    report = watch(source, tmp_path / "out.ome.zarr", poll=0.02, expect_planes=writers.PLANES,
                   progress=lines)  # fmt: skip
    assert [stack.status for stack in report.stacks] == [
        "complete"
    ] * writers.TIMES * writers.POSITIONS
    assert lines.lines == []
    check(tmp_path / "out.ome.zarr")
