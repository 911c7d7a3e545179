"""The part of a form that says what is fused: a layer or a file, its axes, its sizes in µm.

Duty: list what can be chosen and keep the list true while layers come and go. Must not know: how a
layer becomes a stack (`_layers`), how a file does (`_files`), what is done with them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from napari.qt.threading import create_worker
from napari.utils.notifications import show_error
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from zfuse.errors import ZfuseError
from zfuse.plugins._files import FileChoice, file_choices
from zfuse.plugins._layers import LayerChoice, layer_choices
from zfuse.plugins._method_form import combo, form_layout, label

if TYPE_CHECKING:
    from napari.components import LayerList

    from zfuse.pipeline.core import Stack

__all__ = ["Choice", "StackForm", "hint"]

Choice: TypeAlias = LayerChoice | FileChoice

_NOTHING = "No image layer: open a focal stack, or choose a file"
_WORDS = {"t": "time", "c": "channel"}


def hint() -> QLabel:
    """Return a label for a line or two of small print."""
    made = QLabel()
    made.setWordWrap(True)
    made.setStyleSheet("font-size: 11px;")
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return made


class StackForm(QWidget):
    """What is fused.

    Parameters
    ----------
    layers
        Of the viewer.

    Attributes
    ----------
    stack, axes, z_step, pixel_size
        The fields.
    """

    changed = Signal()

    def __init__(self, layers: LayerList) -> None:
        super().__init__()
        self._layers = layers
        self._files: list[FileChoice] = []
        self._choices: list[Choice] = []
        self._shown: Any = self  # what the other fields were filled from; nothing yet
        self._exact: list[tuple[float | None, float]] = []  # sizes, and how fields round them
        self._looking: Any = None  # into a file

        self.stack = combo()
        self.stack.setToolTip("Image layer, or channels that lie in layers of their own")
        self.open_button = QPushButton("File…")
        self.open_button.setToolTip("Fuse a file or folder that no layer shows")
        self.open_button.setStyleSheet("QPushButton::menu-indicator { image: none; width: 0; }")
        menu = QMenu(self.open_button)
        menu.addAction("Open a file…", self._ask_file)
        menu.addAction("Open a folder (OME-Zarr, planes)…", self._ask_folder)
        self.open_button.setMenu(menu)
        self.facts = hint()
        self.axes = combo()
        self.axes.setToolTip("What the axes of the layer are; a layer does not say")
        self.z_step = _micrometers("Distance between planes. Depth is in µm if it is known.")
        self.pixel_size = _micrometers("Size of a pixel.")

        row = QHBoxLayout()
        row.addWidget(self.stack, 1)
        row.addWidget(self.open_button)
        form = form_layout(self)
        form.addRow(label("stack"), row)
        form.addRow(label(""), self.facts)
        form.addRow(label("axes"), self.axes)
        form.addRow(label("z step"), self.z_step)
        form.addRow(label("pixel size"), self.pixel_size)
        self._form = form

        self.stack.currentIndexChanged.connect(self._fill)
        self.axes.currentIndexChanged.connect(self._axes_chosen)
        for field in (self.z_step, self.pixel_size):
            field.valueChanged.connect(self.changed)
        for event in (layers.events.inserted, layers.events.removed, layers.events.renamed):
            event.connect(self._list)
        layers.selection.events.active.connect(self._follow)
        self._list()

    def disconnect_layers(self) -> None:
        """Hear no more of the viewer."""
        events = self._layers.events
        for event in (events.inserted, events.removed, events.renamed):
            event.disconnect(self._list)
        self._layers.selection.events.active.disconnect(self._follow)

    @property
    def choice(self) -> Choice | None:
        """What is chosen."""
        index = self.stack.currentIndex()
        return self._choices[index] if 0 <= index < len(self._choices) else None

    @property
    def chosen_axes(self) -> str:
        """Letters of its axes."""
        return str(self.axes.currentData() or "")

    @property
    def refusal(self) -> str | None:
        """Why it cannot be fused; None if it can."""
        return _NOTHING if self.choice is None else self.choice.refusal()

    def sizes(self) -> tuple[float | None, float | None]:
        """Return z step and pixel size in µm, all digits of them; None where none is known."""
        fields = zip((self.z_step, self.pixel_size), self._exact, strict=True)
        z_step, pixel_size = (
            exact if field.value() == shown else field.value() or None
            for field, (exact, shown) in fields
        )
        return z_step, pixel_size

    def open(self) -> Stack:
        """Return the stack as the fields say; may take its time with files."""
        return self.opener()()

    def opener(self) -> partial[Stack]:
        """Return what opens the stack, for another thread, and write sizes to the layer.

        Raises
        ------
        ZfuseError
            Nothing that can be fused is chosen.
        """
        choice = self.choice
        if choice is None or self.refusal:
            raise ZfuseError(str(self.refusal))
        axes, sizes = self.chosen_axes, self.sizes()
        choice.calibrate(axes, *sizes)
        return partial(choice.open, axes, *sizes)

    def choose_file(self, path: str) -> Any:
        """Look into a path in a thread, and choose what is in it."""
        if not path:
            return None
        self.facts.setText(f"opening {Path(path).name} …")
        worker = create_worker(_look_into, path, _start_thread=False)
        worker.returned.connect(self._opened)
        self._looking = worker
        worker.start()
        return worker

    def _ask_file(self) -> None:
        self.choose_file(QFileDialog.getOpenFileName(self, "Focal stack")[0])

    def _ask_folder(self) -> None:
        self.choose_file(QFileDialog.getExistingDirectory(self, "OME-Zarr or folder of planes"))

    def _opened(self, found: list[FileChoice] | str) -> None:
        self._looking = None
        if isinstance(found, str):
            show_error(found)
            self._fill()
            return
        self._files = found + [one for one in self._files if one.path != found[0].path]
        self._list()
        self.stack.setCurrentIndex(self._choices.index(found[0]))

    def _list(self, event: Any = None) -> None:
        """List layers and files, and keep the choice while it is there."""
        before = self.choice
        self._choices = [*layer_choices(self._layers), *self._files]
        kept = [i for i, one in enumerate(self._choices) if _same(one, before)]
        self.stack.blockSignals(True)
        self.stack.clear()
        self.stack.addItems([one.name for one in self._choices])
        self.stack.setCurrentIndex(kept[0] if kept else 0 if self._choices else -1)
        self.stack.blockSignals(False)
        if not kept:
            self._follow()
        self._fill()

    def _follow(self, event: Any = None) -> None:
        """Choose the layer that was clicked, unless several are chosen that hold it."""
        active = self._layers.selection.active
        if isinstance(self.choice, LayerChoice) and active in self.choice.layers:
            return
        for i, one in enumerate(self._choices):
            if isinstance(one, LayerChoice) and active in one.layers and not one.refusal():
                self.stack.setCurrentIndex(i)
                return

    def _fill(self) -> None:
        """Fill the other fields from what is chosen."""
        choice = self.choice
        found = choice.axes_choices() if choice else ()
        self.axes.blockSignals(True)
        before = self.chosen_axes if _same(choice, self._shown) else ""
        self.axes.clear()
        for axes in found:
            self.axes.addItem(", ".join(_WORDS.get(axis, axis) for axis in axes), axes)
        if before in found:
            self.axes.setCurrentIndex(found.index(before))
        self.axes.blockSignals(False)
        self._form.setRowVisible(self.axes, len(found) > 1)
        for field in (self.z_step, self.pixel_size):
            field.setEnabled(bool(found))
        if not _same(choice, self._shown):
            sizes = choice.calibration(found[0]) if choice and found else (None, None)
            self._exact = []
            for field, size in zip((self.z_step, self.pixel_size), sizes, strict=True):
                field.blockSignals(True)
                field.setValue(size or 0)
                field.blockSignals(False)
                self._exact.append((size, field.value()))
        self._shown = choice
        self._axes_chosen()

    def _axes_chosen(self) -> None:
        choice, axes = self.choice, self.chosen_axes
        self.facts.setText(_facts(choice, axes) if choice and axes else "")
        self.changed.emit()


def _same(one: Choice | None, other: Choice | None) -> bool:
    """Whether two choices are the same layers, or the same image of a file."""
    if isinstance(one, LayerChoice) and isinstance(other, LayerChoice):
        return [*map(id, one.layers)] == [*map(id, other.layers)]
    return one is other


def _facts(choice: Choice, axes: str) -> str:
    """Return the size of a stack in words."""
    n = choice.shape(axes)
    words = [f"{n['z']} planes of {n['x']} × {n['y']} px"]
    if choice.rgb:
        words.append("RGB")
    elif n.get("c", 1) > 1:
        words.append(f"{n['c']} channels")
    if n.get("t", 1) > 1:
        words.append(f"{n['t']} time points")
    return ", ".join([*words, choice.dtype])


def _look_into(path: str) -> list[FileChoice] | str:
    """Return what is in a path, or why it cannot be fused."""
    try:
        return file_choices(path)
    except ZfuseError as error:
        return str(error)


def _micrometers(tip: str) -> QDoubleSpinBox:
    field = QDoubleSpinBox()
    field.setDecimals(4)
    field.setRange(0, 10_000)
    field.setSingleStep(0.1)
    field.setSuffix(" µm")
    field.setSpecialValueText("unknown")
    field.setKeyboardTracking(False)
    field.setToolTip(f"{tip} What you set here is set for the layer, too.")
    return field
