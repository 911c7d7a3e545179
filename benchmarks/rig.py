"""What an acquisition loses by being listened to.

Its rate with and without zfuse, and the time that its thread spends in zfuse's callback.

    python benchmarks/rig.py [--size 512] [--exposure 0.1] [--planes 32] [--stacks 4]

Micro-Manager's demo camera, without writing; with an exposure of 0.1 ms it runs as fast as the
machine can copy frames, and zfuse takes its part of the cores. Rounds with and without zfuse take
turns; the best of each counts, because whatever else runs only makes them slower.
"""

from __future__ import annotations

import argparse
import logging
import time

import numpy as np
import useq
from pymmcore_plus import CMMCorePlus

import zfuse


def measure(size: int, exposure: float, planes: int, stacks: int, method: str, rounds: int) -> None:
    core = CMMCorePlus()
    core.loadSystemConfiguration()
    logging.getLogger("pymmcore-plus").setLevel(logging.WARNING)
    core.setProperty("Camera", "OnCameraCCDXSize", size)
    core.setProperty("Camera", "OnCameraCCDYSize", size)
    core.setProperty("Camera", "PixelType", "16bit")
    core.setProperty("Camera", "FastImage", 1)  # else it computes each frame anew, for 20 ms
    core.setExposure(exposure)
    sequence = useq.MDASequence(
        axis_order="tpcz",
        time_plan={"interval": 0, "loops": stacks},
        z_plan={"range": planes - 1, "step": 1},
    )
    frames = planes * stacks
    best = {"without": np.inf, "with": np.inf}
    spent: list[float] = []
    late: list[float] = []
    lost = 0
    for _ in range(rounds):
        started = time.perf_counter()
        core.mda.run(sequence)
        best["without"] = min(best["without"], time.perf_counter() - started)
        with zfuse.live.attach(core, method) as live:
            take = live._frame  # noqa: SLF001

            def timed(image: np.ndarray, event: useq.MDAEvent, take=take) -> None:
                started = time.perf_counter()
                take(image, event)
                spent.append(time.perf_counter() - started)

            live._frame = timed  # noqa: SLF001
            started = time.perf_counter()
            core.mda.run(sequence)
            seconds = time.perf_counter() - started
            best["with"] = min(best["with"], seconds)
            (report,) = live.wait()
            late.append(time.perf_counter() - started - seconds)
            lost += frames - sum(sum(stack.planes) for stack in report.stacks)
    print(
        f"{size} x {size} uint16, {exposure:g} ms, {stacks} stacks of {planes} planes, {method}, "
        f"{rounds} rounds"
    )
    for name, seconds in best.items():
        print(f"  {name:8} zfuse  {frames / seconds:7.1f} frames/s")
    median, most = np.percentile(np.array(spent) * 1e6, [50, 99])
    print(f"  in the callback  {median:.0f} µs a frame (median), {most:.0f} µs (99 %)")
    print(f"  all fused        {min(late) * 1e3:.0f} ms after the acquisition's end (best)")
    print(f"  planes lost      {lost}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--exposure", type=float, default=0.1, help="ms")
    parser.add_argument("--planes", type=int, default=32)
    parser.add_argument("--stacks", type=int, default=4)
    parser.add_argument("--method", default="select")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    measure(given.size, given.exposure, given.planes, given.stacks, given.method, given.rounds)


if __name__ == "__main__":
    main()
