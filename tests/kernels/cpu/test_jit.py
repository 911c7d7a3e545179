"""Where compiled kernels are kept, when the usual places cannot be written, and that it is said."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

import zfuse
from zfuse.kernels.cpu import _jit

compiles = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT is set")

# One that takes a NamedTuple: numba finds it again by the name of its class.
RUN_ONE_KERNEL = """
import numba, numpy as np
from zfuse.kernels import RunningPeak, finish_focus
floats, shorts = np.ones((5, 4, 4), np.float32), np.ones((3, 4, 4), np.uint16)
finish_focus(RunningPeak(*floats[:3], *shorts), 3, *floats[3:])
print(finish_focus.stats.cache_path, sum(finish_focus.stats.cache_hits.values()))
"""


@compiles
@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell the home by environment")
def test_no_folder_but_the_temporary_one_can_be_written(tmp_path: Path) -> None:
    """A read-only installation and a home that is no folder, as in a locked-down container.

    Files in the place of the cache folders stop root as well, whom permissions would not.
    """
    package = tmp_path / "site" / "zfuse"
    package.mkdir(parents=True)
    shutil.copy(Path(zfuse.__file__), package)
    kernels = Path(_jit.__file__).parents[1]
    shutil.copytree(kernels, package / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    (package / "kernels" / "cpu" / "__pycache__").write_text("no folder")
    (tmp_path / "home").write_text("no folder")
    (tmp_path / "temporary").mkdir()
    home = str(tmp_path / "home")
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {
        "PYTHONPATH": str(tmp_path / "site"),
        "HOME": home, "USERPROFILE": home, "LOCALAPPDATA": home, "XDG_CACHE_HOME": home,
        "TMPDIR": str(tmp_path / "temporary"), "TEMP": str(tmp_path / "temporary"),
        "TMP": str(tmp_path / "temporary"),
    }  # fmt: skip
    for hits in (0, 1):
        done = subprocess.run(
            [sys.executable, "-c", RUN_ONE_KERNEL], env=environment, cwd=tmp_path,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        place, found = done.stdout.rsplit(maxsplit=1)
        assert (tmp_path / "temporary") in Path(place).parents
        assert list(Path(place).rglob("*.nbi"))
        assert int(found) == hits  # compiled once, then found again


@pytest.fixture
def no_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(_jit.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


def test_the_usual_place_comes_first(no_choice: Path) -> None:
    assert _jit._cache_folder().parent == Path(_jit.__file__).parent / "__pycache__"
    assert list(no_choice.iterdir()) == []


def test_the_users_choice_is_kept(no_choice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(no_choice / "mine"))
    assert _jit._cache_folder().parent == no_choice / "mine"


def test_importing_kernels_leaves_numbas_own_choice_alone() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    code = "import zfuse.kernels, numba; print(repr(numba.config.CACHE_DIR))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "''"


@compiles
def test_a_change_in_what_a_kernel_calls_is_compiled_anew(tmp_path: Path) -> None:
    """numba itself would find the kernel again, as its own file is the same."""
    package = tmp_path / "site" / "zfuse"
    package.mkdir(parents=True)
    shutil.copy(Path(zfuse.__file__), package)
    kernels = Path(_jit.__file__).parents[1]
    shutil.copytree(kernels, package / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment["PYTHONPATH"] = str(tmp_path / "site")
    places = []
    for hits in (0, 1, 0):
        done = subprocess.run(
            [sys.executable, "-c", RUN_ONE_KERNEL], env=environment, cwd=tmp_path,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        place, found = done.stdout.rsplit(maxsplit=1)
        places.append(place)
        assert int(found) == hits
        if hits:
            with (package / "kernels" / "cpu" / "_rows.py").open("a") as module:
                module.write("# changed\n")
    assert places[0] == places[1] != places[2]


@pytest.mark.skipif(os.name == "nt", reason="Windows' temporary folder is the user's own")
def test_a_folder_that_others_can_write_is_not_trusted(
    no_choice: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_jit, "_writable", lambda _: False)
    monkeypatch.setattr(_jit.tempfile, "tempdir", str(no_choice))
    usual = _jit._cache_folder().parent
    assert usual.parent == no_choice
    assert usual.stat().st_mode & 0o077 == 0
    usual.chmod(0o777)
    other = _jit._cache_folder().parent
    assert other != usual
    assert other.stat().st_mode & 0o077 == 0


def test_processes_that_compile_at_the_same_moment_do_not_mix_their_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numba issue 4807: both have read the index before the other has written it."""

    def cache() -> _jit._CacheFiles:
        return _jit._CacheFiles(str(tmp_path), "kernel", "stamp")

    late = cache()
    with monkeypatch.context() as before:
        before.setattr(late, "_load_index", dict)
        cache().save("uint8", "code of uint8")
        late.save("uint16", "code of uint16")
    assert cache().load("uint8") in (None, "code of uint8")
    assert cache().load("uint16") == "code of uint16"
    cache().save("uint8", "code of uint8")
    assert [cache().load(key) for key in ("uint8", "uint16")] == ["code of uint8", "code of uint16"]


@compiles
def test_kernels_are_kept_so() -> None:
    from zfuse.kernels import finish_focus

    assert isinstance(finish_focus._cache._cache_file, _jit._CacheFiles)


@compiles
@pytest.mark.slow
def test_compiling_is_said_once_and_then_cached(tmp_path: Path) -> None:
    code = (
        "import numpy as np, zfuse\n"
        "from zfuse.pipeline.cli._progress import compiling_notice\n"
        "with compiling_notice():\n"
        "    zfuse.fuse(np.zeros((3, 32, 32), np.uint8))\n"
    )
    environment = dict(os.environ) | {"NUMBA_CACHE_DIR": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stderr
        for _ in range(2)
    ]
    assert said[0].count("compiling kernels") == 1
    assert said[1] == ""
