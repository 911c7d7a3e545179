"""The devices of the simulated microscope, for pymmcore-plus's core of Python devices.

Duty: what a core asks of a camera, a stage, a focus drive and a filter wheel. Must not know: what
the camera shows. Importing it needs pymmcore-plus.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from pymmcore_plus.experimental.unicore import (
    SimpleCameraDevice,
    StageDevice,
    StateDevice,
    XYStageDevice,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["FilterWheel", "FocusDrive", "RenderingCamera", "XYStage"]


class RenderingCamera(SimpleCameraDevice):
    """A 16-bit camera that calls a function for its frames."""

    def __init__(
        self, render: Callable[[], NDArray[np.uint16]], shape: tuple[int, int], exposure: float
    ) -> None:
        super().__init__()
        self._render = render
        self._shape = shape
        self._exposure = exposure

    def get_exposure(self) -> float:
        """Return it in milliseconds."""
        return self._exposure

    def set_exposure(self, exposure: float) -> None:
        """Set it in milliseconds."""
        self._exposure = exposure

    def sensor_shape(self) -> tuple[int, int]:
        """Return height and width in pixels."""
        return self._shape

    def dtype(self) -> type[np.uint16]:
        """Return what pixels are."""
        return np.uint16

    def snap(self, buffer: NDArray[np.uint16]) -> Mapping[str, Any]:
        """Fill a frame; it takes as long as the exposure."""
        until = time.perf_counter() + self._exposure / 1e3
        buffer[:] = self._render()
        time.sleep(max(0.0, until - time.perf_counter()))
        return {}


class FocusDrive(StageDevice):
    """A focus drive that is where it shall be at once."""

    _at = 0.0

    def home(self) -> None:
        """Go to 0."""
        self._at = 0.0

    def stop(self) -> None:
        """Do nothing: it never moves for long."""

    def set_origin(self) -> None:
        """Do nothing: the specimen's heights are those of the drive."""

    def set_position_um(self, val: float) -> None:
        """Go there."""
        self._at = val

    def get_position_um(self) -> float:
        """Return where it is."""
        return self._at


class XYStage(XYStageDevice):
    """A stage that is where it shall be at once."""

    _at = (0.0, 0.0)

    def home(self) -> None:
        """Go to (0, 0)."""
        self._at = (0.0, 0.0)

    def stop(self) -> None:
        """Do nothing: it never moves for long."""

    def set_origin_x(self) -> None:
        """Do nothing: the fields of view lie where they lie."""

    def set_origin_y(self) -> None:
        """Do nothing: the fields of view lie where they lie."""

    def set_position_um(self, x: float, y: float) -> None:
        """Go there."""
        self._at = (x, y)

    def get_position_um(self) -> tuple[float, float]:
        """Return where it is."""
        return self._at


class FilterWheel(StateDevice):
    """A wheel with one filter a channel."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(dict(enumerate(names)))
        self._state = 0

    def get_state(self) -> int:
        """Return the number of the filter in the light path."""
        return self._state

    def set_state(self, position: int) -> None:
        """Turn to a filter."""
        self._state = int(position)
