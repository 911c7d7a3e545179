"""Lengths and times in the units that files use, turned into µm and seconds.

Duty: one table of unit names (OME-NGFF, OME-XML, ImageJ, everyday spellings).
Must not know: files.
"""

from __future__ import annotations

__all__ = ["is_position", "is_size", "to_micrometer", "to_second"]

SMALLEST, LARGEST = 1e-9, 1e9  # µm or s; float32 and its squares hold both ends

_METER = {
    "m": 1e6, "meter": 1e6, "metre": 1e6,
    "cm": 1e4, "centimeter": 1e4,
    "mm": 1e3, "millimeter": 1e3, "millimetre": 1e3,
    "µm": 1.0, "μm": 1.0, "um": 1.0, "micrometer": 1.0, "micrometre": 1.0, "micron": 1.0,
    "microns": 1.0, "\\u00b5m": 1.0,
    "nm": 1e-3, "nanometer": 1e-3, "nanometre": 1e-3,
    "å": 1e-4, "angstrom": 1e-4,
    "pm": 1e-6, "picometer": 1e-6,
    "inch": 25400.0, "in": 25400.0,
}  # fmt: skip
_SECOND = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0,
    "ms": 1e-3, "millisecond": 1e-3, "msec": 1e-3,
    "µs": 1e-6, "us": 1e-6, "microsecond": 1e-6,
    "min": 60.0, "minute": 60.0,
    "h": 3600.0, "hour": 3600.0,
}  # fmt: skip


def to_micrometer(unit: str) -> float | None:
    """Return how many µm one `unit` is, None when it is no known length."""
    return _METER.get(unit.strip().lower())


def to_second(unit: str) -> float | None:
    """Return how many seconds one `unit` is, None when it is no known time."""
    return _SECOND.get(unit.strip().lower())


def is_size(value: float | None) -> bool:
    """Whether a step or pixel size is usable: above zero, and of this world (a km is too large)."""
    return value is not None and SMALLEST <= value <= LARGEST


def is_position(value: float) -> bool:
    """Whether a position is usable: finite, and within the reach of float32 maps."""
    return abs(value) <= LARGEST
