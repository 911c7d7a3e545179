"""Compiles what a CUDA kernel's launch would start, with no GPU: to PTX, and with ptxas.

`assembled` takes the place of the device: arrays stay on the host, and a start is a compilation for
each kind of card.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np

CARDS = ((7, 5), (8, 6), (9, 0), (12, 0))
"""Compute capabilities: Turing, Ampere (workstation), Hopper, Blackwell (workstation)."""


@dataclass(frozen=True)
class Assembled:
    """What ptxas says of one kernel on one card."""

    kernel: str
    card: tuple[int, int]
    threads: int
    registers: int
    shared: int
    spilled: int
    ptx: str


def ptxas():
    """Return the path of ptxas from the wheel, or None."""
    for package in ("nvidia.cuda_nvcc", "nvidia.cu13", "nvidia.cu12"):
        try:
            found = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            continue
        for folder in found.submodule_search_locations if found else ():
            for name in ("ptxas", "ptxas.exe"):
                if (Path(folder) / "bin" / name).exists():
                    return str(Path(folder) / "bin" / name)
    return None


def _assemble(kernel, types, card, threads, folder):
    from numba import cuda

    bounds = kernel.targetoptions.get("launch_bounds")
    ptx, _ = cuda.compile_ptx(kernel.py_func, types, cc=card, launch_bounds=bounds)
    source, name = folder / "kernel.ptx", "sm_{}{}".format(*card)
    source.write_text(ptx)
    said = subprocess.run(
        [ptxas(), "-v", f"-arch={name}", source, "-o", folder / "kernel.cubin"],
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip

    def number(pattern):
        return sum(int(n) for n in re.findall(pattern, said))

    return Assembled(
        kernel.py_func.__name__, card, threads, number(r"Used (\d+) registers"),
        number(r"(\d+) bytes smem"), number(r"(\d+) bytes spill stores"), ptx,
    )  # fmt: skip


@contextmanager
def assembled(folder, cards=CARDS):
    """Replace the device; yields the list of what was assembled, one entry a kernel and card."""
    from numba.cuda import dispatcher

    from zfuse.kernels import cuda as face

    done, seen = [], set()

    def start(kernel, grid, block, *arguments):
        types = tuple(numba.typeof(a) for a in arguments)
        if (kernel, types) not in seen:
            seen.add((kernel, types))
            for card in cards:
                # Functions that kernels call are compiled for "the current device".
                dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=card)  # noqa: B023
                done.append(_assemble(kernel, types, card, int(np.prod(block)), folder))

    fakes = {
        "given": lambda array: array,
        "copied": lambda array: array,
        "address": lambda array: 0,
        "new_array": np.empty,
        "scratch": lambda use, shape, dtype=np.float32: np.empty(shape, dtype),
        "start": start,
    }
    modules = [m for name, m in sys.modules.items() if name.startswith(f"{face.__name__}.")]
    real = [(m, n, getattr(m, n)) for m in modules for n in fakes if hasattr(m, n)]
    device = dispatcher.get_current_device
    try:
        for module, name, _ in real:
            setattr(module, name, fakes[name])
        yield done
    finally:
        dispatcher.get_current_device = device
        for module, name, function in real:
            setattr(module, name, function)
