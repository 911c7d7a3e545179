"""What zfuse knows of a stack, and of its methods, as text.

Must not know: how stacks are read, how methods work.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from zfuse.pipeline._run import make_job
from zfuse.pipeline.methods import METHODS, make_method

if TYPE_CHECKING:
    from zfuse.pipeline._stack import Stack

__all__ = ["describe", "method_table"]


def describe(source: str) -> str:
    """Return a few lines on every image behind a path."""
    from zfuse.pipeline.sources import open_stacks

    stacks = open_stacks(source)
    return "\n\n".join(_describe(stack) for stack in stacks)


def _describe(stack: Stack) -> str:
    times, channels, planes, height, width = stack.shape
    lengths = dict(zip("tczyx", stack.shape, strict=True))
    size = stack.pixel_size
    rows = [
        ("image", stack.name),
        ("axes", " ".join(f"{axis}={lengths[axis]}" for axis in stack.axes)),
        ("dtype", f"{stack.dtype}{' (RGB)' if stack.rgb else ''}"),
        ("pixel size", "unknown" if size is None else f"{size[1]:g} x {size[0]:g} µm (x, y)"),
        ("z step", "unknown: depth will be in planes" if stack.z_step is None
         else f"{stack.z_step:g} µm, {stack.z_step * (planes - 1):g} µm in all"),
        ("channels", ", ".join(channel.name for channel in stack.channels)),
        ("chunks", " x ".join(str(n) for n in stack.reader.chunk) + " (z, y, x)"),
        ("size", f"{times * channels * planes * height * width * stack.dtype.itemsize / 1e6:,.1f} MB"),
        ("time", _expected_time(stack)),
    ]  # fmt: skip
    rows += [("warning", line) for line in stack.warnings]
    return "\n".join(f"{key:<11} {value}" for key, value in rows)


def _expected_time(stack: Stack) -> str:
    """Read and fold a few blocks of one tile's corner, and scale up."""
    from zfuse.pipeline._region import Region
    from zfuse.pipeline._sample import Sample

    method = make_method("select")
    job = make_job(stack, method)
    _, channels, planes, height, width = stack.shape
    _, chunk_y, chunk_x = stack.reader.chunk
    y, x = min(height, max(chunk_y, 512)), min(width, max(chunk_x, 512))
    region = Region.whole(y, x)
    calibration = method.calibrate(Sample(stack))
    state = method.start(region, channels, stack.dtype, calibration)
    # The first round warms caches and, once on a machine, compiles.
    for _ in range(2):
        begun = time.perf_counter()
        block = stack.reader.read(0, slice(0, min(2, planes)), *region.window)
        method.add(state, block, 0)
        seconds = time.perf_counter() - begun
    voxels = job.voxels
    expected = seconds * voxels / block.size
    rate = block.size / seconds / 1e6
    return f"about {expected:.1f} s with select ({rate:,.0f} Mvoxel/s for one thread here)"


def method_table() -> str:
    """Return the table of methods."""
    rows = [("name", "family", "halo", "pixels", "runs on", "what it does")]
    for name, entry in METHODS.items():
        method = make_method(name)
        rows.append(
            (
                name,
                method.family,
                f"{method.halo} px",
                "copied" if method.copies_pixels else "blended",
                entry.runs_on + (f" ({entry.needs})" if entry.needs else ""),
                entry.summary,
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
