"""The part of a form that a method's settings fill: one row each, made anew for each method.

Duty: from `Option` to Qt fields and back. Must not know: methods, what is done with the values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from zfuse.plugins._options import options

if TYPE_CHECKING:
    from zfuse.plugins._options import Option

__all__ = ["MethodForm", "combo", "form_layout", "label"]

_LABELS = 112  # px: one column of them down the whole form


def form_layout(parent: QWidget | None = None) -> QFormLayout:
    """Return a form whose fields take the width that is left."""
    form = QFormLayout(parent) if parent is not None else QFormLayout()
    form.setContentsMargins(0, 0, 0, 0)
    form.setHorizontalSpacing(8)
    form.setVerticalSpacing(4)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def label(text: str) -> QLabel:
    """Return what stands before a field."""
    made = QLabel(text)
    made.setFixedWidth(_LABELS)
    return made


def combo() -> QComboBox:
    """Return a list that is as wide as the form, not as its longest entry."""
    made = QComboBox()
    made.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    made.setMinimumContentsLength(8)
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return made


class _Integer(QSpinBox):
    """Whole numbers of one parity, e.g. odd ones, where the step is 2."""

    def valueFromText(self, text: str) -> int:
        value = super().valueFromText(text)
        return int(value - (value - self.minimum()) % self.singleStep())


class MethodForm(QWidget):
    """Fields for the settings of one method; what was set of another one is remembered.

    Attributes
    ----------
    fields
        By name of the setting.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, QWidget] = {}
        self._method = ""
        self._kept: dict[str, dict[str, Any]] = {}
        self._form = form_layout(self)

    def set_method(self, method: str) -> None:
        """Show the settings of a method."""
        if self._method:
            self._kept[self._method] = self.values()
        self._method = method
        while self._form.rowCount():
            self._form.removeRow(0)
        kept = self._kept.get(method, {})
        self.fields = {}
        for option in options(method):
            field = self._field(option, kept.get(option.name, option.default))
            field.setToolTip(option.help)
            self.fields[option.name] = field
            before = label(option.label)
            before.setToolTip(option.help)
            self._form.addRow(before, field)
        self.changed.emit()

    def values(self) -> dict[str, Any]:
        """Return the method's name and settings, as `zfuse.fuse` takes them."""
        found: dict[str, Any] = {"name": self._method}
        for option in options(self._method):
            value = _value(self.fields[option.name], option)
            if value != option.default:
                found[option.name] = value
        return found

    def _field(self, option: Option, value: Any) -> QWidget:
        field: Any
        if option.kind == "flag":
            field = QCheckBox()
            field.setChecked(value)
            field.toggled.connect(self.changed)
        elif option.kind == "choice":
            field = combo()
            field.addItems(option.choices)
            field.setCurrentText(value)
            field.currentIndexChanged.connect(self.changed)
        else:
            field = _Integer() if option.kind == "integer" else QDoubleSpinBox()
            low = option.low - option.step if option.has_instead else option.low
            field.setRange(low, option.high)
            field.setSingleStep(option.step)
            if option.has_instead:
                field.setSpecialValueText(option.instead or "default")
            field.setValue(low if option.has_instead and value == option.instead else value)
            field.setKeyboardTracking(False)
            field.valueChanged.connect(self.changed)
        return field


def _value(field: Any, option: Option) -> Any:
    if option.kind == "flag":
        return field.isChecked()
    if option.kind == "choice":
        return field.currentText()
    value = field.value()
    if option.has_instead and value < option.low:
        return option.instead
    return round(value, 6) if option.kind == "number" else value
