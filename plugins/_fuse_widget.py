"""The widget *Fuse stack*: what is fused, how, where to; a button, and how far it is.

Duty: lay out the fields and carry a run from the button to its last layer. What it does lies in
modules without Qt: the run in `_fuse_job`, the layers of results in `_results`. Must not know: what
methods there are, how a layer becomes a stack.

Only this class touches the viewer, and only in Qt's own thread: a timer looks at the run ten times
a second, and asks for nothing that takes longer than a frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFrame,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from zfuse.errors import Cancelled, ZfuseError
from zfuse.pipeline.methods import DEFAULT_METHOD, METHODS, make_method
from zfuse.plugins._fuse_job import FuseJob, Order
from zfuse.plugins._method_form import MethodForm, combo, form_layout, label
from zfuse.plugins._output_form import OutputForm
from zfuse.plugins._results import adjust_contrast, link, quantity_of, result_layers
from zfuse.plugins._stack_form import StackForm, hint

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

__all__ = ["FuseWidget"]

_TICK = 100  # ms between two looks at the run
_ALIGN = {
    "auto": "automatic",
    "none": "none",
    "translation": "shift",
    "similarity": "shift, scale, angle",
}
_ALIGN_HELP = (
    "Undo drift of the planes.\nautomatic: what surely moves\nnone: planes as they lie\n"
    "shift: every plane is shifted\nshift, scale, angle: every plane is also turned and stretched"
)
_CHANNEL_HELP = (
    "Who decides on what is in focus: each channel for itself, all together, or one for all."
)
_CONFIDENCE_HELP = (
    "Where the probability that the depth is right within one plane is lower, depth is left blank."
)


class FuseWidget(QWidget):
    """Fuses a layer or a file in the background; results are layers that grow.

    Parameters
    ----------
    napari_viewer
        Where layers come from and results go.

    Attributes
    ----------
    job
        The run that is going on, or None.
    results
        Layers of the last run.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer  # napari gives it to a parameter of this name
        self.job: FuseJob | None = None
        self.results: list[Image] = []
        self._worker: Any = None
        self._to_add: list[dict[str, Any]] | None = None  # layers of the run, the next one last
        self._hidden = True
        self._what: Any = None  # choice and axes of the run
        self._running: list[FuseJob] = []

        self.source = StackForm(napari_viewer.layers)
        self.method = combo()
        for name, entry in METHODS.items():
            self.method.addItem(name)
            self.method.setItemData(self.method.count() - 1, entry.summary, Qt.ItemDataRole(3))
        self.summary = hint()
        self.settings = MethodForm()
        self.channel = combo()
        self.channel.setToolTip(_CHANNEL_HELP)
        self.align = combo()
        for mode, words in _ALIGN.items():
            self.align.addItem(words, mode)
        self.align.setToolTip(_ALIGN_HELP)
        self.min_confidence = QDoubleSpinBox()
        self.min_confidence.setRange(0, 1)
        self.min_confidence.setSingleStep(0.05)
        self.min_confidence.setSpecialValueText("keep all")
        self.min_confidence.setToolTip(_CONFIDENCE_HELP)
        self.output = OutputForm()
        self.button = QPushButton("Fuse")
        self.button.setMinimumHeight(32)
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.bar.hide()
        self.status = hint()
        self._lay_out()

        self._timer = QTimer(self)
        self._timer.setInterval(_TICK)
        self._timer.timeout.connect(self._look)
        self.method.currentTextChanged.connect(self._method_chosen)
        self.source.changed.connect(self._stack_chosen)
        self.settings.changed.connect(self._check)
        self.output.changed.connect(self._check)
        self.button.clicked.connect(self._pressed)
        self.destroyed.connect(_Stop(self._running))
        self.method.setCurrentText(DEFAULT_METHOD)
        self._method_chosen(self.method.currentText())
        self._stack_chosen()

    def _lay_out(self) -> None:
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setSpacing(8)
        method = form_layout()
        method.addRow(label("method"), self.method)
        method.addRow(label(""), self.summary)
        more = form_layout()
        more.addRow(label("focus"), self.channel)
        more.addRow(label("alignment"), self.align)
        more.addRow(label("min. confidence"), self.min_confidence)
        self._more = more
        column.addWidget(self.source)
        column.addWidget(_line())
        column.addLayout(method)
        column.addWidget(self.settings)
        column.addWidget(_line())
        column.addLayout(more)
        column.addWidget(_line())
        column.addWidget(self.output)
        column.addWidget(self.button)
        column.addWidget(self.bar)
        column.addWidget(self.status)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(scroll)
        self.setMinimumWidth(350)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def order(self) -> Order:
        """Return what the fields say is to be done."""
        least = self.min_confidence.value()
        return Order(
            method=self.settings.values(),
            channel=self.channel.currentData(),
            align=self.align.currentData(),
            min_confidence=least or None,
            output=self.output.path(),
            overwrite=self.output.replace.isChecked(),
        )

    def fuse(self) -> FuseJob:
        """Start to fuse what is chosen.

        Raises
        ------
        ZfuseError
            What cannot be done, and the cure.
        """
        if self.job:
            raise ZfuseError("a stack is being fused: wait, or cancel it")
        if reason := self._refusal():
            raise ZfuseError(reason)
        self._what = self.source.choice, self.source.chosen_axes
        self.job = FuseJob(self.source.opener(), self.order())
        self.results, self._to_add, self._hidden = [], None, True
        self._running[:] = [self.job]
        self._worker = create_worker(_outcome, self.job, _start_thread=False)
        self._worker.returned.connect(self._answered)
        self._worker.errored.connect(self._ended)
        self.bar.setRange(0, 0)
        self.bar.show()
        self.status.setText("looking at the stack …")
        self.button.setText("Cancel")
        self.button.setToolTip("")
        self._timer.start()
        self._worker.start()
        return self.job

    def cancel(self) -> None:
        """Stop the run, if there is one; its layers go when it has stopped."""
        if self.job:
            self.job.cancel()
            self.button.setEnabled(False)
            self.button.setText("Cancelling …")

    def changeEvent(self, event: QEvent) -> None:
        """Stop with the dock: when it is closed it lets go of its widget."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.cancel()
        super().changeEvent(event)

    def _pressed(self) -> None:
        if self.job:
            self.cancel()
            return
        try:
            self.fuse()
        except ZfuseError as error:
            show_error(str(error))

    def _method_chosen(self, name: str) -> None:
        self.summary.setText(METHODS[name].summary)
        self.settings.set_method(name)

    def _stack_chosen(self) -> None:
        choice, axes = self.source.choice, self.source.chosen_axes
        names = choice.channel_names(axes) if choice and axes else []
        several = len(names) > 1 and not (choice and choice.rgb)
        chosen = self.channel.currentText()
        self.channel.clear()
        self.channel.addItem("each channel for itself", "each")
        if several:
            self.channel.addItem("channels together", "together")
            for c, name in enumerate(names):
                self.channel.addItem(f"{name} for all", c)
        self.channel.setCurrentIndex(max(self.channel.findText(chosen), 0))
        self._more.setRowVisible(self.channel, several)
        self.output.suggest(names[0] if len(names) == 1 else choice.name if choice else "")
        self._check()

    def _refusal(self) -> str | None:
        """Return why nothing can be fused as the fields are, and the cure."""
        if reason := self.source.refusal or self.output.refusal:
            return reason
        try:
            make_method(self.settings.values())
        except ZfuseError as error:
            return str(error)
        return None

    def _check(self) -> None:
        """Let the button say whether it can be pressed, and if not, why."""
        if self.job:
            return
        reason = self._refusal()
        self.button.setEnabled(reason is None)
        self.button.setToolTip(reason or "Fuse, in the background")
        self.status.setText(reason or "")

    def _look(self) -> None:
        """Show what came since the last look."""
        job = self.job
        if job is None or job.canvas is None or job.cancelled:
            return
        if self._to_add is None:
            self._to_add = list(result_layers(job.canvas, *self._what))[::-1]
        if self._to_add:  # one at a look: napari takes a tenth of a second for each
            self.results.append(self.viewer.add_image(**self._to_add.pop()))
            if not self._to_add:
                link(self.viewer, self.results)
                job.shown()
            return
        if job.canvas.take_new():
            adjust_contrast(self.results, job.canvas, self._what[0])
            for layer in self.results:
                if self._hidden and quantity_of(layer) == "image":
                    layer.visible = True
                layer.refresh(extent=False, highlight=False)
            self._hidden = False
        if job.fraction:
            self.bar.setRange(0, 100)
            self.bar.setValue(round(100 * job.fraction))
            self.status.setText("\n".join([_left(job.seconds_left), *job.lines]))

    def _answered(self, errors: list[BaseException]) -> None:
        self._ended(errors[0] if errors else None)

    def _ended(self, error: BaseException | None) -> None:
        """Take the run's last tiles, or its layers away; say what went wrong."""
        job, layers = self.job, self.viewer.layers
        if job is None:
            return
        if error is None:
            self._look()
        else:
            for layer in [one for one in self.results if one in layers]:
                layers.remove(layer)
            self.results = []
        self._timer.stop()
        self.job = self._worker = self._what = None
        self._running.clear()
        self.bar.hide()
        self.button.setText("Fuse")
        self._check()
        if error is None:
            self.status.setText("\n".join([_done(job), *job.lines]))
        elif isinstance(error, Cancelled):
            show_info("Cancelled; nothing was kept")
        elif isinstance(error, ZfuseError):
            self.status.setText(str(error))
            show_error(str(error))


class _Stop:
    """Cancels runs; holds no widget, so that it can be called when one is gone."""

    def __init__(self, running: list[FuseJob]) -> None:
        self._running = running

    def __call__(self, *_: Any) -> None:
        for job in self._running:
            job.cancel()


def _outcome(job: FuseJob) -> list[BaseException]:
    """Run; what the user can do something about is an answer, and no error of ours.

    In a list, as a worker raises what it is answered by an exception.
    """
    try:
        job.run(wait=True)
    except (ZfuseError, Cancelled) as error:
        return [error]
    return []


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 90:
        return f"about {max(round(seconds), 1)} s left"
    return f"about {round(seconds / 60)} min left"


def _done(job: FuseJob) -> str:
    said = f"fused in {job.seconds:.1f} s"
    return f"{said}, written to {job.order.output}" if job.order.output else said


def _line() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setStyleSheet("color: palette(mid);")
    return line
