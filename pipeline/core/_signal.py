"""The one signal on which focus is decided for all channels.

Duty: channels (or one named channel), any dtype, to one integer plane that the focus kernels take.
Must not know: focus measures, tiles.

One decision serves all channels, so colours and channels never disagree about depth. RGB decides on
luma (ITU-R BT.601). Fluorescence channels are added with weights 1/noise, so that an empty channel
does not drown a bright one. 8- and 16-bit single channels are passed on untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import mix_signal
from zfuse.pipeline.core._value_step import value_step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core._sample import Sample

__all__ = ["Signal"]

_LUMA = (0.299, 0.587, 0.114)
_NATIVE = (np.dtype(np.uint8), np.dtype(np.uint16))
_STEPS = 2**18 - 1
_STEPS_A_NOISE = 16  # steps that a standard deviation of the noise gets: rounding adds 0.02 % to it
_CAMERA = 2**16  # counts
_HEADROOM = 0.25  # of the sample's range above and below it, at least


@dataclass(frozen=True)
class Signal:
    """Weights that turn pixels into the decision signal: round(offset + Σ weights · pixels)."""

    native: bool
    weights: tuple[float, ...]
    offset: float

    @classmethod
    def calibrate(cls, sample: Sample) -> Signal:
        """Choose weights and scale from the stack's dtype and, where needed, from its pixels."""
        dtype, channels = sample.stack.dtype, sample.stack.shape[1]
        if channels == 1 and dtype in _NATIVE:
            return cls(native=True, weights=(1.0,), offset=0.0)
        with np.errstate(invalid="ignore", over="ignore"):  # infinite pixels: filtered out
            weights = _channel_weights(sample)
            if dtype in _NATIVE:
                low, scale = 0.0, _STEPS / (float(np.iinfo(dtype).max) * weights.sum())
            else:
                low, scale = _sampled_range(sample, weights)
        return cls(
            native=False, weights=tuple((weights * scale).tolist()), offset=float(-low * scale)
        )

    def mixed(self, planes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the signal (n, Y, X) of planes (n, C, Y, X), and which planes hold NaN or inf."""
        n, _, height, width = planes.shape
        invalid = np.zeros(n, np.bool_)
        if self.native:
            return planes[:, 0], invalid
        signal = np.empty((n, height, width), np.int32)
        mix_signal(planes, np.array(self.weights), self.offset, np.empty(width), signal, invalid)
        return signal, invalid


def _channel_weights(sample: Sample) -> NDArray[np.float64]:
    channels = sample.stack.shape[1]
    if sample.channel is not None or channels == 1:
        weights = np.zeros(channels)
        weights[sample.channel or 0] = 1.0
        return weights
    if sample.stack.rgb:
        return np.array(_LUMA)
    weights = np.array([1.0 / _noise([p[:, c] for p in sample.patches]) for c in range(channels)])
    return weights if weights.any() else np.ones(channels)


def _noise(patches: list[NDArray[Any]]) -> float:
    """Return the standard deviation of the noise: median |2c - l - r| of patches."""
    steps = [np.abs(np.diff(p.astype(np.float64), 2, axis=-1)).ravel() for p in patches]
    step = np.concatenate(steps)
    step = step[np.isfinite(step)]
    if step.size == 0:
        return 1.0
    spread = 1.4826 * float(np.median(step)) / 6**0.5
    # Counts near zero have a median of 0; a constant channel has nothing to decide with.
    return spread or float(step.mean()) or np.inf


def _sampled_range(sample: Sample, weights: NDArray[np.float64]) -> tuple[float, float]:
    """Return the value that becomes step 0, and how many steps there are to a unit of the values.

    A sample may miss what little is bright: where the noise is known it gets just enough steps, and
    the rest of the steps reach some 8000 standard deviations beyond the sample on either side (or
    half as far, which leaves twice the steps: see below).

    Pixels that are counts, on whatever scale, become whole numbers of steps if there are enough
    steps for that: then the decision is that of the counts, bit for bit.
    """
    totals = _totals(sample.patches, weights)
    total = _finite(totals)
    if total.size == 0 or total.min() == total.max():  # blank: the specimen lies elsewhere
        totals = _totals(sample.field, weights)
        total = _finite(totals)
    if total.size == 0:
        return 0.0, _STEPS
    low, high = float(total.min()), float(total.max())
    room = _HEADROOM * (high - low) or abs(high) or 1.0
    noise = _noise(totals)
    if np.isfinite(noise):
        room = max(room, 0.5 * (noise * _STEPS / _STEPS_A_NOISE - (high - low)))
    scale = _STEPS / (high - low + 2 * room)
    unit = value_step(total)
    if unit == 0:
        return low - room, scale
    scale = 2.0 ** np.ceil(np.log2(scale * unit)) / unit
    if scale * (1 + 2 * _HEADROOM) * (high - low) > _STEPS:
        scale /= 2
    if high - low < _CAMERA * unit:  # two steps a count: all that a camera can hold is within reach
        scale = max(scale, 2 / unit)
    spare = (_STEPS + 1) / scale - (high - low)
    below = np.floor(0.5 * spare / unit + 0.25)  # never nearly whole
    if scale * unit < 1:  # several counts a step: none lies half-way, where rounding errors decide
        below += 0.25
    return low - below * unit, float(scale)


def _totals(patches: list[NDArray[Any]], weights: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    used = weights != 0
    return [
        np.moveaxis(patch, 1, -1).astype(np.float64)[..., used] @ weights[used] for patch in patches
    ]


def _finite(totals: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    total = np.concatenate([t.ravel() for t in totals])
    return np.asarray(total[np.isfinite(total)])
