"""The range of values that networks know: pixels to 0..1, and back.

Networks are trained on 8-bit images, so values are scaled: 8-bit pixels by their whole range, all
others by robust limits of the stack's sample, which all its tiles share. Must not know: networks,
tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.pipeline.methods.parts._blending import mix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Sample, Signal

    Plane = NDArray[np.float32]

__all__ = ["ChannelRange", "DecisionRange"]

_ROBUST = (0.1, 99.9)  # per cent of the sample's values
_HEADROOM = 0.1  # of the range between them, on either side


@dataclass(frozen=True)
class ChannelRange:
    """The value of each channel that becomes 0, and how much more becomes 1."""

    low: tuple[float, ...]
    span: tuple[float, ...]

    @classmethod
    def calibrate(cls, sample: Sample) -> ChannelRange:
        """Take them from the sample; the colours of an RGB image share theirs."""
        stack = sample.stack
        channels = stack.shape[1]
        parts = [range(channels)] if stack.rgb else [range(c, c + 1) for c in range(channels)]
        limits = []
        for part in parts:
            values = [p[:, part.start : part.stop] for p in _patches(sample)]
            limits += [_robust(values, _whole(stack.dtype))] * len(part)
        low, span = zip(*limits, strict=True)
        return cls(low, span)

    def scale(self, planes: Plane) -> Plane:
        """Scale planes (C, Y, X), in place; few values lie outside 0..1."""
        for plane, low, span in zip(planes, self.low, self.span, strict=True):
            plane -= np.float32(low)
            plane *= np.float32(1 / span)
        return planes

    def restore(self, image: Plane) -> Plane:
        """Undo `scale`, in place."""
        for plane, low, span in zip(image, self.low, self.span, strict=True):
            plane *= np.float32(span)
            plane += np.float32(low)
        return image


@dataclass(frozen=True)
class DecisionRange:
    """The decision signal in 0..1: what a network sees that decides for all channels."""

    weights: tuple[float, ...]
    low: float
    span: float

    @classmethod
    def calibrate(cls, sample: Sample, signal: Signal) -> DecisionRange:
        """Take the channels' weights from the signal, the range from the sample."""
        weights = np.array(signal.weights, np.float32)
        weights /= weights.sum()
        # Added up, many dark channels fill no range.
        plain = sample.stack.shape[1] == 1 or sample.stack.rgb
        whole = _whole(sample.stack.dtype) if plain else None
        values = [mix(np.moveaxis(p, 1, 0).astype(np.float32), weights) for p in _patches(sample)]
        return cls(tuple(weights.tolist()), *_robust(values, whole))

    def signal(self, planes: Plane) -> Plane:
        """Return the signal (…, Y, X) of planes (C, …, Y, X) as they were before scaling."""
        mixed = mix(planes, np.array(self.weights, np.float32))
        return np.asarray((mixed - np.float32(self.low)) * np.float32(1 / self.span), np.float32)


def _patches(sample: Sample) -> list[NDArray[Any]]:
    """Return patches (n, C, h, w) of nine places; of columns, which are long, each fourth pixel.

    Where all that is blank, of the whole field.
    """
    patches = [*sample.patches, *(column[..., ::2, ::2] for column in sample.columns)]
    blank = len({float(edge) for p in patches for edge in (p.min(), p.max())}) == 1
    return sample.field if blank else patches


def _whole(dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """Return lowest value and range of 8-bit pixels."""
    return (
        (float(np.iinfo(dtype).min), 255.0) if dtype.kind in "iu" and dtype.itemsize == 1 else None
    )


def _robust(
    values: Sequence[NDArray[Any]], whole: tuple[float, float] | None
) -> tuple[float, float]:
    """Return what becomes 0, and how much more becomes 1."""
    if whole is not None:
        return whole
    all_values = np.concatenate([v.ravel().astype(np.float32) for v in values])
    finite = all_values[np.isfinite(all_values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, _ROBUST))
    if high == low:  # a few bright spots, or nothing
        low, high = float(finite.min()), float(finite.max())
    room = _HEADROOM * (high - low)
    # Where all is equal any range does; of a quarter of the value, a network's errors are small.
    return low - room, (high - low + 2 * room) or abs(high) / 4 or 1.0
