"""The relief picture."""

import numpy as np
import pytest
import tifffile
from PIL import Image

import zfuse
from zfuse.errors import ZfuseError
from zfuse.pipeline import RunConfig
from zfuse.pipeline.figures._relief import relief_picture, render_relief


def test_from_straight_above_the_relief_is_the_image():
    colours = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    picture = relief_picture(colours, np.zeros((20, 30), "f4"), tilt=0)
    inside = picture[24:44, 24:54]
    np.testing.assert_array_equal(inside, colours)


def test_high_ground_hides_what_lies_behind_it():
    colours = np.zeros((40, 40, 3), np.uint8)
    colours[:20, :, 0] = 200  # behind: red
    colours[20:, :, 1] = 200  # in front: green
    low = relief_picture(colours, np.zeros((40, 40), "f4"))
    height = np.zeros((40, 40), "f4")
    height[20:] = 15
    high = relief_picture(colours, height)
    red = [(p[..., 0] > 30) & (p[..., 1] < 30) for p in (low, high)]
    assert red[1].sum() < 0.5 * red[0].sum()


def test_render_reads_what_fuse_wrote(tmp_path):
    rng = np.random.default_rng(0)
    planes = rng.integers(0, 255, (4, 40, 50)).astype("u1")
    for z, plane in enumerate(planes):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(plane).save(tmp_path / "in" / f"z{z}.png")
    fused, picture = tmp_path / "f.ome.zarr", tmp_path / "r.png"
    zfuse.run(
        RunConfig.checked(
            {"input": tmp_path / "in", "output": fused, "z_step": 1, "pixel_size": 0.5}
        )
    )
    assert render_relief(fused, picture) == picture
    with Image.open(picture) as drawn:
        assert drawn.width == 50 + 48
    with pytest.raises(ZfuseError, match="exists"):
        render_relief(fused, picture)
    with pytest.raises(ZfuseError, match="has no depth map"):
        render_relief(tmp_path / "in" / "z0.png", tmp_path / "x.png")
    with pytest.raises(ZfuseError, match="stack of 4 planes"):
        render_relief(tmp_path / "in", tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_blank_depth_is_veiled_at_the_height_beside_it(tmp_path):
    image = np.full((40, 60), 200, np.uint8)
    image[0, 0] = 0
    depth = np.full((40, 60), 5, np.float32)
    depth[:, 30:] = 0
    depth[10:30, 5:20] = np.nan
    tifffile.imwrite(tmp_path / "f.tif", image)
    for name, values in (("f", depth), ("whole", np.nan_to_num(depth, nan=5.0))):
        tifffile.imwrite(tmp_path / f"{name}.tif", image)
        tifffile.imwrite(tmp_path / f"{name}.depth.tif", values)
        render_relief(tmp_path / f"{name}.tif", tmp_path / f"{name}.png")
    blank, whole = (np.asarray(Image.open(tmp_path / f"{n}.png"), int) for n in ("f", "whole"))
    assert blank.shape == whole.shape  # no hole down to the floor, no wall round one
    changed = (blank != whole).any(-1)
    assert 0.6 * 300 < changed.sum() < 300  # foreshortened by the tilt
    red, green, *_ = blank[changed].T
    assert (red > green + 20).all()


def test_a_tiff_with_its_map_beside_it_is_drawn(tmp_path):
    planes = np.random.default_rng(0).integers(0, 255, (4, 40, 50)).astype("u1")
    tifffile.imwrite(tmp_path / "in.tif", planes, photometric="minisblack")
    zfuse.run(RunConfig(input=tmp_path / "in.tif", output=tmp_path / "f.tif"))
    assert render_relief(tmp_path / "f.tif", tmp_path / "r.png").is_file()
