"""OME-TIFF: metadata and planes in several files, damaged metadata, colours, the way of z."""

from __future__ import annotations

import contextlib
import re
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources import open_stack, open_stacks

if TYPE_CHECKING:
    from pathlib import Path

    from zfuse.pipeline.core import Stack

PIXELS = np.random.default_rng(9).integers(1, 60000, (3, 9, 20, 30)).astype(np.uint16)  # CZYX
SCHEMA = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
FILES = [f"cells_{c}.ome.tif" for c in range(3)]


def ome_xml(
    files: list[str] | None = None,
    *,
    root: str = "",
    planes: str = "",
    pixels: str = "",
    uuids: list[str] | None = None,
    channels: str = "",
) -> str:
    """Describe PIXELS; without `files` they lie in the file itself."""
    uuids = uuids or [f"urn:uuid:{i}" for i in range(9)]
    blocks = "<TiffData/>" if files is None else "".join(
        f'<TiffData FirstC="{c}" IFD="0" PlaneCount="9"><UUID FileName="{name}">{uuids[c]}</UUID>'
        "</TiffData>"
        for c, name in enumerate(files)
    )  # fmt: skip
    channels = channels or "".join(f'<Channel ID="C:{c}" Name="ch{c}"/>' for c in "012")
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><OME {SCHEMA} {root}><Image ID="I:0" Name="cells">'
        '<Pixels ID="P:0" DimensionOrder="XYZCT" Type="uint16" SizeX="30" SizeY="20" SizeC="3" '
        f'SizeZ="9" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5" {pixels}>'
        f"{channels}{blocks}{planes}</Pixels></Image></OME>"
    )


def write(path: Path, xml: str, pixels: Any = PIXELS) -> Path:
    planes = pixels.reshape(-1, 20, 30)
    with tifffile.TiffWriter(path) as tif:
        for i, plane in enumerate(planes):
            described = xml.encode() if i == 0 else None
            tif.write(plane, description=described, metadata=None, contiguous=False)
    return path


def holds_pixels(stack: Stack, truth: Any = PIXELS) -> None:
    assert stack.shape == (1, *truth.shape)
    got = stack.reader.read(0, slice(0, 9), slice(0, 20), slice(0, 30))
    np.testing.assert_array_equal(got.swapaxes(0, 1), truth)
    assert [channel.name for channel in stack.channels] == ["ch0", "ch1", "ch2"]
    stack.reader.close()


def companion_set(
    folder: Path, name: str = "cells.companion.ome", uuids: list[str] | None = None
) -> Path:
    """Three TIFFs that keep their metadata in another file."""
    (folder / name).write_text(ome_xml(FILES, uuids=uuids), encoding="utf-8")
    only = f'<BinaryOnly MetadataFile="{name}" UUID="u"/>'
    for c, file in enumerate(FILES):
        write(folder / file, f'<OME {SCHEMA} UUID="urn:uuid:{c}">{only}</OME>', PIXELS[c])
    return folder


def master_set(folder: Path) -> Path:
    """Three TIFFs, the first of which describes all."""
    xml = ome_xml(FILES, root='UUID="urn:uuid:0"')
    for c, file in enumerate(FILES):
        binary = f'<OME {SCHEMA}><BinaryOnly MetadataFile="{FILES[0]}" UUID="urn:uuid:0"/></OME>'
        write(folder / file, binary if c else xml, PIXELS[c])
    return folder


@pytest.mark.parametrize("given", ["", "cells.companion.ome", *FILES])
def test_a_companion_file_is_followed(tmp_path: Path, given: str) -> None:
    holds_pixels(open_stack(companion_set(tmp_path) / given))


@pytest.mark.parametrize("given", ["", *FILES])
def test_a_master_file_is_followed(tmp_path: Path, given: str) -> None:
    holds_pixels(open_stack(master_set(tmp_path) / given))


@pytest.mark.parametrize("uuids", [["", "", ""], ["u", "u", "u"]])
def test_files_without_uuids_of_their_own_are_told_apart(tmp_path: Path, uuids: list[str]) -> None:
    holds_pixels(open_stack(companion_set(tmp_path, uuids=uuids)))


