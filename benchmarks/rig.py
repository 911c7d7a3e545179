"""What an acquisition loses by being listened to.

Its rate with and without zfuse, and the time that its thread spends in zfuse's callback.

    python benchmarks/rig.py [--size 512] [--exposure 0.1] [--planes 32] [--stacks 4] [--still]

Micro-Manager's demo camera, without writing; with an exposure of 0.1 ms it runs as fast as the
machine can copy frames, and zfuse takes its part of the cores. Rounds with and without zfuse take
turns; the best of each counts, because whatever else runs only makes them slower.

The demo camera computes its frames on the cores that zfuse works on, which no real camera does.
``--still`` is nearer to one: it sleeps for the exposure, then hands over a frame that it has.
"""

from __future__ import annotations

import argparse
import logging
import time
from typing import Any

import numpy as np
import useq
from pymmcore_plus import CMMCorePlus
from pymmcore_plus.experimental.unicore import SimpleCameraDevice, StageDevice, UniMMCore

import zfuse


class _StillCamera(SimpleCameraDevice):
    """Ready-made frames, each after an exposure in which no core is busy."""

    def __init__(self, size: int, exposure: float) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        self._frames = rng.integers(0, 4000, (4, size, size), np.uint16)
        self._exposure, self._taken = exposure, 0

    def get_exposure(self) -> float:
        return self._exposure

    def set_exposure(self, exposure: float) -> None:
        self._exposure = exposure

    def sensor_shape(self) -> tuple[int, int]:
        height, width = self._frames.shape[1:]
        return height, width

    def dtype(self) -> type[np.uint16]:
        return np.uint16

    def snap(self, buffer: np.ndarray) -> dict[str, Any]:
        time.sleep(self._exposure / 1e3)
        self._taken += 1
        buffer[:] = self._frames[self._taken % len(self._frames)]
        return {}


class _Focus(StageDevice):
    """A focus drive that is where it shall be at once."""

    _at = 0.0

    def home(self) -> None:
        self._at = 0.0

    def stop(self) -> None:
        """Do nothing: it never moves for long."""

    def set_origin(self) -> None:
        """Do nothing."""

    def set_position_um(self, val: float) -> None:
        self._at = val

    def get_position_um(self) -> float:
        return self._at


def _still_core(size: int, exposure: float) -> UniMMCore:
    core = UniMMCore()
    core.loadPyDevice("Camera", _StillCamera(size, exposure))
    core.loadPyDevice("Focus", _Focus())
    core.initializeAllDevices()
    core.setCameraDevice("Camera")
    core.setFocusDevice("Focus")
    core.setAutoShutter(False)
    return core


def _demo_core(size: int, exposure: float) -> CMMCorePlus:
    core = CMMCorePlus()
    core.loadSystemConfiguration()
    core.setProperty("Camera", "OnCameraCCDXSize", size)
    core.setProperty("Camera", "OnCameraCCDYSize", size)
    core.setProperty("Camera", "PixelType", "16bit")
    core.setProperty("Camera", "FastImage", 1)  # else it computes each frame anew, for 20 ms
    core.setExposure(exposure)
    return core


def measure(given: argparse.Namespace) -> None:
    size, exposure, planes, stacks = given.size, given.exposure, given.planes, given.stacks
    logging.getLogger("pymmcore-plus").setLevel(logging.WARNING)
    core = (_still_core if given.still else _demo_core)(size, exposure)
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
    for _ in range(given.rounds):
        started = time.perf_counter()
        core.mda.run(sequence)
        best["without"] = min(best["without"], time.perf_counter() - started)
        with zfuse.live.attach(core, given.method) as live:
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
        f"{size} x {size} uint16, {exposure:g} ms, {stacks} stacks of {planes} planes, "
        f"{given.method}, {'a still' if given.still else 'the demo'} camera, {given.rounds} rounds"
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
    parser.add_argument("--still", action="store_true", help="a camera that computes nothing")
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
