"""What methods of one pass that blend planes share: a focus peak for the depth beside their sums.

Must not know: how planes are blended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from zfuse.pipeline.core import Fused
from zfuse.pipeline.methods._method import Method
from zfuse.pipeline.methods.parts._floats import Blend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Sample
    from zfuse.pipeline.methods.parts._peak import FocusPeak

__all__ = ["BlendingMethod", "BlendingState"]


class BlendingState(Protocol):
    """Sums of one region, and its focus peak."""

    peak: FocusPeak

    def add_plane(self, pixels: NDArray[Any]) -> None:
        """Fold one plane (C, Y, X) of what the region is shown."""

    def rebuild(self) -> NDArray[Any]:
        """Return the image (C, h, w) of the core in the input's dtype."""


class BlendingMethod(Method):
    """A method whose picture comes from sums over planes, its depth from the focus peak."""

    family: ClassVar[str] = "transform"
    copies_pixels: ClassVar[bool] = False
    knows_depth: ClassVar[bool] = False

    def calibrate(self, sample: Sample) -> Blend:
        """Choose the decision signal, estimate its noise."""
        return Blend.calibrate(sample)

    def add(self, state: BlendingState, planes: NDArray[Any], z: int) -> None:
        """Fold a block of planes."""
        state.peak.add(planes, z)
        for plane in planes:
            state.add_plane(plane)

    def finish(self, state: BlendingState) -> Fused:
        """Rebuild the image from the sums."""
        depth, confidence = state.peak.finish()
        return Fused(state.rebuild(), depth, confidence)
