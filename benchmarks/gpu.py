"""What kernels reach on an NVIDIA GPU, as parts of the copy bandwidth of the same run.

Run: ``python benchmarks/gpu.py`` (needs ``pip install "zfuse[cuda]"`` and a card; torch and
TensorRT for what compares with them); ``--part`` names some parts, ``--planes`` and ``--size``
shrink the work. Times are medians of CUDA events, after a run that compiles; the data is several
times the L2 cache. A part that cannot run says what it needs. Not yet run on a card by us.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse import kernels as cpu

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 9
REPEATS = 20
PEAK_BYTES = 2 * (3 * 4 + 3 * 2)  # of a pixel's `RunningPeak`, read and written


def new_peak(arrays: Any, shape: tuple[int, int]) -> cpu.RunningPeak:
    floats = (arrays.full(shape, -2, "f4"), arrays.zeros(shape, "f4"), arrays.zeros(shape, "f4"))
    return cpu.RunningPeak(*floats, *(arrays.zeros(shape, "u2") for _ in range(3)))


def fold(kernels: Any, arrays: Any, planes: Any, peak: cpu.RunningPeak, image: Any, z: int) -> None:
    """Fold planes (n, Y, X) as `select` does."""
    valid = arrays.zeros(len(planes), bool)
    kernels.fold_focus(
        planes, valid, planes[:, None], 0, 0, z, cpu.MEASURES["sml"], False, WINDOW,
        cpu.accumulator("sml"), peak, image,
    )  # fmt: skip


def textured(planes: int, size: int) -> Any:
    """Return planes whose texture is sharp in one of them, on the card."""
    import cupy

    random = cupy.random.default_rng(0)
    texture = random.standard_normal((size, size), dtype="f4")
    depth = cupy.linspace(0, planes - 1, size, dtype="f4")
    stack = cupy.empty((planes, size, size), "u2")
    for z in range(planes):
        noise = random.standard_normal((size, size), dtype="f4")
        contrast = 2000 * cupy.exp(-((z - depth) ** 2) / 8)
        stack[z] = (8000 + contrast * texture + 60 * noise).astype("u2")
    return stack


def seconds(work: Callable[[], object]) -> float:
    """Return the median time of some work on the card."""
    import cupy

    work()
    times = []
    for _ in range(REPEATS):
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(cupy.cuda.get_elapsed_time(begin, end) / 1000)
    return median(times)


def bandwidth() -> float:
    """Return bytes a second, read and written, of a copy of 2 GB on the card."""
    import cupy

    source = cupy.zeros(2 << 28, "f4")
    target = cupy.empty_like(source)
    return 2 * source.nbytes / seconds(lambda: cupy.copyto(target, source))


def part_copy(_: argparse.Namespace) -> None:
    print(f"copy on the card: {bandwidth() / 1e9:.0f} GB/s, read and written")


def part_sml(settings: argparse.Namespace) -> None:
    import cupy

    from zfuse.kernels import cuda

    planes = textured(settings.planes, settings.size)
    shape = planes.shape[1:]
    peak, image = new_peak(cupy, shape), cupy.zeros((1, *shape), "u2")
    ours = seconds(lambda: fold(cuda, cupy, planes, peak, image, 0))
    rate = planes.size / ours
    moved = planes.nbytes + (PEAK_BYTES + 2 * planes.itemsize) * shape[0] * shape[1]
    share = moved / ours / bandwidth()
    print(
        f"SML 9 x 9, running peak, value, index; {planes.shape}: {rate / 1e9:.0f} Gvoxel/s "
        f"(asked: 250), {share:.0%} of the copy bandwidth: "
        + ("memory bounds it" if share > 0.7 else "instructions bound it")
    )
    for name, chain in (("CuPy", cupy_chain), ("torch", torch_chain)):
        if find_spec(name.lower()) is None:
            print(f"  {name}: needs {name}")
            continue
        theirs = seconds(chain(planes))
        print(
            f"  {name}: {planes.size / theirs / 1e9:.1f} Gvoxel/s; {theirs / ours:.1f} x (asked: 8)"
        )


def cupy_chain(planes: Any) -> Callable[[], object]:
    """Return the chain as one writes it with CuPy."""
    import cupy
    from cupyx.scipy import ndimage

    def chain() -> object:
        best = cupy.full(planes.shape[1:], -1, "f4")
        value, index = cupy.zeros(planes.shape[1:], "u2"), cupy.zeros(planes.shape[1:], "u2")
        for z, plane in enumerate(planes):
            p = cupy.pad(plane.astype("f4"), 1, mode="edge")
            c = 2 * p[1:-1, 1:-1]
            sml = abs(c - p[1:-1, :-2] - p[1:-1, 2:]) + abs(c - p[:-2, 1:-1] - p[2:, 1:-1])
            score = ndimage.uniform_filter(sml, WINDOW, mode="constant")
            won = score > best
            best = cupy.where(won, score, best)
            value, index = cupy.where(won, plane, value), cupy.where(won, cupy.uint16(z), index)
        return value, index

    return chain


def torch_chain(planes: Any) -> Callable[[], object]:
    """Return the chain as one writes it with torch."""
    import torch
    from torch.nn import functional

    stack = torch.from_dlpack(planes.view("i2"))

    def chain() -> object:
        best = torch.full(stack.shape[1:], -1.0, device=stack.device)
        value, index = torch.zeros_like(stack[0]), torch.zeros_like(stack[0])
        for z, plane in enumerate(stack):
            p = functional.pad(plane.float()[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
            c = 2 * p[1:-1, 1:-1]
            sml = (c - p[1:-1, :-2] - p[1:-1, 2:]).abs() + (c - p[:-2, 1:-1] - p[2:, 1:-1]).abs()
            score = functional.avg_pool2d(sml[None, None], WINDOW, 1, WINDOW // 2)[0, 0]
            won = score > best
            best = torch.where(won, score, best)
            value = torch.where(won, plane, value)
            index = torch.where(won, torch.full_like(index, z), index)
        # On torch's own stream: what is timed on CuPy's must have ended.
        torch.cuda.current_stream().synchronize()
        return value, index

    return chain


def part_adaptive(_: argparse.Namespace) -> None:
    print("adaptive: needs runs on the GPU (--device), which do not exist yet (asked: 20 Gvoxel/s)")


def part_host(settings: argparse.Namespace) -> None:
    """Upload plane k + 1 while plane k computes; value and index come down at the end."""
    import cupy
    import cupyx
    from numba import cuda as numba_cuda

    from zfuse.kernels import cuda

    step, size = 4, settings.size
    host = cupyx.empty_pinned((settings.planes, size, size), "u2")
    host[...] = cupy.asnumpy(textured(settings.planes, size))
    value, index = (cupyx.empty_pinned((size, size), "u2") for _ in range(2))
    buffers = [cupy.empty((step, size, size), "u2") for _ in range(2)]
    peak, image = new_peak(cupy, (size, size)), cupy.zeros((1, size, size), "u2")
    up, work = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream(non_blocking=True)
    queue = numba_cuda.external_stream(work.ptr)

    def upload_only() -> None:
        for z in range(0, settings.planes, step):
            buffers[z // step % 2][: len(host[z : z + step])].set(host[z : z + step], up)
        up.synchronize()

    def run() -> None:
        with work:
            peak.best.fill(-2)
        free = [None, None]
        for z in range(0, settings.planes, step):
            slot, block = z // step % 2, host[z : z + step]
            here = buffers[slot][: len(block)]
            if free[slot] is not None:
                up.wait_event(free[slot])
            here.set(block, up)
            work.wait_event(up.record())
            with work, cuda.on_stream(queue):
                fold(cuda, cupy, here, peak, image, z)
            free[slot] = work.record()
        image[0].get(work, out=value)
        peak.plane.get(work, out=index)
        work.synchronize()

    def best_of(task: Callable[[], None]) -> float:
        times = []
        for _ in range(5):
            cupy.cuda.Device().synchronize()
            begun = time.perf_counter()
            task()
            times.append(time.perf_counter() - begun)
        return median(times[1:])

    upload, whole = best_of(upload_only), best_of(run)
    print(
        f"host to host, pinned: {host.nbytes / whole / 1e9:.1f} GB/s, upload alone "
        f"{host.nbytes / upload / 1e9:.1f}: {upload / whole:.0%} (asked: 80 %)"
    )


def part_parity(_: argparse.Namespace) -> None:
    import cupy

    from zfuse.kernels import cuda

    planes = textured(12, 1024)
    results = []
    for kernels, arrays, stack in ((cpu, np, cupy.asnumpy(planes)), (cuda, cupy, planes)):
        peak, image = new_peak(arrays, (1024, 1024)), arrays.zeros((1, 1024, 1024), "u2")
        fold(kernels, arrays, stack, peak, image, 0)
        plane = stack[3].astype("f4")
        coarse, band = arrays.zeros((512, 512), "f4"), arrays.zeros((1024, 1024), "f4")
        kernels.reduce_plane(plane, coarse)
        kernels.subtract_expanded(plane, coarse, band)
        found = (peak.plane, image[0], peak.best, coarse, band)
        results.append([a if arrays is np else cupy.asnumpy(a) for a in found])
    (index, value, best, *levels), (there, *others) = results
    same = index == there
    equal = np.array_equal(value[same], others[0][same]) and np.array_equal(
        best[same], others[1][same]
    )
    worst = max(
        np.abs(a - b).max() / np.abs(a).max() for a, b in zip(levels, others[2:], strict=True)
    )
    print(
        f"parity: index equal on {same.mean():.4%} (asked: 99.99 %), values there "
        f"{'bit for bit' if equal else 'NOT equal'}, pyramid within {worst:.1e} (asked: 1e-5)"
    )


def part_networks(_: argparse.Namespace) -> None:
    """Compare TensorRT with torch, by `benchmarks/engines.py`."""
    for name in ("torch", "tensorrt"):
        if find_spec(name) is None:
            print(f"TensorRT against torch: needs {name} (asked: 3 times eager fp32)")
            return
    script = Path(__file__).with_name("engines.py")
    runners = ("torch:fp32", "torch-compile:fp16", "tensorrt:fp16")
    command = [sys.executable, script, "pdmnet", "--runner", *runners, "--size", "1024"]
    done = subprocess.run([*command, "--batch", "8"], timeout=240, check=False)
    if done.returncode:
        print(f"TensorRT against torch: engines.py ended with {done.returncode}, see above")


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "copy": part_copy,
    "parity": part_parity,
    "sml": part_sml,
    "adaptive": part_adaptive,
    "host": part_host,
    "networks": part_networks,
}


def missing() -> str:
    """Return what a card's parts lack, or nothing."""
    for module, package in (("cupy", "CuPy"), ("numba_cuda", "numba-cuda")):
        if find_spec(module) is None:
            return f"{package}: pip install zfuse[cuda]"
    from numba import cuda

    return "" if cuda.is_available() else "an NVIDIA GPU"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--planes", type=int, default=32)
    parser.add_argument("--size", type=int, default=4096)
    settings = parser.parse_args()
    lacking = missing()
    begun = time.perf_counter()
    if not lacking:
        from numba import cuda

        print(f"card: {cuda.get_current_device().name!s}")
    for name in settings.part:
        if lacking and name not in ("adaptive", "networks"):
            print(f"{name}: needs {lacking}")
        else:
            PARTS[name](settings)
    print(f"({time.perf_counter() - begun:.0f} s)")


if __name__ == "__main__":
    main()
