"""A slide on a cluster of this machine, beside the plain loop: time, and peak memory of everybody.

    python benchmarks/slide.py make slide.ome.zarr --size 20480 --planes 10
    python benchmarks/slide.py run slide.ome.zarr --how plain one two --rounds 2 [--method select]

``plain`` is `zfuse.run` in one process with one thread, ``one`` a cluster of one worker with one
thread, ``two`` one of two such workers. Each is a process of its own; rounds take turns, and the
fastest of each counts, because whatever else runs only makes them slower. Peaks are what the kernel
says of each process when it is about to end (VmHWM), driver and workers apart; so Linux only. All
outputs of a round must be the same, byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

HOW = {
    "plain": {"workers": 1},
    "one": {"cluster": {"kind": "local", "workers": 1, "cores": 1}},
    "two": {"cluster": {"kind": "local", "workers": 2, "cores": 1}},
}


def make(place: Path, size: int, planes: int) -> None:
    """Write a stack of a simulated section, again and again with its mirror images."""
    import zarr

    from zfuse.pipeline.simulation import SimulationSettings, simulate

    edge = 1024
    part = simulate(SimulationSettings(size=edge, planes=planes)).planes
    scale = [0.5, 0.1, 0.1]
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    steps = [{"type": "scale", "scale": scale}]
    multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    group = zarr.create_group(
        place, attributes={"ome": {"version": "0.5", "multiscales": [multiscale]}}
    )
    array = group.create_array(
        "0", shape=(planes, size, size), chunks=(1, edge, edge), dtype=np.uint16
    )
    for i, y in enumerate(range(0, size, edge)):
        for j, x in enumerate(range(0, size, edge)):
            turned = part[:, :: (-1) ** i, :: (-1) ** j][:, : size - y, : size - x]
            array[:, y : y + edge, x : x + edge] = turned


def fuse(source: str, output: str, how: str, method: str, memory: str | None) -> None:
    """Do one run, in the process that is measured; print what it took."""
    import zfuse

    config = zfuse.RunConfig(
        input=source, output=output, method=method, memory=memory, align="none", **HOW[how]
    )
    peaks: dict[int, int] = {}
    ended = threading.Event()

    def watch() -> None:
        me = psutil.Process()
        while not ended.wait(0.2):
            for one in [me, *me.children(recursive=True)]:
                peaks[one.pid] = max(peaks.get(one.pid, 0), _peak(one.pid))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        summary = zfuse.run(config)
    finally:
        ended.set()
        watching.join()
    driver = _peak(psutil.Process().pid)
    del peaks[psutil.Process().pid]
    workers = sorted(peak for peak in peaks.values() if peak > 50)
    print(
        json.dumps(
            {"seconds": summary.seconds, "voxels": summary.voxels, "driver": driver}
            | {"workers": workers}
        )
    )


def _peak(pid: int) -> int:
    """Return the most memory that a process ever had, in MB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    found = [line for line in lines if line.startswith("VmHWM")]
    return int(found[0].split()[1]) // 1000 if found else 0


def run(args: argparse.Namespace) -> None:
    best: dict[str, dict[str, Any]] = {}
    for turn in range(args.rounds):
        seen = {}
        for how in args.how:
            output = args.source.with_name(f"slide-{how}.ome.zarr")
            command = [
                sys.executable, __file__, "one-run", str(args.source), "--output", str(output),
                "--how", how, "--method", args.method,
            ]  # fmt: skip
            command += ["--memory", args.memory] if args.memory else []
            begun = time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            said = json.loads(done.stdout.splitlines()[-1])
            said["wall"] = time.perf_counter() - begun
            print(turn, how, said, flush=True)
            if how not in best or said["seconds"] < best[how]["seconds"]:
                best[how] = said
            seen[how] = _content(output)
            shutil.rmtree(output)
        assert len(set(seen.values())) == 1, seen
    print("| how | seconds | Mvoxel/s | driver, MB | worker, MB |\n|---|---|---|---|---|")
    for how, said in best.items():
        rate = said["voxels"] / said["seconds"] / 1e6
        peaks = ", ".join(str(n) for n in said["workers"]) or "-"
        print(f"| {how} | {said['seconds']:.1f} | {rate:.1f} | {said['driver']} | {peaks} |")


def _content(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            whole.update(path.relative_to(folder).as_posix().encode())
            whole.update(path.read_bytes())
    return whole.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("source", type=Path)
    making.add_argument("--size", type=int, default=20480)
    making.add_argument("--planes", type=int, default=10)
    for name in ("run", "one-run"):
        running = commands.add_parser(name)
        running.add_argument("source", type=Path)
        running.add_argument("--method", default="adaptive")
        running.add_argument("--memory")
        if name == "run":
            running.add_argument("--how", nargs="+", choices=HOW, default=list(HOW))
            running.add_argument("--rounds", type=int, default=2)
        else:
            running.add_argument("--how", choices=HOW, required=True)
            running.add_argument("--output", required=True)
    args = parser.parse_args()
    if args.command == "make":
        make(args.source, args.size, args.planes)
    elif args.command == "run":
        run(args)
    else:
        fuse(str(args.source), args.output, args.how, args.method, args.memory)


if __name__ == "__main__":
    main()
