"""Folders of Micro-Manager in which each position is a file or a folder of its own.

Duty: tell such folders by their names alone. Must not know: pixels, calibration, who reads them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zfuse.pipeline.sources._micromanager import NOTES
from zfuse.pipeline.sources._names import natural

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Parts", "position_folders", "stack_files"]

# run_MMStack_Pos0.ome.tif, and run_MMStack_Pos0_1.ome.tif where the first one reached 4 GB
_STACK = re.compile(r"(.*_MMStack(?:_(.+?))?)(?:_([1-9]\d?))?(\.ome)?\.tiff?", re.IGNORECASE)


@dataclass(frozen=True)
class Parts:
    """Files or folders that are inputs of their own.

    Attributes
    ----------
    notes
        Folder where Micro-Manager's notes may lie.
    paths
        One that holds all images, or one an image.
    names
        Of the positions, one a path.
    """

    notes: Path
    paths: tuple[str, ...]
    names: tuple[str, ...] = ()


def stack_files(folder: Path, names: list[str]) -> Parts | None:
    """Return the positions of a folder whose files are all Micro-Manager's stacks, else None."""
    matches = {name: _STACK.fullmatch(name) for name in sorted(names, key=natural)}
    if not all(matches.values()):
        return None
    firsts = {name[: match.end(1)] for name, match in matches.items() if match and not match[3]}
    parts = {
        name: match[2] or match[1]
        for name, match in matches.items()
        if match and not (match[3] and match[1] in firsts)
    }
    return Parts(folder, tuple(str(folder / name) for name in parts), tuple(parts.values()))


def position_folders(folder: Path) -> Parts | None:
    """Return the folders of positions that Micro-Manager 1.4 makes, each with its notes."""
    below = sorted((entry.name for entry in folder.iterdir() if entry.is_dir()), key=natural)
    kept = tuple(name for name in below if (folder / name / NOTES).is_file())
    if not kept or len(kept) < len(below):
        return None
    return Parts(folder, tuple(str(folder / name) for name in kept), kept)
