"""The widget in a real napari: its layers hold what `zfuse.fuse` makes; it can be stopped."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import dask.array
import numpy as np
import pytest
import tifffile

import zfuse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

UM = ("um", "um", "um")


@pytest.fixture
def planes() -> Any:
    return np.random.default_rng(0).integers(0, 4096, (5, 300, 400), np.uint16)


@pytest.fixture
def add_widget(manifest: None) -> Callable[..., Any]:
    """``add_widget(viewer)``: opened as by the menu; the quickest method, planes as they lie."""

    def add(viewer: Any) -> Any:
        _, widget = viewer.window.add_plugin_dock_widget("zfuse", "Fuse stack")
        widget.method.setCurrentText("select")
        widget.align.setCurrentIndex(widget.align.findData("none"))
        return widget

    return add


def slow(planes: Any, seconds: float = 0.05) -> Any:
    """Return planes that take their time."""

    def block(block_info: Any = None) -> Any:
        time.sleep(seconds)
        return planes[tuple(slice(*one) for one in block_info[None]["array-location"])]

    rows = (100,) * (planes.shape[1] // 100)
    return dask.array.map_blocks(
        block,
        chunks=((1,) * len(planes), rows, (planes.shape[2],)),
        dtype=planes.dtype,
        meta=np.empty((0, 0, 0), planes.dtype),
    )


def by_name(viewer: Any) -> dict[str, Any]:
    return {layer.name: layer for layer in viewer.layers}


def test_a_layer_is_fused(make_viewer: Any, wait: Any, add_widget: Any, planes: Any) -> None:
    viewer = make_viewer()
    viewer.add_image(planes, name="beads", scale=(2, 0.5, 0.5), translate=(0, 7, 8), units=UM,
                     colormap="green", contrast_limits=(10, 3000))  # fmt: skip
    widget = add_widget(viewer)
    assert widget.source.sizes() == (2, 0.5)
    widget.fuse()
    wait(lambda: widget.job is None)
    expected, layers = zfuse.fuse(planes, "select"), by_name(viewer)
    assert list(layers) == ["beads", "beads confidence", "beads depth (µm)", "beads fused"]
    np.testing.assert_array_equal(layers["beads fused"].data, expected.image)
    np.testing.assert_array_equal(layers["beads depth (µm)"].data, expected.depth * 2)
    np.testing.assert_array_equal(layers["beads confidence"].data, expected.confidence)
    for layer in list(layers.values())[1:]:
        assert tuple(layer.scale) == (0.5, 0.5)
        assert tuple(layer.translate) == (7, 8)
        assert [str(unit) for unit in layer.units] == ["micrometer"] * 2
    image, depth = layers["beads fused"], layers["beads depth (µm)"]
    assert (image.visible, depth.visible) == (True, False)
    assert (image.colormap.name, image.contrast_limits) == ("green", [10, 3000])
    assert depth.contrast_limits == [0, 8]
    assert depth.colorbar.visible
    image.translate = (1, 2)  # linked: all move
    assert tuple(depth.translate) == (1, 2)
    assert "fused in" in widget.status.text()


def test_settings_reach_the_run(make_viewer: Any, wait: Any, add_widget: Any, planes: Any) -> None:
    viewer = make_viewer()
    viewer.add_image(planes, name="beads")
    widget = add_widget(viewer)
    widget.settings.fields["window"].setValue(13)
    widget.settings.fields["measure"].setCurrentText("tenengrad")
    widget.min_confidence.setValue(0.5)
    widget.fuse()
    wait(lambda: widget.job is None)
    settings = {"name": "select", "window": 13, "measure": "tenengrad"}
    expected = zfuse.fuse(planes, settings, min_confidence=0.5)
    layers = by_name(viewer)
    np.testing.assert_array_equal(layers["beads fused"].data, expected.image)
    np.testing.assert_array_equal(layers["beads depth (planes)"].data, expected.depth)


def test_a_form_follows_the_method(make_viewer: Any, add_widget: Any, planes: Any) -> None:
    viewer = make_viewer()
    viewer.add_image(planes, name="beads")
    widget = add_widget(viewer)
    widget.settings.fields["window"].setValue(13)
    widget.method.setCurrentText("adaptive")
    assert list(widget.settings.fields) == ["denoise", "quantitative"]
    denoise = widget.settings.fields["denoise"]
    assert (denoise.value(), denoise.minimum(), denoise.maximum()) == (1.2, 0, 4)
    assert denoise.toolTip()
    widget.method.setCurrentText("select")
    assert widget.settings.values() == {"name": "select", "window": 13}  # remembered
    widget.settings.fields["window"].lineEdit().setText("14")
    widget.settings.fields["window"].interpretText()
    assert widget.settings.values()["window"] == 13  # odd


def test_every_method_has_a_form(make_viewer: Any, add_widget: Any, planes: Any) -> None:
    from zfuse.pipeline.methods import METHODS

    viewer = make_viewer()
    viewer.add_image(planes, name="beads")
    widget = add_widget(viewer)
    for name in METHODS:
        widget.method.setCurrentText(name)
        assert widget.settings.values() == {"name": name}
        assert widget.button.isEnabled(), widget.button.toolTip()


def test_channels_apart_and_together(
    make_viewer: Any, wait: Any, add_widget: Any, planes: Any
) -> None:
    both = np.stack([planes, planes[::-1]])
    viewer = make_viewer()
    viewer.add_image(both, channel_axis=0, name=["cells", "cells [1]"], colormap=["green", "red"])
    widget = add_widget(viewer)
    widget.source.stack.setCurrentText("cells (2 channels)")
    assert widget.channel.count() == 4
    widget.fuse()
    wait(lambda: widget.job is None)
    layers, expected = by_name(viewer), zfuse.fuse(both, "select")
    for c, name in enumerate(["cells", "cells [1]"]):
        np.testing.assert_array_equal(layers[f"cells fused {name}"].data, expected.image[c])
        np.testing.assert_array_equal(
            layers[f"cells depth {name} (planes)"].data, expected.depth[c]
        )
    assert layers["cells fused cells"].colormap.name == "green"
    assert layers["cells fused cells [1]"].blending == "additive"

    widget.channel.setCurrentIndex(widget.channel.findText("cells [1] for all"))
    widget.fuse()
    wait(lambda: widget.job is None)
    expected = zfuse.fuse(both, "select", channel=1)
    np.testing.assert_array_equal(by_name(viewer)["cells depth (planes)"].data, expected.depth)


def test_time_points_and_channels_of_one_layer(
    make_viewer: Any, wait: Any, add_widget: Any
) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (2, 3, 4, 80, 90), np.uint16)
    viewer = make_viewer()
    viewer.add_image(pixels, name="cells")
    widget = add_widget(viewer)
    widget.fuse()
    wait(lambda: widget.job is None)
    layer = by_name(viewer)["cells fused channel 2"]
    assert layer.data.shape == (2, 1, 80, 90)
    np.testing.assert_array_equal(layer.data[1, 0], zfuse.fuse(pixels[1], "select").image[2])
    for z in range(4):  # it is seen at every plane of the stack
        viewer.dims.set_current_step(2, z)
        viewer.dims.set_current_step(0, 1)
        shown = layer._slice.image.raw
        np.testing.assert_array_equal(shown, layer.data[1, 0])


def test_colours(make_viewer: Any, wait: Any, add_widget: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (4, 80, 90, 3), np.uint8)
    viewer = make_viewer()
    viewer.add_image(pixels, rgb=True, name="photo")
    widget = add_widget(viewer)
    assert not widget.source._form.isRowVisible(widget.source.axes)
    widget.fuse()
    wait(lambda: widget.job is None)
    layer = by_name(viewer)["photo fused"]
    assert layer.rgb
    stack = zfuse.from_array(np.moveaxis(pixels, -1, 0), rgb=True)
    expected = np.moveaxis(zfuse.fuse(stack, "select").image, 0, -1)
    np.testing.assert_array_equal(layer.data, expected)


def test_a_large_picture_grows(make_viewer: Any, wait: Any, add_widget: Any) -> None:
    pixels = np.tile(
        np.random.default_rng(0).integers(0, 4096, (3, 600, 600), np.uint16), (1, 2, 2)
    )
    viewer = make_viewer()
    viewer.add_image(pixels, name="big", contrast_limits=(0, 4096))
    widget = add_widget(viewer)
    widget.fuse()
    wait(lambda: widget.job is None or (widget.results and widget.results[-1].visible))
    assert widget.results[-1].multiscale
    wait(lambda: widget.job is None)
    layer = by_name(viewer)["big fused"]
    np.testing.assert_array_equal(layer.data[0], zfuse.fuse(pixels, "select").image)


def test_cancel_leaves_nothing(
    make_viewer: Any, wait: Any, add_widget: Any, planes: Any, told: list[str]
) -> None:
    viewer = make_viewer()
    viewer.add_image(slow(planes), name="beads", contrast_limits=(0, 4096))
    widget = add_widget(viewer)
    job = widget.fuse()
    assert widget.button.text() == "Cancel"
    wait(lambda: len(widget.results) == 3)
    widget.button.click()
    assert not widget.button.isEnabled()
    wait(lambda: widget.job is None)
    assert job.cancelled
    assert list(by_name(viewer)) == ["beads"]
    assert told == ["Cancelled; nothing was kept"]
    assert (widget.button.text(), widget.button.isEnabled()) == ("Fuse", True)
    assert not widget.bar.isVisible()
    assert own_threads() == []


@pytest.mark.parametrize("what", ["dock", "viewer", "layers"])
def test_the_user_goes_away_while_it_runs(
    make_viewer: Any, wait: Any, add_widget: Any, planes: Any, told: list[str], what: str
) -> None:
    viewer = make_viewer()
    viewer.add_image(slow(planes), name="beads", contrast_limits=(0, 4096))
    widget = add_widget(viewer)
    job = widget.fuse()
    wait(lambda: len(widget.results) == 3)
    if what == "dock":
        viewer.window.remove_dock_widget(widget)
        assert job.cancelled
        wait(lambda: widget.job is None)
        assert list(by_name(viewer)) == ["beads"]
    elif what == "layers":  # of the results, and the stack itself: the run goes on to its end
        viewer.layers.clear()
        wait(lambda: widget.job is None)
        assert len(viewer.layers) == 0
    else:
        del widget
        viewer.close()
        wait(lambda: job.cancelled and not own_threads())


def own_threads() -> list[str]:
    own = ("zfuse-fold", "zfuse-tile")
    return [t.name for t in threading.enumerate() if t.name.startswith(own)]


def test_what_cannot_be_fused_says_so(make_viewer: Any, add_widget: Any, planes: Any) -> None:
    viewer = make_viewer()
    widget = add_widget(viewer)
    assert not widget.button.isEnabled()
    assert "open a focal stack" in widget.button.toolTip()
    viewer.add_labels(np.zeros((4, 10, 11), int), name="cells")
    assert "open a focal stack" in widget.button.toolTip()
    viewer.add_image(planes[0], name="flat")
    assert not widget.button.isEnabled()
    assert "choose a layer with a z axis" in widget.button.toolTip()
    viewer.add_image(planes, name="beads")
    assert widget.button.isEnabled()
    assert widget.source.stack.currentText() == "beads"
    viewer.layers.remove("beads")
    assert not widget.button.isEnabled()


def test_an_error_of_the_run_is_told(
    make_viewer: Any, wait: Any, add_widget: Any, planes: Any, told: list[str], tmp_path: Path
) -> None:
    viewer = make_viewer()
    viewer.add_image(planes, name="beads")
    viewer.add_image(planes.astype(complex).real.astype(np.float16), name="half")
    widget = add_widget(viewer)
    widget.source.stack.setCurrentText("half")
    widget.button.click()
    wait(lambda: widget.job is None)
    assert "float16" in told.pop()
    assert list(by_name(viewer)) == ["beads", "half"]
    widget.source.stack.setCurrentText("beads")
    widget.output.kind.setCurrentIndex(1)
    widget.output.file.setText(str(tmp_path / "out.xyz"))
    assert ".ome.zarr" in widget.button.toolTip()
    (tmp_path / "out.ome.zarr").mkdir()
    widget.output.file.setText(str(tmp_path / "out.ome.zarr"))
    widget.button.click()
    wait(lambda: widget.job is None)
    assert "exist" in told.pop()
    widget.output.replace.setChecked(True)


def test_an_output_is_written(
    make_viewer: Any, wait: Any, add_widget: Any, planes: Any, tmp_path: Path
) -> None:
    viewer = make_viewer()
    viewer.add_image(planes, name="beads", scale=(2, 0.5, 0.5), units=UM)
    widget = add_widget(viewer)
    widget.output.kind.setCurrentIndex(1)
    widget.output.file.setText(str(tmp_path / "out.ome.zarr"))
    widget.fuse()
    wait(lambda: widget.job is None)
    assert (tmp_path / "out.ome.zarr" / "depth").is_dir()
    assert "written to" in widget.status.text()
    assert "beads fused" in by_name(viewer)


def test_a_file_is_fused(
    make_viewer: Any, wait: Any, add_widget: Any, planes: Any, told: list[str], tmp_path: Path
) -> None:
    viewer = make_viewer()
    widget = add_widget(viewer)
    path = tmp_path / "beads.ome.tif"
    sizes = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 1.5}
    tifffile.imwrite(path, planes, metadata={"axes": "ZYX", **sizes})
    widget.source.choose_file(str(path))
    wait(lambda: widget.source.choice is not None)
    assert widget.source.sizes() == (1.5, 0.25)
    widget.fuse()
    wait(lambda: widget.job is None)
    (image,) = [layer for layer in viewer.layers if "fused" in layer.name]
    np.testing.assert_array_equal(image.data, zfuse.fuse(planes, "select").image)
    assert tuple(image.scale) == (0.25, 0.25)
    assert image.contrast_limits[1] > 1000  # spread over what is there
    widget.source.choose_file(str(tmp_path / "nothing.tif"))
    wait(lambda: told)
    assert "nothing.tif" in told[0]
    assert widget.button.isEnabled()  # for the one before


def test_sizes_are_given_by_hand(make_viewer: Any, wait: Any, add_widget: Any, planes: Any) -> None:
    viewer = make_viewer()
    viewer.add_image(planes, name="beads")
    widget = add_widget(viewer)
    assert widget.source.sizes() == (None, None)
    widget.source.z_step.setValue(1.5)
    widget.source.pixel_size.setValue(0.25)
    widget.fuse()
    wait(lambda: widget.job is None)
    layers = by_name(viewer)
    assert tuple(layers["beads"].scale) == (1.5, 0.25, 0.25)
    assert tuple(layers["beads fused"].scale) == (0.25, 0.25)
    expected = zfuse.fuse(planes, "select").depth * np.float32(1.5)
    np.testing.assert_array_equal(layers["beads depth (µm)"].data, expected)


def test_all_digits_of_a_size_are_kept(make_viewer: Any, add_widget: Any, planes: Any) -> None:
    viewer = make_viewer()
    viewer.add_image(planes, name="beads", scale=(0.1612345678, 0.0654321, 0.0654321), units=UM)
    widget = add_widget(viewer)
    assert widget.source.sizes() == (0.1612345678, 0.0654321)


def test_the_window(
    make_viewer: Any, wait: Any, add_widget: Any, planes: Any, pictures: Path
) -> None:
    viewer = make_viewer(show=True)
    viewer.window._qt_window.resize(1600, 1000)
    viewer.add_image(planes, name="beads", scale=(2, 0.5, 0.5), units=UM)
    widget = add_widget(viewer)
    widget.fuse()
    wait(lambda: widget.job is None)
    shot = viewer.screenshot(pictures / "fuse.png", canvas_only=False, flash=False)
    assert shot.shape[0] >= 600
    for field in (widget.button, widget.method, widget.source.open_button):
        assert field.visibleRegion().boundingRect().width() == field.width()  # nothing is cut off
