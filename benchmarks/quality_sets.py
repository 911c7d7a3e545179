"""The data sets of the tables: which cases, scored how, which rows, what is asked.

Must not know: how cases are made, how scores are computed, how tables are laid out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import quality_data
import quality_scores
from quality_targets import (
    AGAINST_PEERS,
    HELD_OUT,
    LYTRO,
    MFI,
    NETWORKS,
    NO_HALO,
    OURS,
    QUIET,
    RELIEF,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from quality_data import Case
    from quality_tables import Scores, Target

SINGLE = "best single plane"
ENFUSE, PUBLISHED = "enfuse (hard mask)", "focus-stack (published)"
_SLOW = ("fusion2void", "rpsnn")  # minutes a stack on two cores
COPYING = "umis (feather 0)"
_SLOWISH = (*_SLOW, "fusionnet", "umis", COPYING)  # half a minute
CASCADES = ("fusion2void (cascade)", "fusionnet (cascade)")
"""Rows for `DataSet.only` alone."""

# Of real stacks, where methods stand side by side.
_SHOWN = (
    OURS, "adaptive (quantitative)", "complex-wavelet", "guided", "laplacian", "select (smooth 2)",
    "pdmnet", ENFUSE, "Shine Stacker (pyramid)",
)  # fmt: skip
_CLAIMED = (
    "umis", COPYING, "pdmnet", OURS, "select", "laplacian", "wavelet", "complex-wavelet",
    ENFUSE, "enfuse (soft mask)", "Shine Stacker (pyramid)", PUBLISHED,
)  # fmt: skip
_ORDERS = ("fusion2void", "fusion2void (cascade)", "fusionnet", "fusionnet (cascade)")


@dataclass(frozen=True)
class DataSet:
    """Stacks that are scored alike."""

    title: str
    cases: Callable[[], Iterator[Case]]
    score: Callable[[Case, NDArray[Any], NDArray[Any] | None], Scores]
    targets: tuple[Target, ...] = ()
    worst: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    """Scores whose worst case is shown too: ``min`` or ``max``."""
    by_case: bool = False
    """One table a score, one row a case, instead of means over the cases."""
    only: tuple[str, ...] = ()
    """The rows of a table that would else be too wide."""
    without: tuple[str, ...] = ()
    """Rows that would mean nothing."""
    costly: tuple[str, ...] = ()
    """Rows that are left out unless asked for: too many planes for them."""
    relative_to: str = ""
    """The row that all others are divided by."""

    def shows(self, row: str) -> bool:
        """Whether a method or peer has a row."""
        if self.only:
            return row in self.only
        return row not in self.without and row not in CASCADES


def data_sets(data: Path, published: Path | None = None) -> dict[str, DataSet]:
    """Return all data sets; those of `data` that is not there have no cases.

    Parameters
    ----------
    data
        Folder with ``pairs`` and ``stacks``.
    published
        focus-stack's example: `quality_data.claimed`.
    """
    near = {"SSIM": min, "PSNR dB": min}
    both = {**near, "depth error": max}
    sets = {
        "simulated": DataSet(
            "Simulated stacks",
            quality_data.simulated,
            quality_scores.with_truth,
            AGAINST_PEERS,
            both,
            costly=_SLOW,
        ),
        "unseen": DataSet(
            "Simulated stacks, never tuned on",
            quality_data.unseen,
            quality_scores.with_truth,
            AGAINST_PEERS,
            both,
            costly=_SLOWISH,
        ),
        "optics": DataSet(
            "Stacks from optics",
            quality_data.optics,
            quality_scores.optics,
            by_case=True,
            costly=_SLOW,
        ),
        "halo": DataSet("Halo", quality_data.halo, quality_scores.halo, NO_HALO, by_case=True),
        "flat": DataSet(
            "Never in focus",
            quality_data.flat,
            quality_scores.flat,
            QUIET,
            by_case=True,
            costly=_SLOW,
        ),
    }
    if (data / "pairs").is_dir():
        sets |= {
            "mfi-held-out": DataSet(
                "MFI-WHU, pairs 71 to 80",
                partial(quality_data.mfi, data, 71),
                quality_scores.pairs,
                HELD_OUT,
                near,
            ),
            "mfi": DataSet(
                "MFI-WHU, pairs 1 to 80",
                partial(quality_data.mfi, data),
                quality_scores.pairs,
                MFI,
                near,
                without=(*NETWORKS, COPYING),
            ),
            "lytro": DataSet(
                "Lytro, pairs 1 to 12",
                partial(quality_data.lytro, data),
                quality_scores.pairs,
                LYTRO,
            ),
        }
    if (data / "stacks").is_dir():
        sets |= {
            "relief": DataSet(
                "Rendered relief",
                partial(quality_data.relief, data),
                quality_scores.with_truth,
                RELIEF,
                by_case=True,
                costly=_SLOW,
            ),
            "real": DataSet(
                "Real stacks",
                partial(quality_data.real, data),
                quality_scores.without_truth,
                by_case=True,
                only=_SHOWN,
            ),
            "claim": DataSet(
                "UMIS' claim",
                partial(quality_data.claimed, data, published),
                quality_scores.sharpness,
                by_case=True,
                only=_CLAIMED,
                relative_to=ENFUSE,
            ),
            "order": DataSet(
                "Order of pairs",
                partial(quality_data.orders, data),
                quality_scores.orders,
                by_case=True,
                only=_ORDERS,
            ),
        }
    return sets
