"""The relief's surface: true in size, with holes where depth is blank, and not too large."""

from __future__ import annotations

import numpy as np
import pytest

from zfuse.errors import ZfuseError
from zfuse.plugins._relief import make_mesh, picture, slice_at

layers = pytest.importorskip("napari.layers", reason="napari is not installed")


def test_a_plane_keeps_its_heights_and_places() -> None:
    depth = np.add.outer(2.0 * np.arange(5), 0.5 * np.arange(7)).astype(np.float32)
    mesh = make_mesh(depth)
    z, y, x = mesh.vertices.T
    np.testing.assert_allclose(z, 2.0 * y + 0.5 * x)
    assert len(mesh.faces) == 2 * 4 * 6
    assert (y.max(), x.max()) == (4, 6)
    corners = mesh.vertices[mesh.faces][:, :, 1:]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
    np.testing.assert_allclose(area, area[0])  # no overlap, all facing one way
    assert abs(area.sum()) == 4 * 6


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_hole_takes_away_no_more_than_it_must(corner: tuple[int, int]) -> None:
    depth = np.zeros((2, 2), np.float32)
    depth[corner] = np.nan
    mesh = make_mesh(depth)
    assert mesh.faces.shape == (1, 3)
    assert np.isfinite(mesh.vertices).all()
    assert sorted(mesh.faces[0]) == [0, 1, 2]


def test_blank_depth_is_left_out() -> None:
    depth = np.zeros((20, 20), np.float32)
    depth[5:10, 5:10] = np.nan
    mesh = make_mesh(depth)
    assert len(mesh.vertices) == 400 - 25
    inside = (mesh.vertices[mesh.faces][:, :, 1:] - 7).mean(1)
    assert (np.abs(inside).max(1) > 2).all()


def test_a_map_without_depth_is_refused() -> None:
    with pytest.raises(ZfuseError, match="no three neighbours have a depth"):
        make_mesh(np.full((8, 9), np.nan, np.float32))


def test_large_maps_are_averaged_over_blocks() -> None:
    y, x = np.mgrid[:301, :403].astype(np.float32)
    mesh = make_mesh(3 * y + x, most=10_000)
    assert mesh.step == 4
    assert len(mesh.vertices) <= 10_000
    inner = (mesh.vertices[:, 1] < 296) & (mesh.vertices[:, 2] < 399)  # blocks that are whole
    z, rows, columns = mesh.vertices[inner].T
    np.testing.assert_allclose(z, 3 * rows + columns, rtol=1e-5)


def test_the_texture_lies_where_its_pixels_are() -> None:
    mesh = make_mesh(np.zeros((10, 20), np.float32))
    u, v = mesh.texcoords.T
    np.testing.assert_allclose(u * 20 - 0.5, mesh.vertices[:, 2], atol=1e-5)
    np.testing.assert_allclose((1 - v) * 10 - 0.5, mesh.vertices[:, 1], atol=1e-5)


def test_channels_are_added_in_their_colours() -> None:
    ramp = np.linspace(0, 1000, 12, dtype=np.float32).reshape(3, 4)
    red = layers.Image(ramp, colormap="red", contrast_limits=(0, 1000))
    green = layers.Image(ramp.max() - ramp, colormap="green", contrast_limits=(0, 1000))
    shown = picture([red, green], (0.0, 0.0))
    assert shown.shape == (3, 4, 3)
    assert shown[0, 0].tolist() == [0, 255, 0]
    assert shown[-1, -1].tolist() == [255, 0, 0]


def test_colours_stay_what_they_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 5, 3)).astype(np.uint8)
    np.testing.assert_array_equal(picture([layers.Image(pixels, rgb=True)], (0, 0)), pixels)


def test_pictures_of_different_sizes_are_refused() -> None:
    one, other = layers.Image(np.ones((4, 4))), layers.Image(np.ones((4, 5)))
    with pytest.raises(ZfuseError, match="channels of one image"):
        picture([one, other], (0, 0))


def test_a_large_picture_is_taken_from_its_pyramid_or_thinned_out() -> None:
    fine = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    pyramid = layers.Image([fine, fine[::2, ::2], fine[::4, ::4]], multiscale=True)
    np.testing.assert_array_equal(slice_at(pyramid, (0, 0), 40), fine[::2, ::2])
    assert picture([layers.Image(fine)], (0, 0), 40).shape == (32, 32, 3)


def test_the_time_point_is_that_of_the_viewer() -> None:
    movie = np.arange(3 * 4 * 5).reshape(3, 1, 4, 5)
    layer = layers.Image(movie, scale=(10, 5, 1, 1))
    np.testing.assert_array_equal(slice_at(layer, (20.0, 0.0, 0.0, 0.0), 100), movie[2, 0])
    np.testing.assert_array_equal(slice_at(layer, (99.0, 7.0, 0.0, 0.0), 100), movie[2, 0])
