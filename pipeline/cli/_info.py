"""The command `zfuse info`: what zfuse knows of a stack.

Duty: words. The time is measured, by the default method's own fold over one corner. Must not know:
formats, and what the fold computes.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from zfuse.errors import ZfuseError
from zfuse.pipeline.cli._console import say, say_table

if TYPE_CHECKING:
    from zfuse.pipeline.core import Stack
    from zfuse.pipeline.sources import Collection

__all__ = ["info"]

_CORNER = 512  # px
_NAMES = 12  # that are listed one by one


def info(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="OME-Zarr (also its address), TIFF, CZI, ND2, LIF, NDTiff, or a folder of planes.",
        ),
    ],
    select: Annotated[
        list[str] | None,
        typer.Option(metavar="WHAT", help="Only these wells, images, times, channels; see fuse."),
    ] = None,
) -> None:
    """Show axes, shape, dtype, scale, channels and chunks of a stack, and the time to fuse it.

    Of a plate it shows wells and fields, of more than 12 images how many; and one image for all.
    """
    from zfuse.pipeline.sources import open_collection

    images = open_collection(source, select=select)
    if images.kind == "plate":
        say_table(_plate_facts(images))
        _say_first(images)
        return
    if len(images.members) > _NAMES:
        count, first, last = len(images.members), images.members[0], images.members[-1]
        rows = [("images", f"{count}: {first} to {last}")]
        say_table(rows + [("warning", line) for line in images.warnings])
        _say_first(images)
        return
    for number, member in enumerate(images.members):
        if number:
            say("")
        try:
            with images.open(member) as stack:
                rows = _facts(stack)
        except ZfuseError as error:  # the others may be whole
            if len(images.members) == 1:
                raise
            rows = [("image", str(member)), ("unusable", str(error))]
        say_table(rows + [("warning", line) for line in images.warnings if not number])


def _plate_facts(images: Collection) -> list[tuple[str, str]]:
    plate = images.plate
    assert plate is not None
    good = [member for member in images.members if not member.fault]
    fields = Counter(member.well for member in good)
    fewest, most = min(fields.values(), default=0), max(fields.values(), default=0)
    names = list(fields)
    wells = ", ".join(names) if len(names) <= _NAMES else f"{names[0]} to {names[-1]}"
    count = most if fewest == most else f"{fewest} to {most}"
    rows = [
        ("plate", plate.name or "without a name"),
        ("layout", f"{len(plate.rows)} rows x {len(plate.columns)} columns"),
        ("wells", f"{len(names)}: {wells}" if names else "none can be used"),
        ("fields", f"{count} a well, {len(good)} images in all"),
    ]
    if plate.acquisitions:
        said = [str(entry.get("name", entry["id"])) for entry in plate.acquisitions]
        rows.append(("acquisitions", ", ".join(said)))
    faults = [(member.well, member.fault) for member in images.members if member.fault]
    rows += [("unusable", f"{well}: {fault}") for well, fault in faults[:_NAMES]]
    if len(faults) > _NAMES:
        rows.append(("unusable", f"and {len(faults) - _NAMES} more wells"))
    return rows + [("warning", line) for line in images.warnings]


def _say_first(images: Collection) -> None:
    """Show the first of many images that can be opened; the others are taken to be like it."""
    refused = None
    for member in images.members[:_NAMES]:
        try:
            stack = images.open(member)
        except ZfuseError as error:
            refused = refused or error
            continue
        with stack:
            say("")
            say_table(_facts(stack))
            return
    if refused:
        raise refused


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
