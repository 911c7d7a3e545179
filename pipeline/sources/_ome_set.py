"""The files of one OME-TIFF: metadata may lie in another file, planes in several.

Duty: from any file of a set to the TIFF to open and the OME-XML that describes all of them.
tifffile follows the file names in the XML of the file that it opens, as long as each file has a
UUID of its own there; it follows no "BinaryOnly" file to the one that holds the metadata, and reads
what is missing as zeros. Must not know: pages, calibration, pixels.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import inside
from zfuse.pipeline.sources._ome_xml import children, number, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from xml.etree.ElementTree import Element

__all__ = ["OmeSet", "find"]

MOST_PLANES = 10_000_000


@dataclass(frozen=True)
class OmeSet:
    """What to open.

    Attributes
    ----------
    root
        The OME-XML of all images.
    file
        The TIFF to open.
    xml
        Text that tifffile needs instead of what the file says, None when the file's own will do.
    """

    root: Element
    file: str
    xml: str | None


def find(
    place: str,
    text: str | bytes,
    describe: Callable[[str], str | bytes],
    *,
    is_tiff: bool,
    allow_missing: bool,
) -> OmeSet:
    """Find the files that belong to one of them.

    Parameters
    ----------
    place
        A TIFF, or an OME-XML file.
    text
        Its OME-XML.
    describe
        Returns the OME-XML of another file.
    is_tiff
        Whether `place` is a TIFF.
    allow_missing
        Files that hold planes may be missing.

    Returns
    -------
    OmeSet
        What to open.

    Raises
    ------
    ZfuseError
        The XML can't be read, or a file that it names is missing, or lies outside of its folder.
    """
    root, folder, holder = parse(text, place), os.path.dirname(place), place
    if (only := next(children(root, "BinaryOnly"), None)) is not None:
        name = only.get("MetadataFile") or ""
        holder = os.path.join(folder, inside(name, place))
        if not _is_file(holder) or os.path.samefile(holder, place):
            raise ZfuseError(
                f"{place} keeps its OME metadata in another file, {name!r}, which is missing; put "
                "it beside the TIFF"
            )
        root, folder = parse(describe(holder), holder), os.path.dirname(holder)
    _check_count(root, holder)
    own = is_tiff and holder == place
    named = list(_named(root))
    files = {name for name, _ in named}
    if own and root.get("UUID") is None and len(files) == 1 and not _is_beside(folder, files):
        return OmeSet(root, place, _rewritten(root, lambda _: place, place))  # it was renamed
    for uuid in root.iter():  # wherever: tifffile looks at the end of the tag only
        itself = own and uuid.text == root.get("UUID") and uuid.tag.rsplit("}", 1)[-1] == "UUID"
        if uuid.tag.endswith("UUID") and not itself:
            inside(uuid.get("FileName") or "", holder)
    if own and not files:
        return OmeSet(root, place, None)
    ours = {name for name, uuid in named if own and uuid is not None and uuid == root.get("UUID")}
    there = [name for name in sorted(files - ours) if _is_file(os.path.join(folder, name))]
    lacking = sorted(files - ours - set(there))
    if lacking and not (allow_missing and (ours or there)):
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise ZfuseError(
            f"{place}: planes lie in {lacking[0]!r}{more} by its OME-XML, which is missing; put it "
            "there under that name, or read what is missing as 0 with --allow-missing"
        )
    if not files:
        raise ZfuseError(f"{holder} names no TIFF that holds its planes; give the TIFF itself")
    if own and len({uuid for _, uuid in named}) == len(files) and None not in dict(named).values():
        return OmeSet(root, place, None)
    first = place if own else os.path.join(folder, there[0])
    if is_tiff and not own and not any(_same(os.path.join(folder, n), place) for n in there):
        raise ZfuseError(f"{holder} holds the OME metadata of {place} but does not name it")
    return OmeSet(
        root,
        first,
        _rewritten(root, lambda name: place if name in ours else os.path.join(folder, name), first),
    )


def _check_count(root: Element, source: str) -> None:
    """Refuse sizes that no disk holds: tifffile makes an entry for each plane that is declared.

    In all images together, whatever stands before the tags' names: tifffile looks at their ends.
    """
    planes = 0.0
    for element in root.iter():
        counts = [0.0]
        if element.tag.endswith("Pixels"):
            planes += abs(math.prod(number(element.get(f"Size{axis}")) or 1 for axis in "ZCT"))
        elif element.tag.endswith("TiffData"):
            counts = [number(element.get(key)) or 0 for key in ("PlaneCount", "NumPlanes")]
        elif element.tag[:-1].endswith("Along"):  # a modulo: tifffile lists its steps
            start, end, step = (number(element.get(k)) or 0.0 for k in ("Start", "End", "Step"))
            counts = [abs(end - start) / abs(step or 1.0)]
        if not max(planes, *counts) <= MOST_PLANES:
            raise ZfuseError(
                f"{source} has OME-XML that declares {max(planes, *counts):g} planes, the most is "
                f"{MOST_PLANES}; it is damaged: copy it again from the original"
            )


def _named(root: Element) -> Iterator[tuple[str, str | None]]:
    """Go through the files that hold planes, and their UUIDs."""
    seen = set()
    for image in children(root, "Image"):
        for pixels in children(image, "Pixels"):
            for data in children(pixels, "TiffData"):
                for uuid in children(data, "UUID"):
                    pair = (uuid.get("FileName") or "", uuid.text)
                    if pair[0] and pair not in seen:
                        seen.add(pair)
                        yield pair


def _rewritten(root: Element, whole: Callable[[str], str], first: str) -> str:
    """Return the XML with a whole path as name and UUID of each file, which leaves no doubt."""
    for uuid in root.iter():
        if uuid.tag.endswith("UUID") and uuid.get("FileName"):
            path = os.path.abspath(whole(uuid.get("FileName", "")))
            uuid.set("FileName", path)
            uuid.text = path
    root.set("UUID", os.path.abspath(first))
    try:
        return ElementTree.tostring(root, encoding="unicode")
    except RecursionError as error:
        raise ZfuseError(
            f"{first} has OME-XML that is nested too deeply to be read; it is damaged: copy it "
            "again from the original"
        ) from error


def _is_beside(folder: str, files: set[str]) -> bool:
    """Whether the only file that is named is there; writers of lone files name whole paths, too."""
    name = next(iter(files))
    return not os.path.dirname(name.replace("\\", "/")) and _is_file(os.path.join(folder, name))


def _is_file(path: str) -> bool:
    try:
        return os.path.isfile(path)
    except ValueError:  # a name with a zero byte
        return False


def _same(a: str, b: str) -> bool:
    return os.path.samefile(a, b)
