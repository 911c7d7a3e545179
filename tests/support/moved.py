"""Stacks that move in a known way: what alignment is to find."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from zfuse.pipeline.alignment._reader import AlignedReader
from zfuse.pipeline.alignment._similarity import Similarity
from zfuse.pipeline.simulation import make_settings, simulate
from zfuse.pipeline.sources import from_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["injected", "moved", "still"]

_PLANES = 9


@cache
def still(
    kind: str = "relief",
    size: int = 256,
    seed: int = 0,
    planes: int = _PLANES,
    photons: float = 3000,
) -> NDArray[np.uint16]:
    """Return a simulated stack that does not move; kept, so leave it as it is."""
    settings = make_settings(kind, size=size, planes=planes, seed=seed, photons=photons)
    return simulate(settings).planes


def injected(what: str, amount: float, size: int, planes: int = _PLANES) -> list[Similarity]:
    """Return transforms whose farthest corner moves by `amount` px from the middle plane.

    ``shift`` and ``scale`` go on from plane to plane, ``jitter`` is independent, ``jump`` is one
    step behind the middle plane.
    """
    middle = planes // 2
    path = (np.arange(planes) - middle) / middle
    if what == "jump":
        path = (np.arange(planes) > middle).astype(float)
    if what == "scale":
        centre = complex(size - 1, size - 1) / 2
        factors = 1 + path * amount / abs(centre)
        return [Similarity(f, centre * (1 - f)) for f in factors]
    direction = np.full(planes, complex(0.8, 0.6))
    if what == "jitter":
        path = (np.arange(planes) != middle).astype(float)
        direction = np.exp(2j * np.pi * np.random.default_rng(1).random(planes))
    return [Similarity(shift=complex(p * d) * amount) for p, d in zip(path, direction, strict=True)]


def moved(planes: NDArray[np.uint16], transforms: Sequence[Similarity]) -> NDArray[np.uint16]:
    """Return the planes under transforms; the middle one stays."""
    count, height, width = planes.shape
    reader = AlignedReader(from_array(planes).reader, [list(transforms)], count // 2)
    seen: NDArray[np.uint16] = reader.read(0, slice(0, count), slice(0, height), slice(0, width))
    return np.ascontiguousarray(seen[:, 0])
