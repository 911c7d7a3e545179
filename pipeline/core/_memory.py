"""Giving freed memory back to the system: the one place that knows a C library by name.

Must not know: what the memory was used for.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["release_free_memory"]


def release_free_memory() -> None:
    """Return what lies free in the heap to the system, where the system needs to be told.

    glibc keeps freed arrays of up to 32 MB in its heap: 130 MB after the first tile of 4096 px. A
    few milliseconds a tile; nothing to do on Windows and macOS.
    """
    _trim()()


@cache
def _trim() -> Callable[[], object]:
    if sys.platform == "linux":
        try:
            trim = ctypes.CDLL("libc.so.6").malloc_trim
        except (OSError, AttributeError):  # musl has no such thing
            pass
        else:
            return lambda: trim(0)
    return lambda: None
