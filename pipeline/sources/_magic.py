"""How files begin: what tells formats apart, whatever the files are called.

Must not know: how any format is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BMP", "JPEG", "PNG", "TIFF", "XML", "kind_of"]

PNG, JPEG, BMP, TIFF, XML = "PNG", "JPEG", "BMP", "TIFF", "XML"
_MAGIC = {
    b"\x89PNG\r\n\x1a\n": PNG, b"\xff\xd8\xff": JPEG, b"BM": BMP,
    b"II*\0": TIFF, b"MM\0*": TIFF, b"II+\0": TIFF, b"MM\0+": TIFF,
    b"<?xml": XML, b"<OME": XML, b"<!--": XML,
}  # fmt: skip


def kind_of(path: str | Path) -> str:
    """Return what a file begins like, "" when it is none of them; raise OSError."""
    with open(path, "rb") as file:
        start = file.read(64)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, kind in _MAGIC.items():
        if (text if kind == XML else start).startswith(magic):
            return kind
    return ""
