"""Selection: the sharpest plane wins each pixel, and its pixel is copied bit for bit.

The classical "depth from focus" of Nayar & Nakagawa (Shape from Focus, IEEE PAMI 16, 1994): a focus
measure summed over a window, the maximum over planes, a parabola through the peak for the depth.

The map of winners is regularised before it is made, by smoothing what focus is measured on
(`smooth`): cleaning it afterwards would need the planes again, to copy the pixels of the new
winners. On noisy stacks two passes gain most of what copying the pixel of the true depth could,
and the error of the depth falls to a quarter (docs/methods.md). A larger window does less and
rounds off steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from zfuse.pipeline.core import Fused, Signal
from zfuse.pipeline.methods._method import Method
from zfuse.pipeline.methods.parts import (
    PEAK_BYTES,
    TRUST_BYTES,
    TRUST_REACH,
    TrustedPeak,
    signal_bytes,
)

if TYPE_CHECKING:
    import numpy as np

    from zfuse.pipeline.core import Region, Sample

__all__ = ["Select"]

Measure = Literal[
    "sml", "laplacian-energy", "tenengrad", "brenner", "variance", "spatial-frequency"
]


class Select(Method):
    """Copy each pixel from the plane where the focus measure peaks."""

    family: ClassVar[str] = "selection"
    copies_pixels: ClassVar[bool] = True
    reusable: ClassVar[bool] = True
    keeps_intensities: ClassVar[dict[str, Any] | None] = {}

    name: Literal["select"] = "select"
    measure: Measure = Field("sml", description="how sharpness is measured")
    window: int = Field(
        9, ge=1, le=45, description="side in pixels, odd, of where sharpness is measured"
    )
    contrast: Literal["most", "least"] = Field(
        "most", description="what is in focus; least: transparent things, which vanish in focus"
    )
    smooth: int = Field(
        0, ge=0, le=4, description="how often planes are smoothed to decide on; helps in noise"
    )

    @field_validator("window")
    @classmethod
    def _odd(cls, window: int) -> int:
        if window % 2 == 0:
            raise ValueError(f"must be odd, got {window}")
        return window

    @property
    def grid_step(self) -> int:
        """Confidence is told at half size."""
        return 2

    @property
    def halo(self) -> int:
        """Half the window, the stencil's one pixel, one for each pass of smoothing, and trust's."""
        reach = self.window // 2 + 1 + self.smooth + TRUST_REACH
        return reach + reach % self.grid_step

    def state_bytes(self, channels: int, itemsize: int) -> float:
        """Peak arrays, the copied pixels, and the smoothed signal or what the end needs."""
        copied = channels * itemsize
        signal = signal_bytes(channels, itemsize, smooth=self.smooth > 0)
        return PEAK_BYTES + copied + max(signal, TRUST_BYTES + copied)

    def calibrate(self, sample: Sample) -> Signal:
        """Choose the decision signal."""
        return Signal.calibrate(sample)

    def start(
        self, region: Region, channels: int, dtype: np.dtype[Any], calibration: Signal
    ) -> TrustedPeak:
        """Allocate the running peak."""
        return TrustedPeak(
            region,
            calibration,
            self.measure,
            self.window,
            channels,
            dtype,
            kind="peak" if self.smooth else "select",
            smooth=self.smooth,
            least=self.contrast == "least",
        )

    def restart(self, state: TrustedPeak, calibration: Signal) -> None:
        """Forget all planes."""
        state.restart(calibration)

    def finish(self, state: TrustedPeak) -> Fused:
        """Return the copied pixels, the fitted depth and how likely it is right."""
        depth, confidence = state.finish()
        return Fused(state.copied, depth, confidence)
