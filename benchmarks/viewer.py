"""What a large stack costs napari while it is fused: memory, and how long its window stands still.

    xvfb-run -a python benchmarks/viewer.py [--size 4096] [--planes 32] [--method select]

A stack is written as Zarr chunks (``--chunk 0``: one a plane), shown as a Dask layer, and fused
by the plugin's widget. Printed are the memory of the process before and at most, beside the size of
the stack, and the longest times between two beats of a timer in Qt's own thread that beats every
5 ms: as they are, without the time that other processes had the cores (Linux), and how long Qt's
thread worked in them. `--stacks` says what all threads did when the timer was late.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--planes", type=int, default=32)
    parser.add_argument("--chunk", type=int, default=512, help="0: whole planes")
    parser.add_argument("--method", default="select")
    parser.add_argument("--align", default="none")
    parser.add_argument("--stacks", action="store_true", help="where the window stood still")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_CONFIG"] = str(Path(folder, "settings.yaml"))
        warnings.simplefilter("ignore")
        measure(parser.parse_args(), Path(folder))


def write(path: Path, size: int, planes: int, chunk: int) -> None:
    """Write a stack, a plane at a time."""
    import zarr

    edge = chunk or size
    shape = (planes, size, size)
    array = zarr.create_array(path, shape=shape, chunks=(1, edge, edge), dtype=np.uint16)
    random = np.random.default_rng(0)
    coarse = random.integers(0, 3000, (size // 8, size // 8), np.uint16).repeat(8, 0).repeat(8, 1)
    fine = random.integers(0, 500, (size, size), np.uint16)
    y = np.arange(size)[:, None] * planes / size
    for z in range(planes):
        sharp = np.exp(-((y - z) ** 2) / 4)
        array[z] = (coarse + fine * sharp).astype(np.uint16)


def resident() -> int:
    """Bytes of this process in memory."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def waited() -> float:
    """Seconds that this thread was ready to run, and other processes had the cores (Linux)."""
    try:
        told = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text()
        return int(told.split()[1]) / 1e9
    except OSError:
        return 0.0


class Heart:
    """Beats in Qt's thread; remembers the longest pauses, and what was done in them."""

    def __init__(self, look: bool) -> None:
        from qtpy.QtCore import QTimer

        self.pauses: list[tuple[float, float, float]] = []
        self.stacks: list[tuple[float, float, str]] = []
        self._last, self._cpu, self._queued = time.perf_counter(), time.thread_time(), waited()
        self._timer = QTimer()
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._beat)
        self._timer.start()
        self._main = threading.main_thread().ident
        if look:
            threading.Thread(target=self._watch, daemon=True).start()

    def _beat(self) -> None:
        now, cpu, queued = time.perf_counter(), time.thread_time(), waited()
        self.pauses.append((now - self._last, cpu - self._cpu, queued - self._queued))
        self._last, self._cpu, self._queued = now, cpu, queued

    def _watch(self) -> None:
        import traceback

        while self._timer is not None:
            time.sleep(0.02)
            late = time.perf_counter() - self._last
            if late > 0.1:
                told = []
                for ident, frame in sys._current_frames().items():  # noqa: SLF001
                    last = traceback.extract_stack(frame)[-4:]
                    who = "Qt" if ident == self._main else "thread"
                    told.append(f"{who}: " + " < ".join(f"{f.name}:{f.lineno}" for f in last[::-1]))
                self.stacks.append((self._last, late, "\n".join(told)))

    def stop(self) -> None:
        """Beat no more."""
        self._timer.stop()
        self._timer = None
        time.sleep(0.1)

    def reset(self) -> None:
        """Forget."""
        self.pauses.clear()
        self.stacks.clear()
        self._last = time.perf_counter()


def measure(args: argparse.Namespace, folder: Path) -> None:
    """Fuse, and print the figures."""
    import dask.array
    import napari
    from napari.qt import get_qapp

    from zfuse.plugins import FuseWidget

    write(folder / "stack.zarr", args.size, args.planes, args.chunk)
    app = get_qapp()
    viewer = napari.Viewer(show=False)
    viewer.window.show()
    viewer.window._qt_window.resize(1600, 1000)  # noqa: SLF001
    widget = FuseWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Fuse stack")
    viewer.add_image(
        dask.array.from_zarr(folder / "stack.zarr"),
        name="stack", scale=(1, 0.1, 0.1), units=("um",) * 3, contrast_limits=(0, 3500),
    )  # fmt: skip
    widget.method.setCurrentText(args.method)
    widget.align.setCurrentIndex(widget.align.findData(args.align))
    heart = Heart(args.stacks)

    def live(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            app.processEvents()
            time.sleep(0.001)

    live(3)
    heart.reset()
    live(2)
    idle = max(heart.pauses)[0]
    before = most = resident()
    heart.reset()
    begun, tiles = time.perf_counter(), []
    widget.fuse()
    while widget.job:
        live(0.05)
        most = max(most, resident())
        if widget.job and widget.job.canvas:
            tiles.append(widget.job.fraction)
    seconds = time.perf_counter() - begun
    live(1)
    heart.stop()
    pauses = np.array(heart.pauses)
    size = args.planes * args.size**2 * 2
    print(f"stack {size / 1e6:,.0f} MB, {args.method}, fused in {seconds:.1f} s")
    print(
        f"memory: {before / 1e6:,.0f} MB before, {most / 1e6:,.0f} MB at most, of which results "
        f"{13.3 * args.size**2 / 1e6:,.0f} MB"
    )
    print(f"window at rest: longest pause {1e3 * idle:.0f} ms")
    for name, column in (
        ("longest pauses", pauses[:, 0]),
        ("  without waiting for a core", pauses[:, 0] - pauses[:, 2]),
        ("  in which Qt's thread worked", pauses[:, 1]),
    ):
        top = ", ".join(f"{1e3 * p:.0f}" for p in np.sort(column)[::-1][:6])
        print(f"{name}: {top} ms; {(column > 0.1).sum()} of {len(column)} above 100 ms")
    longest = {last: (late, stack) for last, late, stack in heart.stacks}
    for late, stack in sorted(longest.values(), reverse=True)[:8]:
        print(f"--- {1e3 * late:.0f} ms\n{stack}")
    viewer.close()


if __name__ == "__main__":
    main()
