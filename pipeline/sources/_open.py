"""Find the source that understands a path, and let it list and open the images behind it.

Duty: the table of formats, the choice by what really lies at the path, and the refusals that need
no reader (missing path, not an image). What a file says of itself ends here in text that a terminal
can show. Must not know: how any format is read, which of the images are wanted.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources._magic import BMP, JPEG, PNG, TIFF, XML, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from zfuse.pipeline.core import Stack
    from zfuse.pipeline.sources._members import Listing

__all__ = ["list_members", "open_image", "printable"]

T = TypeVar("T")
LONGEST_NAME = 200

ZARR_MARKERS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")


@dataclass(frozen=True)
class Format:
    """One kind of input: how to tell it, and the module with its `list_members`, `open_member`."""

    kind: str
    module: str
    detect: Callable[[str], bool]


def list_members(path: str | Path, *, allow_missing: bool) -> Listing:
    """List the images of a path, whatever it is, without opening one.

    Raises
    ------
    ZfuseError
        The path is missing, is no image, or damaged.
    """
    place = _local(str(path))
    listed: Callable[[], Listing] = partial(
        _module(place).list_members, place, allow_missing=allow_missing
    )
    return _guarded(listed, path)


def open_image(path: str | Path, image: str, *, allow_missing: bool) -> Stack:
    """Open one image of a path, lazily, by its path inside.

    Raises
    ------
    ZfuseError
        The path is missing, or the image can't be used.
    """
    place = _local(str(path))
    opened: Callable[[], Stack] = partial(
        _module(place).open_member, place, image, allow_missing=allow_missing
    )
    stack = _guarded(opened, path)
    return replace(
        stack,
        name=printable(stack.name)[:LONGEST_NAME],
        channels=tuple(
            replace(channel, name=printable(channel.name)[:LONGEST_NAME])
            for channel in stack.channels
        ),
        warnings=tuple(printable(line) for line in stack.warnings),
    )


def _module(place: str) -> Any:
    """Return the module that reads what lies at a place."""
    if not _is_url(place) and not Path(place).exists():
        raise ZfuseError(_missing(Path(place)))
    for form in FORMATS:
        if form.detect(place):
            return import_module(form.module)
    raise ZfuseError(
        f"{place} is not an image that zfuse reads; "
        "give an OME-Zarr, a TIFF, CZI, ND2, LIF or NDTiff, a PNG, JPEG or BMP, or a folder of "
        "such planes"
    )


def _guarded(work: Callable[[], T], path: str | Path) -> T:
    """Open something; what the disk or the permissions forbid is the user's to cure."""
    try:
        return work()
    except OSError as error:
        raise ZfuseError(f"{path} cannot be read ({error}); check disk and permissions") from error
    except ZfuseError as error:  # it quotes the file
        raise type(error)(printable(str(error))) from error


def printable(text: str) -> str:
    """Return text without control characters: names in files reach the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def _is_url(place: str) -> bool:
    return "://" in place or "::" in place


def _local(place: str) -> str:
    """Turn file:// URLs into plain paths, which the fast local readers serve."""
    if place.startswith("file://"):
        from urllib.request import url2pathname  # 20 ms that nobody else needs

        return url2pathname(urlsplit(place).path)
    return place


def _missing(path: Path) -> str:
    parent = path.parent
    if path.is_symlink():
        return f"{path} is a link that leads nowhere (to {os.readlink(path)}); correct the link"
    if not parent.is_dir():
        return f"{path} does not exist, nor does its folder {parent}; check the path"
    names = sorted(entry.name for entry in parent.iterdir())
    near = get_close_matches(path.name, names, n=1, cutoff=0.5)
    cure = f"did you mean {parent / near[0]}?" if near else "check the path"
    return f"{path} does not exist; {cure}"


def _is_zarr(place: str) -> bool:
    if _is_url(place):
        return True
    folder = Path(place)
    return folder.is_dir() and any((folder / marker).is_file() for marker in ZARR_MARKERS)


def _is_file(place: str, *kinds: str) -> bool:
    if not Path(place).is_file():
        return False
    try:
        return kind_of(place) in kinds
    except OSError as error:
        raise ZfuseError(f"{place} cannot be read ({error}); check its permissions") from error


def _is_ndtiff(place: str) -> bool:
    if not (Path(place).is_dir() or Path(place).suffix == ".index"):
        return False
    from zfuse.pipeline.sources._ndtiff import is_ndtiff

    return is_ndtiff(place)


def _is_vendors(place: str) -> bool:
    if not Path(place).is_file():
        return False
    from zfuse.pipeline.sources._bioio import is_vendors

    return is_vendors(place)


FORMATS = (
    Format("OME-Zarr", "zfuse.pipeline.sources._ome_zarr", _is_zarr),
    Format("NDTiff", "zfuse.pipeline.sources._ndtiff", _is_ndtiff),
    Format("TIFF, OME-XML", "zfuse.pipeline.sources._tiff", lambda p: _is_file(p, TIFF, XML)),
    Format("plane", "zfuse.pipeline.sources._planes", lambda p: _is_file(p, PNG, JPEG, BMP)),
    Format("vendor's", "zfuse.pipeline.sources._bioio", _is_vendors),
    Format("folder of planes", "zfuse.pipeline.sources._planes", lambda p: Path(p).is_dir()),
)
