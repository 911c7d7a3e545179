"""What lies behind a path before anything of it is opened: images, their places and their names.

Duty: the values that a format's `members` returns and that a run carries about: small, frozen,
picklable. Must not know: files, formats, pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from zfuse.pipeline.core import PlateLayout

__all__ = ["Kind", "Listing", "Member", "numbered"]

Kind: TypeAlias = Literal["image", "images", "plate"]


@dataclass(frozen=True)
class Member:
    """One image of a path.

    Attributes
    ----------
    path
        Where it lies in the input: ``""`` for the only one, ``"0"`` in a collection or among the
        series of a file, ``"B/03/0"`` in a plate; ``"B/03"`` is a well whose fields are unknown.
    name
        For people; ``""`` when nothing but the path is known.
    number
        Its place among all images of the input, from 0.
    target
        Where its image belongs in an OME-Zarr output: ``""`` for a single one. Safe as a path.
    acquisition
        Identifier of its acquisition, in a plate that has several.
    fault
        Why it cannot be opened, where that is known before it is opened; opening it raises this.
    overview
        It is whole but no stack (no z axis), such as the overview picture of a slide.
    """

    path: str
    name: str = ""
    number: int = 0
    target: str = ""
    acquisition: int | None = None
    fault: str = ""
    overview: bool = False

    @property
    def well(self) -> str:
        """``"B/03"`` in a plate."""
        return "/".join(self.target.split("/")[:2])

    def __str__(self) -> str:
        return self.name or self.path


@dataclass(frozen=True)
class Listing:
    """All images of a path, and the plate that they are of.

    Attributes
    ----------
    members
        In the order of the file.
    plate
        None for anything else.
    warnings
        Short lines about what had to be assumed.
    """

    members: tuple[Member, ...]
    plate: PlateLayout | None = None
    warnings: tuple[str, ...] = ()


def numbered(count: int) -> tuple[Member, ...]:
    """Return the members of a path whose images have numbers, and nothing else."""
    if count == 1:
        return (Member(""),)
    return tuple(Member(str(i), f"image {i}", i) for i in range(count))