def test_a_file_of_metadata_may_have_any_name(tmp_path: Path) -> None:
    companion_set(tmp_path, "meta.xml")
    for given in ("meta.xml", FILES[1]):
        holds_pixels(open_stack(tmp_path / given))


def test_a_missing_file_of_metadata_is_refused(tmp_path: Path) -> None:
    (companion_set(tmp_path) / "cells.companion.ome").unlink()
    with pytest.raises(ZfuseError, match=r"file, 'cells\.companion\.ome', which is missing"):
        open_stack(tmp_path / FILES[0])
    with pytest.raises(ZfuseError, match="which is missing"):
        open_stack(tmp_path)


@pytest.mark.parametrize("make", [companion_set, master_set])
def test_a_missing_member_is_refused(tmp_path: Path, make: Any) -> None:
    (make(tmp_path) / FILES[2]).unlink()
    with pytest.raises(ZfuseError, match=r"lie in 'cells_2\.ome\.tif' .* is missing; .*--all"):
        open_stack(tmp_path / FILES[0])
    stack = open_stack(tmp_path / FILES[0], allow_missing=True)
    truth = PIXELS.copy()
    truth[2] = 0
    holds_pixels(stack, truth)


def test_a_companion_that_names_other_files_is_refused(tmp_path: Path) -> None:
    companion_set(tmp_path)
    (tmp_path / "odd.ome.tif").write_bytes((tmp_path / FILES[0]).read_bytes())
    with pytest.raises(ZfuseError, match="does not name it"):
        open_stack(tmp_path / "odd.ome.tif")


def test_a_companion_without_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.companion.ome").write_text(ome_xml(), encoding="utf-8")
    with pytest.raises(ZfuseError, match="names no TIFF"):
        open_stack(tmp_path / "a.companion.ome")
    (tmp_path / "b.companion.ome").write_text("<?xml version='1.0'?><svg/>", encoding="utf-8")
    with pytest.raises(ZfuseError, match="no OME-XML"):
        open_stack(tmp_path / "b.companion.ome")


def test_one_file_that_was_renamed_is_read(tmp_path: Path) -> None:
    xml = ome_xml(["a.ome.tif"] * 3, uuids=["u"] * 3)
    for c in (1, 2):
        xml = xml.replace(f'FirstC="{c}" IFD="0"', f'FirstC="{c}" IFD="{9 * c}"')
    holds_pixels(open_stack(write(tmp_path / "b.ome.tif", xml)))


def with_xml_at_the_end(path: Path, xml: str) -> bytes:
    """Move the description of a TIFF behind its pixels, where Bio-Formats writes it."""
    write(path, "<OME>" + "x" * 20 + "</OME>")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        tag = tif.pages.first.tags[270]
        offset = tag.offset
    start = len(data)
    data += xml.encode() + b"\0"
    data[offset + 4 : offset + 12] = struct.pack("<II", len(xml) + 1, start)
    return bytes(data)


@pytest.mark.parametrize("name", ["a.ome.tif", "a.tif"])
def test_a_tiff_that_lost_its_end_is_refused(tmp_path: Path, name: str) -> None:
    data = with_xml_at_the_end(tmp_path / name, ome_xml())
    (tmp_path / name).write_bytes(data)
    holds_pixels(open_stack(tmp_path / name))
    (tmp_path / name).write_bytes(data[:-10])
    with pytest.raises(ZfuseError, match="is truncated"):
        open_stack(tmp_path / name)


@pytest.mark.parametrize("name", ["a.ome.tif", "a.tif"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda xml: xml[:-10],
        lambda xml: xml.replace("<Pixels", "<Pixel s="),
        lambda xml: xml.replace("<TiffData/>", ""),
        lambda xml: xml.replace('SizeX="30"', 'SizeX="many"'),
        lambda xml: xml.replace('SizeX="30"', 'SizeX="31"'),
        lambda xml: xml.replace('SizeZ="9"', 'SizeZ="1000000000"'),
        lambda xml: xml.replace("<TiffData/>", '<TiffData IFD="0" PlaneCount="1000000000"/>'),
    ],
)
def test_damaged_ome_xml_is_refused(tmp_path: Path, name: str, spoil: Any) -> None:
    with pytest.raises(ZfuseError, match=r"OME-XML|cannot be read"):
        open_stack(write(tmp_path / name, spoil(ome_xml())))


