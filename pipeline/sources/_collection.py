"""All images of a path, as a list that costs nothing, and each of them opened when its turn comes.

Duty: one face for a single image, the images of a file or collection, and the fields of a plate.
Must not know: formats, what is done with the stacks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources._layout import NoStackError
from zfuse.pipeline.sources._narrow import narrow_listing, narrow_stack
from zfuse.pipeline.sources._open import list_members, open_image, printable
from zfuse.pipeline.sources._select import Selection, parse_selection

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from zfuse.pipeline.core import PlateLayout, Stack
    from zfuse.pipeline.sources._members import Kind, Listing, Member

__all__ = ["Collection", "open_collection", "open_member", "open_stack", "open_stacks"]


@dataclass(frozen=True)
class Collection:
    """The images of a path; nothing of it is open. Picklable.

    Attributes
    ----------
    place
        Path or URL, as it was given.
    kind
        ``"image"`` for one, ``"images"`` for those of a collection or file, ``"plate"``.
    members
        At least one.
    plate
        The plate's drawing, None for others.
    warnings
        Short lines about what was left out or assumed.
    count
        Images of the path, before any were chosen or left out.
    selection
        Which times and channels of each are wanted.
    allow_missing
        See `open_collection`.
    """

    place: str
    kind: Kind
    members: tuple[Member, ...]
    plate: PlateLayout | None = None
    warnings: tuple[str, ...] = ()
    count: int = 1
    selection: Selection = field(default_factory=Selection)
    allow_missing: bool = False

    def open(self, member: Member) -> Stack:
        """Open one of `members`, lazily; see `open_member`."""
        return _opened(self.place, member, self.selection, self.allow_missing)


def open_collection(
    path: str | Path,
    *,
    series: int | None = None,
    select: str | Sequence[str] | None = None,
    allow_missing: bool = False,
) -> Collection:
    """List the images behind a path from metadata alone.

    Parameters
    ----------
    path
        An OME-Zarr (folder or fsspec URL): image, plate, well or collection; a TIFF file, an image
        file or a folder of planes.
    series
        Only this image, counted from 0 in the order of the file.
    select
        Only these wells, fields, images, and these times and channels of each; one term or several:
        ``"B03"``, ``"B02-D11"`` (a rectangle), ``"B/03/0"``, ``"rows=A-C"``, ``"fields=0-3"``,
        ``"t=0-4"``, ``"c=GFP,DAPI"``. Ranges have both their ends; ``t=0:5`` is as in Python.
    allow_missing
        Read chunks and planes that are absent as the fill value instead of refusing them.

    Returns
    -------
    Collection
        Images that are no stack (an overview picture without z axis) are left out, with a warning,
        as long as there are others.

    Raises
    ------
    ZfuseError
        The path is missing, is no image, has nothing of what was chosen, or declares nothing.
    """
    selection = parse_selection(select)
    listing = list_members(path, allow_missing=allow_missing)
    warnings, layout = listing.warnings, listing.plate
    if series is not None:
        members: tuple[Member, ...] = (_numbered(listing, series, path),)
        layout = None
        if selection.narrows_images:
            raise ZfuseError(
                f"series={series} and select both choose images of {path}; give one of them"
            )
    else:
        members = _guarded_narrow(listing, selection, str(path))
        warnings += tuple(
            f"left out: {path} {member} has no z axis"
            for member in listing.members
            if member.overview and not members[0].overview
        )
    kind: Kind = "plate" if layout else "images" if len(members) > 1 else "image"
    if kind != "plate":
        members = tuple(
            replace(member, target=str(i) if kind == "images" else "")
            for i, member in enumerate(members)
        )
    said = tuple(printable(line) for line in warnings)
    count = len(listing.members)
    return Collection(str(path), kind, members, layout, said, count, selection, allow_missing)


def _guarded_narrow(listing: Listing, selection: Selection, place: str) -> tuple[Member, ...]:
    """Narrow a listing; a refusal quotes names of the file."""
    try:
        return narrow_listing(listing, selection, place)
    except ZfuseError as error:
        raise ZfuseError(printable(str(error))) from error


def open_member(
    path: str | Path,
    member: Member,
    *,
    select: str | Sequence[str] | None = None,
    allow_missing: bool = False,
) -> Stack:
    """Open one image of a path, lazily, without listing the others.

    Parameters
    ----------
    path
        See `open_collection`.
    member
        One of its members.
    select
        See `open_collection`; times and channels of it are taken.
    allow_missing
        See `open_collection`.

    Raises
    ------
    ZfuseError
        The image is missing, damaged or no stack, or has no such times or channels.
    """
    return _opened(path, member, parse_selection(select), allow_missing)


def _opened(path: str | Path, member: Member, selection: Selection, allow_missing: bool) -> Stack:
    if member.fault:
        raise ZfuseError(printable(member.fault))
    stack = open_image(path, member.path, allow_missing=allow_missing)
    try:
        return narrow_stack(stack, selection)
    except BaseException:
        stack.close()
        raise


def open_stacks(
    path: str | Path, *, select: str | Sequence[str] | None = None, allow_missing: bool = False
) -> list[Stack]:
    """Open every image behind a path, lazily, and all at once: not for large plates.

    Parameters
    ----------
    path, select
        See `open_collection`.
    allow_missing
        See `open_collection`; also leave out images of a collection that are missing or damaged.

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
    images = open_collection(path, select=select, allow_missing=allow_missing)
    stacks: list[Stack] = []
    refused: list[ZfuseError] = []
    try:
        for member in images.members:
            try:
                stacks.append(images.open(member))
            except NoStackError as error:
                refused.append(error)
            except ZfuseError as error:
                if images.count == 1:
                    raise
                refused.append(error)
                if not allow_missing:
                    raise ZfuseError(
                        f"image {member.number} of {images.count} cannot be used: {error} "
                        "(--allow-missing leaves it out, --series N takes another one)"
                    ) from error
        if not stacks:
            raise refused[0]
    except BaseException:
        for stack in stacks:
            stack.reader.close()
        raise
    notes = (*images.warnings, *(f"left out: {error}" for error in refused))
    return [replace(stack, warnings=stack.warnings + notes) for stack in stacks]


