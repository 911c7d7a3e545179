"""The planes that alignment looks at: the decision signal, made small while it is read.

Duty: one grey plane of at most a megapixel at a time, whatever the size of the image. Must not
know: what is done with it.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import TYPE_CHECKING

import numpy as np

from zfuse.kernels import INVALID
from zfuse.pipeline.core import Sample, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Stack

__all__ = ["reduced_planes", "reduction"]

_PIXELS = 1_000_000
_WINDOW = 2048  # px: what is read at once, unless chunks are larger


def reduction(stack: Stack) -> int:
    """Return the edge, in pixels, of the squares whose mean becomes one pixel."""
    height, width = stack.shape[3:]
    return ceil(sqrt(height * width / _PIXELS))


def reduced_planes(stack: Stack, channel: int | None, t: int) -> Iterator[NDArray[np.float32]]:
    """Yield the decision signal of one plane after another, as small as `reduction` says.

    Rows and columns that fill no square are left out; pixels that are not finite count as the
    plane's mean.
    """
    signal = Signal.calibrate(Sample(stack, channel, t))
    step = reduction(stack)
    _, _, planes, height, width = stack.shape
    rows, columns = (
        max(step, max(_WINDOW, chunk) // step * step) for chunk in stack.reader.chunk[1:]
    )
    height, width = height // step * step, width // step * step
    for z in range(planes):
        plane = np.empty((height // step, width // step), np.float32)
        for y in range(0, height, rows):
            for x in range(0, width, columns):
                cut = slice(y, min(y + rows, height)), slice(x, min(x + columns, width))
                values, invalid = signal.mixed(stack.reader.read(t, slice(z, z + 1), *cut))
                part = values[0].astype(np.float32)
                if invalid[0]:
                    finite = values[0] != INVALID
                    part[~finite] = part[finite].mean() if finite.any() else 0
                h, w = part.shape[0] // step, part.shape[1] // step
                at = slice(y // step, y // step + h), slice(x // step, x // step + w)
                plane[at] = part.reshape(h, step, w, step).mean((1, 3))
        yield plane
