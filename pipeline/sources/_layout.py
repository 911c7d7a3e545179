"""Where the axes of a file stand, and how a window of it lands in canonical order.

Duty: the only place that knows both the axis order of a file and the (plane, C, Y, X) order of a
read; it works on letters, lengths and slices. Must not know: files, codecs, calibration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

__all__ = [
    "CANONICAL", "DESCENDING", "IGNORED", "Layout", "NoStackError", "default_axes", "pixel_dtype",
]  # fmt: skip

CANONICAL = "tczyx"
IGNORED = "."  # an axis of length 1 that means nothing here, such as the angle of a light sheet
DESCENDING = "its z positions fall: the planes are taken the other way round, the lowest first"
MOST_CHANNELS = 10_000
LONGEST_AXIS = 2**31 - 1


class NoStackError(ZfuseError):
    """An image that is whole but no stack, such as the overview picture of a collection."""


@dataclass(frozen=True)
class Layout:
    """Axes of a file in its own order.

    Attributes
    ----------
    axes
        One letter an axis: ``t c z y x``, or ``.`` for an axis of length 1 that is skipped.
    lengths
        Length of each of them.
    source
        Path, for the refusals.
    """

    axes: str
    lengths: tuple[int, ...]
    source: str

    def __post_init__(self) -> None:
        """Refuse what can't be fused.

        Raises
        ------
        ZfuseError
            There is no z axis, no y or x axis, an axis twice, or one of length 0.
        """
        found = self.axes.replace(IGNORED, "").upper() or "none"
        if len(self.axes) != len(self.lengths):
            raise ZfuseError(
                f"{self.source} declares {len(self.axes)} axes ({found}) for an array of "
                f"{len(self.lengths)} dimensions; correct its metadata"
            )
        if "y" not in self.axes or "x" not in self.axes:
            raise ZfuseError(f"{self.source} is no image: its axes are {found}, y and x are needed")
        if "z" not in self.axes:
            raise NoStackError(
                f"{self.source} has no z axis: its axes are {found}; give a focal stack (if "
                "another axis is really z, open it in Python with zfuse.from_array(..., axes=...))"
            )
        if any(self.axes.count(letter) > 1 for letter in CANONICAL):
            raise ZfuseError(f"{self.source} declares an axis twice ({found}); correct its axes")
        for letter, length in zip(self.axes, self.lengths, strict=True):
            if length == 0:
                what = "zero planes" if letter == "z" else f"axis {letter} of length 0"
                raise ZfuseError(f"{self.source} has {what}; at least 1 is needed: nothing to fuse")
            limit = {"c": MOST_CHANNELS, IGNORED: 1}.get(letter, LONGEST_AXIS)
            if length > limit:
                name = "that is none of TCZYX" if letter == IGNORED else letter
                raise ZfuseError(
                    f"{self.source} has an axis {name} of length {str(length)[:20]}, the most is "
                    f"{limit}; correct its axes"
                )

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Lengths of T, C, Z, Y, X, 1 for absent axes."""
        t, c, z, y, x = (self._of(letter, self.lengths) for letter in CANONICAL)
        return t, c, z, y, x

    @property
    def declared(self) -> str:
        """Axes that are present, in canonical order."""
        return "".join(letter for letter in CANONICAL if letter in self.axes)

    def zyx(self, chunk: tuple[int, ...]) -> tuple[int, int, int]:
        """Pick Z, Y, X out of a chunk shape in file order."""
        z, y, x = (min(self._of(letter, chunk), self._of(letter, self.lengths)) for letter in "zyx")
        return z, y, x

    def selection(self, t: int, z: slice, y: slice, x: slice) -> tuple[slice, ...]:
        """Return the window, all channels, as slices in file order."""
        channels = slice(0, self._of("c", self.lengths))
        window = {"t": slice(t, t + 1), "c": channels, "z": z, "y": y, "x": x}
        return tuple(window.get(letter, slice(0, 1)) for letter in self.axes)

    def view(self, out: NDArray[Any]) -> NDArray[Any]:
        """See `out`, (planes, C, Y, X), in file order, without a copy.

        What is written to the view lands in `out`; it has the shape of `selection`.
        """
        present = [letter for letter in "zcyx" if letter in self.axes]
        cut = out[tuple(slice(None) if letter in present else 0 for letter in "zcyx")]
        order = [present.index(letter) for letter in self.axes if letter in present]
        index = tuple(slice(None) if letter in present else None for letter in self.axes)
        view: NDArray[Any] = cut.transpose(order)[index]
        return view

    def _of(self, letter: str, values: tuple[int, ...]) -> int:
        return values[self.axes.index(letter)] if letter in self.axes else 1


def default_axes(ndim: int, source: str) -> str:
    """Return the axes that an array of so many dimensions has by convention.

    Raises
    ------
    ZfuseError
        There is no convention for it.
    """
    if ndim == 2:
        raise NoStackError(
            f"{source} has no z axis: it is a single 2-D image; give a focal stack (Z, Y, X)"
        )
    if ndim not in (3, 4, 5):
        raise ZfuseError(
            f"{source} has {ndim} dimensions; 3 (ZYX), 4 (CZYX) or 5 (TCZYX) can be read"
        )
    return {3: "zyx", 4: "czyx", 5: "tczyx"}[ndim]


def pixel_dtype(dtype: DTypeLike, source: str) -> np.dtype[Any]:
    """Return the native-endian dtype in which pixels of `dtype` are read; bool becomes uint8 0/1.

    Raises
    ------
    ZfuseError
        Complex, structured, text and object pixels have no focus measure; half and extended
        precision have no kernels.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind not in "uif" or math.prod(dtype.shape) != 1:
        raise ZfuseError(
            f"{source} has pixels of dtype {dtype}; integer and floating point pixels can be "
            "fused: convert it first (of complex data, take the magnitude)"
        )
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        raise ZfuseError(
            f"{source} has pixels of dtype {dtype}; of floating point, float32 and float64 can be "
            "fused: convert it first"
        )
    return dtype.newbyteorder("=")
