"""Frames read back from where the acquisition itself writes them.

Duty: find a frame in the view that pymmcore-plus gives of its sink, and make sure that it is that
frame, whole. Must not know: what the sink writes to, sessions.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from google_crc32c import value as crc32c

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from zfuse.pipeline.live._useq import Place

__all__ = ["mark_of", "reader_of", "where_of"]

_EVERY = 64  # rows: 20 µs for 2048 x 2048 px, where all rows would take a millisecond
_PATIENCE = 2.0  # seconds that a frame may take from the acquisition to the view


def mark_of(pixels: NDArray[Any]) -> int:
    """Return a checksum of every 64th row, by which a frame is known again."""
    return int(crc32c(np.ascontiguousarray(pixels[::_EVERY]).tobytes()))


def reader_of(
    view: Any, where: tuple[int, ...], place: Place, mark: int
) -> Callable[[], NDArray[Any]]:
    """Return a function that reads a frame.

    A sink writes behind the acquisition, gathers frames into chunks, and may count frames that were
    skipped in another way: therefore what comes from the view is compared with the frame's mark.

    Parameters
    ----------
    view
        ``MDARunner.get_view()``: the sink's frames by index, in the order of acquisition.
    where, place
        Of the frame, in the view and for people.
    mark
        See `mark_of`.
    """

    def read() -> NDArray[Any]:
        until = time.monotonic() + _PATIENCE
        while True:
            pixels = np.asarray(view[where])
            if mark_of(pixels) == mark:
                return pixels
            if time.monotonic() > until:
                raise ZfuseError(
                    f"plane {place.z} of position {place.key.p}, time point {place.key.t} was "
                    f"dropped, and cannot be read back {_PATIENCE:g} s later: the acquisition's "
                    "sink does not hold it. Write with a z chunk of 1, or give zfuse more memory"
                )
            time.sleep(0.05)

    return read


def where_of(
    dims: tuple[str, ...], index: Mapping[str, int], place: Place, number: int | None
) -> tuple[int, ...]:
    """Return where the frame of an event lies in a view.

    Parameters
    ----------
    dims
        Names of the view's axes but the last two.
    index, place
        Of the event.
    number
        How many frames of the sequence came before it; None: unknown.
    """
    if index.keys() - {"g"} <= {*dims} or number is None:
        return tuple(place.key.p if dim == "p" else int(index.get(dim, 0)) for dim in dims)
    return (number,)  # stacks of different kinds: pymmcore-plus writes one frame after another
