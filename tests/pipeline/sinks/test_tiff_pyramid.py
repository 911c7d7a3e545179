"""OME-TIFF with a pyramid: SubIFDs of tiles, as Bio-Formats and QuPath read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from tests.pipeline.sinks.test_formats import make_fused, make_stack, naive_half, write
from zfuse.errors import ZfuseError
from zfuse.pipeline.sinks._tiff_file import TiffFile
from zfuse.pipeline.sources import open_fused, open_stack

if TYPE_CHECKING:
    from pathlib import Path

CASES: dict[str, dict[str, Any]] = {
    "grey": {"shape": (1, 1, 16, 700, 1100), "axes": "zyx"},
    "times and channels": {"shape": (2, 3, 16, 601, 1030), "axes": "tczyx"},
    "colours": {"shape": (2, 3, 16, 530, 1301), "axes": "tczyx", "dtype": "uint8", "rgb": True},
    "float": {"shape": (1, 2, 16, 1029, 515), "axes": "czyx", "dtype": "float32"},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tile", [192, 512, 2048])
def test_every_level_is_the_mean_of_the_one_before(tmp_path: Path, case: str, tile: int) -> None:
    stack = make_stack(**CASES[case])
    fused = make_fused(stack)
    write(tmp_path / "a.ome.tif", [stack], [fused], tile)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert len(file.series) == 1
        levels = file.series[0].levels
        assert len(levels) == (2 if tile == 192 else 3)  # 96 px is the smallest part of a tile
        assert len(file.pages.first.subifds) == len(levels) - 1
        assert file.pages.first.tile == (256, 256)
        for level in levels[1:]:
            assert (level.keyframe.subfiletype, level.keyframe.tile) == (1, (256, 256))
        planes = [list(whole.image) for whole in fused]
        for level in levels:
            found = level.asarray()
            if stack.rgb:
                found = np.moveaxis(found, -1, -3)
            np.testing.assert_array_equal(found.reshape(np.shape(planes)), planes)
            planes = [[naive_half(plane) for plane in time] for time in planes]


def test_small_images_and_other_tiffs_are_as_they_were(tmp_path: Path) -> None:
    for name, shape in (("a.ome.tif", (1, 1, 16, 512, 500)), ("b.tif", (1, 1, 16, 700, 900))):
        stack = make_stack(shape)
        write(tmp_path / name, [stack], [make_fused(stack)], 1024)
        with tifffile.TiffFile(tmp_path / name) as file:
            assert len(file.series[0].levels) == 1
            assert not file.pages.first.is_tiled
            assert file.series[0].dataoffset is not None


def test_calibration_and_description(tmp_path: Path) -> None:
    stack = make_stack((1, 2, 16, 600, 1100), axes="czyx")
    write(tmp_path / "a.ome.tif", [stack], [make_fused(stack)], 2048)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert file.is_ome
        xml = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        assert (xml["SizeX"], xml["SizeY"], xml["SizeC"]) == (1100, 600, 2)
        assert (xml["PhysicalSizeX"], xml["PhysicalSizeY"]) == (0.1, 0.2)
        assert [channel["Name"] for channel in xml["Channel"]] == ["DAPI", "GFP"]
        first = file.pages.first
        half = file.series[0].levels[1].keyframe
        assert first.resolution == pytest.approx((1e5, 5e4))
        assert half.resolution == pytest.approx((5e4, 2.5e4))


def test_it_is_opened_again_as_it_was_written(tmp_path: Path) -> None:
    stack = make_stack((1, 2, 16, 600, 1100), axes="czyx", rgb=False)
    fused = make_fused(stack)
    write(tmp_path / "a.ome.tif", [stack], [fused], 512)
    again = open_fused(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(again.image, fused[0].image)
    assert (again.pixel_size, [c.name for c in again.channels]) == ((0.2, 0.1), ["DAPI", "GFP"])
    assert again.depth is not None
    with pytest.raises(ZfuseError, match="no z axis"):
        open_stack(tmp_path / "a.ome.tif")


@pytest.mark.parametrize(("edge", "big"), [(32_000, False), (45_000, True)])
def test_levels_count_for_the_size_that_needs_a_bigtiff(
    tmp_path: Path, edge: int, big: bool
) -> None:
    """45,000 x 45,000 uint16 are 4.05 GB, which a classic TIFF holds, but not with its levels."""
    stack = make_stack((1, 1, 16, edge, edge))
    levels = [(edge >> n, edge >> n) for n in range(3)]
    path = tmp_path / "a.ome.tif"
    file = TiffFile(path, stack, stack.dtype, channels=("a",), notes={}, ome=True, levels=levels)
    file.close()  # nothing but holes was written
    with tifffile.TiffFile(path) as made:
        assert made.is_bigtiff == big