@pytest.mark.parametrize("odd", ["", "0", "-1", "x", "nan", "1e400", "99999999999999999999"])
def test_any_word_in_any_attribute(tmp_path: Path, odd: str) -> None:
    block = '<TiffData FirstC="0" FirstZ="0" FirstT="0" IFD="0" PlaneCount="27">'
    own = '<UUID FileName="a.ome.tif">urn:uuid:7</UUID></TiffData>'
    xml = ome_xml(root='UUID="urn:uuid:7"', pixels=SIZE, planes=positions(UP[:2]))
    xml = xml.replace("<TiffData/>", block + own)
    for place in re.finditer(r'="([^"]*)"', xml):
        spoilt = xml[: place.start(1)] + odd + xml[place.end(1) :]
        with contextlib.suppress(ZfuseError):
            for stack in open_stacks(write(tmp_path / "a.ome.tif", spoilt)):
                with contextlib.suppress(ZfuseError):
                    stack.reader.read(0, *(slice(0, n) for n in stack.shape[2:]))
                stack.reader.close()


def test_words_behind_the_xml_do_no_harm(tmp_path: Path) -> None:
    holds_pixels(open_stack(write(tmp_path / "a.tif", ome_xml() + " " * 30)))


def test_a_name_that_says_ome_without_xml_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS[0], ome=False)
    with pytest.raises(ZfuseError, match="holds no OME-XML"):
        open_stack(tmp_path / "a.ome.tif")


def test_colours_of_ome_channels(tmp_path: Path) -> None:
    colours = [-16776961, 16711935, "green"]  # red and green, opaque, as signed RGBA; nonsense
    channels = "".join(
        f'<Channel ID="C:{c}" Color="{colour}"/>' for c, colour in enumerate(colours)
    )
    stack = open_stack(write(tmp_path / "a.ome.tif", ome_xml(channels=channels)))
    assert [dict(c.omero) for c in stack.channels] == [{"color": "FF0000"}, {"color": "00FF00"}, {}]
    stack.reader.close()


def test_colours_of_imagej_tables(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8)
    luts = [
        np.stack([ramp * r, ramp * g, ramp * b]) for r, g, b in [(1, 0, 0), (0, 1, 1), (0, 0, 0)]
    ]
    tifffile.imwrite(
        tmp_path / "a.tif",
        PIXELS.swapaxes(0, 1),
        imagej=True,
        metadata={"axes": "ZCYX", "LUTs": luts, "mode": "composite"},
    )
    stack = open_stack(tmp_path / "a.tif")
    assert [dict(c.omero) for c in stack.channels] == [{"color": "FF0000"}, {"color": "00FFFF"}, {}]
    assert stack.channels[0].name == "channel 0"
    stack.reader.close()


def positions(places: list[float], unit: str = 'PositionZUnit="µm"') -> str:
    return "".join(
        f'<Plane TheZ="{z}" TheC="{c}" TheT="0" PositionZ="{place}" {unit}/>'
        for c in range(3)
        for z, place in enumerate(places)
    )


UP = [10 + 0.5 * z for z in range(9)]
DOWN = UP[::-1]
NM = 'PositionZUnit="nm"'
NOWHERE = 'PositionZUnit="reference frame"'
SIZE = 'PhysicalSizeZ="0.5"'

# Pixels attributes, Plane elements, z step, origin, turned round, part of the warnings
Z_CASES: dict[str, tuple[str, str, float | None, float, bool, str]] = {
    "up": (SIZE, positions(UP), 0.5, 10, False, ""),
    "down": (SIZE, positions(DOWN), 0.5, 10, True, "the other way round"),
    "down, unit unknown": (SIZE, positions(DOWN, NOWHERE), 0.5, 0, True, "other way"),
    "in nm": (SIZE, positions([1000 * z for z in UP], NM), 0.5, 10, False, ""),
    "no size": ("", positions(DOWN), 0.5, 10, True, "is that of PositionZ"),
    "no size, no unit": ("", positions(UP, NOWHERE), None, 0, False, ""),
    "negative": ('PhysicalSizeZ="-0.5"', "", 0.5, 0, True, "other way"),
    "zero": ('PhysicalSizeZ="0"', "", None, 0, False, "PhysicalSizeZ is 0, which is no size"),
    "nan": ('PhysicalSizeZ="nan"', "", None, 0, False, "no size"),
    "huge": ('PhysicalSizeZ="1e300"', "", None, 0, False, "no size"),
    "other step": ('PhysicalSizeZ="2"', positions(UP), 2, 10, False, "but PhysicalSizeZ is 2"),
    "uneven": (SIZE, positions([*UP[:-1], 99]), 0.5, 10, False, "uneven"),
    "some": (SIZE, positions(UP[:5]), 0.5, 0, False, ""),
}


