"""Rate of `adaptive` in memory as a share of `select`'s, both taking turns in one process.

Run: ``python benchmarks/adaptive.py`` (16 planes of 2048 x 2048 uint16, texture with photon noise).
The least of several repeats counts, of wall time and of the process's CPU time: other programs only
ever add to it. Memory is touched before anything is timed. ``--memory``, ``--dtype``,
``--channels``, ``--workers`` and ``--quantitative`` show other runs.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

import zfuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_PHOTONS = 1000.0  # of a pixel of mean brightness
_BLUR = 0.8  # pixels a plane away
_TOUCHED = 2 << 30  # bytes: virtual machines back memory slowly when it is first touched


def textured(count: int, size: int, seed: int = 0) -> NDArray[np.uint16]:
    """Return planes of a wavy relief with fine texture, blurred by their distance, and noise."""
    rng = np.random.default_rng(seed)
    texture = gaussian_filter(rng.standard_normal((size, size)), 0.8, truncate=3)
    texture = np.clip(1 + 0.25 * texture / texture.std(), 0.05, 4).astype(np.float32)
    relief = zoom(gaussian_filter(rng.standard_normal((64, 64)), 5), size / 64, order=1)
    depth = (relief - relief.min()) / np.ptp(relief) * (count - 1)
    blurred = [texture, *(gaussian_filter(texture, _BLUR * s, truncate=3) for s in range(1, count))]
    planes = np.empty((count, size, size), np.uint16)
    for z in range(count):
        away = np.rint(np.abs(depth - z)).astype(np.intp)
        light = np.choose(away, blurred) if count <= 32 else np.array(blurred)[away]
        planes[z] = 100 + 4 * rng.poisson(_PHOTONS * light)
    return planes


def of_dtype(planes: NDArray[np.uint16], dtype: str, channels: int) -> NDArray[Any]:
    """Return planes (Z, Y, X) or (C, Z, Y, X) of another dtype; floats are no whole counts."""
    if dtype == "uint8":
        planes = (planes // 48).clip(0, 255)
    cast = planes.astype(dtype)
    if dtype == "float32":
        cast *= np.float32(1.001)
    return cast if channels == 1 else np.stack([cast] * channels)


def least(
    candidates: dict[str, Callable[[], object]], repeats: int
) -> dict[str, tuple[float, float]]:
    """Return the least wall and CPU seconds of each candidate; they take turns."""
    found = {name: [np.inf, np.inf] for name in candidates}
    for _ in range(repeats):
        for name, candidate in candidates.items():
            wall, cpu = time.perf_counter(), time.process_time()
            candidate()
            took = time.perf_counter() - wall, time.process_time() - cpu
            found[name] = [min(a, b) for a, b in zip(found[name], took, strict=True)]
    return {name: (wall, cpu) for name, (wall, cpu) in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--planes", type=int, default=16)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", type=int)
    parser.add_argument("--dtype", default="uint16", choices=["uint8", "uint16", "float32"])
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--quantitative", action="store_true")
    options = parser.parse_args()

    planes = of_dtype(textured(options.planes, options.size), options.dtype, options.channels)
    np.ones(_TOUCHED, np.uint8)
    how = {"memory": options.memory, "workers": options.workers}
    method = {"name": "adaptive", "quantitative": options.quantitative}
    candidates: dict[str, Callable[[], object]] = {
        "select": lambda: zfuse.fuse(planes, "select", **how),
        "adaptive": lambda: zfuse.fuse(planes, method, **how),
    }
    least(candidates, 1)  # compiles
    found = least(candidates, options.repeats)
    for name, (wall, cpu) in found.items():
        print(f"{name:9s} {planes.size / wall / 1e6:6.0f} Mvoxel/s, {1e3 * wall:5.0f} ms, "
              f"{1e3 * cpu:5.0f} ms of CPU")  # fmt: skip
    shares = [found["select"][i] / found["adaptive"][i] for i in range(2)]
    print(f"adaptive / select: {shares[0]:.3f} by the clock, {shares[1]:.3f} by CPU time")


if __name__ == "__main__":
    main()
