"""The command line as a person meets it: one clear line, an exit code, nothing left behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import yaml
import zarr
from support.plates import field_pixels, write_image, write_plate
from support.signals import heeding_ctrl_c
from typer.testing import CliRunner

from zfuse.pipeline.cli._app import app
from zfuse.pipeline.cli._console import say, say_error, say_table, say_warning
from zfuse.pipeline.cli._progress import ConsoleProgress
from zfuse.pipeline.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLANES = np.random.default_rng(8).integers(0, 4096, (5, 70, 90)).astype(np.uint16)
ZFUSE = [sys.executable, "-m", "zfuse"]
HEAVY = "numpy numba zarr dask tifffile scipy skimage yaozarrs PIL yaml matplotlib".split()


def zfuse(*arguments: Any) -> Any:
    """Run the command line in this process; stderr apart."""
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a stack in it."""
    tifffile.imwrite(tmp_path / "in.tif", PLANES, metadata={"axes": "ZYX"})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("command", [["--help"], [], ["fuse", "--help"], ["--version"]])
def test_help_loads_no_heavy_library(command: list[str]) -> None:
    code = (
        "import sys\n"
        "from zfuse.pipeline.cli._app import main\n"
        f"sys.argv = ['zfuse', *{command}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('loaded:', *[m for m in {HEAVY} if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["loaded:"]
    assert "zfuse" in done.stdout


@pytest.mark.parametrize(
    ("output", "more"), [("out.ome.zarr", []), ("out.tif", ["zarr", "fsspec", "numcodecs"])]
)
def test_fuse_loads_only_what_it_needs(folder: Path, output: str, more: list[str]) -> None:
    # Dask, 0.12 s, has nothing to plan where one tile is the whole image; yaozarrs, 0.12 s, is for
    # reading OME-Zarr.
    never = ["dask", "yaozarrs", "skimage", "matplotlib", "PIL", "onnxruntime", "torch", *more]
    code = (
        "import sys\n"
        "from zfuse.pipeline.cli._app import main\n"
        f"sys.argv = ['zfuse', 'fuse', 'in.tif', {output!r}]\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code\n"
        f"print('loaded:', *[m for m in {never} if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["loaded:"]
    assert (folder / output).exists()


def test_fuse_and_info(folder: Path) -> None:
    done = zfuse("fuse", "in.tif", "out.ome.zarr", "--z-step", 0.5, "--pixel-size", 0.1)
    assert done.exit_code == 0
    assert done.stdout.startswith("out.ome.zarr: 0.0 Mvoxel in ")
    assert "\n" not in done.stdout.strip()
    said = zfuse("info", "out.ome.zarr").stdout
    assert "0.1 x 0.1 µm" in said
    assert "z=1 y=70 x=90" in said
    assert zfuse("fuse", "in.tif", "out.ome.zarr", "--overwrite").exit_code == 0


def make_folder_of_planes(folder: Path) -> str:
    (folder / "planes").mkdir()
    for z, plane in enumerate(PLANES):
        tifffile.imwrite(folder / "planes" / f"z{z:03}.tif", plane)
    return "planes"


def make_ome_tiff(folder: Path) -> str:
    settings = {"axes": "ZCYX", "PhysicalSizeZ": 0.5, "Channel": {"Name": ["DAPI", "GFP"]}}
    tifffile.imwrite(folder / "a.ome.tif", np.stack([PLANES, PLANES], 1), metadata=settings)
    return "a.ome.tif"


def make_zarr(folder: Path) -> str:
    zarr.create_array(folder / "a.zarr", data=PLANES, chunks=(2, 32, 32))
    return "a.zarr"


def make_damaged_zarr(folder: Path) -> str:
    zarr.create_array(folder / "a.zarr", data=PLANES, chunks=(1, 32, 32))
    for chunk in (folder / "a.zarr" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"nonsense")
    return "a.zarr"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda _: "in.tif",
            ["format      TIFF", "z=5 y=70 x=90", "uint16", "unknown: depth will be in planes"],
        ),
        (
            make_folder_of_planes,
            ["5 image files", "z=5 y=70 x=90", "none: the pixels are not"],
        ),
        (make_ome_tiff, ["OME-TIFF", "c=2 z=5 y=70 x=90", "DAPI, GFP", "0.5 µm, 2 µm in all"]),
        (make_zarr, ["zarr format 3", "2 x 32 x 32 (z, y, x)", "warning", "without OME metadata"]),
        (make_damaged_zarr, ["1 x 32 x 32", "time        unknown: "]),
    ],
)
def test_info(folder: Path, make: Callable[[Path], str], said: list[str]) -> None:
    done = zfuse("info", make(folder))
    assert done.exit_code == 0
    for part in [*said, "image", "dtype", "channels", "chunks", "size", "time"]:
        assert part in done.stdout


