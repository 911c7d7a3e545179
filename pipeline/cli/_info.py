"""What zfuse knows of a stack, and of its methods, as text.

Must not know: how stacks are read, how methods work.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from zfuse.errors import ZfuseError
from zfuse.pipeline.methods import DEFAULT_METHOD, METHODS, make_method

if TYPE_CHECKING:
    from zfuse.pipeline.core import Stack

__all__ = ["describe", "method_table"]

_CORNER = 512  # px


def describe(source: str) -> str:
    """Return a few lines on every image behind a path."""
    from zfuse.pipeline.sources import open_stacks

    stacks = open_stacks(source)
    try:
        return "\n\n".join(_describe(stack) for stack in stacks)
    finally:
        for stack in stacks:
            stack.reader.close()


def _describe(stack: Stack) -> str:
    planes = stack.shape[2]
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
        ("chunks", _chunks(stack.reader.chunk)),
        ("size", f"{math.prod(stack.shape) * stack.dtype.itemsize / 1e6:,.1f} MB"),
        ("time", _expected_time(stack)),
    ]  # fmt: skip
    rows += [("warning", line) for line in stack.warnings]
    return "\n".join(f"{key:<11} {value}" for key, value in rows)


def _chunks(chunk: tuple[int, int, int]) -> str:
    if chunk == (1, 1, 1):
        return "none: the pixels are not compressed"
    return " x ".join(str(n) for n in chunk) + " (z, y, x)"


def _expected_time(stack: Stack) -> str:
    """Read and fold the first planes of one corner, and scale up."""
    from zfuse.pipeline.core import Region, Sample

    method = make_method(DEFAULT_METHOD)
    _, channels, planes, height, width = stack.shape
    chunk_z, chunk_y, chunk_x = stack.reader.chunk
    y, x = min(height, max(chunk_y, _CORNER)), min(width, max(chunk_x, _CORNER))
    n = min(planes, max(chunk_z, 2))
    region = Region.whole(y, x)
    try:
        calibration = method.calibrate(Sample(stack))
        state = method.start(region, channels, stack.dtype, calibration)
        # The first round warms caches and, once on a machine, compiles.
        for _ in range(2):
            begun = time.perf_counter()
            block = stack.reader.read(0, slice(0, n), *region.window)
            method.add(state, block, 0)
            seconds = time.perf_counter() - begun
    except ZfuseError as error:  # a damaged file: what it says of itself is shown all the same
        return f"unknown: {error}"
    expected = method.passes * seconds * math.prod(stack.shape) / block.size
    shown = f"about {expected:.3g} s" if expected >= 1 else "less than a second"
    return f"{shown} with {method.name} (one core here: {block.size / seconds / 1e6:.3g} Mvoxel/s)"


def method_table() -> str:
    """Return the table of methods."""
    rows: list[tuple[str, ...]] = [("name", "family", "halo", "pixels", "runs on", "what it does")]
    for name, entry in METHODS.items():
        method = make_method(name)
        rows.append(
            (
                name,
                method.family,
                f"{method.halo} px",
                method.pixels,
                entry.runs_on + (f" ({entry.needs})" if entry.needs else ""),
                entry.summary,
            )
        )
    return f"{_table(rows)}\n\n{_table(_networks())}"


def _networks() -> list[tuple[str, ...]]:
    """Return a row for each network: scores, source, where its model card lies."""
    from zfuse.engines import MODELS, card, card_path

    rows: list[tuple[str, ...]] = [("network", "MFI-WHU 71 to 80", "source", "model card")]
    for name, model in MODELS.items():
        if name not in METHODS:
            continue
        try:
            scores = card(name).scores
            ssim, psnr = (scores.get(f"mfi_whu_71_80_{kind}") for kind in ("ssim", "psnr"))
            known = f"SSIM {ssim:.4f}, {psnr:.1f} dB" if ssim and psnr else "no scores"
        except ZfuseError:
            known = "no weights"
        rows.append((name, known, model.source, str(card_path(name))))
    return rows


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
