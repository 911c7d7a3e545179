"""One image of a camera, and where it belongs.

Must not know: who took it, who fuses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["Frame", "StackKey"]


class StackKey(NamedTuple):
    """Which focal stack of a series: all its channels at one position and time point."""

    p: int
    """Index of the position."""
    t: int
    """Index of the time point."""


@dataclass(frozen=True)
class Frame:
    """One plane of one channel of one stack.

    Attributes
    ----------
    key
        The stack.
    c, z
        Index of the channel; index of the plane in this channel's stack, from 0, ascending in the
        way that z grows.
    pixels
        (Y, X), or (C, Y, X) of a colour camera (RGB; then `c` is 0). Nobody writes to it any more.
        None: it is to be read.
    read
        Gives the pixels, again and again, from where they are stored; None where they are not.
        Called from another thread. It may raise: then the plane cannot be had any more.
    """

    key: StackKey
    c: int
    z: int
    pixels: NDArray[Any] | None = None
    read: Callable[[], NDArray[Any]] | None = None

    def __post_init__(self) -> None:
        if self.pixels is None and self.read is None:
            raise ValueError(f"frame {self.key}, c={self.c}, z={self.z} has nothing to show")