def test_info_of_many_positions_shows_one(folder: Path) -> None:
    (folder / "run").mkdir()
    for p, z in np.ndindex(13, 2):
        tifffile.imwrite(folder / "run" / f"img_position{p:03}_z{z:03}.tif", PLANES[z])
    (folder / "run" / "metadata.txt").write_text('{"Summary": {"z-step_um": 3}}')
    said = zfuse("info", "run").stdout
    assert "13: 0 to 12" in said
    assert said.count("axes") == 1
    assert "2 image files, with the notes of Micro-Manager" in said
    assert "3 µm" in said


def test_info_of_a_plate(folder: Path) -> None:
    days = [{"id": 0, "name": "day 1"}, {"id": 1}]
    write_plate(folder / "p.zarr", declared=["C/01"], acquisitions=days)
    shutil.rmtree(folder / "p.zarr/A/01/0")
    done = zfuse("info", "p.zarr")
    assert done.exit_code == 0
    said = {line[:14].strip(): line[14:].strip() for line in done.stdout.splitlines()}
    assert said["plate"] == "screen 7"
    assert said["layout"] == "3 rows x 3 columns"
    assert said["wells"] == "3: A/01, B/02, B/03"
    assert said["fields"] == "1 to 2 a well, 4 images in all"
    assert said["acquisitions"] == "day 1, 1"
    assert said["unusable"].startswith("C/01: p.zarr/C/01 belongs to its plate but is missing")
    assert "image       A/01/1" in done.stdout  # the first that can be opened
    one = zfuse("info", "p.zarr", "--select", "B", "--select", "c=GFP").stdout
    assert "2: B/02, B/03" in one
    assert "channels    GFP\n" in one


def test_info_of_a_collection_goes_on_behind_a_damaged_image(folder: Path) -> None:
    attributes = {"ome": {"version": "0.5", "bioformats2raw.layout": 3}}
    zarr.create_group(folder / "c.zarr", attributes=attributes)
    for i in range(3):
        write_image(folder / f"c.zarr/{i}", field_pixels(str(i)), ["a", "b"])
    (folder / "c.zarr/1/zarr.json").write_text("{")
    done = zfuse("info", "c.zarr")
    assert done.exit_code == 0
    assert done.stdout.count("channels    a, b") == 2
    assert "unusable" in done.stdout


def test_methods_fit_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    lines = zfuse("methods").stdout.splitlines()
    assert lines[0].split() == "name pixels are what it does".split()
    assert max(len(line) for line in lines) <= 80
    column = lines[0].index("what")
    named = [line for line in lines[1 : lines.index("")] if line[:column].strip()]
    assert [line.split()[0] for line in named] == list(METHODS)
    assert all(line[column - 2 : column] == "  " for line in lines[1 : lines.index("")])


def test_methods_are_one_line_each_in_a_pipe() -> None:
    lines = zfuse("methods").stdout.splitlines()
    assert [line.split()[0] for line in lines[1 : lines.index("")]] == list(METHODS)


def test_a_method_shows_its_settings() -> None:
    said = zfuse("methods", "select").stdout
    assert "copied" in said
    assert "\nwindow " in said
    assert "did you mean 'select'?" in zfuse("methods", "selct").stderr


