"""Where two JSON values differ, key by key. Must not know: what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["differences"]


def differences(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield each key, in dots, under which two JSON values differ, and both values.

    Lists are compared item by item if they are of one length; what is missing is None.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        pairs = {name: (before.get(name), now.get(name)) for name in (*before, *now)}
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = {str(i): pair for i, pair in enumerate(zip(before, now, strict=True))}
    else:
        if before != now:
            yield key, before, now
        return
    for name, (old, new) in pairs.items():
        yield from differences(old, new, f"{key}.{name}".strip("."))
