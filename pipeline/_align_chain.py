"""From fits between planes to one transform a plane: links of a chain that check each other.

Duty: which planes are compared, least squares over the links, what is believed. Planes come one
after another; a handful is kept. Must not know: files, how a plane is read or resampled.

Neighbours differ least in defocus, but small errors add up along a chain. So planes a few steps
apart are compared too, starting from what the chain says, and all links are joined by weighted
least squares. Afterwards each step from a plane to the next is tried on the pixels: one that makes
them less alike is dropped.
"""

from __future__ import annotations

import cmath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from zfuse.pipeline._align_estimate import Fit, Levels, fit_pair
from zfuse.pipeline._align_transform import IDENTITY, Transform

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["Link", "link_planes", "solve"]

Freedom = Literal["translation", "similarity"]
Size = tuple[int, int]

_FAR = 4  # planes: the second comparison of each plane
_FLOOR = 0.01  # px: no fit is better than this, whatever its blocks say


@dataclass(frozen=True)
class Link:
    """How plane `last` lies on plane `first`."""

    first: int
    last: int
    fit: Fit


def link_planes(planes: Iterable[NDArray[np.float32]], freedom: Freedom) -> list[Link]:
    links: list[Link] = []
    kept: list[Levels] = []
    steps: list[Transform] = []
    for z, plane in enumerate(planes):
        kept.append(Levels(plane))
        if z == 0:
            continue
        fit = fit_pair(kept[-2], kept[-1], freedom)
        links.append(Link(z - 1, z, fit))
        steps.append(fit.transform)
        if len(kept) > _FAR:
            start = IDENTITY
            for step in steps[-_FAR:]:
                start = step.after(start)
            links.append(Link(z - _FAR, z, fit_pair(kept[0], kept[-1], freedom, start)))
            kept.pop(0)
    return links


def solve(links: Sequence[Link], planes: int, reference: int, size: Size) -> list[Transform]:
    """Join links to one transform a plane, that of the reference being the identity."""
    centre = complex(size[1] - 1, size[0] - 1) / 2
    far = abs(centre)
    turns = np.zeros((len(links), planes), np.complex128)
    moves = np.zeros_like(turns)
    turn, move = np.zeros(len(links), np.complex128), np.zeros(len(links), np.complex128)
    errors = np.ones((len(links), 2))
    for n, link in enumerate(links):
        t = link.fit.transform
        turns[n, link.first], turns[n, link.last] = -1, 1
        moves[n, link.first], moves[n, link.last] = -t.factor, 1
        turn[n], move[n] = cmath.log(t.factor), t(centre) - centre
        shift, corner = (min(e, 1e3) for e in link.fit.errors)
        errors[n] = np.hypot(shift, _FLOOR), np.hypot(corner, _FLOOR) / far
    u = _robust(turns, turn, errors[:, 1], reference)
    d = _robust(moves, move, errors[:, 0], reference)
    transforms = []
    for z in range(planes):
        factor = cmath.exp(u[z])
        transforms.append(Transform(factor, d[z] + centre * (1 - factor)))
    return transforms


def _robust(matrix, values, errors, reference):
    """Least squares with Huber weights, the reference held at 0."""
    free = [z for z in range(matrix.shape[1]) if z != reference]
    weight = 1 / errors
    solution = np.zeros(matrix.shape[1], np.complex128)
    for _ in range(10):
        solution[free] = np.linalg.lstsq(
            matrix[:, free] * weight[:, None], values * weight, rcond=None
        )[0]
        off = np.abs(matrix @ solution - values) / errors
        weight = np.sqrt(np.minimum(1, 3 / np.maximum(off, 1e-9))) / errors
    return solution
