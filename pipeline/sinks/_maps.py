"""Depth and confidence as they are stored: unit and rounding, the same in every file format.

Duty: turn depth in planes into µm where the z step is known, and round both maps to a step far
below what they can resolve. Must not know: file formats, tiles.

Depth is rounded to at most 1/256 of a plane, confidence to 1/1024: focus is never found to better
than some 1/50 of a plane, and the noise in the mantissa's last bits is what cannot be compressed.
With it lz4 shrinks both maps 3.3 and 3.2 times instead of 1.46 and 1.34 times, at the same speed.
The steps are powers of two in the stored unit, so rounded values are exact in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, isfinite, log2
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Stack

__all__ = ["StoredMap", "confidence_map", "depth_map"]

_STEPS_PER_PLANE = 256
_CONFIDENCE_STEP = 1 / 1024
_BLOCK = 1 << 16  # pixels: three passes over 256 KiB stay in the cache


@dataclass(frozen=True)
class StoredMap:
    """How one float map is stored.

    Attributes
    ----------
    quantity
        ``"depth"`` or ``"confidence"``; also the name of its group or file.
    unit
        ``"micrometer"``, ``"plane"``, or None for a pure number.
    factor
        Stored value of 1.0 in memory: µm a plane, or 1.
    step
        Stored values are multiples of it; a power of two.
    limits
        Lowest and highest value that can occur, for displays.
    reference
        Where depth counts from, or None.
    meaning
        What the number says, where its name does not, or None.
    """

    quantity: str
    unit: str | None
    factor: float
    step: float
    limits: tuple[float, float]
    reference: str | None = None
    meaning: str | None = None

    def store(
        self, values: NDArray[np.float32], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Scale and round a map.

        Parameters
        ----------
        values
            (Y, X) float32, depth in planes or confidence.
        out
            (Y, X) float32 to fill, not `values` itself.

        Returns
        -------
        NDArray
            `out`, in `unit`, multiples of `step`. NaN stays NaN.
        """
        if out is None:
            out = np.empty(values.shape, np.float32)
        return _rounded(values, self.factor / self.step, self.step, out)

    def round(self, values: NDArray[np.float32], out: NDArray[np.float32]) -> NDArray[np.float32]:
        """Round stored values to `step` again, after they were averaged, into `out`."""
        return _rounded(values, 1 / self.step, self.step, out)

    @property
    def label(self) -> str:
        """Quantity and unit for people."""
        return self.quantity + {"micrometer": " (µm)", "plane": " (planes)"}.get(
            self.unit or "", ""
        )

    def attributes(self) -> dict[str, Any]:
        """Return what a file must say about the map, as JSON values."""
        said = {
            "quantity": self.quantity,
            "unit": self.unit,
            "reference": self.reference,
            "meaning": self.meaning,
            "rounded_to": self.step,
        }
        return {key: value for key, value in said.items() if value is not None}


def depth_map(stack: Stack) -> StoredMap:
    """Depth of `stack`: in µm above the first plane when its z step is known, else in planes."""
    step = stack.z_step
    known = step is not None and isfinite(step) and step != 0
    factor = float(step) if known and step is not None else 1.0
    last = (stack.shape[2] - 1) * factor
    return StoredMap(
        quantity="depth",
        unit="micrometer" if known else "plane",
        factor=factor,
        step=2.0 ** floor(log2(abs(factor) / _STEPS_PER_PLANE)),
        # A window of no width cannot be displayed: one plane gets the width of one.
        limits=(min(0.0, last), max(0.0, last)) if last else (0.0, abs(factor)),
        reference="first plane",
    )


def confidence_map() -> StoredMap:
    """Confidence: a probability, 0 where nothing says which plane is in focus."""
    meaning = "probability that the depth is within one plane of the truth"
    return StoredMap("confidence", None, 1.0, _CONFIDENCE_STEP, (0.0, 1.0), meaning=meaning)


def _rounded(
    values: NDArray[np.float32], scale: float, step: float, out: NDArray[np.float32]
) -> NDArray[np.float32]:
    rows = max(1, _BLOCK // max(1, values.shape[1]))
    for start in range(0, len(values), rows):
        part = out[start : start + rows]
        np.multiply(values[start : start + rows], np.float32(scale), out=part)
        np.rint(part, out=part)
        np.multiply(part, np.float32(step), out=part)
    return out
