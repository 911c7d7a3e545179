"""Sizes of memory as people write them. Must not know: what takes the memory."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["byte_count"]

_SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def byte_count(value: Any) -> Any:
    """Return the bytes of "640MB", "2GB", "1.5 GiB"; anything but a text as it is.

    Raises
    ------
    ValueError
        A text is no size.
    """
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", value.lower())
    if not match:
        raise ValueError(f"{value!r} is no size; write it like 640MB or 2GB")
    number, prefix, binary = match.groups()
    factor = 1024 ** " kmgt".index(prefix) if binary and prefix else _SIZES[prefix]
    return int(float(number) * factor)
