"""The widget *Fuse stack*.

Duty: fields, the button, progress. What it does lies in modules without Qt: which layers are stacks
in `_layers`, the run in `_fuse_job`, layers of results in `_results`. Must not know: methods.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from zfuse.errors import Cancelled, ZfuseError
from zfuse.pipeline.methods import DEFAULT_METHOD, METHODS
from zfuse.plugins._fuse_job import FuseJob, Order
from zfuse.plugins._layers import axes_choices, calibration, choices, open_choice, refusal
from zfuse.plugins._results import add_results

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from zfuse.plugins._layers import Choice

__all__ = ["FuseWidget"]

_TICK = 100  # ms between two looks at the run


class FuseWidget(QWidget):
    """Fuses a layer, in the background; results are layers that grow."""

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.job: FuseJob | None = None
        self.results: list[Image] = []
        self._choices: list[Choice] = []
        self._chosen: Choice | None = None

        self.stack = QComboBox()
        self.method = QComboBox()
        self.method.addItems(list(METHODS))
        self.method.setCurrentText(DEFAULT_METHOD)
        self.button = QPushButton("Fuse")
        self.bar = QProgressBar()
        self.bar.hide()
        self.status = QLabel()
        self.status.setWordWrap(True)

        form = QFormLayout()
        form.addRow("Stack", self.stack)
        form.addRow("Method", self.method)
        whole = QVBoxLayout(self)
        whole.addLayout(form)
        whole.addWidget(self.button)
        whole.addWidget(self.bar)
        whole.addWidget(self.status)
        whole.addStretch()

        self._timer = QTimer(self)
        self._timer.setInterval(_TICK)
        self._timer.timeout.connect(self._look)
        self.button.clicked.connect(self._pressed)
        self.stack.currentIndexChanged.connect(self._check)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self._list_layers)
        self._list_layers()

    def choice(self) -> Choice | None:
        """Return what is chosen."""
        index = self.stack.currentIndex()
        return self._choices[index] if 0 <= index < len(self._choices) else None

    def fuse(self) -> FuseJob:
        """Start to fuse what is chosen."""
        choice = self.choice()
        if choice is None:
            raise ZfuseError(str(refusal(choice)))
        axes = axes_choices(choice.layer)[0]
        z_step, pixel_size = calibration(choice.layer, axes)
        order = Order({"name": self.method.currentText()})
        opened = partial(open_choice, choice, axes, z_step=z_step, pixel_size=pixel_size)
        job = FuseJob(opened, order)
        self.job, self.results, self._chosen = job, [], choice
        worker = create_worker(job.run, _start_thread=False)
        worker.returned.connect(self._done)
        worker.errored.connect(self._failed)
        self._worker = worker
        self._timer.start()
        self.bar.show()
        self.button.setText("Cancel")
        worker.start()
        return job

    def _pressed(self) -> None:
        if self.job:
            self.job.cancel()
            return
        try:
            self.fuse()
        except ZfuseError as error:
            show_error(str(error))

    def _list_layers(self, event: Any = None) -> None:
        chosen = self.stack.currentText()
        self._choices = choices(self.viewer.layers)
        self.stack.clear()
        self.stack.addItems([choice.name for choice in self._choices])
        self.stack.setCurrentText(chosen)
        self._check()

    def _check(self) -> None:
        """Let the button say whether it can be pressed, and if not, why."""
        reason = None if self.job else refusal(self.choice())
        self.button.setEnabled(reason is None)
        self.button.setToolTip(reason or "")
        self.status.setText(reason or "")

    def _look(self) -> None:
        """Show what came since the last look."""
        job = self.job
        if job is None or job.canvas is None:
            return
        if not self.results:
            self.results = add_results(self.viewer, job.canvas, self._chosen)
        if job.canvas.take_new():
            for layer in self.results:
                layer.refresh(extent=False, highlight=False)
        self.bar.setValue(round(100 * job.fraction))

    def _done(self) -> None:
        self._look()
        self._end()

    def _failed(self, error: BaseException) -> None:
        for layer in self.results:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self._end()
        if isinstance(error, Cancelled):
            show_info("Cancelled: nothing was kept")
        elif isinstance(error, ZfuseError):
            show_error(str(error))

    def _end(self) -> None:
        self._timer.stop()
        self.job, self._worker = None, None
        self.bar.hide()
        self.button.setText("Fuse")
        self._check()
