"""Refusals that need no pixel: a place and a name that may not be written.

Duty: every reason to say no before anything is read. Must not know: stacks, pixels, how the
formats are written.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import (
    check_absent,
    check_staging,
    existing_parent,
    output_files,
    output_kind,
    staging_folder,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_output"]

_ZARR_MARKS = ("zarr.json", ".zgroup", ".zarray")


def check_output(output: str | Path, sources: Sequence[str], overwrite: bool = False) -> None:
    """Refuse an output that may not be written, before any pixel is read.

    Parameters
    ----------
    output
        Path of the output.
    sources
        Paths or URLs of the inputs. What is no existing local path is not looked at.
    overwrite
        An earlier output may be replaced.

    Raises
    ------
    ZfuseError
        The output is a URL, has an unknown suffix, exists, is something that is plainly no earlier
        output, shares its place with an input, or cannot be written there.
    """
    text = str(output)
    if "://" in text or "::" in text:
        raise ZfuseError(
            f"output {text} is a URL: outputs are written to local disks; write to a local path "
            "and copy it there"
        )
    files = output_files(text)
    for source in sources:
        for path in (*files, staging_folder(text)):
            _check_apart(path, source)
    if not overwrite:
        check_absent(text)
    for path in files:
        _check_replaceable(path)
    check_staging(text)
    _check_writable(files[0])


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _check_apart(output: Path, source: str) -> None:
    local = source.removeprefix("file://")
    if not local or not os.path.exists(local):
        return
    # By identity of the folders, not by spelling: symlinks, "..", and case on macOS and Windows.
    there = Path(os.path.realpath(local))
    here = Path(os.path.realpath(output))
    if here == there or _same(here, there):
        raise ZfuseError(f"output {output} is the input itself; choose another output name")
    if any(_same(parent, there) for parent in here.parents):
        raise ZfuseError(
            f"output {output} lies inside the input {source}; choose an output outside of it"
        )
    if any(_same(parent, here) for parent in there.parents):
        raise ZfuseError(
            f"input {source} lies inside the output {output}; choose another output name"
        )


def _check_replaceable(path: Path) -> None:
    if not os.path.lexists(path):
        return
    if output_kind(path) == "ome-zarr":
        if not path.is_dir() or not any((path / mark).is_file() for mark in _ZARR_MARKS):
            raise ZfuseError(
                f"output {path} exists and is not a Zarr group, so --overwrite leaves it alone; "
                "move it away or choose another name"
            )
    elif not path.is_file():
        raise ZfuseError(
            f"output {path} exists and is not a file, so --overwrite leaves it alone; "
            "move it away or choose another name"
        )


def _check_writable(path: Path) -> None:
    for parent in path.absolute().parents:
        if any((parent / mark).is_file() for mark in _ZARR_MARKS):
            raise ZfuseError(
                f"output {path} lies inside the Zarr hierarchy {parent}, which would be changed by "
                "it; choose an output outside of it"
            )
    parent = existing_parent(path)
    if not parent.is_dir():
        raise ZfuseError(f"cannot create output {path}: {parent} is a file; choose another folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ZfuseError(
            f"cannot create output {path}: no permission to write in {parent}; "
            "choose another folder"
        )
