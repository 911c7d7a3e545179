"""Open the TIFF behind a path, whole and with the metadata that belongs to it.

Duty: refuse what is cut off, damaged or not what it says, which tifffile works around: it would
take an OME-TIFF that lost its XML for mere pages. Must not know: axes, calibration, pixels.
"""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tifffile

from zfuse.errors import ZfuseError, reason
from zfuse.pipeline.sources._magic import XML, kind_of
from zfuse.pipeline.sources._ndtiff_index import INDEX, check_grid
from zfuse.pipeline.sources._ome_set import find
from zfuse.pipeline.sources._ome_xml import says_ome

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["Opened", "open_tiff"]

# Width, length, samples, rows a strip, planar, width and length of tiles, depth.
ONE_VALUE = {256, 257, 277, 278, 284, 322, 323, 32997}
MOST_TAGS = 10_000
OME_NAMES = (".ome.tif", ".ome.tiff", ".ome.tf2", ".ome.tf8", ".ome.btf")

# tifffile logs what it works around; what matters to the user is said in refusals and warnings.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Opened:
    """An open TIFF, and the OME-XML that describes it, which may have lain elsewhere."""

    tif: tifffile.TiffFile
    ome: Element | None


def open_tiff(place: str, *, allow_missing: bool = False) -> Opened:
    """Open a TIFF, or the TIFF that an OME-XML file describes, and list its series.

    Raises
    ------
    ZfuseError
        The file is damaged or empty, or lacks a file that it refers to.
    """
    if kind_of(place) == XML:
        found = find(place, _bytes(place), _described, is_tiff=False, allow_missing=allow_missing)
        return _listed(_open(found.file, found.xml), found.file, found.root)
    tif = _open(place)
    try:
        text = tif.pages.first.description
        if not says_ome(text):
            if place.lower().endswith(OME_NAMES) and not tif.is_micromanager:
                raise ZfuseError(
                    f"{place} is named OME-TIFF but holds no OME-XML; copy it again from the "
                    "original, or, if its pages are planes as they lie, name it .tif"
                )
            return _listed(tif, place, None)
        found = find(place, text, _described, is_tiff=True, allow_missing=allow_missing)
        xml = found.xml
        if xml is None and not tif.is_ome:  # tifffile wants the end tag at the very end
            xml = text[: text.rindex("OME>") + 4]
        if xml is not None:
            tif.close()
            tif = _open(found.file, xml)
        return _listed(tif, place, found.root)
    except BaseException:
        tif.close()
        raise


def _bytes(place: str) -> bytes:
    with open(place, "rb") as file:
        return file.read()


def _described(place: str) -> str | bytes:
    """Return the OME-XML that a TIFF or an XML file holds."""
    if kind_of(place) == XML:
        return _bytes(place)
    with _open(place) as tif:
        return str(tif.pages.first.description)


def _open(place: str, xml: str | None = None) -> tifffile.TiffFile:
    """Open a TIFF and check that it was not cut off."""
    tif = None
    try:
        _check_sizes(place)
        tif = tifffile.TiffFile(place, omexml=xml)
        cut = _cut(tif) if len(tif.pages) else "has no pages"
    except Exception as error:  # tifffile raises whatever; ours are ValueError, KeyError
        if tif is not None:
            tif.close()
        raise _damaged(place, error) from error
    if cut:
        tif.close()
        raise ZfuseError(f"{place} is truncated: it {cut}; copy it again from the original")
    return tif


def _listed(tif: tifffile.TiffFile, place: str, ome: Element | None) -> Opened:
    """Check that tifffile makes images of the pages, in the way that the OME-XML says."""
    if tif.is_ndtiff and (index := Path(tif.filehandle.dirname, INDEX)).is_file():
        check_grid(index)
    try:
        kinds = {series.kind for series in tif.series}
    except Exception as error:
        raise _damaged(place, error) from error
    if not kinds:
        raise ZfuseError(f"{place} is truncated: it has no pages; copy it again from the original")
    if ome is not None and kinds & {"generic", "uniform"}:
        raise ZfuseError(
            f"{place} has OME-XML that does not describe its {len(tif.pages)} page(s); if they are "
            "planes as they lie, write them as TIFF without OME-XML"
        )
    return Opened(tif, ome)


def _damaged(place: str, error: Exception) -> ZfuseError:
    return ZfuseError(
        f"{place} cannot be read as TIFF ({reason(error)}); it is truncated or damaged: "
        "copy it again from the original"
    )


def _check_sizes(place: str) -> None:
    """Raise ValueError when the first page has several widths, or samples: tifffile hangs."""
    with open(place, "rb") as file:
        head = file.read(16)
        end = {b"II": "<", b"MM": ">"}[head[:2]]
        big = struct.unpack(end + "H", head[2:4])[0] == 43
        (offset,) = struct.unpack(end + ("Q" if big else "I"), head[8:16] if big else head[4:8])
        file.seek(offset)
        (count,) = struct.unpack(end + ("Q" if big else "H"), file.read(8 if big else 2))
        size = 20 if big else 12
        tags = file.read(size * min(count, MOST_TAGS))
        for start in range(0, len(tags) - size + 1, size):
            tag, _, values = struct.unpack_from(end + ("HHQ" if big else "HHI"), tags, start)
            if tag in ONE_VALUE and values != 1:
                raise ValueError(f"its tag {tag} has {values} values, 1 is needed")


def _cut(tif: tifffile.TiffFile) -> str:
    """Say what lies beyond the end of the file: a value of the first or last page, or a next page.

    tifffile only logs that, and goes on with the tags and pages that are left: of an OME-TIFF whose
    XML lies at its end, mere pages.
    """
    file, form = tif.filehandle, tif.tiff
    for page in (tif.pages.first, tif.pages[len(tif.pages) - 1]):
        file.seek(page.offset)
        (tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        entries = file.read(tags * form.tagsize)
        (following,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))
        if page.index == len(tif.pages) - 1 and following:  # also a chain that runs in circles
            return f"ends after {len(tif.pages)} page(s), more are announced"
        for start in range(0, 0 if tif.is_ndpi else len(entries), form.tagsize):
            code, kind = struct.unpack_from(form.tagformat1, entries, start)
            count, value = struct.unpack_from(form.tagformat2, entries, start + 4)
            length = count * struct.calcsize("<" + tifffile.TIFF.DATA_FORMATS.get(kind, "s"))
            if length > len(value):
                (offset,) = struct.unpack(form.offsetformat, value)
                if offset + length > file.size:
                    return f"ends at byte {file.size}, its tag {code} at {offset + length}"
    return ""
