"""What training draws from: scenes, and sources that make them.

The sources that read folders and simulate optics are in `zfuse.pipeline.scenes`, because the
simulator is the pipeline's. Must not know: networks, losses, where pixels come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Scene", "SceneSource"]


@dataclass(frozen=True)
class Scene:
    """One training example, values 0..1.

    Attributes
    ----------
    truth
        (C, H, W) float32, all in focus, without noise.
    planes
        (N, C, H, W) float32, as a camera sees them; a pair has N = 2.
    depth
        (H, W) float32 in planes, or None where unknown.
    noise
        Gain and floor: the variance of the planes' noise is gain · value + floor.
    """

    truth: NDArray[np.float32]
    planes: NDArray[np.float32]
    depth: NDArray[np.float32] | None
    noise: tuple[float, float]


class SceneSource(Protocol):
    """Makes scenes of one crop size and number of planes, fresh ones at every call."""

    def draw(self, rng: np.random.Generator, step: int) -> Scene:
        """Make a scene; the same generator state and step of the training give the same scene.

        With the step a source can keep what is costly for some steps, and then renew it.
        """
