"""How likely the depth is within one plane of the truth, told by what there is to see.

Duty: evidence of a depth map at half size, one plane (h, w) a kind of evidence, and the probability
that a small network makes of it. Its numbers, for each kind of depth, lie in `trust.json` beside
this module; `benchmarks/confidence.py` fits them on simulated stacks of many specimens, optics and
cameras, and says in the file on which and how well. Must not know: how depth was found, tiles.

Half-size pixels are those of even rows and columns. All evidence lies in 0 … 1 and is the same
whatever the unit of the pixels is, from whichever side the stack is seen.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zfuse.kernels import peak_evidence, probability, roughness
from zfuse.pipeline.methods.parts._pyramid import expanded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["Evidence", "ScalePeak", "Trust", "collect_evidence", "halved"]

_LEAST = np.float32(1e-3)  # of evidence that anything stands out: equal planes, but for rounding
_NEAR_END = 2.0  # planes


class ScalePeak(NamedTuple):
    """One running focus peak at half size.

    Attributes
    ----------
    depth
        (h, w) in planes.
    stands_out
        (h, w) 0 … 1, the peak's height over the mean of the other planes.
    gain
        Deviations of noise in that height, relative to those that count for half.
    """

    depth: Plane
    stands_out: Plane
    gain: float


class Evidence(NamedTuple):
    """What speaks for and against a depth map at half size.

    Attributes
    ----------
    planes
        (4 K, h, w) float32 in 0 … 1: of each peak how far it lies from the depth, then how much
        each stands out, then how rough the depth is, then how near the stack's ends; 0 … 0.
    silent
        (h, w), where no peak stands out at all.
    """

    planes: Plane
    silent: NDArray[np.bool_]

    def means(self) -> NDArray[np.float64]:
        """Return the means of all kinds (4 K,)."""
        return np.asarray(self.planes.mean((1, 2), np.float64))


def halved(plane: NDArray[Any]) -> NDArray[Any]:
    """Return the half-size pixels of a plane."""
    return np.ascontiguousarray(plane[::2, ::2])


def collect_evidence(
    depth: Plane, peaks: Sequence[ScalePeak], planes: int, radii: Sequence[int]
) -> Evidence:
    """Gather the evidence for a depth map at half size.

    Parameters
    ----------
    depth
        (h, w) in planes, what was settled on.
    peaks
        That it was taken from.
    planes
        Of the stack.
    radii
        Distances in half-size pixels at which its roughness is measured: that far round a pixel
        the depth counts.
    """
    count = 2 * len(peaks) + 2 * len(radii) + 1
    evidence = np.empty((-(-count // 4) * 4, *depth.shape), np.float32)
    for i, peak in enumerate(peaks):
        off, sure = evidence[i], evidence[len(peaks) + i]
        peak_evidence(peak.depth, peak.stands_out, depth, peak.gain, off, sure)
    at = 2 * len(peaks)
    silent = evidence[len(peaks) : at].max(0) < _LEAST
    margin = max(radii)
    # Slopes go on beyond the image's edge.
    padded = np.pad(depth, margin, "reflect", reflect_type="odd").astype(np.float32, copy=False)
    roughness(padded, margin, np.array(radii, np.int64), evidence[at : count - 1])
    end = np.minimum(depth, np.float32(planes - 1) - depth)
    np.multiply(np.clip(end, 0, _NEAR_END), np.float32(1 / _NEAR_END), out=evidence[count - 1])
    evidence[count:] = 0
    return Evidence(evidence, silent)


class Trust:
    """The probability of one kind of depth.

    Parameters
    ----------
    kind
        ``"adaptive"``, ``"peak"``, ``"umis"`` or ``"pdmnet"``.
    stack
        What is known of the stack as a whole, as many figures as the numbers were fitted to.
    """

    def __init__(self, kind: str, stack: Sequence[float]) -> None:
        self.kind, self.stack = kind, tuple(float(v) for v in stack)

    def probability(self, evidence: Evidence) -> Plane:
        """Return the probability at half size (h, w); 0 where nothing stands out."""
        numbers = _numbers()[self.kind]
        hidden, weights = (np.array(numbers[key], np.float32) for key in ("hidden", "weights"))
        # In float64, then rounded: the same for all tiles.
        bias = np.array(numbers["bias"]) + np.array(numbers["stack"]) @ np.array(self.stack)
        out = np.empty(evidence.planes.shape[1:], np.float32)
        probability(evidence.planes, hidden, bias.astype(np.float32), weights, numbers["last"], out)
        out[evidence.silent] = 0
        return out

    @staticmethod
    def at_full_size(half: Plane, shape: tuple[int, int]) -> Plane:
        """Return a probability at half size interpolated to `shape`."""
        full = expanded(half, shape)
        return np.clip(full, 0, 1, out=full)


@cache
def _numbers() -> dict[str, Any]:
    text = files("zfuse.pipeline.methods.parts").joinpath("trust.json").read_text("utf-8")
    numbers: dict[str, Any] = json.loads(text)
    return numbers
