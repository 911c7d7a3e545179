"""All images of a path, as a list that costs nothing, and each of them opened when its turn comes.

Duty: one face for a single image, the images of a file or collection, and the fields of a plate.
Must not know: formats, what is done with the stacks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources._layout import NoStackError
from zfuse.pipeline.sources._open import list_members, open_image, printable

if TYPE_CHECKING:
    from pathlib import Path

    from zfuse.pipeline.core import Stack
    from zfuse.pipeline.sources._members import Kind, Listing, Member, PlateLayout

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
    allow_missing
        See `open_collection`.
    """

    place: str
    kind: Kind
    members: tuple[Member, ...]
    plate: PlateLayout | None = None
    warnings: tuple[str, ...] = ()
    allow_missing: bool = False

    def open(self, member: Member) -> Stack:
        """Open one of `members`, lazily; see `open_member`."""
        return open_member(self.place, member, allow_missing=self.allow_missing)


def open_collection(
    path: str | Path, *, series: int | None = None, allow_missing: bool = False
) -> Collection:
    """List the images behind a path from metadata alone.

    Parameters
    ----------
    path
        An OME-Zarr (folder or fsspec URL): image, plate, well or collection; a TIFF file, an image
        file or a folder of planes.
    series
        Only this image, counted from 0 in the order of the file.
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
        The path is missing, is no image, has no such series, or declares nothing.
    """
    listing = list_members(path, allow_missing=allow_missing)
    if series is not None:
        chosen = replace(_numbered(listing, series, path), target="")
        return Collection(str(path), "image", (chosen,), None, listing.warnings, allow_missing)
    members = tuple(m for m in listing.members if not m.overview) or listing.members
    warnings = listing.warnings
    if len(members) < len(listing.members):
        warnings += tuple(
            f"left out: {path} {member} has no z axis"
            for member in listing.members
            if member.overview
        )
    kind: Kind = "plate" if listing.plate else "images" if len(members) > 1 else "image"
    if kind != "plate":
        members = tuple(
            replace(member, target=str(i) if kind == "images" else "")
            for i, member in enumerate(members)
        )
    said = tuple(printable(line) for line in warnings)
    return Collection(str(path), kind, members, listing.plate, said, allow_missing)


def open_member(path: str | Path, member: Member, *, allow_missing: bool = False) -> Stack:
    """Open one image of a path, lazily, without listing the others.

    Parameters
    ----------
    path
        See `open_collection`.
    member
        One of its members.
    allow_missing
        See `open_collection`.

    Raises
    ------
    ZfuseError
        The image is missing, damaged or no stack.
    """
    if member.fault:
        raise ZfuseError(printable(member.fault))
    return open_image(path, member.path, allow_missing=allow_missing)


def open_stacks(path: str | Path, *, allow_missing: bool = False) -> list[Stack]:
    """Open every image behind a path, lazily, and all at once: not for large plates.

    Parameters
    ----------
    path
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
    images = open_collection(path, allow_missing=allow_missing)
    stacks: list[Stack] = []
    refused: list[ZfuseError] = []
    count = max(member.number for member in images.members) + 1
    try:
        for member in images.members:
            try:
                stacks.append(images.open(member))
            except NoStackError as error:
                refused.append(error)
            except ZfuseError as error:
                if count == 1:
                    raise
                refused.append(error)
                if not allow_missing:
                    raise ZfuseError(
                        f"image {member.number} of {count} cannot be used: {error} "
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
    path: str | Path, *, series: int | None = None, allow_missing: bool = False
) -> Stack:
    """Open exactly one image of a path, lazily.

    Parameters
    ----------
    path
        See `open_collection`.
    series
        Which image, counted from 0 in the order of the file; needed when there are several.
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
    listing = list_members(path, allow_missing=allow_missing)
    count = len(listing.members)
    if series is None and count > 1:
        what = "is a plate of" if listing.plate else "holds"
        raise ZfuseError(
            f"{path} {what} {count} images and none was chosen; "
            f"choose one with series=0 to series={count - 1}"
        )
    return open_member(path, _numbered(listing, series or 0, path), allow_missing=allow_missing)


def _numbered(listing: Listing, series: int, path: str | Path) -> Member:
    count = len(listing.members)
    if not 0 <= series < count:
        several = f"s; choose series=0 to series={count - 1}"
        raise ZfuseError(
            f"{path} has no series {series}: it holds {count} image"
            f"{several if count > 1 else ', which is series=0'}"
        )
    return listing.members[series]
