"""Small files that are whole or absent, and the checksum of large ones.

Duty: a folder in which something is made before it is moved to its place. Must not know: formats.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["aside", "checksum", "move_files"]

_PART = 1 << 22  # bytes that are read at once


@contextmanager
def aside(staging: Path) -> Iterator[Path]:
    """Give a new folder in the staging folder, and remove it at the end."""
    new = staging / f"aside.{uuid4().hex[:8]}"
    new.mkdir()
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


def move_files(folder: Path, target: Path) -> None:
    """Move all files below a folder to the same places below another, each at once."""
    for made in sorted(path for path in folder.rglob("*") if path.is_file()):
        place = target / made.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(made, place)


def checksum(path: Path) -> tuple[int, int]:
    """Return the bytes of a file, and the CRC-32C of all of them.

    Raises
    ------
    OSError
        It cannot be read.
    """
    import google_crc32c

    length = value = 0
    with open(path, "rb") as file:
        while part := file.read(_PART):
            value = google_crc32c.extend(value, part)
            length += len(part)
    return length, value
