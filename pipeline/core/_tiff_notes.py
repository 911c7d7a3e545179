"""What zfuse noted in a TIFF: provenance, or what a map's values mean.

Duty: notes out of an open file, for those who read outputs and those who replace them. Must not
know: pixels, what the notes are used for.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tifffile

__all__ = ["tiff_notes"]


def tiff_notes(file: tifffile.TiffFile) -> dict[str, Any]:
    """Return the JSON values of zfuse's note; empty for files of others.

    A plain TIFF's calibration, for which TIFF has no tags, is among them.
    """
    if file.is_shaped:
        plain = (file.shaped_metadata or ({},))[0]
        return {**plain, **(plain.get("zfuse") or {})}
    try:
        said = json.loads((file.imagej_metadata or {}).get("Info") or "{}")
    except (TypeError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
