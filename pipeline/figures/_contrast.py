"""Pixels of any dtype and any number of channels as a picture for the eye.

Duty: display limits and colours of channels. Must not know: figures, files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["coloured", "contrast", "robust_range"]

_CHANNEL_COLOURS = np.array(
    [(0, 1, 0), (1, 0, 1), (0, 0.6, 1), (1, 0.8, 0), (1, 0.2, 0.2), (0.7, 0.7, 0.7)], np.float32
)


def robust_range(values: NDArray[Any], low: float, high: float) -> tuple[float, float]:
    """Return two percentiles of what is finite; the second lies above the first."""
    step = max(1, int(np.sqrt(values.size / 1e6)))  # a million samples say enough
    sample = values[::step, ::step]
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return 0.0, 1.0
    first, last = (float(v) for v in np.percentile(sample, [low, high]))
    return (first, last) if last > first else (first, first + 1.0)


def contrast(image: NDArray[Any], *, rgb: bool = False) -> list[tuple[float, float]]:
    """Choose display limits.

    Parameters
    ----------
    image
        (C, Y, X) or (Y, X), any real dtype.
    rgb
        The channels are red, green and blue; otherwise each has its own colour.

    Returns
    -------
    list of tuple
        Darkest and brightest value shown, for each channel; those of colours are the same, because
        stretching each alone would shift the white balance.
    """
    channels = image[None] if image.ndim == 2 else image
    limits = [robust_range(channel, 0.1, 99.8) for channel in channels]
    if rgb:
        limits = [(min(a for a, _ in limits), max(b for _, b in limits))] * len(limits)
    return limits


def coloured(
    image: NDArray[Any], limits: Sequence[tuple[float, float]], *, rgb: bool = False
) -> NDArray[np.uint8]:
    """Stretch an image between display limits and mix its channels.

    Parameters
    ----------
    image, rgb
        See `contrast`.
    limits
        Darkest and brightest value shown, for each channel.

    Returns
    -------
    NDArray
        (Y, X, 3) uint8; NaN is black.
    """
    channels = image[None] if image.ndim == 2 else image
    stretched = [
        np.nan_to_num((channel.astype(np.float32) - low) / (high - low)).clip(0, 1)
        for channel, (low, high) in zip(channels, limits, strict=True)
    ]
    if len(stretched) == 1:
        mixed = np.repeat(stretched[0][..., None], 3, -1)
    elif rgb and len(stretched) == 3:
        mixed = np.stack(stretched, -1)
    else:
        mixed = np.zeros((*stretched[0].shape, 3), np.float32)
        for index, channel in enumerate(stretched):
            mixed += channel[..., None] * _CHANNEL_COLOURS[index % len(_CHANNEL_COLOURS)]
    return np.asarray((mixed.clip(0, 1) * 255 + 0.5).astype(np.uint8))
