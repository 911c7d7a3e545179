"""Throw damaged and hostile files at the readers, guided by coverage.

    python -m pip install atheris
    python benchmarks/fuzz_readers.py tiff --seconds 120 --keep found/

A target's valid files are mutated byte by byte (libFuzzer); each result is opened, and a plane of
each image is read. All that may come of it is a stack or a `ZfuseError` of one line, within 5
seconds and 2 GB. Each new fault (told apart by where it was raised) is written to ``--keep`` with
its input, and counted; the exit code is 1 where there was any.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import struct
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

PIXELS = np.random.default_rng(3).integers(1, 4000, (3, 32, 32)).astype(np.uint16)
SECONDS = 5.0  # for one input
LARGEST = 2**22  # pixels of a plane that is read


def _read(path: Path) -> None:
    """Open what lies at a path, and read the ends of each image."""
    from zfuse.pipeline.sources import open_stacks

    for stack in open_stacks(path):
        times, channels, planes, height, width = stack.shape
        assert stack.name.isprintable()
        assert min(stack.shape) > 0
        assert len(stack.channels) == channels
        if height * width * channels <= LARGEST:
            for t, z in {(0, 0), (times - 1, planes - 1)}:
                pixels = stack.reader.read(t, slice(z, z + 1), slice(0, height), slice(0, width))
                assert pixels.shape == (1, channels, height, width)
        stack.reader.close()


def _tiff(folder: Path) -> tuple[list[bytes], Callable[[bytes], None]]:
    import tifffile

    seeds = []
    described = json.dumps({"Summary": {"ChNames": ["a"], "PixelSize_um": 0.1, "z-step_um": 0.3}})
    for n, settings in enumerate(
        (
            {"metadata": None},
            {"imagej": True, "resolution": (1.0, 1.0), "metadata": {
                "axes": "ZYX", "spacing": 0.3, "unit": "um", "Labels": ["a", "b", "c"]}},
            {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeZ": 0.3}},
            {"compression": "zlib", "predictor": True, "tile": (16, 16)},
            {"compression": "lzw", "rowsperstrip": 8, "bigtiff": True},
            {"description": "ImageJ=1.53\nimages=3\nslices=3\nunit=um\nspacing=0.2\n",
             "metadata": None},
            {"metadata": None, "extratags": [(51123, "s", 0, described, True)]},
        )
    ):  # fmt: skip
        path = folder / f"seed{n}.tif"
        tifffile.imwrite(path, PIXELS[:, :16, :16], **settings)  # type: ignore[arg-type]
        seeds.append(path.read_bytes())
    names = ("a.tif", "a.ome.tif")

    def one(data: bytes) -> None:
        path = folder / names[data.startswith(b"MM") or b"<OME" in data]
        path.write_bytes(data)
        _read(path)

    return seeds, one


def _xml(folder: Path) -> tuple[list[bytes], Callable[[bytes], None]]:
    import tifffile

    path = folder / "a.ome.tif"
    tifffile.imwrite(path, PIXELS, ome=True, metadata={"axes": "ZYX", "PhysicalSizeZ": 0.3})
    text = tifffile.tiffcomment(path)
    assert text is not None
    whole = text.replace(
        "<TiffData", '<Channel ID="C:0" Color="-1"/><Plane TheZ="0" PositionZ="1"/><TiffData', 1
    ).encode()
    named = whole.replace(
        b"/></Pixels", b'><UUID FileName="a.ome.tif">urn:uuid:1</UUID></TiffData></Pixels'
    )
    only = b'<OME UUID="u"><BinaryOnly MetadataFile="a.companion.ome" UUID="v"/></OME>'

    def one(data: bytes) -> None:
        companion = folder / "a.companion.ome"
        companion.write_bytes(b"<?xml version='1.0'?>" + data)
        with contextlib.suppress(_refusal()):
            _read(companion)
        tifffile.tiffcomment(path, data)
        _read(path)

    return [whole, named, only], one


def _zarr(folder: Path) -> tuple[list[bytes], Callable[[bytes], None]]:
    """Replace one file of a group: the first byte says which."""
    import zarr

    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    steps = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    image = {"multiscales": [
        {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}]
    }  # fmt: skip
    plate = {"plate": {"wells": [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}],
             "rows": [{"name": "A"}], "columns": [{"name": "1"}]}}  # fmt: skip
    for name in ("three", "many/0", "many/1", "plate/A/1/0"):
        group = zarr.create_group(folder / name, attributes={"ome": image})
        group.create_array("0", data=PIXELS, chunks=(1, 16, 16), shards=(1, 32, 32))
    group = zarr.create_group(folder / "two", zarr_format=2, attributes=image)
    group.create_array("0", data=PIXELS, chunks=(1, 16, 16))
    zarr.create_group(folder / "many", attributes={"ome": {"bioformats2raw.layout": 3}})
    zarr.create_group(folder / "many/OME", attributes={"ome": {"series": ["0", "1"]}})
    zarr.create_group(folder / "plate", attributes={"ome": plate})
    well = {"well": {"images": [{"path": "0"}]}}
    zarr.create_group(folder / "plate/A/1", attributes={"ome": well})
    files = [
        ("three", "zarr.json"), ("three", "0/zarr.json"), ("two", ".zattrs"), ("two", "0/.zarray"),
        ("many", "OME/zarr.json"), ("many", "zarr.json"), ("plate", "zarr.json"),
        ("plate", "A/1/zarr.json"), ("three", "0/c/0/0/0"), ("two", "0/0.0.0"),
    ]  # fmt: skip
    old = [(folder / place / name).read_bytes() for place, name in files]

    def one(data: bytes) -> None:
        number = (data[0] if data else 0) % len(files)
        place, name = files[number]
        (folder / place / name).write_bytes(data[1:])
        try:
            _read(folder / place)
        finally:
            (folder / place / name).write_bytes(old[number])

    return [bytes([i]) + content for i, content in enumerate(old)], one


def _planes(folder: Path) -> tuple[list[bytes], Callable[[bytes], None]]:
    import imagecodecs

    grey = PIXELS[0].astype(np.uint8)
    bmp = struct.pack("<2sIHHI", b"BM", 1078 + 1024, 0, 0, 1078)
    bmp += struct.pack("<IiiHHIIiiII", 40, 32, 32, 1, 8, 0, 1024, 0, 0, 256, 0)
    bmp += b"".join(bytes([i, i, i, 0]) for i in range(256)) + grey.tobytes()
    seeds = [
        imagecodecs.png_encode(PIXELS[0]),
        imagecodecs.png_encode(np.stack([grey] * 4, -1)),
        imagecodecs.jpeg8_encode(grey),
        imagecodecs.jpeg8_encode(np.stack([grey] * 3, -1)),
        bmp,
    ]

    def one(data: bytes) -> None:
        path = folder / "a.png"
        path.write_bytes(data)
        _read(path)

    return seeds, one


def _ndtiff(folder: Path) -> tuple[list[bytes], Callable[[bytes], None]]:
    from ndstorage import NDTiffDataset

    made = NDTiffDataset(
        str(folder), name="a", summary_metadata={"PixelSize_um": 0.1}, writable=True
    )
    for z in range(3):
        for name in ("DAPI", "GFP"):
            made.put_image({"z": z, "channel": name}, PIXELS[z], {"x": 1})
    made.finish()
    made.close()
    place = next(folder.glob("a*"))
    index = place / "NDTiff.index"
    tiff = next(place.glob("*.tif"))
    before = index.read_bytes()

    def one(data: bytes) -> None:
        from zfuse.pipeline.live._follow_ndtiff import NDTiffFollower

        index.write_bytes(data)
        for path in (place, tiff):
            with contextlib.suppress(_refusal()):
                _read(path)
        follower = NDTiffFollower(place)
        for _ in range(2):
            list(follower.poll())
        list(follower.finish())

    return [before], one


def _manifest(folder: Path) -> tuple[list[bytes], Callable[[bytes], None]]:
    from zfuse.pipeline.core import Manifest

    def one(data: bytes) -> None:
        path = folder / "manifest.jsonl"
        path.write_bytes(data)
        made = Manifest(path, {"a": 1})
        made.differences({"a": 2})
        made.close()

    return [b'{"source": {"path": "x"}, "settings": {}}\n{"tile": [0, 0], "files": {}}\n'], one


def _yaml(folder: Path) -> tuple[list[bytes], Callable[[bytes], None]]:
    from zfuse.pipeline import RunConfig

    def one(data: bytes) -> None:
        path = folder / "a.yaml"
        path.write_bytes(data)
        RunConfig.from_file(path)

    lines = b"input: a.tif\noutput: b.tif\nmethod: {name: adaptive}\nworkers: 2\nmemory: 4GB\n"
    return [
        lines,
        lines + b"align: auto\nchannel: 0\nselect: [B03, 't=0-4']\nx: &a [1]\ny: *a\n",
    ], one


TARGETS = {
    "tiff": _tiff, "xml": _xml, "zarr": _zarr, "planes": _planes, "ndtiff": _ndtiff,
    "manifest": _manifest, "yaml": _yaml,
}  # fmt: skip


def _refusal() -> type[Exception]:
    from zfuse.errors import ZfuseError

    return ZfuseError


class Trial:
    """Runs one input, and keeps what went wrong."""

    def __init__(self, one: Callable[[bytes], None], keep: Path, seconds: float) -> None:
        self._one, self._keep = one, keep
        self._end = time.perf_counter() + seconds
        self.count = self.opened = 0
        self.faults: dict[str, int] = {}

    def __call__(self, data: bytes) -> None:
        """Try one input."""
        if time.perf_counter() > self._end:
            self._tell()
        self.count += 1
        begun = time.perf_counter()
        try:
            self._one(data)
            self.opened += 1
        except _refusal() as error:
            if not str(error).isprintable():
                self._fault("a refusal that is not one printable line", data, str(error))
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            ours = [
                f for f in traceback.extract_tb(error.__traceback__) if "/pipeline/" in f.filename
            ]
            where = ours[-1] if ours else last
            name = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}"
            self._fault(name, data, traceback.format_exc())
        if (took := time.perf_counter() - begun) > SECONDS:
            self._fault(f"slow: over {SECONDS:g} s", data, f"{took:.1f} s")

    def _tell(self) -> None:
        """End the process, which libFuzzer never gives back."""
        print(f"{self.count} inputs, {self.opened} opened, {len(self.faults)} kinds of faults")
        for name, count in self.faults.items():
            print(f"  {count:7d} {name}")
        sys.stdout.flush()
        os._exit(1 if self.faults else 0)

    def _fault(self, name: str, data: bytes, text: str) -> None:
        self.faults[name] = self.faults.get(name, 0) + 1
        if self.faults[name] == 1:
            print(f"FAULT {name}", flush=True)
            self._keep.mkdir(parents=True, exist_ok=True)
            stem = "".join(letter if letter.isalnum() else "_" for letter in name)
            (self._keep / f"{stem}.bin").write_bytes(data)
            (self._keep / f"{stem}.txt").write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"))
    given = parser.parse_args()
    import atheris

    rooms = ["zfuse.pipeline.core", "zfuse.pipeline.sources", "zfuse.pipeline.live"]
    with atheris.instrument_imports(include=[*rooms, "zfuse.pipeline._config", "tifffile", "yaml"]):
        import tifffile  # noqa: F401
        import yaml  # noqa: F401

        from zfuse.pipeline import RunConfig, core, live, sources

        for room in (core, sources, live):
            for name in room.__all__:
                getattr(room, name)
        assert RunConfig
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        work = Path(folder, "work")
        work.mkdir()
        seeds, one = TARGETS[given.target](work)
        for i, seed in enumerate(seeds):
            (corpus / str(i)).write_bytes(seed)
        trial = Trial(one, given.keep / given.target, given.seconds)
        words: list[Any] = ["-len_control=0", "-close_fd_mask=0", f"-timeout={int(4 * SECONDS)}"]
        words += [
            "-rss_limit_mb=3000",
            "-max_len=16384",
            "-print_pcs=0",
            "-verbosity=0",
            f"-artifact_prefix={given.keep}/",
        ]
        atheris.Setup([sys.argv[0], str(corpus), *words], trial)

        given.keep.mkdir(parents=True, exist_ok=True)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
