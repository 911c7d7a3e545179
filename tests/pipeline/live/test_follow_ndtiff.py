from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.followed import Followed

from zfuse.pipeline.live import StackKey
from zfuse.pipeline.live._follow_ndtiff import INDEX, NDTiffFollower

if TYPE_CHECKING:
    from numpy.typing import NDArray

Java = Callable[[Path, dict[str, Any]], "JavaWriter"]
SUMMARY = {"ChNames": ["DAPI", "GFP"], "Slices": 3, "PixelSize_um": 0.25, "z-step_um": 1.5}


def planes(*shape: int) -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(100, 4000, (*shape, 24, 32), np.uint16)


class JavaWriter:
    """Writes as Micro-Manager does: an index full of zeros that is cut at the end."""

    def __init__(self, folder: Path, summary: dict[str, Any]) -> None:
        folder.mkdir()
        self.tiff = open(folder / "a_NDTiffStack.tif", "wb", buffering=0)
        text = json.dumps(summary).encode()
        self.tiff.write(struct.pack("<2sHIIIIII", b"II", 42, 28 + len(text), 483729, 3, 3,
                                    2355492, len(text)) + text)  # fmt: skip
        self.index = open(folder / INDEX, "wb+", buffering=0)
        self.index.write(bytes(100_000))
        self.at = 0

    def image(self, pixels: NDArray[Any], axes: dict[str, Any], *, cut: int | None = None) -> bytes:
        self.tiff.write(bytes(190))
        offset = self.tiff.tell()
        meta = b'{"a": 1}'
        self.tiff.write(pixels.tobytes() + meta)
        name, words = b"a_NDTiffStack.tif", json.dumps(axes).encode()
        height, width = pixels.shape[:2]
        kind = 2 if pixels.ndim == 3 else 1
        entry = (
            struct.pack("<I", len(words)) + words + struct.pack("<I", len(name)) + name
            + struct.pack("<8I", offset, width, height, kind, 0, offset + pixels.nbytes,
                          len(meta), 0)
        )  # fmt: skip
        self.index.seek(self.at)
        self.index.write(entry if cut is None else entry[:cut])
        if cut is None:
            self.at += len(entry)
        return entry

    def close(self) -> None:
        if not self.index.closed:
            self.index.truncate(self.at)
        self.index.close()
        self.tiff.close()


@pytest.fixture
def java() -> Iterator[Java]:
    made = []

    def make(folder: Path, summary: dict[str, Any]) -> JavaWriter:
        made.append(JavaWriter(folder, summary))
        return made[-1]

    yield make
    for writer in made:
        writer.close()


def test_a_growing_index_with_zeros_behind(tmp_path: Path, java: Java) -> None:
    want = planes(2, 2, 2, 3)  # t, p, c, z
    writer = java(tmp_path / "a", SUMMARY)
    seen = Followed(NDTiffFollower(tmp_path / "a"))
    ended = 0
    for t, p, c, z in np.ndindex(2, 2, 2, 3):
        axes = {"time": t, "position": p, "channel": ("DAPI", "GFP")[c], "z": z}
        writer.image(want[t, p, c, z], axes)
        seen.poll(2)
        assert not seen.over
        ended += c == 1 and z == 2
        assert len(seen.ended) == ended  # as soon as the last plane is there
    writer.close()
    seen.poll(2)
    assert seen.over
    seen.finish()
    for t, p, c in np.ndindex(2, 2, 2):
        assert np.array_equal(seen.stack(p, t, c), want[t, p, c])
    assert seen.series is not None
    assert [channel.name for channel in seen.series.channels] == ["DAPI", "GFP"]
    assert (seen.series.pixel_size, seen.series.z_step) == ((0.25, 0.25), 1.5)


def test_entries_cut_at_any_byte(tmp_path: Path, java: Java) -> None:
    want = planes(3)
    writer = java(tmp_path / "a", {"Slices": 3})
    seen = Followed(NDTiffFollower(tmp_path / "a", expect_planes=3))
    for z in range(2):
        writer.image(want[z], {"z": z})
    for cut in range(1, 58):  # behind it all bytes of this entry are 0
        writer.image(want[2], {"z": 2}, cut=cut)
        seen.poll(2)
        assert seen.ended == []
    writer.image(want[2], {"z": 2})
    writer.close()
    seen.poll(2)
    assert seen.ended == [StackKey(0, 0)]
    assert np.array_equal(seen.stack(), want)


def test_an_entry_whose_bytes_are_not_there_yet(tmp_path: Path, java: Java) -> None:
    want = planes(2)
    folder = tmp_path / "a"
    writer = java(folder, {})
    seen = Followed(NDTiffFollower(folder, expect_planes=2))
    for z in range(2):
        writer.image(want[z], {"z": z})
    writer.close()
    path = folder / "a_NDTiffStack.tif"
    data = path.read_bytes()
    for size in (len(data) - 1, len(data) - 20, len(data) - 1000):
        os.truncate(path, size)
        seen.poll(3)
        os.truncate(path, len(data))  # allocated ahead: as many zeros
        seen.poll(3)
        assert seen.ended == []
    path.write_bytes(data)
    seen.poll(2)
    assert np.array_equal(seen.stack(), want)


def test_without_notes_the_next_stack_ends_the_one_before(tmp_path: Path, java: Java) -> None:
    want = planes(3, 2)
    writer = java(tmp_path / "a", {})
    seen = Followed(NDTiffFollower(tmp_path / "a"))
    for t, z in np.ndindex(3, 2):
        writer.image(want[t, z], {"time": t, "z": z})
        seen.poll(2)
    assert len(seen.ended) == 2
    writer.close()
    seen.poll(2).finish()
    assert seen.over
    assert all(np.array_equal(seen.stack(t=t), want[t]) for t in range(3))


def test_colours(tmp_path: Path, java: Java) -> None:
    want = np.random.default_rng(0).integers(0, 255, (2, 24, 32, 3), np.uint8)
    writer = java(tmp_path / "a", {})
    for z in range(2):
        writer.image(want[z], {"z": z})
    writer.close()
    seen = Followed(NDTiffFollower(tmp_path / "a")).poll(2).finish()
    assert seen.series is not None
    assert seen.series.rgb
    assert np.array_equal(seen.stack(), np.moveaxis(want, -1, 1))


def test_nothing_there_yet(tmp_path: Path) -> None:
    seen = Followed(NDTiffFollower(tmp_path / "later")).poll(2).finish()
    assert (seen.series, seen.ended) == (None, [])


@pytest.mark.slow  # its files are allocated with 4 GB
@pytest.mark.filterwarnings("ignore")
def test_ndstorage(tmp_path: Path) -> None:
    ndstorage = pytest.importorskip("ndstorage")
    want = planes(2, 2, 3)
    data = ndstorage.NDTiffDataset(
        str(tmp_path), name="a", summary_metadata={"PixelSize_um": 0.25}, writable=True
    )
    folder = next(tmp_path.iterdir())
    seen = Followed(NDTiffFollower(folder))
    for t, c, z in np.ndindex(2, 2, 3):
        data.put_image({"time": t, "channel": "ab"[c], "z": z}, want[t, c, z], {"i": 1})
        seen.poll(2)
    assert not seen.over
    data.finish()
    seen.poll(3).finish()
    assert seen.over
    for t, c in np.ndindex(2, 2):
        assert np.array_equal(seen.stack(0, t, c), want[t, c])
