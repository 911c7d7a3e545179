"""Taps of the wavelets, as the kernels take them.

Duty: published filters, aligned so that going down and up again gives the plane back. Must not
know: planes, levels. Taps are as in PyWavelets (`pywt.Wavelet`), which the tests compare them
with.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Taps = NDArray[np.float32]

__all__ = ["FilterBank", "WaveletName", "dual_tree", "wavelet"]

WaveletName = Literal["haar", "db2", "db4", "sym4", "bior2.2", "bior4.4"]


@dataclass(frozen=True)
class FilterBank:
    """Two filters down and two up.

    Attributes
    ----------
    down, up
        (2, L) low- and high-pass taps; L is a multiple of 4.
    origin
        Which tap lies on sample 2i.
    length
        Taps that are not padding.
    """

    down: Taps
    up: Taps
    origin: int
    length: int

    @property
    def reach(self) -> int:
        """Samples to one side that going down and up again depends on."""
        return self.length - 1

    @property
    def mirror(self) -> int:
        """Samples beyond an edge that going up needs to be right at the edge."""
        return max(self.origin, self.length - 1 - self.origin)


# Going down and going up; orthogonal wavelets have one filter for both. Daubechies (Ten lectures on
# wavelets, 1992), tables 6.1 (db), 6.3 (sym), 8.2 and 8.3 (bior; bior4.4 is that of JPEG 2000).
_LOW_PASS: dict[str, tuple[Sequence[float], ...]] = {
    "haar": ((0.7071067811865476, 0.7071067811865476),),
    "db2": (
        (0.48296291314453416, 0.8365163037378079, 0.2241438680420134, -0.12940952255126037),
    ),
    "db4": (
        (
            0.2303778133088965, 0.7148465705529157, 0.6308807679298589, -0.027983769416859854,
            -0.18703481171909309, 0.030841381835560764, 0.0328830116668852, -0.010597401785069032,
        ),
    ),
    "sym4": (
        (
            0.0322231006040427, -0.012603967262037833, -0.09921954357684722, 0.29785779560527736,
            0.8037387518059161, 0.49761866763201545, -0.02963552764599851, -0.07576571478927333,
        ),
    ),
    "bior2.2": (
        (
            -0.1767766952966369, 0.3535533905932738, 1.0606601717798212, 0.3535533905932738,
            -0.1767766952966369, 0.0,
        ),
        (0.0, 0.3535533905932738, 0.7071067811865476, 0.3535533905932738, 0.0, 0.0),
    ),
    "bior4.4": (
        (
            0.03782845550726404, -0.023849465019556843, -0.11062440441843718, 0.37740285561283066,
            0.8526986790088938, 0.37740285561283066, -0.11062440441843718, -0.023849465019556843,
            0.03782845550726404, 0.0,
        ),
        (
            0.0, -0.06453888262869706, -0.04068941760916406, 0.41809227322161724,
            0.7884856164055829, 0.41809227322161724, -0.04068941760916406, -0.06453888262869706,
            0.0, 0.0,
        ),
    ),
}  # fmt: skip

# Kingsbury's near-symmetric (5, 7) pair for the first level and his 10-tap quarter-shift filter for
# the others (Complex wavelets for shift invariant analysis and filtering of signals, Appl. Comput.
# Harmon. Anal. 10, 2001; A dual-tree complex wavelet transform with improved orthogonality and
# symmetry properties, ICIP 2000).
_FIRST_LOW = (-0.05, 0.25, 0.6, 0.25, -0.05)
_FIRST_LOW_UP = (-3 / 280, -3 / 56, 73 / 280, 17 / 28, 73 / 280, -3 / 56, -3 / 280)
_QUARTER_SHIFT = (
    0.051130405283831656, -0.013975370246888838, -0.10983605166597087, 0.26383956105893763,
    0.7666284677930372, 0.5636557101270515, 0.0008736226952170968, -0.1002312195074762,
    -0.0016896812725281543, -0.006181881892116438,
)  # fmt: skip


@cache
def wavelet(name: WaveletName) -> FilterBank:
    """Return the filters of a discrete wavelet."""
    low = _LOW_PASS[name]
    return _bank(low[0], low[-1])


@cache
def dual_tree(first: bool) -> tuple[FilterBank, FilterBank]:
    """Return the filters of trees a and b, of the first level or of the others.

    Tree b samples half-way between the samples of tree a: on the first level it lies one sample
    further, on the others its filter is tree a's reversed, which lags half a sample more.
    """
    if not first:
        lagging = _QUARTER_SHIFT[::-1]
        return _bank(_QUARTER_SHIFT, _QUARTER_SHIFT), _bank(lagging, lagging)
    # Odd filters: the low-pass band of tree a lies on even samples, its high-pass band on odd ones.
    # The high-pass filters are the other direction's low-pass with every second sign changed.
    high = _FIRST_LOW_UP * np.array([1, -1] * 4)[:7] * -1
    high_up = _FIRST_LOW * np.array([1, -1] * 3)[:5]
    gain, length, origin = np.sqrt(2), 8, 3

    def place(taps: Sequence[float] | NDArray[np.float64], centre: int) -> NDArray[np.float64]:
        row = np.zeros(length)
        start = origin + centre - len(taps) // 2
        row[start : start + len(taps)] = taps
        placed: NDArray[np.float64] = gain * row
        return placed

    banks = []
    for low_at, high_at in ((0, 1), (1, 0)):
        down = np.array([place(_FIRST_LOW, low_at), place(high, high_at)], np.float32)
        up = np.array([place(_FIRST_LOW_UP, low_at), place(high_up, high_at)], np.float32)
        banks.append(FilterBank(down, up, origin, length))
    return banks[0], banks[1]


def _bank(down: Sequence[float], up: Sequence[float]) -> FilterBank:
    """Complete even low-pass filters with their quadrature mirrors."""
    length = len(down)
    sign = np.array([1, -1] * (length // 2))
    low, low_up = np.array(down), np.array(up)
    padding = ((0, 0), (0, -length % 4))
    return FilterBank(
        np.pad(np.array([low, sign * low_up[::-1]], np.float32), padding),
        np.pad(np.array([low_up, sign * low[::-1]], np.float32), padding),
        length // 2 - 1,
        length,
    )
