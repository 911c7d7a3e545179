"""What methods of one pass that blend planes share: a focus peak for the depth beside their sums.

Must not know: how planes are blended.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from zfuse.pipeline.core import Fused
from zfuse.pipeline.methods._method import Method
from zfuse.pipeline.methods.parts._floats import Blend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Sample
    from zfuse.pipeline.methods.parts._peak import FocusPeak

__all__ = ["BlendingMethod", "BlendingState"]


class BlendingState(ABC):
    """Sums of one region over planes, and its focus peak."""

    def __init__(self, peak: FocusPeak) -> None:
        self._peak = peak

    def add(self, planes: NDArray[Any], z: int) -> None:
        """Fold a block of planes (n, C, Y, X) of what the region is shown."""
        self._peak.add(planes, z)
        for plane in planes:
            self.add_plane(plane)

    def finish(self) -> Fused:
        """Make the image of the sums."""
        depth, confidence = self._peak.finish()
        return Fused(self.image(), depth, confidence)

    @abstractmethod
    def add_plane(self, pixels: NDArray[Any]) -> None:
        """Add one plane (C, Y, X) to the sums."""

    @abstractmethod
    def image(self) -> NDArray[Any]:
        """Return the image (C, h, w) of the core in the input's dtype."""


class BlendingMethod(Method):
    """A method whose picture comes from sums over planes, its depth from the focus peak."""

    family: ClassVar[str] = "transform"
    copies_pixels: ClassVar[bool] = False
    knows_depth: ClassVar[bool] = False

    def calibrate(self, sample: Sample) -> Any:
        """Choose the decision signal, estimate its noise."""
        return Blend.calibrate(sample)
