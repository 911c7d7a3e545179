"""Live in a real viewer: a folder that really grows, a microscope that really acquires."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

import zfuse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("manifest")

PLANES = np.random.default_rng(0).integers(100, 4000, (3, 5, 60, 80)).astype(np.uint16)


def _write(folder: Path, t: int) -> None:
    folder.mkdir(exist_ok=True)
    for z, plane in enumerate(PLANES[t]):
        tifffile.imwrite(folder / f"t{t}_z{z}.tif", plane)


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile kernels before anybody waits for them."""
    zfuse.fuse(PLANES[0], "select")


@pytest.fixture(autouse=True)
def ended(make_viewer: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no run outlive its test."""
    from zfuse.plugins import _live_run

    runs, begin = [], _live_run.LiveRun.__init__

    def kept(run: Any, work: Any) -> None:
        begin(run, work)
        runs.append(run)

    monkeypatch.setattr(_live_run.LiveRun, "__init__", kept)
    yield
    for run in runs:
        run.stop()
        run.wait(20)


def _widget(viewer: Any) -> Any:
    return viewer.window.add_plugin_dock_widget("zfuse", "Live")[1]  # as napari's menu does


def test_a_folder_is_seen_while_it_grows(
    make_viewer: Any, wait: Any, tmp_path: Path, manifest: None
) -> None:
    viewer = make_viewer()
    widget = _widget(viewer)
    widget.folder.setText(str(tmp_path / "planes"))
    widget.folder.editingFinished.emit()
    assert widget.output.text() == str(tmp_path / "planes_fused.ome.zarr")
    widget.planes.setValue(5)
    widget.z_step.setValue(0.5)
    widget.pixel.setValue(0.1)
    widget.button.click()
    assert widget.button.text() == "Stop"
    assert not widget.folder.isEnabled()
    _write(tmp_path / "planes", 0)
    wait(lambda: len(viewer.layers) == 3)
    fused = [zfuse.fuse(planes, "select") for planes in PLANES]
    _, depth, image = viewer.layers
    np.testing.assert_array_equal(np.asarray(image.data), fused[0].image[None, None])
    np.testing.assert_allclose(depth.data[0, 0], 0.5 * fused[0].depth)
    assert depth.scale.tolist() == [1, 2.5, 0.1, 0.1]  # five planes: depth reaches the last
    assert list(depth.contrast_limits) == [0, 2]
    assert [layer.visible for layer in viewer.layers] == [False, False, True]
    assert depth.colorbar.visible
    for t in (1, 2):
        _write(tmp_path / "planes", t)
        wait(lambda t=t: viewer.dims.current_step[0] == t)
        assert image.data.shape[0] == t + 1
    np.testing.assert_array_equal(image.data[2, 0], fused[2].image)
    assert "stacks" in widget.status.text()
    (tmp_path / "planes" / ".done").touch()
    wait(lambda: widget.run is None)
    assert "3 complete" in widget.status.text()
    assert widget.button.text() == "Start"
    assert widget.folder.isEnabled()
    *_, image = viewer.open(widget.output.text(), plugin="zfuse")
    np.testing.assert_array_equal(image.data[2, 0], fused[2].image)


def test_a_stop_keeps_what_was_fused(make_viewer: Any, wait: Any, tmp_path: Path) -> None:
    viewer = make_viewer()
    widget = _widget(viewer)
    _write(tmp_path / "planes", 0)
    widget.folder.setText(str(tmp_path / "planes"))
    widget.output.setText(str(tmp_path / "out.ome.zarr"))
    widget.planes.setValue(5)
    widget.button.click()
    wait(lambda: len(viewer.layers) == 3)
    widget.button.click()
    wait(lambda: widget.run is None)
    assert (tmp_path / "out.growing.ome.zarr").is_dir()
    assert len(viewer.layers) == 3


@pytest.mark.parametrize("empty", ["folder", "output"])
def test_what_is_missing_is_said(make_viewer: Any, told: list[str], empty: str) -> None:
    viewer = make_viewer()
    widget = _widget(viewer)
    widget.folder.setText("" if empty == "folder" else "planes")
    widget.output.setText("" if empty == "output" else "out.ome.zarr")
    widget.button.click()
    assert "fill in both fields" in told[0]
    assert widget.button.text() == "Start"


def test_what_goes_wrong_is_said(
    make_viewer: Any, wait: Any, told: list[str], tmp_path: Path
) -> None:
    viewer = make_viewer()
    widget = _widget(viewer)
    (tmp_path / "planes").mkdir()
    widget.folder.setText(str(tmp_path / "planes"))
    widget.output.setText(str(tmp_path / "out.tif"))
    widget.button.click()
    wait(lambda: widget.run is None)
    assert "a session writes OME-Zarr" in told[0]


def test_a_microscope_is_seen_while_it_acquires(
    make_viewer: Any, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pymmcore_plus", reason="no pymmcore-plus: pip install 'zfuse[rig]'")
    from zfuse.live import SimulatedMicroscope

    viewer = make_viewer()
    scope = SimulatedMicroscope(positions=2, times=2, planes=5, size=96, exposure=1)
    monkeypatch.setattr("zfuse.plugins._live_widget.running_core", lambda: scope.core)
    widget = _widget(viewer)
    widget.source.setCurrentText("microscope in this napari")
    assert not widget.form.isRowVisible(1)
    widget.button.click()
    wait(widget.run.ready.is_set)
    acquiring = scope.core.run_mda(scope.sequence)
    wait(lambda: not acquiring.is_alive())
    wait(lambda: widget.run.images is not None and widget.run.images.stacks == 8)
    wait(lambda: len(viewer.layers) == 6)
    names = [layer.name for layer in viewer.layers]
    assert sum("fused" in name for name in names) == 2
    assert all("Reflected" in name or "Fluorescence" in name for name in names)
    wait(lambda: widget.shown.count() == 3 and widget._position == 1)
    image = next(layer for layer in viewer.layers if "fused Reflected" in layer.name)
    assert image.data.shape == (2, 1, 96, 96)
    assert [str(unit) for unit in image.units[1:]] == ["micrometer"] * 3
    second = np.asarray(image.data)
    widget.shown.setCurrentIndex(1)
    assert not np.array_equal(np.asarray(image.data), second)
    widget.button.click()
    wait(lambda: widget.run is None)
    assert "4 complete" in widget.status.text()


def test_without_a_microscope_the_cure_is_named(
    make_viewer: Any, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    viewer = make_viewer()
    widget = _widget(viewer)
    monkeypatch.setitem(sys.modules, "pymmcore_plus", None)
    widget.source.setCurrentText("microscope in this napari")
    widget.button.click()
    assert "pip install 'zfuse[rig]'" in told[0]


def test_with_the_viewer_the_run_ends(make_viewer: Any, wait: Any, tmp_path: Path) -> None:
    viewer = make_viewer()
    widget = _widget(viewer)
    (tmp_path / "planes").mkdir()
    widget.folder.setText(str(tmp_path / "planes"))
    widget.output.setText(str(tmp_path / "out.ome.zarr"))
    widget.button.click()
    run = widget.run
    viewer.window._qt_window._save_current_window_settings = lambda: None
    viewer.close()
    del widget
    wait(lambda: run.ended is not None)


def test_closed_it_listens_no_more(make_viewer: Any, wait: Any, tmp_path: Path) -> None:
    viewer = make_viewer()
    widget = _widget(viewer)
    (tmp_path / "planes").mkdir()
    widget.folder.setText(str(tmp_path / "planes"))
    widget.output.setText(str(tmp_path / "out.ome.zarr"))
    widget.button.click()
    run = widget.run
    time.sleep(0.2)
    widget.close()
    run.wait(10)
    assert run.ended is not None
    assert not any(thread.name == "zfuse-live" for thread in threading.enumerate())
