"""Names in metadata that lead to other files: inside the place that names them, or refused.

Duty: words only. Must not know: which files there are, what links on the disk lead to: those were
made by whoever owns the disk, and metadata may come from anybody (docs/design/0010).
"""

from __future__ import annotations

import re

from zfuse.errors import ZfuseError

__all__ = ["inside"]

_ROOTED = re.compile(r"[/\\]|[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]*://")


def inside(name: str, source: str) -> str:
    r"""Return a relative path out of metadata.

    Parameters
    ----------
    name
        As the metadata spell it, with ``/`` or ``\`` between its parts.
    source
        What names it, for the refusal.

    Raises
    ------
    ZfuseError
        It climbs out (``..``), begins at a root, at a drive or as an address, or holds a zero byte;
        on every system, whatever that system makes of it.
    """
    if _ROOTED.match(name) or ".." in re.split(r"[/\\]", name) or "\0" in name:
        shown = name if len(name) <= 100 else f"{name[:97]}..."
        raise ZfuseError(
            f"{source} names {shown!r}, which lies outside of it: what metadata name must lie in "
            "the same folder or below; put it there and correct the name, or give that image itself"
        )
    return name
