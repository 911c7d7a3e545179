"""Speed, memory and agreement of the runners, on the weights that are there.

Run: ``python benchmarks/engines.py umis --size 512 --batch 1 --threads 2``; all runners that can
serve here take part unless ``--runner`` names some, e.g. on a GPU ``--runner torch:fp32
torch-compile:fp16 tensorrt:fp16 --size 512 1024 --batch 1 8 32``. Each runs in a process of its
own, so that its peak memory is its own; they take turns, and the best turn counts, since others use
the machine too. Processor time is what all cores spent. The difference is the largest one to the
first runner, as a part of the largest value.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zfuse import engines

Arrays = dict[str, NDArray[np.float32]]


def inputs_of(runner: engines.Runner, batch: int, size: int) -> Arrays:
    """Return random inputs in the graph's shapes, always the same ones."""
    lengths = {"batch": batch, "channels": 1, "height": size, "width": size}
    random = np.random.default_rng(7)
    arrays = {}
    for name, tensor in runner.tensors.items():
        values = random.random(engines.shape_of(tensor.axes, lengths))
        arrays[name] = (values > 1 if tensor.dtype == "bool" else values).astype(tensor.dtype)
    return arrays


def measure(settings: dict[str, str | int], result: Path) -> dict[str, float]:
    """Measure one runner in this process."""
    begun = time.perf_counter()
    runner = engines.load(
        str(settings["graph"]),
        runner=str(settings["runner"]),
        precision=str(settings["precision"]),
        threads=int(settings["threads"]),
    ).open()
    batch, size, callers = (int(settings[k]) for k in ("batch", "size", "concurrent"))
    arrays = inputs_of(runner, batch, size)
    outputs = runner(arrays)
    opened = time.perf_counter() - begun
    np.savez(result, **outputs)
    calls = int(settings["calls"]) * callers
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(lambda _: runner(arrays), range(callers)))
        wall, cpu = time.perf_counter(), time.process_time()
        list(pool.map(lambda _: runner(arrays), range(calls)))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    planes = calls * batch
    return {
        "open": opened,
        "rate": planes * size * size / wall / 1e6,
        "cpu": cpu / planes,
        "memory": _peak_memory(),
        "gpu": _gpu_memory(),
    }


def _peak_memory() -> float:
    """Return the peak of this process in MB, where the system says."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _gpu_memory() -> float:
    """Return what this process holds of a GPU's memory, in MB."""
    if shutil.which("nvidia-smi") is None:
        return 0.0
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    said = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    rows = [line.split(",") for line in said.splitlines()]
    return sum(float(used) for pid, used in rows if int(pid) == os.getpid())


def main() -> None:
    """Let the runners take turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graphs", nargs="*", help="e.g. umis")
    parser.add_argument("--runner", nargs="+", default=None, help="e.g. tensorrt:fp16")
    parser.add_argument("--size", nargs="+", type=int, default=[512])
    parser.add_argument("--batch", nargs="+", type=int, default=[1])
    parser.add_argument("--threads", nargs="+", type=int, default=[2])
    parser.add_argument("--concurrent", nargs="+", type=int, default=[1], help="callers at a time")
    parser.add_argument("--calls", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        settings = json.loads(options.one)
        print(json.dumps(measure(settings, Path(settings["result"]))))
        return
    can = [name for name, entry in engines.RUNNERS.items() if not entry.is_incompatible()]
    print("graph | runner | batch | px | threads | callers | open s | Mvoxel/s | CPU s/plane | "
          "peak MB | GPU MB | difference")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for graph in options.graphs:
            for size in options.size:
                for batch in options.batch:
                    cases = [
                        {
                            "graph": graph,
                            "runner": name.partition(":")[0],
                            "precision": name.partition(":")[2] or "fp32",
                            "size": size,
                            "batch": batch,
                            "threads": threads,
                            "concurrent": callers,
                            "calls": options.calls,
                        }
                        for name in options.runner or can
                        for threads in options.threads
                        for callers in options.concurrent
                    ]
                    _compare(cases, options.repeats, Path(folder))


def _compare(cases: list[dict[str, str | int]], repeats: int, folder: Path) -> None:
    best: dict[int, dict[str, float]] = {}
    for _ in range(repeats):
        for i, case in enumerate(cases):
            settings = case | {"result": str(folder / f"{i}.npz")}
            command = [sys.executable, __file__, "--one", json.dumps(settings)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(case["runner"], done.stderr.strip().splitlines()[-1], flush=True)
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            known = best.get(i, found)
            best[i] = {
                key: (max if key == "rate" else min)(value, known[key])
                for key, value in found.items()
            }
    first: Arrays | None = None
    for i, found in best.items():
        case = cases[i]
        with np.load(folder / f"{i}.npz") as stored:
            outputs = dict(stored)
        first = first or outputs
        differences = [
            np.abs(outputs[name] - wanted).max() / max(np.abs(wanted).max(), 1e-12)
            for name, wanted in first.items()
        ]
        print(
            f"{case['graph']} | {case['runner']} {case['precision']} | {case['batch']} | "
            f"{case['size']} | {case['threads']} | {case['concurrent']} | {found['open']:.1f} | "
            f"{found['rate']:.3g} | {found['cpu']:.3g} | {found['memory']:.0f} | "
            f"{found['gpu']:.0f} | {max(differences):.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
