"""Rate of the focus kernel beside the same chain in OpenCV and scipy.ndimage.

The chain: modified Laplacian |2f(x) - f(x-1) - f(x+1)| + |2f(y) - f(y-1) - f(y+1)|, summed over a
9 x 9 window, then the running best of the planes with its pixel value and its plane number.
Run: ``python benchmarks/kernels.py`` (needs ``pip install "zfuse[bench]"``). Candidates take turns
in every repeat, so that a busy machine slows all of them; the median counts. ``--planes`` and
``--size`` shrink the work for a quick look.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from zfuse.pipeline.core._region import Region
from zfuse.pipeline.core._signal import Signal
from zfuse.pipeline.methods._select import Select

WINDOW = 9
THREADS = 2
Chain = Callable[[NDArray[np.uint16]], tuple[NDArray[np.uint16], NDArray[np.uint16]]]


def zfuse_chain(planes: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Fold as a run does, strips of rows on two threads; the peak's two sides are kept too."""
    count, height, width = planes.shape
    method = Select()
    signal = Signal(native=True, weights=(1.0,), offset=0.0)
    window, step = (slice(0, height), slice(0, width)), -(-height // THREADS)
    regions = [
        Region((height, width), (slice(y, min(y + step, height)), window[1]), window)
        for y in range(0, height, step)
    ]
    states = [method.start(region, 1, planes.dtype, signal) for region in regions]
    blocks = range(0, count, 8)
    with ThreadPoolExecutor(THREADS) as pool:
        for z in blocks:
            list(pool.map(lambda s, z=z: method.add(s, planes[z : z + 8, None], z), states))
    value = np.concatenate([state.image[0] for state in states])
    return value, np.concatenate([state.index for state in states])


def opencv_chain(planes: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """As one writes it with OpenCV's Python package: filters by OpenCV, running best by numpy."""
    activity, running = _opencv_activity(planes), _Running(planes)
    for number, plane in enumerate(planes):
        running.add(number, plane, activity(plane))
    return running.value, running.index


def opencv_tuned_chain(
    planes: NDArray[np.uint16],
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """OpenCV at its best: numpy's masked copies, two thirds of the time, replaced by OpenCV's."""
    activity, running = _opencv_activity(planes), _Running(planes)
    constant = np.empty_like(running.index)
    for number, plane in enumerate(planes):
        here = activity(plane)
        better = cv2.compare(here, running.best, cv2.CMP_GT)
        cv2.max(here, running.best, dst=running.best)
        cv2.copyTo(plane, better, running.value)
        constant.fill(number)
        cv2.copyTo(constant, better, running.index)
    return running.value, running.index


def scipy_chain(planes: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Filter with scipy.ndimage, keep the running best with numpy."""
    kernel = np.array([-1, 2, -1], np.float32)
    running = _Running(planes)
    x, y, activity = (np.empty_like(running.best) for _ in range(3))
    for number, plane in enumerate(planes):
        image = plane.astype(np.float32)
        ndimage.convolve1d(image, kernel, axis=1, output=x, mode="nearest")
        ndimage.convolve1d(image, kernel, axis=0, output=y, mode="nearest")
        np.abs(x, out=x)
        np.abs(y, out=y)
        x += y
        ndimage.uniform_filter(x, WINDOW, output=activity, mode="nearest")
        running.add(number, plane, activity)
    return running.value, running.index


class _Running:
    """Running argmax in numpy: best activity, pixel value and plane number, in place."""

    def __init__(self, planes: NDArray[np.uint16]) -> None:
        self.best = np.full(planes.shape[1:], -1, np.float32)
        self.value = np.zeros(planes.shape[1:], np.uint16)
        self.index = np.zeros(planes.shape[1:], np.uint16)

    def add(self, number: int, plane: NDArray[np.uint16], activity: NDArray[np.float32]) -> None:
        better = activity > self.best
        np.maximum(self.best, activity, out=self.best)
        np.copyto(self.value, plane, where=better)
        np.copyto(self.index, np.uint16(number), where=better)


def _opencv_activity(
    planes: NDArray[np.uint16],
) -> Callable[[NDArray[np.uint16]], NDArray[np.float32]]:
    """Return the windowed modified Laplacian of a plane; buffers are made once and used again."""
    across = np.array([[-1, 2, -1]], np.float32)
    down = across.T.copy()
    image, x, y = (np.empty(planes.shape[1:], np.float32) for _ in range(3))
    edge = cv2.BORDER_REPLICATE

    def activity(plane: NDArray[np.uint16]) -> NDArray[np.float32]:
        np.copyto(image, plane)
        cv2.filter2D(image, cv2.CV_32F, across, dst=x, borderType=edge)
        cv2.filter2D(image, cv2.CV_32F, down, dst=y, borderType=edge)
        cv2.absdiff(x, 0.0, dst=x)
        cv2.absdiff(y, 0.0, dst=y)
        cv2.add(x, y, dst=x)
        cv2.boxFilter(x, cv2.CV_32F, (WINDOW, WINDOW), dst=y, normalize=False, borderType=edge)
        return y

    return activity


def copy_planes(planes: NDArray[np.uint16], out: NDArray[np.uint16]) -> None:
    """Only move the voxels: what the memory allows one thread."""
    np.copyto(out, planes)


def textured(count: int, size: int) -> NDArray[np.uint16]:
    """Planes with structure and noise at 14 bit: every plane wins somewhere."""
    rng = np.random.default_rng(0)
    base = rng.integers(2000, 14000, (size, size), np.uint16)
    planes = np.empty((count, size, size), np.uint16)
    rows = np.arange(size, dtype=np.float32)[:, None]
    for number in range(count):
        contrast = np.exp(-(((rows * count / size - number) / 3) ** 2))
        noise = rng.integers(0, 400, (size, size), np.uint16)
        planes[number] = 2000 + base * contrast * 0.8 + noise
    return planes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--planes", type=int, default=16)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(THREADS)

    planes = textured(options.planes, options.size)
    target = np.empty_like(planes)
    candidates: dict[str, Callable[[], object]] = {
        "copy (1 thread)": lambda: copy_planes(planes, target)
    }
    answers = {}
    chains: dict[str, Chain] = {
        "zfuse": zfuse_chain,
        "OpenCV": opencv_chain,
        "OpenCV, tuned": opencv_tuned_chain,
        "scipy.ndimage": scipy_chain,
    }
    for name, chain in chains.items():
        answers[name] = chain(planes)  # also compiles and warms up
        candidates[name] = lambda chain=chain: chain(planes)
    copy_planes(planes, target)

    # One border convention differs between libraries: compare inside.
    inner = (slice(WINDOW, -WINDOW), slice(WINDOW, -WINDOW))
    reference = answers["scipy.ndimage"]
    for name, (value, index) in answers.items():
        same = np.mean((index == reference[1])[inner] & (value == reference[0])[inner])
        print(f"{name}: {same:.4%} of the pixels as in scipy.ndimage")
        if same < 0.999:
            raise SystemExit(f"{name} computes something else: its rate means nothing")

    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(options.repeats):
        for name, candidate in candidates.items():
            started = time.perf_counter()
            candidate()
            seconds[name].append(time.perf_counter() - started)

    print(
        f"\n{options.planes} planes of {options.size} x {options.size} uint16, window {WINDOW}, "
        f"{THREADS} threads of {os.cpu_count()} cores, median of {options.repeats}, "
        f"{platform.machine()}"
    )
    rate = {name: planes.size / median(times) / 1e9 for name, times in seconds.items()}
    for name, value in rate.items():
        ratio = rate["zfuse"] / value
        print(f"{name:16s} {value:7.3f} Gvoxel/s   zfuse is {ratio:5.1f} times as fast")


if __name__ == "__main__":
    main()
