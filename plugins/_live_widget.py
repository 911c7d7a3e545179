"""The widget *Live*: fused stacks appear while a microscope acquires.

Duty: fields, the button, layers that grow. What it shows lies in `_live`, the run in `_live_run`.
Must not know: formats, how stacks are fused.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from zfuse.errors import ZfuseError
from zfuse.pipeline.methods import METHODS
from zfuse.plugins._live_run import LiveRun, attached, running_core, watched

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from zfuse.plugins._live import LiveImages, Shown

__all__ = ["LiveWidget"]

_TICK = 100  # ms between two looks at the run
_FOLDER, _MICROSCOPE = "folder that grows", "microscope in this napari"
_LATEST = "latest"


class LiveWidget(QWidget):
    """Watches a folder, or listens to the microscope of this process."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer  # napari gives it to a parameter of this name
        self.run: LiveRun | None = None
        self._images: LiveImages | None = None
        self._layers: dict[Shown, Image] = {}
        self._position = 0

        self.source = QComboBox()
        self.source.addItems([_FOLDER, _MICROSCOPE])
        self.folder, self.output = QLineEdit(), QLineEdit()
        self.folder.setPlaceholderText("planes, OME-Zarr or NDTiff being written")
        self.output.setPlaceholderText("fused.ome.zarr")
        self.planes = _told(QSpinBox(), "Planes of each stack, where the data set does not say it.")
        self.z_step = _told(QDoubleSpinBox(), "µm, where the data set does not say it.")
        self.pixel = _told(QDoubleSpinBox(), "µm, where the data set does not say it.")
        self.method = QComboBox()
        self.method.addItems(list(METHODS))
        self.method.setCurrentText("select")
        self.method.setToolTip("select is done with the last plane; others take a moment longer.")
        self.shown = QComboBox()
        self.shown.addItem(_LATEST)
        self.follow = QCheckBox("go to the latest time point")
        self.follow.setChecked(True)
        self.button, self.status = QPushButton("Start"), QLabel()
        self.status.setWordWrap(True)

        self.form = QFormLayout()
        self.form.addRow("Source", self.source)
        self.form.addRow("Folder", _browsed(self.folder, self))
        self.form.addRow("Planes", self.planes)
        self.form.addRow("Z step (µm)", self.z_step)
        self.form.addRow("Pixel (µm)", self.pixel)
        self.form.addRow("Output", self.output)
        self.form.addRow("Method", self.method)
        self.form.addRow("Position", self.shown)
        whole = QVBoxLayout(self)
        whole.addLayout(self.form)
        whole.addWidget(self.follow)
        whole.addWidget(self.button)
        whole.addWidget(self.status)
        whole.addStretch()

        self._timer = QTimer(self)
        self._timer.setInterval(_TICK)
        self._timer.timeout.connect(self._look)
        self.button.clicked.connect(self._pressed)
        self.source.currentTextChanged.connect(self._on_source)
        self.folder.editingFinished.connect(self._suggest_output)
        self.shown.currentIndexChanged.connect(self._on_position)
        self._on_source(self.source.currentText())
        runs = self._runs = list[LiveRun]()

        def stop() -> None:
            for run in runs:
                run.stop()

        self.destroyed.connect(stop)

    def closeEvent(self, event: Any) -> None:
        """End with the widget."""
        self._timer.stop()
        if self.run is not None:
            self.run.stop()
        super().closeEvent(event)

    def start(self) -> None:
        """Begin to watch or to listen.

        Raises
        ------
        ZfuseError
            A field is missing, or there is no microscope.
        """
        method, output = self.method.currentText(), self.output.text().strip()
        if self.source.currentText() == _MICROSCOPE:
            self.run = attached(running_core(), output, method)
        else:
            folder = self.folder.text().strip()
            if not folder or not output:
                raise ZfuseError(
                    "Live needs a folder to watch and an output, such as fused.ome.zarr: "
                    "fill in both fields"
                )
            self.run = watched(
                folder, output, method, expect_planes=self.planes.value() or None,
                z_step=self.z_step.value() or None, pixel_size=self.pixel.value() or None,
            )  # fmt: skip
        self._runs[:] = [self.run]
        self.button.setText("Stop")
        self._enable(False)
        self._timer.start()

    def _pressed(self) -> None:
        if self.run is not None:
            self.run.stop()
            self.button.setEnabled(False)
            return
        try:
            self.start()
        except ZfuseError as error:
            show_error(str(error))

    def _look(self) -> None:
        """Show what came since the last look."""
        run = self.run
        if run is None:
            return
        ended = run.ended  # asked first: what came before it is still shown
        for line in run.take_complaints():
            show_error(line)
        self.status.setText(run.status)
        images = run.images
        if images is not None:
            if images is not self._images:
                self._begin(images)
            latest = images.take_news()
            if latest is not None:
                if self.shown.currentText() == _LATEST:
                    self._position = latest.p
                if latest.p == self._position:
                    # Channels come one after the other: the time point before is shown until then.
                    self._show(latest.t if images.is_whole(latest) else None)
                self._list_positions()
        if ended is not None:
            self._end(ended)

    def _begin(self, images: LiveImages) -> None:
        """Another acquisition: its layers stand beside those of the last one."""
        self._images, self._layers, self._position = images, {}, 0
        self.shown.setCurrentIndex(0)
        while self.shown.count() > 1:
            self.shown.removeItem(1)

    def _show(self, t: int | None = None) -> None:
        """Bring the layers of the position up to date, and go to a time point."""
        images = self._images
        if images is None:
            return
        for shown, film in images.of(self._position):
            layer = self._layers.get(shown)
            if layer is not None and layer in self.viewer.layers:
                layer.data = film
                continue
            look = images.look(self._position, shown, film)
            layer = self.viewer.add_image(film, multiscale=False, **look)
            self._layers[shown] = layer
            if shown.quantity == "depth" and hasattr(layer, "colorbar"):
                layer.colorbar.visible = True
        if t is not None and self.follow.isChecked() and self._layers:
            layer = next(iter(self._layers.values()))
            dims = self.viewer.dims
            dims.set_point(dims.ndim - layer.ndim, t * layer.scale[0])

    def _list_positions(self) -> None:
        assert self._images is not None
        names = self._images.series.positions
        for p in sorted(self._images.films)[self.shown.count() - 1 :]:
            self.shown.addItem(names[p] if p < len(names) else str(p), p)

    def _on_position(self, _: int) -> None:
        p = self.shown.currentData()
        if p is not None:
            self._position = int(p)
            self._show()

    def _end(self, said: str) -> None:
        self._timer.stop()
        self.run = None
        self.button.setText("Start")
        self.button.setEnabled(True)
        self._enable(True)
        self.status.setText(said)
        show_info(said)

    def _enable(self, on: bool) -> None:
        for row in range(self.form.rowCount() - 1):  # but the position
            self.form.itemAt(row, QFormLayout.ItemRole.FieldRole).widget().setEnabled(on)

    def _on_source(self, source: str) -> None:
        for row in range(1, 5):
            self.form.setRowVisible(row, source == _FOLDER)
        placeholder = "fused.ome.zarr" if source == _FOLDER else "none: in memory only"
        self.output.setPlaceholderText(placeholder)

    def _suggest_output(self) -> None:
        folder = self.folder.text().strip()
        if folder and not self.output.text():
            path = Path(folder)
            stem = path.name.removesuffix(".zarr").removesuffix(".ome")
            self.output.setText(str(path.with_name(f"{stem}_fused.ome.zarr")))


def _told(field: Any, tip: str) -> Any:
    """Return a number field whose 0 means that the data set says it."""
    field.setRange(0, 10_000)
    field.setSpecialValueText("as the data say")
    field.setToolTip(tip)
    if isinstance(field, QDoubleSpinBox):
        field.setDecimals(4)
    return field


def _browsed(field: QLineEdit, parent: QWidget) -> QWidget:
    """Return a field for a folder with a button that looks for one."""

    def browse() -> None:
        chosen = QFileDialog.getExistingDirectory(parent, "Folder that grows", field.text())
        if chosen:
            field.setText(chosen)
            field.editingFinished.emit()

    button, both = QPushButton("…"), QWidget()
    button.setFixedWidth(28)
    button.clicked.connect(browse)
    row = QHBoxLayout(both)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(field)
    row.addWidget(button)
    return both
