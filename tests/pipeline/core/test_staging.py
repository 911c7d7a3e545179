"""One owner at a time, and whatever happens to it, an output is whole or not there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Staging, _lock, check_staging

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["a.tif", "a.depth.tif", "a.confidence.tif"]


def fill(staging: Staging, folder: Path, text: str) -> None:
    for name in NAMES:
        staging.path(folder / name).write_text(text)


def write(folder: Path, text: str, *, overwrite: bool = False) -> None:
    staging = Staging(folder / "a.tif", overwrite=overwrite)
    try:
        staging.create()
        fill(staging, folder, text)
        staging.publish()
    except BaseException:
        staging.abandon()
        raise


def read(folder: Path) -> list[str]:
    """What every file of the output says; nothing else lies there."""
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    return [(folder / name).read_text() for name in NAMES]


def record(folder: Path, **said: object) -> None:
    (folder / "a.partial").mkdir()
    whole = {"host": "microscope-2", "pid": 7, "since": "2026-11-21 10:00:00", "id": "x"} | said
    (folder / "a.partial" / ".zfuse-partial").write_text(json.dumps(whole))


def test_the_second_is_refused_and_touches_nothing(tmp_path: Path) -> None:
    first = Staging(tmp_path / "a.tif")
    first.create()
    for other in ("a.tif", "a.png", "a.ome.tif"):  # these want the same maps
        second = Staging(tmp_path / other, overwrite=True)
        with pytest.raises(ZfuseError, match=f"by another zfuse run .process {os.getpid()} on"):
            second.create()
        second.abandon()
        with pytest.raises(ZfuseError, match=r"wait for it to end or choose another output name$"):
            check_staging(tmp_path / other)
    fill(first, tmp_path, "first")
    first.publish()
    assert read(tmp_path) == ["first"] * 3


def test_an_output_that_appeared_meanwhile_is_kept(tmp_path: Path) -> None:
    staging = Staging(tmp_path / "a.tif")
    staging.create()
    fill(staging, tmp_path, "late")
    (tmp_path / "a.depth.tif").write_text("mine")
    with pytest.raises(ZfuseError, match=r"a\.depth\.tif exists"):
        staging.publish()
    staging.abandon()
    assert [path.name for path in tmp_path.iterdir()] == ["a.depth.tif"]


def test_another_host_is_respected_and_the_cure_is_said(tmp_path: Path) -> None:
    record(tmp_path)
    for refused in (lambda: check_staging(tmp_path / "a.tif"), lambda: write(tmp_path, "b")):
        with pytest.raises(ZfuseError, match=r"7 on microscope-2.*has died, delete .*a\.partial$"):
            refused()
    assert (tmp_path / "a.partial" / ".zfuse-partial").is_file()
    shutil.rmtree(tmp_path / "a.partial")  # as told
    write(tmp_path, "b")
    assert read(tmp_path) == ["b"] * 3


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lock, "_try_lock", lambda _: None)
    first = Staging(tmp_path / "a.tif")
    first.create()
    with pytest.raises(ZfuseError, match="if that run has died, delete"):
        write(tmp_path, "second")
    fill(first, tmp_path, "first")
    first.publish()
    assert read(tmp_path) == ["first"] * 3


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"host": 3}', b"\xff"])
def test_a_dead_owner_who_said_nothing_holds_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.partial" / "junk").mkdir(parents=True)
    (tmp_path / "a.partial" / ".zfuse-partial").write_bytes(content)
    write(tmp_path, "b")
    assert read(tmp_path) == ["b"] * 3


def test_an_empty_folder_blocks_nobody(tmp_path: Path) -> None:
    (tmp_path / "a.partial").mkdir()
    write(tmp_path, "b")
    assert read(tmp_path) == ["b"] * 3


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_not_ours_is_left_alone(tmp_path: Path, kind: str) -> None:
    partial = tmp_path / "a.partial"
    if kind == "folder":
        partial.mkdir()
        (partial / "thesis.docx").touch()
    elif kind == "file":
        partial.touch()
    else:
        try:
            partial.symlink_to(tmp_path)
        except OSError:
            pytest.skip("no symlinks here")
    for refused in (lambda: check_staging(tmp_path / "a.tif"), lambda: write(tmp_path, "b")):
        with pytest.raises(ZfuseError, match="was not left by zfuse; move it away"):
            refused()
    assert [path.name for path in tmp_path.iterdir()] == ["a.partial"]


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder with an open file in it")
@pytest.mark.parametrize("again", [False, True])
def test_a_folder_removed_by_hand_publishes_nothing(tmp_path: Path, again: bool) -> None:
    first, second = (Staging(tmp_path / "a.tif") for _ in range(2))
    first.create()
    fill(first, tmp_path, "first")
    shutil.rmtree(tmp_path / "a.partial")
    if again:
        second.create()
    first.path(tmp_path / "a.tif").parent.mkdir(parents=True)
    fill(first, tmp_path, "first")
    with pytest.raises(ZfuseError, match=r"a\.partial was removed while .* nothing was published"):
        first.publish()
    first.abandon()
    if again:
        fill(second, tmp_path, "second")
        second.publish()
        assert read(tmp_path) == ["second"] * 3
    else:
        assert list(tmp_path.iterdir()) == []


# A process for every step at which an owner may die: it is ended without any cleaning up by an
# audit hook, which sees each call that touches the folder. Then a new run takes over.
KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_staging import write, NAMES
from zfuse.errors import ZfuseError
folder, old = Path(sys.argv[1]), len(sys.argv) > 3
for step in range(1000):
    here = folder / str(step)
    here.mkdir()
    if old:
        write(here, "old")
    child = os.fork()
    if not child:
        left = step
        def hook(event, args):
            global left
            if event.startswith(("os.", "open", "shutil.")) and str(here) in repr(args):
                if not left:
                    os._exit(9)
                left -= 1
        sys.addaudithook(hook)
        write(here, "killed", overwrite=old)
        os._exit(0)
    done = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    try:
        write(here, "new", overwrite=old)
        said = ""
    except ZfuseError as error:
        said = str(error)
    names = sorted(p.name for p in here.iterdir())
    print(names == sorted(NAMES), "".join((here / n).read_text() for n in NAMES), said)
    if done:
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("old", [False, True])
def test_an_owner_killed_at_any_step_leaves_a_whole_output(tmp_path: Path, old: bool) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), os.path.dirname(__file__)]
    out = subprocess.run(
        command + ["old"] * old, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(out) > 15
    for line in out:
        if old:
            assert line == "True newnewnew "
        elif "exists" in line:  # it was complete, and was published by the one that came after it
            assert line.startswith("True killedkilledkilled output")
        else:
            assert line == "True newnewnew "
    late = ["exists" in line for line in out]
    assert late == sorted(late)
    assert not any(late[:6])
