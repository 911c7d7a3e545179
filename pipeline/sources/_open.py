"""Find the source that understands a path, and open one or all of the images behind it.

Duty: the table of formats, the choice by what really lies at the path, and the refusals that need
no reader (missing path, not an image, several images where one was asked for). What a file says of
itself ends here in text that a terminal can show.
Must not know: how any format is read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources._layout import NoStackError
from zfuse.pipeline.sources._magic import BMP, JPEG, PNG, TIFF, XML, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from zfuse.pipeline.core import Stack

__all__ = ["open_stack", "open_stacks"]

T = TypeVar("T")
LONGEST_NAME = 200

ZARR_MARKERS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")


@dataclass(frozen=True)
class Format:
    """One kind of input: how to tell it, and the module whose ``images(path, ...)`` lists it."""

    kind: str
    module: str
    detect: Callable[[str], bool]


def open_stacks(path: str | Path, *, allow_missing: bool = False) -> list[Stack]:
    """Open every image behind a path, lazily.

    Parameters
    ----------
    path
        An OME-Zarr group (folder or fsspec URL), a TIFF file, an image file or a folder of planes.
    allow_missing
        Read chunks and planes that are absent as the fill value instead of refusing them, and
        leave out images of a collection that are missing or damaged.

    Returns
    -------
    list of Stack
        In the order of the file. Images of a collection that are no stack (an overview image
        without z axis) are left out, with a warning line in the others.

    Raises
    ------
    ZfuseError
        The path is missing, is no image, or one of its images can't be used.
    """
    stacks: list[Stack] = []
    refused: list[ZfuseError] = []
    images = _images(path, allow_missing=allow_missing)
    try:
        for number, image in enumerate(images):
            try:
                stacks.append(_opened(image, path))
            except NoStackError as error:
                refused.append(error)
            except ZfuseError as error:
                if len(images) == 1:
                    raise
                refused.append(error)
                if not allow_missing:
                    raise ZfuseError(
                        f"image {number} of {len(images)} cannot be used: {error} "
                        "(--allow-missing leaves it out, --series N takes another one)"
                    ) from error
        if not stacks:
            raise refused[0]
    except BaseException:
        for stack in stacks:
            stack.reader.close()
        raise
    notes = tuple(f"left out: {error}" for error in refused)
    return [replace(stack, warnings=stack.warnings + notes) for stack in stacks]


def open_stack(
    path: str | Path, *, series: int | None = None, allow_missing: bool = False
) -> Stack:
    """Open exactly one image of a path, lazily.

    Parameters
    ----------
    path
        See `open_stacks`.
    series
        Which image, counted from 0 in the order of the file; needed when there are several.
    allow_missing
        See `open_stacks`.

    Returns
    -------
    Stack
        The image.

    Raises
    ------
    ZfuseError
        As `open_stacks`; also when there are several images and none was chosen, or when the
        chosen one does not exist.
    """
    images = _images(path, allow_missing=allow_missing)
    if series is None:
        if len(images) > 1:
            raise ZfuseError(
                f"{path} holds {len(images)} images and none was chosen; "
                f"choose one with series=0 to series={len(images) - 1}"
            )
        series = 0
    if not 0 <= series < len(images):
        several = f"s; choose series=0 to series={len(images) - 1}"
        raise ZfuseError(
            f"{path} has no series {series}: it holds {len(images)} image"
            f"{several if len(images) > 1 else ', which is series=0'}"
        )
    return _opened(images[series], path)


def _images(path: str | Path, *, allow_missing: bool) -> list[Callable[[], Stack]]:
    """List the images of a path as functions that open them."""
    place = _local(str(path))
    if not _is_url(place) and not Path(place).exists():
        raise ZfuseError(_missing(Path(place)))
    for form in FORMATS:
        if form.detect(place):
            module = import_module(form.module)
            return _guarded(partial(module.images, place, allow_missing=allow_missing), path)
    raise ZfuseError(
        f"{place} is not an image that zfuse reads; "
        "give an OME-Zarr, a TIFF, a PNG, JPEG or BMP, or a folder of such planes"
    )


def _opened(image: Callable[[], Stack], path: str | Path) -> Stack:
    stack = _guarded(image, path)
    return replace(
        stack,
        name=_printable(stack.name)[:LONGEST_NAME],
        channels=tuple(
            replace(channel, name=_printable(channel.name)[:LONGEST_NAME])
            for channel in stack.channels
        ),
        warnings=tuple(_printable(line) for line in stack.warnings),
    )


def _guarded(work: Callable[[], T], path: str | Path) -> T:
    """Open something; what the disk or the permissions forbid is the user's to cure."""
    try:
        return work()
    except OSError as error:
        raise ZfuseError(f"{path} cannot be read ({error}); check disk and permissions") from error
    except ZfuseError as error:  # it quotes the file
        raise type(error)(_printable(str(error))) from error


def _printable(text: str) -> str:
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


FORMATS = (
    Format("OME-Zarr", "zfuse.pipeline.sources._ome_zarr", _is_zarr),
    Format("TIFF, OME-XML", "zfuse.pipeline.sources._tiff", lambda p: _is_file(p, TIFF, XML)),
    Format("plane", "zfuse.pipeline.sources._planes", lambda p: _is_file(p, PNG, JPEG, BMP)),
    Format("folder of planes", "zfuse.pipeline.sources._planes", lambda p: Path(p).is_dir()),
)
