"""Pixels as floats for the methods that blend: holes filled going in, dtype restored coming out.

Duty: what every blending method needs of a stack before it starts (decision signal, noise, a value
for holes), planes as float32 without NaN, the blended image in the input's dtype. Must not know:
how planes are blended.

A NaN or infinite pixel is a hole. Filters would spread it, and its rim would be the sharpest edge
of all; so it is filled from finite neighbours within 12 px, further inside with the channel's
median, and the method is told where, so that a hole never wins. Where no plane is finite, the
result is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import add_expanded, reduce_plane
from zfuse.pipeline.core import Signal, value_step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Region, Sample

    Plane = NDArray[np.float32]

__all__ = ["FILL_ALIGN", "FILL_REACH", "Blend", "FloatPlanes", "mix", "near", "to_dtype"]

_FILL_LEVELS = 2
FILL_ALIGN = 1 << _FILL_LEVELS
FILL_REACH = 12  # pixels: two reductions see 6, two expansions 6 more

_QUIET_SHARE = 0.25  # of the blocks: those with least texture show the noise
# No number here is in counts: pixels may be volts, or counts divided by 65535. What depends on
# counts is in steps of the pixels' own values, see `Blend.step`.
_LEAST_NOISE = 0.3  # steps: rounding to whole ones


@dataclass(frozen=True)
class Blend:
    """What a blending method settles for the whole stack.

    Attributes
    ----------
    signal
        How channels become the decision signal.
    noise
        Standard deviation of the decision signal's noise, in its own steps.
    step
        What pixels are rounded to, in steps of the decision signal; at least 1, which it is rounded
        to itself.
    fill
        Median of each channel: what stands in for pixels in the middle of a hole.
    """

    signal: Signal
    noise: float
    step: float
    fill: tuple[float, ...]

    @classmethod
    def calibrate(cls, sample: Sample) -> Blend:
        """Estimate from the sample."""
        signal = Signal.calibrate(sample)
        noise = _noise([_decision(p, np.array(signal.weights)) for p in sample.patches])
        step = 1.0
        if len(signal.weights) == 1:  # mixed channels have no step
            pixels = np.concatenate([p.ravel() for p in sample.patches])
            step = max(step, value_step(pixels) * signal.weights[0])
        fill = []
        for c in range(sample.stack.shape[1]):
            values = np.concatenate([p[:, c].ravel() for p in sample.patches])
            values = values[np.isfinite(values)]
            fill.append(float(np.median(values)) if values.size else 0.0)
        return cls(signal, max(noise, _LEAST_NOISE * step), step, tuple(fill))

    @property
    def weights(self) -> NDArray[np.float32]:
        """Weights of the channels in the decision signal."""
        return np.array(self.signal.weights, np.float32)


def _decision(patch: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mix a patch (n, C, Y, X) into the decision signal; NaN where it is not finite."""
    used = weights != 0
    values = np.moveaxis(patch, 1, -1)[..., used].astype(np.float64)
    mixed: NDArray[np.float64] = np.where(np.isfinite(values), values, np.nan) @ weights[used]
    return mixed


def _noise(stacks: list[NDArray[np.float64]]) -> float:
    """Return the standard deviation of the noise, from the quietest 8 x 8 blocks.

    Immerkær (Fast noise variance estimation, CVIU 64, 1996): the difference of two Laplacians is
    blind to slopes and edges along the axes; the mean of its magnitude in white noise is 6 σ
    √(2/π).
    """
    edge, levels = 8, []
    for stack in stacks:
        d = np.diff(np.diff(stack, 2, axis=-1), 2, axis=-2)
        n, height, width = d.shape
        rows, columns = height // edge, width // edge
        blocks = np.abs(d[:, : rows * edge, : columns * edge])
        blocks = blocks.reshape(n, rows, edge, columns, edge).mean((2, 4))
        levels.append(blocks[np.isfinite(blocks)])
    level = np.concatenate(levels) if levels else np.zeros(0)
    if level.size == 0:
        return 0.0
    return float(np.quantile(level, _QUIET_SHARE) * np.sqrt(np.pi / 2) / 6)


def mix(bands: Plane, weights: NDArray[np.float32]) -> Plane:
    """Mix bands (C, Y, X) as the decision signal mixes pixels: the filters are linear."""
    if len(bands) == 1 and weights[0] == 1:
        single: Plane = bands[0]
        return single
    mixed = weights[0] * bands[0]
    for weight, band in zip(weights[1:], bands[1:], strict=True):
        mixed += weight * band
    return np.asarray(mixed, np.float32)


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
        """Return one plane (C, Y, X) of what is shown as a new float array, and its holes.

        The holes (Y, X) are 1 where a channel is NaN or infinite, else 0; None when there are none.
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
            _fill_holes(plane, finite, np.float32(value))
        return planes, np.asarray(~finite, np.float32)

    def unknown(self) -> NDArray[np.bool_] | None:
        """Return where in the core no plane was finite; None for dtypes that are always finite."""
        return ~self._seen[self.core] if self._dtype.kind == "f" else None

    def to_dtype(self, image: Plane) -> NDArray[Any]:
        """Return the core of a blended image (C, Y, X) in the input's dtype."""
        core = image[:, *self.core]
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
    return np.clip(np.rint(image), limits.min, limits.max).astype(dtype)


def near(holes: Plane, reach: int) -> NDArray[np.bool_]:
    """Return the pixels within `reach` of a hole, in a square."""
    from scipy import ndimage

    grown: NDArray[np.bool_] = ndimage.maximum_filter(holes, 2 * reach + 1, mode="nearest") > 0
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


def _fill_holes(plane: Plane, finite: NDArray[np.bool_], value: np.float32) -> None:
    """Fill a plane where it is not finite: the means of finite pixels at two coarser scales."""
    weight = np.asarray(finite, np.float32)
    means = [np.where(finite, plane, 0)]
    weights = [weight]
    for _ in range(_FILL_LEVELS):
        shape = tuple((n + 1) // 2 for n in weight.shape)
        total, count = np.empty(shape, np.float32), np.empty(shape, np.float32)
        reduce_plane(means[-1] * weight, total)
        reduce_plane(weight, count)
        weight = count
        means.append(np.where(count > 0, total / np.where(count > 0, count, 1), value))
        weights.append(count)
    for level in range(_FILL_LEVELS - 1, -1, -1):
        expanded = np.empty_like(means[level])
        add_expanded(np.zeros_like(expanded), means[level + 1], expanded)
        means[level] = np.where(weights[level] > 0, means[level], expanded)
    plane[:] = means[0]
