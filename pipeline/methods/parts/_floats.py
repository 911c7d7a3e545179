"""Pixels as floats: what is invalid is filled going in, the dtype restored coming out.

Duty: planes as float32 without NaN, and where they were invalid; images in the input's dtype. Must
not know: how planes are blended.

A NaN or infinite pixel is invalid. Filters would spread it, and its rim would be the sharpest edge
of all; so it is filled from finite neighbours within 12 px, further inside with the channel's
median, and the method is told where, so that such a pixel never wins. Where no plane is finite, the
result is NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.pipeline.methods.parts._pyramid import expanded, reduced

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Region

    Plane = NDArray[np.float32]

__all__ = ["FILL_ALIGN", "FILL_REACH", "FloatPlanes", "near", "to_dtype"]

_FILL_LEVELS = 2
FILL_ALIGN = 1 << _FILL_LEVELS
FILL_REACH = 12  # pixels: two reductions see 6, two expansions 6 more


class FloatPlanes:
    """What one region is shown, as floats, and back.

    Parameters
    ----------
    region
        Its core is returned in the end.
    halo
        Pixels round the core that the method works on.
    dtype
        Of the pixels.
    fill
        See `Blend`.
    mirror
        Pixels that are mirrored at the image's own edge, beyond the next multiple of `grid_step`.
        By default the planes end where the image ends.
    grid_step
        Coarsest pixel of the method.

    Attributes
    ----------
    cut
        (y, x) slices: where in what is shown the planes lie, without what is mirrored.
    shape
        (Y, X) of the planes.
    core
        Where in them the region's core lies.
    """

    def __init__(
        self,
        region: Region,
        halo: int,
        dtype: np.dtype[Any],
        fill: tuple[float, ...],
        mirror: int | None = None,
        grid_step: int = 1,
    ) -> None:
        self.cut: tuple[slice, ...] = region.padded(halo)
        starts = [s.start + w.start for s, w in zip(self.cut, region.shown, strict=True)]
        shape = tuple(s.stop - s.start for s in self.cut)
        self._mirrored: list[tuple[NDArray[np.intp], NDArray[np.intp]]] | None = None
        if mirror is not None:
            axes = [
                _mirror(core, halo, size, mirror, grid_step)
                for core, size in zip(region.core, region.image, strict=True)
            ]
            self._mirrored = [
                (i[: start - begin] - start, i[start - begin + n :] - start)
                for (begin, i), start, n in zip(axes, starts, shape, strict=True)
            ]
            starts, shape = [begin for begin, _ in axes], tuple(len(i) for _, i in axes)
        self.shape = shape
        y, x = (core.start - start for core, start in zip(region.core, starts, strict=True))
        height, width = region.shape
        self.core = (slice(y, y + height), slice(x, x + width))
        self._dtype = dtype
        self._fill = fill
        self._seen = np.zeros(self.shape if dtype.kind == "f" else (0, 0), np.bool_)

    def to_float(self, pixels: NDArray[Any]) -> tuple[Plane, Plane | None]:
        """Return one plane (C, Y, X) of what is shown as new floats, and where it is invalid.

        The latter (Y, X) is 1 where a channel is NaN or infinite, else 0; None where none is.
        """
        planes = pixels[:, *self.cut].astype(np.float32)
        if self._mirrored is not None:
            for axis, outside in enumerate(self._mirrored, 1):
                planes = _extend(planes, axis, *outside)
        if self._dtype.kind != "f":
            return planes, None
        finite = np.asarray(np.isfinite(planes).all(0))
        self._seen |= finite
        if finite.all():
            return planes, None
        for plane, value in zip(planes, self._fill, strict=True):
            _fill_invalid(plane, finite, np.float32(value))
        return planes, np.asarray(~finite, np.float32)

    def never_valid(self) -> NDArray[np.bool_] | None:
        """Return where in the core no plane was finite; None for dtypes that are always finite."""
        return ~self._seen[self.core] if self._dtype.kind == "f" else None

    def to_dtype(self, image: Plane) -> NDArray[Any]:
        """Return the core of a blended image (C, Y, X) in the input's dtype."""
        return self.core_to_dtype(image[:, *self.core])

    def core_to_dtype(self, core: Plane) -> NDArray[Any]:
        """Do the same with the core alone."""
        if self._dtype.kind == "f":
            core = core.astype(self._dtype)
            core[:, ~self._seen[self.core]] = np.nan
            return core
        return to_dtype(core, self._dtype)


def to_dtype(image: Plane, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return floats in another dtype: integers are rounded, and no more than it can hold."""
    if dtype.kind == "f":
        return np.asarray(image, dtype)
    limits = np.iinfo(dtype)
    rounded = np.rint(image)
    return np.clip(rounded, limits.min, limits.max, out=rounded).astype(dtype)


def near(invalid: Plane, reach: int) -> NDArray[np.bool_]:
    """Return the pixels within `reach` of an invalid one, in a square."""
    from scipy import ndimage

    grown: NDArray[np.bool_] = ndimage.maximum_filter(invalid, 2 * reach + 1, mode="nearest") > 0
    return grown


def _mirror(
    core: slice, halo: int, size: int, mirror: int, grid_step: int
) -> tuple[int, NDArray[np.intp]]:
    """Return where an axis begins and the image's pixel at each of its positions."""
    start, stop = core.start - halo, core.stop + halo
    if start < 0:
        start = -mirror
    if stop > size:
        stop = -(-size // grid_step) * grid_step + mirror
    i = np.arange(start, stop) % (2 * size)
    return start, np.minimum(i, 2 * size - 1 - i)


def _extend(planes: Plane, axis: int, before: NDArray[np.intp], after: NDArray[np.intp]) -> Plane:
    """Put the pixels at some positions of an axis before and after it."""
    if before.size + after.size == 0:
        return planes
    ends = planes.take(before, axis), planes.take(after, axis)
    return np.concatenate([ends[0], planes, ends[1]], axis)


def _fill_invalid(plane: Plane, finite: NDArray[np.bool_], value: np.float32) -> None:
    """Fill a plane where it is not finite: the means of finite pixels at two coarser scales."""
    weight = np.asarray(finite, np.float32)
    means = [np.where(finite, plane, 0)]
    weights = [weight]
    for _ in range(_FILL_LEVELS):
        total, weight = reduced(means[-1] * weight), reduced(weight)
        means.append(np.where(weight > 0, total / np.where(weight > 0, weight, 1), value))
        weights.append(weight)
    mean = means.pop()
    for finer, weight in zip(reversed(means), reversed(weights[:-1]), strict=True):
        mean = np.where(weight > 0, finer, expanded(mean, finer.shape))
    plane[:] = mean
