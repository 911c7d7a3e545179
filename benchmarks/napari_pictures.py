"""Pictures of the napari plugin for docs/howto/napari.md; simulated data only.

xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/napari_pictures.py docs [NAME ...]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from napari.qt import get_qapp
from PIL import Image

from zfuse.live import SimulatedMicroscope
from zfuse.plugins import FuseWidget, LiveWidget, PickerWidget, ReliefWidget, demo_stack

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE, WIDTH, COLOURS = (1400, 850), 1120, 256


def wait(condition: Callable[[], Any], seconds: float = 240) -> None:
    app, end = get_qapp(), time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        app.processEvents()
        time.sleep(0.01)


def settle(seconds: float = 1.5) -> None:
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end)


def opened() -> Any:
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    viewer.scale_bar.visible = True
    return viewer


def docked(viewer: Any, widget: Any, name: str) -> Any:
    dock = viewer.window.add_dock_widget(widget, name=name, area="right")
    dock.setMinimumWidth(330)
    return widget


def layer(viewer: Any, word: str) -> Any:
    return next(one for one in viewer.layers if word in one.name)


def save(viewer: Any, path: Path) -> None:
    settle()
    shown = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)[..., :3])
    small = shown.resize((WIDTH, round(WIDTH * shown.height / shown.width)), Image.LANCZOS)
    paletted = small.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, 4, dither=Image.Dither.NONE)
    paletted.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def fused_demo() -> Any:
    viewer = opened()
    (data, meta, _), *_ = demo_stack()
    viewer.add_image(data, **meta)
    widget = docked(viewer, FuseWidget(viewer), "Fuse stack (zfuse)")
    job = widget.fuse()
    wait(lambda: widget.job is None and job is not None)
    return viewer


def fuse(path: Path) -> None:
    viewer = fused_demo()
    viewer.reset_view()
    save(viewer, path)
    viewer.close()


def relief(path: Path) -> None:
    viewer = fused_demo()
    viewer.window.remove_dock_widget("all")
    widget = docked(viewer, ReliefWidget(viewer), "3-D relief (zfuse)")
    widget.show_relief.native.click()
    wait(lambda: any("relief" in one.name for one in viewer.layers))
    widget.times.value = 1.5
    save(viewer, path)
    viewer.close()


def picker(path: Path) -> None:
    viewer = fused_demo()
    viewer.window.remove_dock_widget("all")
    widget = docked(viewer, PickerWidget(viewer), "Plane picker (zfuse)")
    depth = layer(viewer, "depth")
    for one in viewer.layers:
        one.visible = one is depth or one.name == "diatoms"
    depth.opacity = 0.5
    height, width = depth.data.shape[-2:]
    viewer.reset_view()
    y, x = 0.43 * height * depth.scale[-2], 0.49 * width * depth.scale[-1]
    widget.pick((0.0, y, x))
    wait(lambda: widget.picked is not None)
    save(viewer, path)
    viewer.close()


def live(path: Path) -> None:
    scope = SimulatedMicroscope(positions=1, times=4, planes=16, size=384, exposure=5)
    viewer = opened()
    import zfuse.plugins._live_widget as home

    home.running_core = lambda: scope.core
    widget = docked(viewer, LiveWidget(viewer), "Live (zfuse)")
    widget.source.setCurrentText("microscope in this napari")
    widget.button.click()
    wait(widget.run.ready.is_set)
    scope.core.run_mda(scope.sequence)
    wait(lambda: any("fused" in one.name for one in viewer.layers))
    viewer.reset_view()
    wait(lambda: viewer.dims.current_step[0] == 2)
    save(viewer, path)
    widget.button.click()
    wait(lambda: widget.run is None)
    viewer.close()


PICTURES = {f.__name__: f for f in (fuse, relief, picker, live)}

if __name__ == "__main__":
    folder, *names = sys.argv[1:]
    for name in names or PICTURES:
        PICTURES[name](Path(folder) / f"napari-{name}.png")
