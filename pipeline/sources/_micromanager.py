"""What Micro-Manager notes beside its planes: ``metadata.txt``, and the summary in its front.

Duty: notes to calibration, in µm and seconds. Must not know: pixels, names of files, formats.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zfuse.pipeline.core import BaseReader, Channel
from zfuse.pipeline.sources._layout import DESCENDING
from zfuse.pipeline.sources._ome_xml import Calibration, number
from zfuse.pipeline.sources._units import is_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from zfuse.pipeline.core import Stack

__all__ = ["NOTES", "described", "mm_calibration", "mm_summary"]

NOTES = "metadata.txt"
_MOST = 2**26  # characters; the summary comes first


def mm_calibration(summary: dict[str, Any]) -> Calibration:
    """Return what a summary says; the z step is below zero where the planes go down."""
    pixel, step, interval = (
        next((value for key in keys if (value := number(summary.get(key))) is not None), None)
        for keys in (
            ("PixelSize_um", "PixelSizeUm"),
            ("z-step_um", "ZStepUm"),
            ("Interval_ms", "WaitInterval"),
        )
    )
    names, colours = summary.get("ChNames"), summary.get("ChColors")
    names = [str(name) for name in names] if isinstance(names, list) else []
    colours = colours if isinstance(colours, list) and len(colours) == len(names) else []
    seconds = None if interval is None else interval / 1000
    return Calibration(
        pixel_size=(pixel, pixel) if pixel is not None and is_size(pixel) else None,
        z_step=step if step is not None and is_size(abs(step)) else None,
        time_step=seconds if is_size(seconds) else None,
        channels=tuple(
            Channel(name, _colour(colours[i]) if colours else {}) for i, name in enumerate(names)
        ),
    )


def mm_summary(folder: Path) -> dict[str, Any]:
    """Return the summary of ``metadata.txt``, which may still be growing.

    The file is one JSON object that gets its last bracket at the end; its summary comes first.
    Where each position has a folder the notes lie there.
    """
    for place in (folder, *sorted(p for p in _below(folder) if (p / NOTES).is_file())):
        for notes in _notes(place):
            try:
                with open(notes, encoding="utf-8", errors="replace") as file:
                    text = file.read(_MOST)
                start = text.index("{", text.index('"Summary"'))
                found = json.JSONDecoder().raw_decode(text, start)[0]
            except (OSError, ValueError, RecursionError):
                continue
            if isinstance(found, dict):
                return found
    return {}


def described(stack: Stack, folder: Path) -> Stack:
    """Return the stack with what the notes in its folder say and itself does not know."""
    known = mm_calibration(mm_summary(folder))
    channels = stack.channels
    unnamed = all(channel.name in ("", f"channel {i}") for i, channel in enumerate(channels))
    if unnamed and len(known.channels) == len(channels) and not stack.rgb:
        channels = known.channels
    step = known.z_step
    if step is not None and step < 0 and not stack.z_step and isinstance(stack.reader, BaseReader):
        stack.reader.descending = True
        stack = replace(stack, warnings=(*stack.warnings, DESCENDING))
    if known != Calibration():
        stack = replace(stack, kind=f"{stack.kind}, with the notes of Micro-Manager")
    return replace(
        stack,
        channels=channels,
        pixel_size=stack.pixel_size or known.pixel_size,
        z_step=stack.z_step or (None if step is None else abs(step)),
        time_step=stack.time_step or known.time_step,
    )


def _notes(folder: Path) -> Iterator[Path]:
    """List the notes of a folder; those of a set of OME-TIFF are called after it."""
    if (folder / NOTES).is_file():
        yield folder / NOTES
    else:
        yield from sorted(p for p in folder.glob(f"*_{NOTES}") if p.is_file())


def _below(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if entry.is_dir()]
    except OSError:
        return []


def _colour(value: Any) -> dict[str, str]:
    """Turn Java's signed ARGB into RRGGBB; white is what Micro-Manager writes for no colour."""
    if not isinstance(value, int) or value & 0xFFFFFF == 0xFFFFFF:
        return {}
    return {"color": f"{value & 0xFFFFFF:06X}"}
