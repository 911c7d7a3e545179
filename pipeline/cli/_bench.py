"""The command `zfuse bench`: reading, folding and a whole run, as ratios of one sitting.

Duty: a made-up camera stack in OME-Zarr's own chunks, and its timings taken in turn, so that a
machine that slows down slows all of them. It walks through a job's tiles, strips and blocks as the
run does, with the same reader and method. Must not know: what these do inside.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfuse.errors import ZfuseError
from zfuse.pipeline.cli._console import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

    from zfuse.pipeline._job import Job

__all__ = ["bench", "run_bench"]

_CHUNK = 1024
_ROUNDS = 5


def bench(
    size: Annotated[int, typer.Option(help="Edge of the planes in pixels.")] = 4096,
    planes: Annotated[int, typer.Option(help="Planes.")] = 16,
    codec: Annotated[str, typer.Option(help="lz4 or zstd.")] = "lz4",
    folder: Annotated[
        Path | None, typer.Option(help="Where the test stack goes (default: temporary).")
    ] = None,
    method: Annotated[str, typer.Option(help="Fusion method.")] = "select",
) -> None:
    """Measure this machine: reading alone, folding alone, and a whole run, as ratios."""
    for line in run_bench(size=size, planes=planes, codec=codec, folder=folder, method=method):
        say(line)


def run_bench(
    *,
    size: int = 4096,
    planes: int = 16,
    codec: str = "lz4",
    folder: Path | None = None,
    method: str = "select",
) -> Iterator[str]:
    """Yield lines of a report.

    Parameters
    ----------
    size, planes
        Of the stack: uint16, chunks of 1 x 1024 x 1024.
    codec
        ``lz4`` (blosc) or ``zstd``.
    folder
        Where the stack is written; kept there and used again. Default: a temporary folder.
    method
        Name of the fusion method.

    Raises
    ------
    ZfuseError
        The codec is unknown.
    """
    from statistics import median

    from zfuse.pipeline import RunConfig, make_job, run
    from zfuse.pipeline.methods import make_method
    from zfuse.pipeline.sources import open_stack

    with tempfile.TemporaryDirectory(prefix="zfuse-bench-") as temporary:
        place = folder or Path(temporary)
        path = place / f"bench-{codec}-{planes}x{size}x{size}.zarr"
        if not path.exists():
            _write_stack(path, planes, size, codec)
        config = RunConfig.model_validate(
            {
                "input": path,
                "output": Path(temporary) / "fused.ome.zarr",
                "overwrite": True,
                "method": method,
            }
        )
        job = make_job(open_stack(path), make_method(method))
        plan = job.plan
        yield (
            f"{planes} x {size} x {size} uint16, {codec}, chunks 1 x {_CHUNK} x {_CHUNK}; "
            f"{plan.workers} threads, tile {plan.tile}, blocks of {plan.block}"
        )
        seconds: dict[str, list[float]] = {"plain": [], "read": [], "fold": [], "run": []}
        runs: dict[str, Callable[[], object]] = {
            "plain": lambda: _read_plainly(path, plan.block),
            "read": lambda: _read(job),
            "fold": _folder(job),
            "run": lambda: run(config),
        }
        for n in range(_ROUNDS + 1):  # the first round compiles and warms the page cache
            for name, function in runs.items():
                begun = time.perf_counter()
                function()
                if n:
                    seconds[name].append(time.perf_counter() - begun)
        voxels = planes * size * size
        labels = {
            "plain": "reading with plain zarr-python, array[z0:z1]",
            "read": "reading with zfuse's reader, into reused buffers",
            "fold": f"folding alone ({method}), planes in memory",
            "run": "whole run: read, fold, write OME-Zarr",
        }
        for name, label in labels.items():
            middle = median(seconds[name])
            yield f"{label:<50} {middle:6.2f} s  {voxels / middle / 1e9:5.2f} Gvoxel/s"
        for other in ("plain", "read"):
            ratios = [a / b for a, b in zip(seconds["run"], seconds[other], strict=True)]
            yield f"whole run / {labels[other]}: {median(ratios):.2f}"


def _write_stack(path: Path, planes: int, size: int, codec: str) -> None:
    """Write a made-up stack: structure of a few pixels, blurred away from focus, photon noise."""
    import numpy as np
    import zarr
    from scipy.ndimage import gaussian_filter
    from zarr.codecs import BloscCodec, ZstdCodec

    codecs = {
        "lz4": BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"),
        "zstd": ZstdCodec(level=3),
    }
    if codec not in codecs:
        raise ZfuseError(f"unknown codec {codec!r}: choose from {', '.join(codecs)}")
    rng = np.random.default_rng(0)
    ground = gaussian_filter(rng.random((_CHUNK, _CHUNK), np.float32), 3, mode="wrap")
    ground = (ground - ground.min()) / np.ptp(ground) * 3000 + 400
    partial = path.with_name(path.name + ".partial")
    array = zarr.create_array(
        partial,
        shape=(planes, size, size),
        chunks=(1, min(_CHUNK, size), min(_CHUNK, size)),
        dtype=np.uint16,
        compressors=codecs[codec],
        overwrite=True,
        dimension_names=("z", "y", "x"),
    )
    repeats = -(-size // _CHUNK)
    for z in range(planes):
        sharp = gaussian_filter(ground, abs(z - planes / 2) * 0.6, mode="wrap")
        block = rng.poisson(sharp).astype(np.uint16)
        for y in range(repeats):
            rows = slice(y * _CHUNK, min((y + 1) * _CHUNK, size))
            # Shifted, so that no two chunks are the same and a codec cannot profit.
            wide = np.tile(np.roll(block, 7 * y, axis=0), (1, repeats))
            array[z, rows] = wide[: rows.stop - rows.start, :size]
    partial.rename(path)


def _read_plainly(path: Path, block: int) -> None:
    import zarr

    array = zarr.open_array(path, mode="r")
    for z in range(0, array.shape[0], block):
        array[z : z + block]


def _read(job: Job) -> None:
    """Read what the run reads, the same tiles and blocks, and do nothing with it."""
    import numpy as np

    reader, planes = job.stack.reader, job.stack.shape[2]
    buffer: np.ndarray[Any, Any] | None = None
    for tile in job.plan.tiles():
        rows, columns = tile.shown
        shape = (job.plan.block, 1, rows.stop - rows.start, columns.stop - columns.start)
        if buffer is None or buffer.shape != shape:
            buffer = np.empty(shape, job.stack.dtype)
        for z in range(0, planes, job.plan.block):
            n = min(job.plan.block, planes - z)
            reader.read(0, slice(z, z + n), rows, columns, out=buffer[:n])


def _folder(job: Job) -> Callable[[], None]:
    """Fold the same number of voxels from planes that are in memory already."""
    from concurrent.futures import ThreadPoolExecutor

    from zfuse.pipeline.core import Region, Sample

    _, _, planes, height, width = job.stack.shape
    edge = min(job.plan.tile, height, width, 2048)
    block = job.stack.reader.read(
        0, slice(0, min(job.plan.block, planes)), slice(0, edge), slice(0, edge)
    )
    calibration = job.method.calibrate(Sample(job.stack))
    whole = Region.whole(edge, edge)
    strips = job.plan.cut(Region((edge, edge), whole.core, whole.shown))
    rounds = max(1, round(planes * height * width / (len(block) * edge * edge)))

    def fold() -> None:
        states = [job.method.start(strip, 1, job.stack.dtype, calibration) for strip in strips]
        with ThreadPoolExecutor(job.plan.workers) as pool:
            for n in range(rounds):
                z = n * len(block)
                list(pool.map(lambda state, z=z: job.method.add(state, block, z), states))

    return fold