@pytest.mark.parametrize("case", Z_CASES)
def test_the_way_of_z(tmp_path: Path, case: str) -> None:
    pixels, planes, step, origin, turned, said = Z_CASES[case]
    stack = open_stack(write(tmp_path / "a.ome.tif", ome_xml(pixels=pixels, planes=planes)))
    assert stack.z_step == step
    assert stack.origin == (pytest.approx(origin), 0, 0)
    assert said in " ".join(stack.warnings)
    assert bool(said) is bool(stack.warnings)
    holds_pixels(stack, PIXELS[:, ::-1] if turned else PIXELS)


@pytest.mark.parametrize(
    ("spacing", "step", "said"), [(-0.5, 0.5, "the sign is left out"), (0, None, "no size")]
)
def test_the_spacing_of_imagej(
    tmp_path: Path, spacing: float, step: float | None, said: str
) -> None:
    meta = {"axes": "ZYX", "spacing": spacing, "unit": "um", "zorigin": -4}
    tifffile.imwrite(tmp_path / "a.tif", PIXELS[0], imagej=True, metadata=meta)
    stack = open_stack(tmp_path / "a.tif")
    assert stack.z_step == step
    assert stack.origin[0] == (2.0 if step else 0.0)
    assert said in stack.warnings[-1]
    stack.reader.close()


def test_ndtiff_names_and_pixel_size(tmp_path: Path) -> None:
    import json

    summary = json.dumps({"PixelSize_um": 0.25, "z-step_um": 1.5}).encode()
    head = struct.pack("<2sHIIIII", b"II", 42, 0, 483729, 3, 0, 2355492)
    data = bytearray(head + struct.pack("<I", len(summary)) + summary)
    index = bytearray()
    links = [4]  # where the place of the next page is written
    for z in range(4):
        for channel in ("GFP", "DAPI"):
            place = len(data)
            tags = [
                (256, 4, 1, 30), (257, 4, 1, 20), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1),
                (273, 4, 1, 0), (277, 3, 1, 1), (278, 4, 1, 20), (279, 4, 1, 1200),
                (51123, 2, 8, 0),
            ]  # fmt: skip
            pixels = place + 2 + 12 * len(tags) + 4
            tags[5], tags[-1] = (273, 4, 1, pixels), (51123, 2, 8, pixels + 1200)
            data[links[-1] : links[-1] + 4] = struct.pack("<I", place)
            data += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *t) for t in tags)
            links.append(len(data))
            data += bytes(4) + PIXELS[int(channel == "DAPI"), z].tobytes() + b'{"a": 1}'
            axes, name = json.dumps({"z": z, "channel": channel}).encode(), b"a_NDTiffStack.tif"
            index += struct.pack("<I", len(axes)) + axes + struct.pack("<I", len(name)) + name
            index += struct.pack("<8I", pixels, 30, 20, 1, 0, pixels + 1200, 8, 0)
    (tmp_path / "a_NDTiffStack.tif").write_bytes(data)
    (tmp_path / "NDTiff.index").write_bytes(index)
    (stack,) = open_stacks(tmp_path / "a_NDTiffStack.tif")
    assert [channel.name for channel in stack.channels] == ["GFP", "DAPI"]
    assert (stack.pixel_size, stack.z_step) == ((0.25, 0.25), 1.5)
    got = stack.reader.read(0, slice(0, 4), slice(0, 20), slice(0, 30))
    np.testing.assert_array_equal(got.swapaxes(0, 1), PIXELS[:2, :4])
    stack.reader.close()
