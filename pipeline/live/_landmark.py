"""One plane by which an acquisition is known again.

Duty: note the first plane that can be read again, and refuse another one in its place. Must not
know: who feeds frames, what is done with them.

A path says little: today's acquisition may lie where yesterday's lay, and a session that goes on
would join the two in one output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline.live._frame import StackKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from zfuse.pipeline.live._frame import Frame

__all__ = ["Landmark"]

_WHERE = ("p", "t", "c", "z")


class Landmark:
    """The plane of one output.

    Parameters
    ----------
    known
        Its record of an earlier session, or None.
    record
        Keeps a new one.
    begun
        What must go before another acquisition can have its place.
    """

    def __init__(
        self, known: dict[str, int] | None, record: Callable[[dict[str, int]], None], begun: Path
    ) -> None:
        self._known, self._record, self._begun = known, record, begun

    @property
    def key(self) -> StackKey | None:
        """The stack that must be fed once more, for this plane of it; None where there is none."""
        return None if self._known is None else StackKey(self._known["p"], self._known["t"])

    def check(self, frame: Frame) -> None:
        """Look at a frame, which is read if it is the one.

        Raises
        ------
        ZfuseError
            It is the plane, but shows something else.
        """
        if frame.read is None:
            return
        where = dict(zip(_WHERE, (*frame.key, frame.c, frame.z), strict=True))
        if self._known is not None and any(self._known[k] != n for k, n in where.items()):
            return
        try:
            pixels = frame.pixels if frame.pixels is not None else np.asarray(frame.read())
        except Exception:  # whoever fuses it will say so
            return
        mark = _checksum(pixels)
        if self._known is None:
            self._known = where | {"crc32c": mark}
            self._record(self._known)
        elif self._known["crc32c"] != mark:
            place = ", ".join(f"{k} {n}" for k, n in where.items())
            raise ZfuseError(
                f"the input holds another acquisition than the one that was begun with: its plane "
                f"{place} has other pixels; choose another output name, or delete {self._begun} to "
                "begin anew"
            )


def _checksum(pixels: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> int:
    import google_crc32c

    return int(google_crc32c.value(np.ascontiguousarray(pixels).tobytes()))
