"""How likely the depth is within one plane of the truth, told by what there is to see.

Duty: evidence for and against a depth map at half size, and the probability that a small network
makes of it. Its numbers, for each kind of depth, lie in `trust.json` beside this module;
`benchmarks/confidence.py` fits them on simulated stacks of many specimens, optics and cameras, and
says in the file on which and how well. Must not know: how depth was found, tiles.

Half-size pixels are those of even rows and columns of the image. All evidence is the same whatever
the unit of the pixels is, and from whichever side the stack is seen.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zfuse.kernels import DepthClues, collect_evidence, interpolate_doubled, probability

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["Evidence", "ScalePeak", "Trust", "halved"]

_BLOCK = 4  # kinds of evidence that the kernel adds up at a time


class ScalePeak(NamedTuple):
    """One running focus peak at half size.

    Attributes
    ----------
    depth
        (h, w) in planes.
    stands_out
        (h, w) 0 … 1, the peak's height over the mean of the other planes.
    gain
        What turns that into what counts as half sure.
    """

    depth: Plane
    stands_out: Plane
    gain: float


class Evidence:
    """What speaks for and against a depth map at half size.

    Parameters
    ----------
    depth
        (h, w) in planes, what was settled on.
    peaks
        That it was chosen from.
    planes
        Of the stack.
    radii
        Distances in half-size pixels at which its roughness is measured: that far round a pixel
        the depth counts.
    further
        (h, w) each, in 0 … 1.
    """

    def __init__(
        self,
        depth: Plane,
        peaks: Sequence[ScalePeak],
        planes: int,
        radii: Sequence[int],
        further: Sequence[Plane] | NDArray[np.float32] = (),
    ) -> None:
        self.shape = depth.shape
        self.kinds = -(-(2 * len(peaks) + 2 * len(radii) + 1 + len(further)) // _BLOCK) * _BLOCK
        # Slopes go on beyond the image's edge.
        padded = np.pad(depth, max(radii), "reflect", reflect_type="odd")
        self.clues = DepthClues(
            padded.astype(np.float32, copy=False),
            np.array(radii, np.int64),
            tuple(peak.depth for peak in peaks),
            tuple(peak.stands_out for peak in peaks),
            np.array([peak.gain for peak in peaks], np.float32),
            np.asarray(further, np.float32).reshape(-1, *depth.shape),
            float(planes - 1),
        )

    def planes(self) -> Plane:
        """Return all kinds (4 n, h, w), see `zfuse.kernels.collect_evidence`."""
        out = np.empty((self.kinds, *self.shape), np.float32)
        collect_evidence(self.clues, out)
        return out

    def means(self) -> NDArray[np.float64]:
        """Return the mean of each kind (4 n,)."""
        return np.asarray(self.planes().mean((1, 2), np.float64))


class Trust:
    """The probability of one kind of depth.

    Parameters
    ----------
    kind
        ``"adaptive"``, ``"select"``, ``"peak"``, ``"umis"`` or ``"pdmnet"``.
    stack
        What is known of the stack as a whole, as many figures as the numbers were fitted to.
    """

    def __init__(self, kind: str, stack: Sequence[float]) -> None:
        self.kind, self.stack = kind, tuple(float(v) for v in stack)

    def probability(self, evidence: Evidence) -> Plane:
        """Return the probability at half size (h, w); 0 where no peak stands out at all."""
        numbers = _numbers()[self.kind]
        hidden, weights = (np.array(numbers[key], np.float32) for key in ("hidden", "weights"))
        # In float64, then rounded: the same for all tiles.
        bias = np.array(numbers["bias"]) + np.array(numbers["stack"]) @ np.array(self.stack)
        out = np.empty(evidence.shape, np.float32)
        probability(evidence.clues, hidden, bias.astype(np.float32), weights, numbers["last"], out)
        return out


def halved(plane: NDArray[Any]) -> NDArray[Any]:
    """Return the half-size pixels of a plane that begins at an even row and column."""
    return np.ascontiguousarray(plane[::2, ::2])


def doubled(half: Plane, shape: tuple[int, ...]) -> Plane:
    """Return a map at half size interpolated to `shape`."""
    out = np.empty(shape, np.float32)
    interpolate_doubled(half, out)
    return out


@cache
def _numbers() -> dict[str, Any]:
    text = files("zfuse.pipeline.methods.parts").joinpath("trust.json").read_text("utf-8")
    numbers: dict[str, Any] = json.loads(text)
    return numbers
