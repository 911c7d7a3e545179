"""The widget *Plane picker*: hover for a pixel's depth and focus curve, click for its plane.

Must not know: how numbers are read (see `_picker`), what layers are (see `_picker_layers`).

The viewer holds its mouse callbacks strongly; these hold the widget weakly, so that it can go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

import numpy as np
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QVBoxLayout, QWidget

from zfuse.plugins._picker import Latest, Picked, Picker, Place, locate
from zfuse.plugins._picker_layers import extent, maps, stacks, z_axis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari
    from napari.layers import Image

__all__ = ["PickerWidget"]

_PAUSE = 30  # ms that the mouse rests before a pixel is read
_MARKER = "picked"
_INK, _PAPER, _LINE, _DEPTH = "#d0d2d8", "#262930", "#5ec962", "#fde725"
_HINT = "Move the mouse over the image; click to go to the plane that is in focus there."


class PickerWidget(QWidget):
    """Shows depth, confidence and the focus curve under the mouse."""

    _picked = Signal(object)
    _failed = Signal(object)

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer  # napari gives it to a parameter of this name
        self.picked: Picked | None = None
        self.stack, self.depth, self.confidence = (QComboBox() for _ in range(3))
        self.on = QCheckBox("follow the mouse")
        self.on.setChecked(True)
        self.text = QLabel(_HINT)
        self.text.setWordWrap(True)
        self.text.setMinimumHeight(60)
        self.curve = _Curve()

        form = QFormLayout()
        form.addRow("Stack", self.stack)
        form.addRow("Depth", self.depth)
        form.addRow("Confidence", self.confidence)
        whole = QVBoxLayout(self)
        whole.addLayout(form)
        whole.addWidget(self.on)
        whole.addWidget(self.text)
        whole.addWidget(self.curve, 1)

        self._layers: dict[QComboBox, list[Image]] = {}
        self._picker = Picker()
        picker = self._picker
        self._reader = Latest(
            lambda request: (picker.pick(request[0]), request[1]),
            self._picked.emit,
            self._failed.emit,
        )
        self._picked.connect(self._show)
        self._failed.connect(self._complain)
        self._point: tuple[float, ...] | None = None
        self._jump = False
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE)
        self._pause.timeout.connect(self._ask)
        self._move, self._drag = _weakly(self._on_move), _weakly_dragging(self._on_click)
        napari_viewer.mouse_move_callbacks.append(self._move)
        napari_viewer.mouse_drag_callbacks.append(self._drag)
        for event in (napari_viewer.layers.events.inserted, napari_viewer.layers.events.removed):
            event.connect(self._list_layers)
        self._list_layers()
        self.destroyed.connect(self._reader.close)

    def closeEvent(self, event: Any) -> None:
        """Let go of the viewer."""
        self._pause.stop()
        self._reader.close()
        for callbacks, own in (
            (self.viewer.mouse_move_callbacks, self._move),
            (self.viewer.mouse_drag_callbacks, self._drag),
        ):
            if own in callbacks:
                callbacks.remove(own)
        super().closeEvent(event)

    def _list_layers(self, event: Any = None) -> None:
        layers = list(self.viewer.layers)[::-1]
        found = {
            self.stack: stacks(layers),
            self.depth: maps(layers, "depth"),
            self.confidence: maps(layers, "confidence"),
        }
        for box, fitting in found.items():
            chosen = self._chosen(box)
            box.blockSignals(True)
            box.clear()
            box.addItems([layer.name for layer in fitting])
            if chosen in fitting:
                box.setCurrentIndex(fitting.index(chosen))
            box.blockSignals(False)
            self._layers[box] = fitting
        self._picker.forget()
        if not found[self.stack]:
            self.text.setText("No stack is open: open one with planes.")
        elif self.picked is None:
            self.text.setText(_HINT)

    def _chosen(self, box: QComboBox) -> Image | None:
        fitting, index = self._layers.get(box, []), box.currentIndex()
        return fitting[index] if 0 <= index < len(fitting) else None

    def _on_move(self, viewer: Any, event: Any) -> None:
        if self.on.isChecked():
            self._point, self._jump = tuple(event.position), False
            self._pause.start()

    def _on_click(self, event: Any) -> None:
        if self.on.isChecked():
            self.pick(tuple(event.position))

    def pick(self, point: tuple[float, ...]) -> None:
        """Read the pixel at a point of the world, mark it, and go to its plane."""
        self._point, self._jump = point, True
        self._pause.stop()
        self._ask()

    def _ask(self) -> None:
        stack = self._chosen(self.stack)
        if stack is None or self._point is None or self.viewer.dims.ndisplay != 2:
            return
        index = locate(stack, self._point)
        if index is not None:
            place = Place(stack, index, self._chosen(self.depth), self._chosen(self.confidence))
            self._reader.ask((place, self._jump))

    def _show(self, result: tuple[Picked, bool]) -> None:
        picked, jump = result
        self.picked = picked
        self.text.setText(_described(picked))
        self.curve.show_pixel(picked)
        if jump:
            self._go(picked)

    def _go(self, picked: Picked) -> None:
        """Move the slider to the plane, and mark the pixel."""
        stack, viewer = picked.place.stack, self.viewer
        axis = z_axis(stack)
        at = [*picked.place.index]
        at[axis] = picked.best
        world = stack.data_to_world(at)
        viewer.dims.set_point(viewer.dims.ndim - stack.ndim + axis, world[axis])
        marker = next((one for one in viewer.layers if one.name == _MARKER), None)
        if marker is not None:
            marker.data = [at[-2:]]
            return
        chosen = set(viewer.layers.selection)
        viewer.add_points(
            [at[-2:]],
            name=_MARKER,
            symbol="cross",
            size=max(extent(stack)) / 30,
            face_color="yellow",
            border_color="black",
            scale=stack.scale[-2:],
            translate=stack.translate[-2:],
            units=stack.units[-2:],
        )
        viewer.layers.selection = chosen  # clicks stay the picker's: a points layer takes them

    def _complain(self, error: Exception) -> None:
        self.on.setChecked(False)
        show_error(f"the stack could not be read here, picking is off: {error}")


class _Curve(FigureCanvasQTAgg):
    """The plot."""

    def __init__(self) -> None:
        figure = Figure(figsize=(3.2, 2.4), layout="constrained", facecolor=_PAPER)
        super().__init__(figure)  # type: ignore[no-untyped-call]
        self.setMinimumSize(200, 160)
        self.axes = figure.add_subplot(facecolor=_PAPER)
        (self._line,) = self.axes.plot([], [], "o-", color=_LINE, markersize=3, linewidth=1)
        self._depth = self.axes.axvline(np.nan, color=_DEPTH, linewidth=1)
        self.axes.set_xlabel("plane", color=_INK, fontsize=8)
        self.axes.set_ylabel("sharpness", color=_INK, fontsize=8)
        self.axes.tick_params(colors=_INK, labelsize=8)
        self.axes.spines[["top", "right"]].set_visible(False)
        self.axes.spines[["bottom", "left"]].set_color(_INK)
        self.axes.set_yticks([])

    def show_pixel(self, picked: Picked) -> None:
        """Draw one pixel's curve, and its depth as a line."""
        planes = np.arange(len(picked.curve))
        self._line.set_data(planes, picked.curve)
        at = picked.plane if picked.plane is not None else np.nan
        self._depth.set_xdata([at, at])
        self.axes.set_xlim(-0.5, len(planes) - 0.5)
        self.axes.set_ylim(0, 1.05 * max(float(picked.curve.max()), 1e-12))
        self.draw_idle()  # type: ignore[no-untyped-call]


