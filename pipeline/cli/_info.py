"""The command `zfuse info`: what zfuse knows of a stack.

Duty: words. The time is measured, by the default method's own fold over one corner. Must not know:
formats, and what the fold computes.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Annotated

import typer

from zfuse.errors import ZfuseError
from zfuse.pipeline.cli._console import say, say_table

if TYPE_CHECKING:
    from zfuse.pipeline.core import Stack

__all__ = ["info"]

_CORNER = 512  # px


def info(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="OME-Zarr, TIFF, or a folder of plane images.")
    ],
) -> None:
    """Show axes, shape, dtype, scale, channels and chunks of a stack, and the time to fuse it."""
    from zfuse.pipeline.sources import open_stacks

    stacks = open_stacks(source)
    try:
        for number, stack in enumerate(stacks):
            if number:
                say("")
            say_table(_facts(stack))
    finally:
        for stack in stacks:
            stack.reader.close()


def _facts(stack: Stack) -> list[tuple[str, str]]:
    planes = stack.shape[2]
    lengths = dict(zip("tczyx", stack.shape, strict=True))
    size = stack.pixel_size
    rows = [
        ("image", stack.name),
        *([("format", stack.kind)] if stack.kind else []),
        ("axes", " ".join(f"{axis}={lengths[axis]}" for axis in stack.axes)),
        ("dtype", f"{stack.dtype}{' (RGB)' if stack.rgb else ''}"),
        ("pixel size", "unknown" if size is None else f"{size[1]:g} x {size[0]:g} µm (x, y)"),
        ("z step", "unknown: depth will be in planes" if stack.z_step is None
         else f"{stack.z_step:g} µm, {stack.z_step * (planes - 1):g} µm in all"),
        ("channels", ", ".join(channel.name for channel in stack.channels)),
        ("chunks", _chunks(stack.reader.chunk)),
        ("size", f"{math.prod(stack.shape) * stack.dtype.itemsize / 1e6:,.1f} MB"),
        ("time", _expected_time(stack)),
    ]  # fmt: skip
    return rows + [("warning", line) for line in stack.warnings]


def _chunks(chunk: tuple[int, int, int]) -> str:
    if chunk == (1, 1, 1):
        return "none: the pixels are not compressed"
    return " x ".join(str(n) for n in chunk) + " (z, y, x)"


def _expected_time(stack: Stack) -> str:
    """Read and fold the first planes of one corner, and scale up."""
    import numpy as np

    from zfuse.pipeline import make_job
    from zfuse.pipeline.core import Region
    from zfuse.pipeline.methods import DEFAULT_METHOD, make_method

    method = make_method(DEFAULT_METHOD)
    _, _, planes, height, width = stack.shape
    chunk_z, chunk_y, chunk_x = stack.reader.chunk
    y, x = min(height, max(chunk_y, _CORNER)), min(width, max(chunk_x, _CORNER))
    n = min(planes, max(chunk_z, 2))
    region = Region.whole(y, x)
    try:
        decisions = make_job(stack, method).decisions
        calibrations = decisions.calibrate(method, stack)
        states = [
            method.start(region, group.stop - group.start, stack.dtype, calibration)
            for group, calibration in zip(decisions.groups, calibrations, strict=True)
        ]
        # The first round warms caches and, once on a machine, compiles.
        for _ in range(2):
            begun = time.perf_counter()
            block = stack.reader.read(0, slice(0, n), *region.shown)
            for group, state in zip(decisions.groups, states, strict=True):
                method.add(state, np.ascontiguousarray(block[:, group]), 0)
            seconds = time.perf_counter() - begun
    except ZfuseError as error:  # a damaged file: what it says of itself is shown all the same
        return f"unknown: {error}"
    expected = method.passes * seconds * math.prod(stack.shape) / block.size
    shown = f"about {expected:.3g} s" if expected >= 1 else "less than a second"
    return f"{shown} with {method.name} (one core here: {block.size / seconds / 1e6:.3g} Mvoxel/s)"
