"""How files begin: what tells formats apart, whatever the files are called.

Must not know: how any format is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BMP", "CZI", "DV", "JPEG", "LIF", "ND2", "PNG", "TIFF", "XML", "kind_of"]

PNG, JPEG, BMP, TIFF, XML = "PNG", "JPEG", "BMP", "TIFF", "XML"
CZI, ND2, LIF, DV = "CZI", "ND2", "LIF", "DV"
_MAGIC = {
    b"\x89PNG\r\n\x1a\n": PNG, b"\xff\xd8\xff": JPEG, b"BM": BMP,
    b"II*\0": TIFF, b"MM\0*": TIFF, b"II+\0": TIFF, b"MM\0+": TIFF,
    b"ZISRAWFILE": CZI, b"\xda\xce\xbe\n": ND2, b"\0\0\0\x0cjP  \r\n\x87\n": ND2,
    b"<?xml": XML, b"<OME": XML, b"<!--": XML,
}  # fmt: skip
_START = 98  # bytes: the longest way to a magic number, of DeltaVision


def kind_of(path: str | Path) -> str:
    """Return what a file begins like, "" when it is none of them; raise OSError."""
    with open(path, "rb") as file:
        start = file.read(_START)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, kind in _MAGIC.items():
        if (text if kind == XML else start).startswith(magic):
            return kind
    if start[:4] == b"p\0\0\0" and start[8:9] == b"*":
        return LIF
    return DV if start[96:98] in (b"\xa0\xc0", b"\xc0\xa0") else ""
