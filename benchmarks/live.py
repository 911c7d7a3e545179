"""Live fusion from an in-memory feed: the rate it holds, and the time after a stack's last plane.

Run: ``python benchmarks/live.py [--method select] [--rate 100] [--seconds 3] [--planes 32]
[--size 2048]``; ``--seconds 60`` for the figures in the documentation. A thread puts planes of
uint16 into a `zfuse.live.Session` one at a time, `--rate` a second, or with ``--rate 0`` each when
the one before it was taken. The same arrays are fed again and again; nothing is read or written.
What counts is the time from the last `put` of a stack to its image, depth and confidence in memory.
The last result must be that of `zfuse.fuse`, bit for bit.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import zfuse
from zfuse.live import Frame, Series, Session, StackKey

if TYPE_CHECKING:
    from numpy.typing import NDArray

WARM = 2  # stacks: kernels are loaded, memory is touched
PATIENCE = 60  # seconds that a stack may take


def planes_of_a_relief(count: int, size: int) -> NDArray[np.uint16]:
    """Return texture that is sharp along a wavy surface, as a camera of 12 bits sees it."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    depth = count * (0.5 + 0.45 * np.sin(x / 300) * np.cos(y / 250))
    texture = rng.standard_normal((size, size), np.float32)
    planes = np.empty((count, size, size), np.uint16)
    for z in range(count):
        light = 800 + 300 * texture * np.exp(-((z - depth) ** 2) / 3)
        noisy = light + 20 * rng.standard_normal((size, size), np.float32)
        planes[z] = noisy.clip(0, 4095)
    return planes


def resident() -> float:
    """Return the resident size of this process in MB; NaN where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return float("nan")
    return int(status.split("VmRSS:")[1].split()[0]) / 1e3


def main() -> None:
    """Feed, and print one line a figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", default="select")
    parser.add_argument("--rate", type=float, default=100.0, help="planes a second; 0: as taken")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--planes", type=int, default=32)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--workers", type=int)
    told = parser.parse_args()

    planes = planes_of_a_relief(told.planes, told.size)
    last_put: dict[StackKey, float] = {}
    delays: dict[StackKey, float] = {}
    results: list[zfuse.Fused] = []

    def on_fused(key: StackKey, c: int | None, fused: zfuse.Fused) -> None:
        delays[key] = time.perf_counter() - last_put[key]
        results[:] = [fused]

    session = Session(None, told.method, workers=told.workers, on_fused=on_fused)
    keys = [StackKey(0, t) for t in range(10_000)]
    session.begin(Series("feed", "memory", planes={(key, 0): told.planes for key in keys}))

    def put(key: StackKey, z: int) -> int:
        waiting = session.frames[1]
        last_put[key] = time.perf_counter()
        session.put(Frame(key, 0, z, pixels=planes[z]))
        return waiting

    def wait_for(key: StackKey) -> None:
        until = time.perf_counter() + PATIENCE
        while key not in delays and time.perf_counter() < until:
            time.sleep(1e-3)

    for key in keys[:WARM]:
        for z in range(told.planes):
            put(key, z)
        wait_for(key)
    begin, most, fed = resident(), 0, 0
    started = time.perf_counter()
    for key in keys[WARM:]:
        for z in range(told.planes):
            if told.rate:
                time.sleep(max(0.0, started + fed / told.rate - time.perf_counter()))
            else:
                while session.frames[1]:
                    time.sleep(5e-4)
            most = max(most, put(key, z))
            fed += 1
        if time.perf_counter() - started > told.seconds:
            break
    wait_for(key)
    elapsed = time.perf_counter() - started
    after = 1e3 * np.array([delays[k] for k in keys[WARM:] if k in delays])
    end = resident()
    report = session.end(cancelled=True)
    counts = {stack.planes for stack in report.stacks}
    offline = zfuse.fuse(planes, told.method, workers=told.workers)
    for name in ("image", "depth", "confidence"):
        np.testing.assert_array_equal(getattr(results[0], name), getattr(offline, name))

    print(f"{told.method}, {told.planes} x {told.size} x {told.size} uint16, {len(after)} stacks")
    print(f"planes a second         {fed / elapsed:.1f} (fed {told.rate or 'as taken'})")
    print(f"planes lost             {fed + WARM * told.planes - told.planes * len(delays)}")
    print(f"planes of each stack    {sorted(counts)}; at most {most} waited")
    figures = np.median(after), np.percentile(after, 99), after.min()
    print("ms after the last plane median {:.1f}, 99 % {:.1f}, least {:.1f}".format(*figures))
    print(f"resident MB             {begin:.0f} at the begin, {end:.0f} at the end")
    print("the same as offline, bit for bit")


if __name__ == "__main__":
    main()