@pytest.mark.parametrize(
    "command",
    ["", "fuse", "info", "methods", "demo", "simulate", "render", "evaluate", "bench", "train",
     "engines", "engines list"],
)  # fmt: skip
def test_h_is_help(command: str) -> None:
    short, long = (zfuse(*command.split(), option) for option in ("-h", "--help"))
    assert short.exit_code == 0
    assert short.stdout == long.stdout
    assert "Usage: " in short.stdout


def test_bench_says_rates_and_ratios(folder: Path) -> None:
    lines = zfuse("bench", "--size", 128, "--planes", 4, "--folder", ".").stdout.splitlines()
    assert lines[0].startswith("4 x 128 x 128 uint16, lz4")
    assert [line.split()[-1] for line in lines[1:5]] == ["Gvoxel/s"] * 4
    assert all(float(line.split()[-1]) > 0 for line in lines[5:])
    assert "folding alone (select)" in lines[3]
    assert listing(folder)[0] == "bench-lz4-4x128x128.zarr"
    assert "choose from lz4, zstd" in zfuse("bench", "--codec", "gzip").stderr


def test_what_does_not_fit_a_terminal_goes_on_in_the_next_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    say_table([("first", "a" * 50, "some words that are wrapped")], ("one", "two", "three"))
    said = capsys.readouterr().out
    assert max(len(line) for line in said.splitlines()) <= 40
    assert said.count("a") - "some words that are wrapped".count("a") == 50


def test_simulate_fuse_evaluate_render(folder: Path) -> None:
    simulated = zfuse("simulate", "s.ome.zarr", "--size", 96, "--planes", 6, "--photons", 5000)
    assert simulated.stdout.startswith("s.ome.zarr: 6 planes of 96 x 96, relief")
    assert "exists" in zfuse("simulate", "s.ome.zarr").stderr
    assert zfuse("fuse", "s.ome.zarr", "f.tif").exit_code == 0
    assert "depth MAE" in zfuse("evaluate", "f.tif", "--planes", "s.ome.zarr").stdout
    assert zfuse("render", "f.tif", "r.png").stdout == "wrote r.png\n"
    assert (folder / "r.png").read_bytes().startswith(b"\x89PNG")


EVIL = "[red]x[/red] :bug: \x1b[31m\x07\r\u202e"
SPELT = r"[red]x[/red] :bug: \x1b[31m\x07\r\u202e"


