"""The widget in a real napari: what it makes is what `zfuse.fuse` makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zfuse


@pytest.fixture
def planes() -> Any:
    return np.random.default_rng(0).integers(0, 4096, (5, 300, 400), np.uint16)


def test_a_layer_is_fused(make_viewer: Any, wait: Any, planes: Any) -> None:
    from zfuse.plugins import FuseWidget

    viewer = make_viewer()
    viewer.add_image(planes, name="beads", scale=(2, 0.5, 0.5), units=("um", "um", "um"))
    widget = FuseWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.method.setCurrentText("select")
    widget.align.setCurrentText("none")
    widget.fuse()
    wait(lambda: widget.job is None)
    expected = zfuse.fuse(planes, "select")
    by_name = {layer.name: layer for layer in viewer.layers}
    np.testing.assert_array_equal(by_name["beads fused"].data, expected.image)
    np.testing.assert_array_equal(by_name["beads depth (µm)"].data, expected.depth * 2)
    np.testing.assert_array_equal(by_name["beads confidence"].data, expected.confidence)
    assert tuple(by_name["beads fused"].scale) == (0.5, 0.5)
