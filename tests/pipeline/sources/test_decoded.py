"""Planes that decode whole are decoded once, and what keeps them changes no pixel."""

from __future__ import annotations

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile

import zfuse
from zfuse.pipeline.sources import _decoded, _planes
from zfuse.pipeline.sources._decoded import DecodedPlanes

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
PLANES = {f"p{i}": RNG.integers(0, 60000, (90, 70, 1 + 2 * (i % 2)), np.uint16) for i in range(6)}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was decoded."""
    times: Counter[str] = Counter()
    real = _planes.decode

    def counted(path: Path, plane: Any) -> Any:
        times[path.name] += 1
        return real(path, plane)

    monkeypatch.setattr(_planes, "decode", counted)
    return times


def window(planes: DecodedPlanes, name: str, y: slice, x: slice) -> np.ndarray:
    pixels = PLANES[name]
    out = np.empty((pixels.shape[2], y.stop - y.start, x.stop - x.start), pixels.dtype)
    planes.read(name, lambda: pixels, y, x, out)
    return out


@pytest.mark.parametrize("room", ["plenty", "two planes", "none", "no folder"])
def test_windows_are_those_of_the_planes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: str
) -> None:
    bytes_free = {"two planes": 2 * 2 * 90 * 70 * 6 + 200_000, "none": 10}.get(room, 10**12)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 0, bytes_free)  # type: ignore[attr-defined]
    )  # fmt: skip
    planes = DecodedPlanes(str(tmp_path / "gone" if room == "no folder" else tmp_path))
    rng = np.random.default_rng(1)

    def one(name: str) -> None:
        (top, bottom), (left, right) = (np.sort(rng.choice(n, 2, replace=False)) for n in (91, 71))
        y, x = slice(int(top), int(bottom)), slice(int(left), int(right))
        expected = np.moveaxis(PLANES[name][y, x], -1, 0)
        np.testing.assert_array_equal(window(planes, name, y, x), expected)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, list(PLANES) * 10))
    planes.close()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_costs_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __init__(self, file: Any) -> None:
            self._file, self.left = file, 1

        def write(self, data: Any) -> int:
            if self.left == 0:
                raise OSError(28, "No space left on device")
            self.left -= 1
            return int(self._file.write(data))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    real = _decoded.tempfile.TemporaryFile
    monkeypatch.setattr(_decoded.tempfile, "TemporaryFile", lambda **k: Full(real(**k)))
    planes = DecodedPlanes(str(tmp_path))
    for _ in range(2):
        for name, pixels in PLANES.items():
            read = window(planes, name, slice(3, 80), slice(0, 70))
            np.testing.assert_array_equal(read, np.moveaxis(pixels[3:80], -1, 0))
    planes.close()


@pytest.mark.parametrize("method", ["select", "adaptive"])
def test_a_run_decodes_each_file_once(tmp_path: Path, decoded: Counter[str], method: str) -> None:
    folder = tmp_path / "planes"
    folder.mkdir()
    stack = RNG.integers(0, 255, (5, 150, 260, 3), np.uint8)
    for z, plane in enumerate(stack):
        (folder / f"z{z}.png").write_bytes(imagecodecs.png_encode(plane))
    tiff = tmp_path / "planes.tif"
    tifffile.imwrite(tiff, stack, photometric="rgb")
    for source, name in ((folder, "a.tif"), (tiff, "b.tif")):
        zfuse.run(zfuse.RunConfig(input=source, output=tmp_path / name, method=method, tile=64))
    assert decoded == {f"z{z}.png": 1 for z in range(5)}
    a, b = (tifffile.imread(tmp_path / name) for name in ("a.tif", "b.tif"))
    np.testing.assert_array_equal(a, b)