@pytest.mark.parametrize("say", [say, say_error, say_warning, lambda x: say_table([("key", x)])])
def test_names_reach_the_terminal_as_they_are(
    say: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    say(EVIL)
    said = capsys.readouterr()
    assert (said.out + said.err).rstrip("\n").endswith(SPELT)


def test_notes_and_the_bar_show_names_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with ConsoleProgress(EVIL) as progress:
        progress.note(EVIL)
        progress.warn(EVIL)
        assert progress._bar.tasks[0].description == SPELT
    assert capsys.readouterr().err.splitlines() == [SPELT, f"warning: {SPELT}"]


@pytest.mark.skipif(os.name == "nt", reason="no such names on Windows")
def test_control_characters_of_names_are_spelt_out(folder: Path) -> None:
    name = "[red]\x1b[31mx\n.tif"
    (folder / "in.tif").rename(folder / name)
    lines = zfuse("info", name).stdout.splitlines()
    assert lines[0].startswith("image       [red]")
    assert "\x1b" not in lines[0]
    assert lines[1].startswith("format ")
    for done in (zfuse("fuse", name, "out.tif"), zfuse("fuse", name, "out.tif")):
        assert "\x1b" not in done.stdout + done.stderr
    assert len(zfuse("fuse", name + "f", "new.tif").stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("fuse zzzz.png out.tif", "zzzz.png does not exist; check the path"),
        ("fuse n.tif out.tif", "n.tif does not exist; did you mean in.tif?"),
        ("fuse notes.txt out.tif", "notes.txt is not an image that zfuse reads"),
        ("fuse cut.tif out.tif", "cut.tif is truncated"),
        ("fuse corrupt.zarr out.tif", "corrupt.zarr"),
        ("fuse missing.zarr out.tif", "missing"),
        ("fuse odd out.tif", "z1.tif is 90 x 50 px"),
        ("fuse dtypes out.tif", "uint8, the other planes are"),
        ("fuse flat.ome.tif out.tif", "no z axis"),
        ("fuse empty out.tif", "holds no image"),
        ("fuse complex.tif out.tif", "complex64"),
        ("fuse in.tif out.tif --method selct", "unknown method 'selct': did you mean 'select'?"),
        (
            "fuse in.tif out.tif --method select --set windw=3",
            "unknown key 'windw': did you mean 'window'?",
        ),
        ("fuse in.tif out.tif --set window", "--set 'window': write KEY=VALUE"),
        ("fuse in.tif out.tif --set window=[", "--set 'window=['"),
        ("fuse in.tif there.tif", "there.tif exists; choose another name, or replace it with"),
        ("fuse in.tif in.tif --overwrite", "is the input itself"),
        ("fuse odd odd/out.tif", "lies inside the input"),
        ("fuse in.tif out.jpg", "cannot tell the format of output out.jpg"),
        ("fuse in.tif file/out.tif", "is a file"),
        ("fuse in.tif s3://bucket/out.zarr", "outputs are written to local disks"),
        ("fuse nonsense://a/b.zarr out.tif", "nonsense"),
        ("fuse in.tif out.tif --channel GFP", "no channel 'GFP' in in: it has 0: channel 0"),
        ("fuse in.tif out.tif --channel chanel", "did you mean 'channel 0'?"),
        ("fuse in.tif out.tif --channel -1", "no channel '-1'"),
        ("fuse in.tif out.tif --series 1", "no series 1"),
        ("fuse in.tif out.tif --tile 100", "multiple of 64"),
        ("fuse in.tif out.tif --tile -64", "tile = -64: must be more than 0"),
        ("fuse in.tif out.tif --memory 1MB", "memory of 1MB is too little"),
        ("fuse in.tif out.tif --memory lots", "is no size; write it like 640MB or 2GB"),
        ("fuse in.tif out.tif --workers 0", "workers = 0: must be 1 or more"),
        ("fuse in.tif out.tif --z-step -0.5", "z_step = -0.5: must be more than 0"),
        ("fuse in.tif out.tif --min-confidence 2", "min_confidence = 2.0: must be 1.0 or less"),
        ("fuse in.tif out.tif --min-confidence -1", "min_confidence = -1.0: must be 0.0 or more"),
        ("fuse in.tif out.tif --z-step nan", "z_step = nan: must be"),
        ("fuse in.tif out.tif --pixel-size inf", "pixel_size = inf: must be a finite number"),
        ("fuse in.tif out.tif --config nope.yaml", "cannot read config nope.yaml"),
        ("fuse in.tif out.tif --config wrong.yaml", "config wrong.yaml: unknown key 'memry'"),
        ("fuse in.tif out.tif --config list.yaml", "holds a list"),
        ("fuse in.tif out.tif --config broken.yaml", "is no valid YAML"),
        ("info nothing.tif", "does not exist"),
        ("info notes.txt", "is not an image"),
        ("demo file", "cannot write to file"),
        ("demo out --method selct", "unknown method 'selct'"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    folder: Path, arguments: str, message: str
) -> None:
    make_bad_input(folder)
    before = listing(folder)
    done = zfuse(*arguments.split())
    assert done.exit_code == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("error: ")
    assert message in lines[-1]
    assert all(line.startswith("warning: ") for line in lines[:-1])
    assert listing(folder) == before


def make_bad_input(folder: Path) -> None:
    (folder / "notes.txt").write_text("focus")
    (folder / "file").write_text("not a folder")
    (folder / "cut.tif").write_bytes((folder / "in.tif").read_bytes()[:20000])
    (folder / "there.tif").write_bytes(b"mine")
    for name, dtype, height in (("odd", "u2", 50), ("dtypes", "u1", 70)):
        (folder / name).mkdir()
        tifffile.imwrite(folder / name / "z0.tif", PLANES[0])
        tifffile.imwrite(folder / name / "z1.tif", PLANES[1, :height].astype(dtype))
        tifffile.imwrite(folder / name / "z2.tif", PLANES[2])
    (folder / "empty").mkdir()
    tifffile.imwrite(folder / "flat.ome.tif", PLANES, metadata={"axes": "TYX"})
    tifffile.imwrite(folder / "complex.tif", PLANES.astype(np.complex64))
    for name in ("corrupt.zarr", "missing.zarr"):
        zarr.create_array(folder / name, data=PLANES, chunks=(1, 70, 90))
        chunk = folder / name / "c" / "2" / "0" / "0"
        chunk.write_bytes(b"nonsense") if name == "corrupt.zarr" else chunk.unlink()
    (folder / "wrong.yaml").write_text("memry: 1GB\n")
    (folder / "list.yaml").write_text("- 1\n")
    (folder / "broken.yaml").write_text("a: [1\n")


@pytest.mark.parametrize(
    "arguments", ["fuse in.tif", "fuse in.tif out.tif --bogus", "nonsense", "fuse --tile x a b"]
)
def test_wrong_usage_is_exit_code_2(folder: Path, arguments: str) -> None:
    before = listing(folder)
    done = zfuse(*arguments.split())
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr
    assert listing(folder) == before


def test_a_full_disk_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("zfuse.pipeline.sinks._ome_zarr.write_shard", full)
    before = listing(folder)
    done = zfuse("fuse", "in.tif", "out.ome.zarr")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: disk full, or quota used up, while writing out.ome.zarr")
    assert len(done.stderr.splitlines()) == 1
    assert listing(folder) == before


def test_options_win_over_the_file(folder: Path) -> None:
    settings = {"method": {"name": "select", "window": 13}, "z_step": 9.0, "tile": 128}
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    arguments = ["fuse", "in.tif", "out.ome.zarr", "--config", "run.yaml"]
    assert zfuse(*arguments, "--z-step", 0.5, "--set", "measure=tenengrad").exit_code == 0
    record = json.dumps(dict(zarr.open_group(folder / "out.ome.zarr", mode="r").attrs))
    assert '"window": 13' in record
    assert '"measure": "tenengrad"' in record
    assert '"z_step_um": 0.5' in record
    assert zfuse(*arguments, "--overwrite", "--method", "laplacian").exit_code == 0
    record = json.dumps(dict(zarr.open_group(folder / "out.ome.zarr", mode="r").attrs))
    assert '"laplacian"' in record
    assert '"window": 13' not in record  # settings of another method do not stay


def test_python_dash_m(folder: Path) -> None:
    done = subprocess.run([*ZFUSE, "fuse", "in.tif", "out.tif"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run([*ZFUSE, "fuse", "in.tif", "out.tif"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: output out.tif exists; choose another name, or replace it with --overwrite\n"
    )


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_reader_that_goes_away_is_no_traceback(folder: Path) -> None:
    """`zfuse methods | head -1`: the pipe is closed before everything is written."""
    process = subprocess.Popen(
        [*ZFUSE, "methods"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait()


@pytest.mark.skipif(os.name == "nt", reason="a process on Windows cannot be sent Ctrl-C alone")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("times", [1, 2])
@heeding_ctrl_c()
def test_ctrl_c_is_one_line_and_leaves_nothing(folder: Path, name: str, times: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (6, 2048, 2048)).astype(np.uint16)
    zarr.create_array(folder / "big.zarr", data=pixels, chunks=(1, 1024, 1024))
    before = sorted(path.name for path in folder.iterdir())
    slow = ["--tile", "64", "--workers", "1"]  # every chunk is decoded many times: minutes
    process = subprocess.Popen(
        [*ZFUSE, "fuse", "big.zarr", "new/out.ome.zarr", *slow],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    partial = folder / "new" / "out.ome.zarr.partial"
    deadline = time.monotonic() + 60
    while not [*partial.glob("*/out.ome.zarr/zarr.json")]:  # before that it imports and compiles
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)
    for _ in range(times):
        process.send_signal(getattr(signal, name))
        time.sleep(0.02)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "interrupted: nothing was written"
    assert sorted(path.name for path in folder.iterdir()) == before