def _described(picked: Picked) -> str:
    """Return what is known of a pixel as lines for people."""
    y, x = picked.place.index[-2:]
    lines = [f"<b>x {x}, y {y}</b>, sharpest in plane {int(np.argmax(picked.curve))}"]
    if picked.depth is not None and picked.place.depth is not None:
        unit = " µm" if "µm" in picked.place.depth.name else ""
        if np.isfinite(picked.depth):
            plane = "" if picked.plane is None or not unit else f" (plane {picked.plane:.2f})"
            lines.append(f"depth {picked.depth:.2f}{unit or ' planes'}{plane}")
        else:
            lines.append("no depth here")
    if picked.confidence is not None:
        lines.append(f"confidence {picked.confidence:.2f}")
    return "<br>".join(lines)


def _weakly(method: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    weak = WeakMethod(method)

    def call(viewer: Any, event: Any) -> None:
        strong = weak()
        if strong is not None:
            strong(viewer, event)

    return call


def _weakly_dragging(method: Callable[[Any], None]) -> Callable[[Any, Any], Iterator[None]]:
    """Return a callback of drags that calls the method on clicks: without a drag in between."""
    weak = WeakMethod(method)

    def drag(viewer: Any, event: Any) -> Iterator[None]:
        if event.button != 1 or event.modifiers:
            return
        start = np.asarray(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        strong = weak()
        if strong is not None and np.abs(np.asarray(event.pos) - start).max() < 4:
            strong(event)

    return drag
