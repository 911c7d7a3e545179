"""The planes that depth is decided on: the decision signal, without the image's frame.

Must not know: how depth is found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.pipeline.core import Region
from zfuse.pipeline.methods.parts._blending import mix
from zfuse.pipeline.methods.parts._frame import mirror_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.methods.parts._blending import Blend
    from zfuse.pipeline.methods.parts._floats import FloatPlanes

    Plane = NDArray[np.float32]

__all__ = ["DecisionPlanes", "to_signal"]


def to_signal(plane: Plane, blend: Blend, steps: float) -> NDArray[np.int32]:
    """Return what the focus kernels take of a plane (C, Y, X) without NaN: (Y, X), 0 … `steps`."""
    if len(plane) == 1:  # float64 inside: on a large offset the last digits are what counts
        return np.asarray(blend.signal.mixed(plane[None])[0][0], np.int32)
    rounded = np.rint(mix(plane, blend.weights) + np.float32(blend.signal.offset))
    return np.asarray(np.clip(rounded, 0, steps), np.int32)


class DecisionPlanes:
    """Planes of one region as the depth search takes them.

    Parameters
    ----------
    region
        Of what planes show. Of a signal that has to be made, only what `floats` makes is kept.
    floats
        Planes as floats.
    blend, steps
        How channels become the signal, and its largest value.

    Attributes
    ----------
    region
        Its core; what is shown of it is what the signal shows.
    framed
        The signal shows the image's frame all the same: kernels have still to mirror it.
    """

    def __init__(self, region: Region, floats: FloatPlanes, blend: Blend, steps: float) -> None:
        self._floats, self._blend, self._steps = floats, blend, steps
        self.region, self.framed = region, blend.signal.native
        if not self.framed:
            y, x = (
                slice(shown.start + cut.start, shown.start + cut.stop)
                for shown, cut in zip(region.shown, floats.cut, strict=True)
            )
            self.region = Region(region.image, region.core, (y, x))

    def signal(self, planes: NDArray[Any]) -> tuple[NDArray[Any], list[Plane | None]]:
        """Return a block's decision signal (n, Y, X), and where its planes are invalid."""
        signal, invalid = self.with_frame(planes)
        self.hide_frame(signal)
        return signal, invalid

    def hide_frame(self, signal: NDArray[Any]) -> None:
        """Replace what lies in the image's frame by what lies inside, unless kernels do."""
        if not self.framed:
            mirror_frame(signal, self.region.image, self.region.shown)

    def with_frame(self, planes: NDArray[Any]) -> tuple[NDArray[Any], list[Plane | None]]:
        """Return the same as `signal`, as it is in the frame."""
        invalid: list[Plane | None] = [None] * len(planes)
        if self.framed:  # the pixels themselves: half the time of a pass were copies
            return planes[:, 0], invalid
        signal = np.empty((len(planes), *self._floats.shape), np.int32)
        for i, plane in enumerate(planes):
            values, invalid[i] = self._floats.to_float(plane)
            signal[i] = to_signal(values, self._blend, self._steps)
        return signal, invalid
