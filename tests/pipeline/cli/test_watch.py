"""`zfuse watch` as a program: its lines, Ctrl-C, SIGTERM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from support.signals import heeding_ctrl_c

import zfuse

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def planes(*shape: int) -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(100, 4000, (*shape, 40, 56), np.uint16)


def write(folder: Path, stack: NDArray[np.uint16], name: str) -> None:
    folder.mkdir(exist_ok=True)
    for z, plane in enumerate(stack):
        tifffile.imwrite(folder / f"{name}z{z}.tif", plane)


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "zfuse", "watch", str(folder / "in"),
               str(folder / "out.ome.zarr"), "--poll", "0.05", *more]  # fmt: skip
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@heeding_ctrl_c()
def test_a_signal_stops_it_and_the_same_command_goes_on(tmp_path: Path, number: int) -> None:
    want = planes(2, 3)
    write(tmp_path / "in", want[0], "t0_")
    with start(tmp_path, "--expect-planes", "3") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "fused: position 0, time 0, channel 0\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("interrupted: ")
    assert "Traceback" not in errors
    assert not (tmp_path / "out.ome.zarr").exists()

    write(tmp_path / "in", want[1], "t1_")
    (tmp_path / "in.done").touch()
    with start(tmp_path, "--expect-planes", "3") as process:
        lines, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert lines.splitlines()[-1].endswith("2 stacks: 2 complete")
    with zfuse.open(tmp_path / "out.ome.zarr") as stack:
        fused = np.asarray(stack).squeeze()
    for t in range(2):
        assert np.array_equal(fused[t], zfuse.fuse(want[t], "select").image)


def test_what_ends_in_nothing_is_a_failure_in_one_line(tmp_path: Path) -> None:
    with start(tmp_path, "--until-idle", "0.1") as process:
        lines, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert lines.splitlines()[-1] == f"{tmp_path / 'in'}: no stack came"
    assert errors == ""
    with start(tmp_path, "--poll", "-1") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == "error: poll is -1; it must be above 0\n"
