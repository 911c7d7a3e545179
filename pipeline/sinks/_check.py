"""Refusals that need no pixel: a place and a name that may not be written.

Duty: every reason to say no before anything is read. Must not know: stacks, pixels, how the
formats are written.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import (
    check_absent,
    check_staging,
    existing_parent,
    output_files,
    output_kind,
    staging_folder,
    tiff_notes,
)
from zfuse.pipeline.sinks._labels import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_apart", "check_output"]

_ZARR_MARKS = ("zarr.json", ".zgroup", ".zarray")


def check_output(
    output: str | Path, sources: Sequence[str], overwrite: bool = False, *, resume: bool = False
) -> None:
    """Refuse an output that may not be written, before any pixel is read.

    Parameters
    ----------
    output
        Path of the output.
    sources
        Paths or URLs of the inputs. What is no existing local path is not looked at.
    overwrite
        An earlier output may be replaced.
    resume
        What an interrupted run has left may be gone on with.

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
        check_apart(text, source)
    if not overwrite:
        check_absent(text)
    for path in files:
        _check_replaceable(path)
    for path in files[1:]:
        _check_map(path, files[0])
    check_staging(text, remains=overwrite or resume)
    _check_writable(files[0])


def check_apart(output: str | Path, source: str) -> None:
    """Refuse an output that shares its place with an input.

    Raises
    ------
    ZfuseError
        One is, or lies inside, the other.
    """
    for path in (*output_files(output), staging_folder(output)):
        _check_apart(path, source)


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
    """Refuse to overwrite a folder that zfuse did not write. A file that was named may go."""
    if not os.path.lexists(path):
        return
    if output_kind(path) != "ome-zarr":
        good, wanted = path.is_file(), "a file"
    else:
        good, wanted = path.is_dir() and _is_marked(path), "an OME-Zarr that zfuse wrote"
    if not good:
        raise ZfuseError(
            f"output {path} exists and is not {wanted}, so --overwrite leaves it alone; "
            "move it away or choose another name"
        )


def _is_marked(group: Path) -> bool:
    """Whether zfuse says in a group, or in the first image of a collection, that it made it."""
    said = _attributes(group)
    ome = said.get("ome", said)
    collection = isinstance(ome, dict) and "bioformats2raw.layout" in ome
    return "zfuse" in said or (collection and "zfuse" in _attributes(group / "0"))


def _attributes(group: Path) -> dict[str, Any]:
    try:
        if (group / ".zattrs").is_file():  # OME-Zarr 0.4
            said = json.loads((group / ".zattrs").read_text(encoding="utf-8"))
        else:
            said = json.loads((group / "zarr.json").read_text(encoding="utf-8"))["attributes"]
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return said if isinstance(said, dict) else {}


def _check_map(path: Path, image: Path) -> None:
    """Refuse to overwrite a map that is not of this image: nobody has named it."""
    if not path.is_file():
        return
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            notes = tiff_notes(file)
    except (OSError, ValueError):  # no TIFF
        notes = {}
    whose = str(notes.get("image", image.name))
    if "quantity" not in notes:
        what = "was not written by zfuse"
    elif whose != clean(image.name) and path.with_name(whose).exists():
        what = f"belongs to {path.with_name(whose)}"
    else:
        return
    raise ZfuseError(
        f"output {image} needs the name {path}, which {what}, so --overwrite leaves it alone; "
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
