"""The part of a form that says where results go: to layers only, or to a file, too.

Must not know: what is written, how.
"""

from __future__ import annotations

import re
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QWidget,
)

from zfuse.plugins._method_form import combo, form_layout, label

__all__ = ["OutputForm"]

_ENDINGS = (".ome.zarr", ".ome.tif", ".ome.tiff", ".tif", ".tiff")


class OutputForm(QWidget):
    """Where to.

    Attributes
    ----------
    kind, file, replace
        The fields.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.kind = combo()
        self.kind.addItems(["layers only", "layers and OME-Zarr"])
        self.kind.setToolTip("Layers can be saved later; an OME-Zarr keeps the calibration, too")
        self.file = QLineEdit()
        self.file.setToolTip("Image, depth and confidence are written here; it ends in .ome.zarr")
        self.browse = QPushButton("…")
        self.browse.setFixedWidth(32)
        self.browse.setToolTip("Choose where")
        self.replace = QCheckBox("replace what is there")
        row = QHBoxLayout()
        row.addWidget(self.file, 1)
        row.addWidget(self.browse)
        self._form = form_layout(self)
        self._form.addRow(label("output"), self.kind)
        self._form.addRow(label("file"), row)
        self._form.addRow(label(""), self.replace)
        self._row = row
        self.kind.currentIndexChanged.connect(self._kind_chosen)
        self.file.textChanged.connect(self.changed)
        self.browse.clicked.connect(self._ask)
        self._suggested = ""
        self._kind_chosen()

    @property
    def refusal(self) -> str | None:
        """Why nothing can be written so; None if it can."""
        path = self.path()
        if path is None or path.endswith(_ENDINGS):
            return None
        if not path:
            return "No output file: give the path of an OME-Zarr, or choose “layers only”"
        return f"“{Path(path).name}” cannot be written: let its name end in .ome.zarr"

    def path(self) -> str | None:
        """Return the file, None where only layers are wanted."""
        return self.file.text().strip() if self.kind.currentIndex() else None

    def suggest(self, name: str) -> None:
        """Suggest a file for a stack, unless another one was typed."""
        if self.file.text() in ("", self._suggested):
            stem = re.sub(r"[^\w.-]+", "-", name).strip("-") or "stack"
            self._suggested = str(Path.home() / f"{stem}-fused.ome.zarr")
            self.file.setText(self._suggested)

    def _kind_chosen(self) -> None:
        to_file = self.kind.currentIndex() == 1
        self._form.setRowVisible(self._row, to_file)
        self._form.setRowVisible(self.replace, to_file)
        self.changed.emit()

    def _ask(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Fused OME-Zarr", self.file.text(), "OME-Zarr (*.ome.zarr)"
        )
        if path:
            self.file.setText(path if path.endswith(_ENDINGS) else f"{path}.ome.zarr")
