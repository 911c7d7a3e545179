"""What a fold returns for one tile, or for a whole stack.

Must not know: how it was made, where it goes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Fused"]


@dataclass(frozen=True)
class Fused:
    """All-in-focus image, depth map and confidence map.

    Attributes
    ----------
    image
        (C, Y, X), or (Y, X) when the input had no channel axis; the input's dtype.
    depth
        float32, in planes from 0, finer than one plane. (Y, X) where there is one decision: of one
        channel (also one with a channel axis), of RGB, of channels together, or of one channel for
        all. (C, Y, X) where each of several channels decides for itself.
    confidence
        float32 in 0..1, of the shape of `depth`: the probability that the depth is
        within one plane of the truth. 0 means that nothing in the stack says which plane is in
        focus here.
    """

    image: NDArray[Any]
    depth: NDArray[np.float32]
    confidence: NDArray[np.float32]

    def blanked(self, min_confidence: float) -> Fused:
        """Return the same with no depth where its confidence is too low.

        Parameters
        ----------
        min_confidence
            Least confidence in 0..1 with which depth is kept; elsewhere it becomes NaN.

        Returns
        -------
        Fused
            Image and confidence are these very arrays, depth is a new one.
        """
        kept = self.confidence >= min_confidence
        return replace(self, depth=np.where(kept, self.depth, np.float32(np.nan)))