def open_stack(
    path: str | Path,
    *,
    series: int | None = None,
    select: str | Sequence[str] | None = None,
    allow_missing: bool = False,
) -> Stack:
    """Open exactly one image of a path, lazily.

    Parameters
    ----------
    path
        See `open_collection`.
    series
        Which image, counted from 0 in the order of the file; needed when there are several.
    select
        See `open_collection`: which image, as in ``"B/03/0"``, and which times and channels of it.
    allow_missing
        See `open_collection`.

    Returns
    -------
    Stack
        The image.

    Raises
    ------
    ZfuseError
        As `open_collection`; also when there are several images and none was chosen, or the image
        can't be used.
    """
    images = open_collection(path, series=series, select=select, allow_missing=allow_missing)
    if series is None and images.count > 1 and not images.selection.narrows_images:
        last = images.count - 1
        what = "is a plate of" if images.plate else "holds"
        raise ZfuseError(
            f"{path} {what} {images.count} images and none was chosen; "
            f"choose one with series=0 to series={last}"
            + (f", or select={images.members[0].path!r}" if images.plate else "")
        )
    if len(images.members) > 1:
        raise ZfuseError(
            f"select: {len(images.members)} images of {path} are meant, one is needed; "
            f"select one, such as {images.members[0].path}"
        )
    return images.open(images.members[0])


def _numbered(listing: Listing, series: int, path: str | Path) -> Member:
    count = len(listing.members)
    if not 0 <= series < count:
        several = f"s; choose series=0 to series={count - 1}"
        raise ZfuseError(
            f"{path} has no series {series}: it holds {count} image"
            f"{several if count > 1 else ', which is series=0'}"
        )
    return listing.members[series]
