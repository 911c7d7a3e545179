"""Files made to do harm: one line, exit code 1, within seconds and bounded memory."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
import sys
import zlib
from typing import TYPE_CHECKING, Any

import google_crc32c
import imagecodecs
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from support.bounded import Bounded

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources._ndtiff_index import check_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource limits")

PIXELS = np.random.default_rng(1).integers(1, 999, (3, 64, 64)).astype(np.uint16)
AXES = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
BOMB_MB = 600  # what a chunk unfolds to
LIMIT_MB = 450  # of the whole process, of which 100 are Python's and zarr's


def image(place: Path, *, zarr_format: Any = 3, path: str = "0", **more: Any) -> None:
    scale = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    meta = {"axes": AXES, "datasets": [{"path": path, "coordinateTransformations": scale}]}
    ome = {"multiscales": [meta], "version": "0.5"}
    attributes: Any = {"ome": ome} if zarr_format == 3 else ome
    group = zarr.create_group(place, zarr_format=zarr_format, attributes=attributes)
    settings = {"chunks": (1, 64, 64), **more}
    group.create_array("0", data=PIXELS, **settings)


def edit(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def chunks(place: Path) -> list[Path]:
    files = [file for file in (place / "0").rglob("*") if file.is_file()]
    return [file for file in files if not file.name.startswith((".z", "zarr.json"))]


def shape(size: list[int], chunk: list[int]) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        image(place)
        grid = {"name": "regular", "configuration": {"chunk_shape": chunk}}
        edit(place / "0/zarr.json", shape=size, chunk_grid=grid)

    return make


def bomb(codec: Any, zarr_format: int, *, shard: bool = False) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        data = bytes(codec.encode(np.zeros(BOMB_MB << 20, np.uint8)))
        name = type(codec).__name__
        inner = codec
        if zarr_format == 3:
            inner = getattr(zarr.codecs, f"{name.replace('GZip', 'Gzip')}Codec")()
        more = {"chunks": (1, 32, 32), "shards": (1, 64, 64)} if shard else {}
        image(place, zarr_format=zarr_format, compressors=inner, **more)
        index = struct.pack("<QQ", 0, len(data)) * 4
        tail = index + google_crc32c.value(index).to_bytes(4, "little") if shard else b""
        for file in chunks(place):
            file.write_bytes(data + tail)

    return make


def nested(place: Path) -> None:
    image(place)
    file = place / "zarr.json"
    said = json.loads(file.read_text())
    said["attributes"]["ome"]["omero"] = {"channels": [{"label": "a", "x": "@"}]}
    file.write_text(json.dumps(said).replace('"@"', '{"a":' * 900 + "1" + "}" * 900))


def brackets(place: Path) -> None:
    image(place)
    (place / "zarr.json").write_text("[" * 1_000_000)


def fifo(place: Path) -> None:
    image(place)
    (place / "0/zarr.json").unlink()
    os.mkfifo(place / "0/zarr.json")


def sparse(place: Path) -> None:
    image(place)
    os.truncate(place / "zarr.json", 10**11)


def ome(change: Callable[[str], str]) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        tifffile.imwrite(place, PIXELS, ome=True, metadata={"axes": "ZYX"})
        before = tifffile.tiffcomment(place)
        assert before is not None
        after = change(before)
        assert after != before
        tifffile.tiffcomment(place, after.encode())

    return make


def planes_in(name: str, tag: str = "UUID") -> Callable[[Path], None]:
    data = f'<TiffData IFD="0" PlaneCount="3"><{tag} FileName="{name}">urn:u:1</{tag}></TiffData>'
    return ome(
        lambda text: re.sub("<TiffData.*?/>", data, text).replace("<OME ", '<OME UUID="u" ', 1)
        if "UUID=" not in text else re.sub("<TiffData.*?/>", data, text)
    )  # fmt: skip


ENTITIES = '<!DOCTYPE a [<!ENTITY a0 "lol">' + "".join(
    f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)
)
MODULO = (
    '<StructuredAnnotations><XMLAnnotation ID="A" Namespace="x/modulo"><Value><Modulo>'
    '<ModuloAlongZ Start="0" End="1e9"/></Modulo></Value></XMLAnnotation></StructuredAnnotations>'
)


def samples(place: Path) -> None:
    """Write what the fuzzer found: tifffile makes a list of 268566528 / 16 pairs."""
    tifffile.imwrite(place, PIXELS[0], metadata=None)
    with tifffile.TiffFile(place, mode="r+b") as tif:
        tags = tif.pages.first.tags
        tags["ImageLength"].overwrite(268566528, dtype="I")
        tags["SamplesPerPixel"].overwrite((65533, 65535))


def no_rows(place: Path) -> None:
    """Write what the fuzzer found: strips of no rows."""
    tifffile.imwrite(place, PIXELS[0], compression="zlib", metadata=None)
    with tifffile.TiffFile(place, mode="r+b") as tif:
        tif.pages.first.tags["RowsPerStrip"].overwrite(0)


def png_in_tiff(place: Path) -> None:
    tifffile.imwrite(place, PIXELS.astype(np.uint8), compression="png", photometric="minisblack")
    large = imagecodecs.png_encode(np.zeros((16_000, 16_000), np.uint8))
    end = place.stat().st_size
    with tifffile.TiffFile(place, mode="r+b") as tif:
        tif.filehandle.seek(end)
        tif.filehandle.write(large)
        for page in tif.pages:
            page.tags["StripOffsets"].overwrite(end, dtype="I")
            page.tags["StripByteCounts"].overwrite(len(large), dtype="I")


def folder(suffix: str, data: bytes) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        place.mkdir()
        for z in range(3):
            (place / f"z{z}.{suffix}").write_bytes(data)

    return make


def entry(axes: dict[str, Any], file: str = "a_NDTiffStack.tif") -> bytes:
    words = [json.dumps(axes).encode(), file.encode()]
    named = b"".join(struct.pack("<I", len(word)) + word for word in words)
    return named + struct.pack("<8I", 300, 64, 64, 1, 0, 9000, 10, 0)


def ndtiff(*entries: bytes) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        place.mkdir()
        (place / "NDTiff.index").write_bytes(b"".join(entries))

    return make


PNG = imagecodecs.png_encode(PIXELS[0])
JPEG = imagecodecs.jpeg8_encode(PIXELS[0].astype(np.uint8))


def png(width: int, height: int) -> bytes:
    head = PNG[12:16] + struct.pack(">II", width, height) + PNG[24:29]
    return PNG[:12] + head + struct.pack(">I", zlib.crc32(head)) + PNG[33:]


def jpeg(width: int, height: int) -> bytes:
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


def config(place: Path) -> None:
    place.write_text("a0: &a0 [x]\n" + "".join(
        f"a{i}: &a{i} [{f'*a{i - 1}, ' * 9}]\n" for i in range(1, 12)))  # fmt: skip


OUT = "lies outside of it"
CASES: list[tuple[str, Callable[[Path], None], str]] = [
    ("up.zarr", lambda p: image(p, path="../x/0"), OUT),
    ("root.zarr", lambda p: image(p, path="/etc"), OUT),
    ("drive.zarr", lambda p: image(p, path="C:\\x"), OUT),
    ("old_up.zarr", lambda p: image(p, path="a/../../x/0", zarr_format=2), OUT),
    ("up.ome.tif", planes_in("../../x.tif"), OUT),
    ("root.ome.tif", planes_in("/etc/passwd"), OUT),
    ("tag.ome.tif", planes_in("/etc/passwd", "XUUID"), OUT),
    ("companion.ome.tif", ome(lambda text: re.sub(
        "<Image.*</Image>", '<BinaryOnly MetadataFile="../x.ome" UUID="u"/>', text, flags=re.S)),
     OUT),
    ("up_ndtiff", ndtiff(entry({"z": 0}), entry({"z": 1}, "../x.tif")), OUT),
    ("grid_ndtiff", ndtiff(*(entry({"z": i, "time": i, "channel": f"{i}"}) for i in range(300))),
     "the most is 10000000"),
    ("gap_ndtiff", ndtiff(entry({"z": -2**31}), entry({"z": 0}), entry({"z": 2**30})), "missing"),
    ("deep_ndtiff", ndtiff(entry({"z": 0}).replace(b'{"z": 0}', b"[" * 8) * 9), "names no image"),
    ("1e18.zarr", shape([3, 10**9, 10**9], [1, 64, 64]), "is missing"),
    ("planes.zarr", shape([10**9, 64, 64], [1, 64, 64]), "1000000000 planes"),
    ("pixels.zarr", shape([3, 10**5, 10**5], [1, 1, 1]), "is missing"),
    ("chunk.zarr", shape([3, 64, 64], [1, 60_000, 60_000]), "fill the memory"),
    ("memory.zarr", shape([3, 10**5, 10**5], [1, 50_000, 50_000]), "memory of"),
    ("nested.zarr", nested, "nested too deeply"),
    ("brackets.zarr", brackets, "nested too deeply"),
    ("fifo.zarr", fifo, "no file that can be read"),
    ("sparse.zarr", sparse, "100000000000 bytes"),
    ("zstd3.zarr", bomb(numcodecs.Zstd(), 3), "decodes to"),
    ("zstd_shard.zarr", bomb(numcodecs.Zstd(), 3, shard=True), "decodes to"),
    ("gzip3.zarr", bomb(numcodecs.GZip(1), 3), "decodes to"),
    ("blosc_shard.zarr", bomb(numcodecs.Blosc("zstd"), 3, shard=True), "decodes to"),
    ("zstd2.zarr", bomb(numcodecs.Zstd(), 2), "decodes to"),
    ("zlib2.zarr", bomb(numcodecs.Zlib(1), 2), "decodes to"),
    ("lz42.zarr", bomb(numcodecs.LZ4(), 2), "decodes to"),
    ("bz22.zarr", bomb(numcodecs.BZ2(1), 2), "decodes to"),
    ("entities.ome.tif", ome(lambda t: t.replace("<OME", ENTITIES + "]><OME", 1)), "DOCTYPE"),
    ("count.ome.tif", ome(lambda t: t.replace('SizeZ="3"', 'SizeZ="90000000"')), "planes"),
    ("modulo.ome.tif", ome(lambda t: t.replace("</OME>", MODULO + "</OME>")), "1e\\+09 planes"),
    ("samples.tif", samples, "tag 277"),
    ("rows.tif", no_rows, "64 x 0 px"),
    ("png.tif", png_in_tiff, "16000 x 16000 px in the place"),
    ("declared_png", folder("png", png(2**31 - 1, 2**31 - 1)), "memory of"),
    ("declared_jpeg", folder("jpg", jpeg(65_500, 65_500)), "memory of"),
    ("empty_png", folder("png", png(0, 64)), "0 x 64 px"),
    ("parts_jpeg", folder("jpg", b"\xff\xd8\xff" + b"\xff\xe0\0\0" * 10**6), "frame header"),
    ("parts_png", folder("png", PNG[:33] + b"\0\0\0\0tEXt\0\0\0\0" * 200_000), "100000 parts"),
]  # fmt: skip


@pytest.fixture(scope="module")
def bounded() -> Iterator[Bounded]:
    with Bounded() as made:
        yield made


@pytest.mark.parametrize(("name", "make", "said"), CASES, ids=[case[0] for case in CASES])
def test_refused_in_one_line(
    name: str, make: Callable[[Path], None], said: str, tmp_path: Path, bounded: Bounded
) -> None:
    make(tmp_path / name)
    ended = bounded.run("fuse", tmp_path / name, tmp_path / "out.ome.zarr")
    assert ended.code == 1, ended
    assert re.search(said, ended.lines[-1]), ended
    assert [line[:6] for line in ended.lines] in (["error:"], ["warnin", "error:"]), ended
    assert ended.megabytes < LIMIT_MB, ended
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (entry({"z": 0}) + entry({"z": 2**30}), "has room for 1073741825 planes"),
        (entry({"a": 2**14}) * 2 + entry({"a": 0, "b": 0}) + entry({"b": 2**14}), "has room for"),
        (entry({"z": 0}) + b"\0" * 8 + entry({"z": 1}), "does not end with an image"),
        (entry({"z": 0}, "/etc/passwd"), OUT),
    ],
)
def test_an_index_that_tifffile_would_unfold(data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "NDTiff.index").write_bytes(data)
    with pytest.raises(ZfuseError, match=said):
        check_grid(tmp_path / "NDTiff.index")


def test_an_index_with_room_at_its_end(tmp_path: Path) -> None:
    (tmp_path / "NDTiff.index").write_bytes(entry({"z": 0}) + entry({"z": 1}) + bytes(1000))
    check_grid(tmp_path / "NDTiff.index")


def test_config(tmp_path: Path, bounded: Bounded) -> None:
    config(tmp_path / "a.yaml")
    ended = bounded.run("fuse", "in.tif", "out.tif", "--config", tmp_path / "a.yaml")
    assert (ended.code, len(ended.lines)) == (1, 1)
    assert "aliases" in ended.err


class Harm:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize(
    "where", [{"filters": [{"id": "pickle"}]}, {"compressor": {"id": "pickle"}}]
)
@pytest.mark.parametrize("dtype", ["<u2", "|O"])
def test_no_program_is_run(
    where: dict[str, Any], dtype: str, tmp_path: Path, bounded: Bounded
) -> None:
    image(tmp_path / "a.zarr", zarr_format=2, compressors=None)
    edit(tmp_path / "a.zarr/0/.zarray", **where, dtype=dtype, fill_value=0)
    for file in chunks(tmp_path / "a.zarr"):
        file.write_bytes(pickle.dumps(Harm(tmp_path / "harmed")))
    ended = bounded.run("fuse", tmp_path / "a.zarr", tmp_path / "out.ome.zarr")
    assert (ended.code, len(ended.lines)) == (1, 1), ended
    assert not (tmp_path / "harmed").exists()


def test_links_of_the_user_are_followed(tmp_path: Path) -> None:
    from zfuse.pipeline.sources import open_stack

    image(tmp_path / "a.zarr")
    (tmp_path / "other disk").mkdir()
    (tmp_path / "a.zarr/0").rename(tmp_path / "other disk/0")
    (tmp_path / "a.zarr/0").symlink_to(tmp_path / "other disk/0")
    assert open_stack(tmp_path / "a.zarr").shape == (1, 1, 3, 64, 64)
    (tmp_path / "planes").mkdir()
    for z, plane in enumerate(PIXELS):
        tifffile.imwrite(tmp_path / f"far_{z}.tif", plane)
        (tmp_path / f"planes/z{z}.tif").symlink_to(tmp_path / f"far_{z}.tif")
    assert open_stack(tmp_path / "planes").shape == (1, 1, 3, 64, 64)
