"""The same voxels, whatever file they lie in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import dask.array
import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr

from zfuse.pipeline.sources import from_array, open_stack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from zfuse.pipeline.core import _stack

TRUTH = np.random.default_rng(2).integers(1, 60000, (1, 2, 5, 70, 90)).astype(np.uint16)


def axes_of(letters: str) -> list[dict[str, str]]:
    kinds = {"t": ("time", "second"), "c": ("channel", "")}
    found = []
    for letter in letters:
        kind, unit = kinds.get(letter, ("space", "micrometer"))
        found.append({"name": letter, "type": kind} | ({"unit": unit} if unit else {}))
    return found


def ome_zarr(
    path: Path, pixels: Any, axes: str, version: str = "0.5", **settings: Any
) -> dict[str, Any]:
    """Write one multiscale image."""
    multiscale = {
        "axes": axes_of(axes),
        "datasets": [
            {
                "path": "0",
                "coordinateTransformations": [
                    {"type": "scale", "scale": [{"z": 0.5, "c": 1.0}.get(a, 0.25) for a in axes]}
                ],
            }
        ],
    }
    if version == "0.4":
        attributes: dict[str, Any] = {"multiscales": [multiscale | {"version": "0.4"}]}
    else:
        attributes = {"ome": {"version": "0.5", "multiscales": [multiscale]}}
    zarr_format = 2 if version == "0.4" else 3
    group = zarr.create_group(path, zarr_format=zarr_format, attributes=attributes)
    array = group.create_array("0", shape=pixels.shape, dtype=pixels.dtype, **settings)
    array[...] = pixels
    return attributes


def write_04(folder: Path) -> _stack.Stack:
    ome_zarr(folder / "a.zarr", TRUTH, "tczyx", "0.4", chunks=(1, 1, 1, 32, 32))
    return open_stack(folder / "a.zarr")


def write_05(folder: Path) -> _stack.Stack:
    ome_zarr(folder / "a.zarr", TRUTH[0], "czyx", chunks=(1, 2, 32, 40))
    return open_stack(folder / "a.zarr")


def write_sharded(folder: Path) -> _stack.Stack:
    ome_zarr(folder / "a.zarr", TRUTH, "tczyx", chunks=(1, 2, 1, 32, 32), shards=(1, 2, 5, 64, 96))
    return open_stack(folder / "a.zarr")


def write_yxzc(folder: Path) -> _stack.Stack:
    pixels = TRUTH[0].transpose(2, 3, 1, 0)
    ome_zarr(folder / "a.zarr", pixels, "yxzc", chunks=(32, 32, 2, 1))
    return open_stack(folder / "a.zarr")


def write_big_endian(folder: Path) -> _stack.Stack:
    pixels = TRUTH[0].astype(">u2")
    ome_zarr(folder / "a.zarr", pixels, "czyx", "0.4", chunks=(1, 1, 32, 32))
    return open_stack(folder / "a.zarr")


def write_file_url(folder: Path) -> _stack.Stack:
    ome_zarr(folder / "a.zarr", TRUTH, "tczyx", chunks=(1, 1, 1, 32, 32))
    return open_stack((folder / "a.zarr").as_uri())


def write_memory_url(folder: Path) -> _stack.Stack:
    url = f"memory://{folder.name}/a.zarr"
    ome_zarr(url, TRUTH, "tczyx", chunks=(1, 1, 1, 32, 32), shards=(1, 1, 5, 64, 96))  # type: ignore[arg-type]
    return open_stack(url)


def write_ome_tiff(folder: Path) -> _stack.Stack:
    tifffile.imwrite(folder / "a.ome.tif", TRUTH, metadata={"axes": "TCZYX"})
    return open_stack(folder / "a.ome.tif")


def write_ome_tiff_tiles(folder: Path) -> _stack.Stack:
    tifffile.imwrite(
        folder / "a.ome.tif",
        TRUTH.swapaxes(1, 2),
        metadata={"axes": "TZCYX"},
        tile=(32, 16),
        compression="zlib",
        predictor=2,
        byteorder=">",
    )
    return open_stack(folder / "a.ome.tif")


def write_imagej(folder: Path) -> _stack.Stack:
    pixels = TRUTH.swapaxes(1, 2)
    tifffile.imwrite(folder / "a.tif", pixels, imagej=True, metadata={"axes": "TZCYX"})
    return open_stack(folder / "a.tif")


def write_folder_tokens(folder: Path) -> _stack.Stack:
    for z in range(5):
        for c in range(2):
            name = f"scan_t007_c{c + 1}_z{z * 5 + 3}.tif"
            tifffile.imwrite(folder / name, TRUTH[0, c, z], compression="lzw", rowsperstrip=11)
    (folder / "SOURCE.txt").write_text("not an image")
    (folder / "._z003.tif").write_text("left by a Mac")
    (folder / "gt").mkdir()
    return open_stack(folder)


def write_folder_png(folder: Path) -> _stack.Stack:
    for z in range(5):
        for c in range(2):
            data = imagecodecs.png_encode(TRUTH[0, c, z])
            (folder / f"img_channel{c:03}_position000_time000000000_z{z:03}.png").write_bytes(data)
    return open_stack(folder)


def write_folder_cyx(folder: Path) -> _stack.Stack:
    for z in range(5):
        tifffile.imwrite(folder / f"{z * 3 + 1}.TIF", TRUTH[0, :, z], metadata={"axes": "CYX"})
    return open_stack(folder)


def write_ome_set(folder: Path) -> _stack.Stack:
    """Two files that describe one image, as Micro-Manager splits long stacks."""
    names = ["a_MMStack_Pos0.ome.tif", "a_MMStack_Pos0_1.ome.tif"]
    blocks = "".join(
        f'<TiffData FirstC="{c}" FirstT="0" FirstZ="{z}" IFD="{z}" PlaneCount="1">'
        f'<UUID FileName="{names[c]}">urn:uuid:0000000{c}-0000-0000-0000-000000000000</UUID>'
        "</TiffData>"
        for c in range(2)
        for z in range(5)
    )
    for c, name in enumerate(names):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:0000000{c}-0000-0000-0000-000000000000"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="90" SizeY="70" '
            f'SizeC="2" SizeZ="5" SizeT="1"><Channel ID="C:0"/><Channel ID="C:1"/>{blocks}'
            "</Pixels></Image></OME>"
        )
        with tifffile.TiffWriter(folder / name) as tif:
            for z in range(5):
                described = xml.encode() if z == 0 else None
                tif.write(TRUTH[0, c, z], description=described, metadata=None, contiguous=False)
    return open_stack(folder)


def numpy_array(folder: Path) -> _stack.Stack:
    return from_array(TRUTH[0])


def numpy_any_order(folder: Path) -> _stack.Stack:
    return from_array(TRUTH.transpose(3, 0, 2, 4, 1), axes="YTZXC")


def dask_array(folder: Path) -> _stack.Stack:
    return from_array(dask.array.from_array(TRUTH, chunks=(1, 1, 2, 32, 32)))


def zarr_array(folder: Path) -> _stack.Stack:
    array = zarr.create_array(
        folder / "a.zarr", shape=TRUTH.shape, chunks=(1, 1, 1, 32, 32), dtype="uint16"
    )
    array[...] = TRUTH
    return from_array(array)


CASES = [
    write_04, write_05, write_sharded, write_yxzc, write_big_endian, write_file_url,
    write_memory_url, write_ome_tiff, write_ome_tiff_tiles, write_imagej, write_folder_tokens,
    write_folder_png, write_folder_cyx, write_ome_set, numpy_array, numpy_any_order, dask_array,
    zarr_array,
]  # fmt: skip


@pytest.mark.parametrize("make", CASES, ids=lambda case: case.__name__)
def test_windows_equal_slices(make: Callable[[Path], _stack.Stack], tmp_path: Path) -> None:
    stack = make(tmp_path)
    reader = stack.reader
    assert reader.shape == TRUTH.shape
    assert reader.dtype == np.uint16
    assert reader.dtype.isnative
    assert all(1 <= size <= full for size, full in zip(reader.chunk, TRUTH.shape[2:], strict=True))
    assert len(stack.channels) == 2
    for z, y, x in [
        (slice(0, 5), slice(0, 70), slice(0, 90)),
        (slice(2, 3), slice(31, 33), slice(5, 90)),
        (slice(1, 4), slice(64, 70), slice(0, 1)),
        (slice(0, 0), slice(0, 70), slice(0, 90)),
    ]:
        want = TRUTH[0, :, z, y, x].swapaxes(0, 1)
        out = np.full(want.shape, 7, np.uint16)
        assert reader.read(0, z, y, x, out) is out
        np.testing.assert_array_equal(out, want)
        np.testing.assert_array_equal(reader.read(0, z, y, x), want)
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        reader.read(0, slice(0, 1), slice(0, 1), slice(0, 1))
    assert zarr.config.get("codec_pipeline.path").endswith("BatchedCodecPipeline")


@pytest.mark.parametrize(
    "make", [write_sharded, write_yxzc, write_ome_tiff_tiles, write_folder_tokens, write_ome_set]
)
def test_reads_from_many_threads(make: Callable[[Path], _stack.Stack], tmp_path: Path) -> None:
    reader = make(tmp_path).reader
    windows = [(z, 7 * y, 9 * x) for z in range(4) for y in range(8) for x in range(8)]

    def right(window: tuple[int, int, int]) -> bool:
        z, y, x = window
        got = reader.read(0, slice(z, z + 2), slice(y, y + 14), slice(x, x + 18))
        return np.array_equal(got, TRUTH[0, :, z : z + 2, y : y + 14, x : x + 18].swapaxes(0, 1))

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(right, windows))
    reader.close()


def test_a_wrong_buffer_is_refused() -> None:
    reader = from_array(TRUTH).reader
    with pytest.raises(ValueError, match="C-contiguous"):
        reader.read(0, slice(0, 1), slice(0, 4), slice(0, 4), np.empty((1, 2, 4, 4), np.uint8))
    with pytest.raises(IndexError, match="y window"):
        reader.read(0, slice(0, 1), slice(0, 71), slice(0, 4))
    with pytest.raises(IndexError, match="time point"):
        reader.read(1, slice(0, 1), slice(0, 4), slice(0, 4))
