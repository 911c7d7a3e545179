"""A stack whose planes lie on each other: pixels are moved while they are read.

Duty: a `PlaneReader` round another. A pixel depends only on where it lies, so tiles and blocks
don't change a bit; planes that move by whole pixels are copied. Must not know: how transforms were
found, what reads it.

Where a moved plane does not reach, the reference plane's pixels are shown: they lie at the right
place. Methods that blend would turn the step between both into a line, so for them the plane fades
into the reference. Who asks for depth is told by `AlignedReader.mark`.
"""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.kernels import WARP_REACH, invalidate_unreached, warp_plane
from zfuse.pipeline.alignment._similarity import IDENTITY, Similarity, bounds
from zfuse.pipeline.core import BaseReader, each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Fused, PlaneReader, Region

__all__ = ["AlignedReader"]

Sides = tuple[float, float, float, float]

_ROWS = 64  # a thread's share


class AlignedReader(BaseReader):
    """Reads planes moved onto the reference plane.

    Parameters
    ----------
    source
        The planes as they are.
    transforms
        One a plane, for each time point; that of the reference plane is the identity.
    reference
        Index of the reference plane.
    fade
        Pixels over which a plane that ends inside the image fades into the reference; 0 where
        pixels must stay as they are.
    """

    def __init__(
        self,
        source: PlaneReader,
        transforms: Sequence[Sequence[Similarity]],
        reference: int,
        fade: float = 0.0,
    ) -> None:
        super().__init__(source.shape, source.dtype, source.chunk)
        self._source = source
        self._reference = reference
        self._transforms, self._fading = transforms, fade
        self._matrices = [np.stack([each.matrix() for each in planes]) for planes in transforms]
        self._fades = [[self._fade(each, fade) for each in planes] for planes in transforms]
        integer = self.dtype.kind in "iu"
        info = np.iinfo(self.dtype) if integer else np.finfo(self.dtype)
        self._range = (integer, (float(info.min), float(info.max)))

    def over(self, source: PlaneReader) -> AlignedReader:
        """Return a reader that moves another source's planes likewise."""
        return AlignedReader(source, self._transforms, self._reference, self._fading)

    def close(self) -> None:
        """Release the source's files."""
        super().close()
        self._source.close()

    def fill(self, t: int, z: slice, y: slice, x: slice, out: NDArray[Any]) -> None:
        """Fill `out`, (planes, C, Y, X), with the window."""
        shown: NDArray[Any] | None = None  # the reference plane, read when it is needed
        for n, plane in enumerate(range(z.start, z.stop)):
            transform = self._transforms[t][plane]
            fade = self._fades[t][plane]
            window, covered = self._window(transform, y, x, fade)
            if not covered:
                if shown is None:
                    only = slice(self._reference, self._reference + 1)
                    shown = self._source.read(t, only, y, x)
                out[n] = shown[0]
            if window is None:
                continue
            only = slice(plane, plane + 1)
            if transform.copies and (covered or not max(fade)):
                self._copy(t, only, transform, y, x, window, out[n : n + 1])
                continue
            pixels = self._source.read(t, only, *window)[0]
            self._warp(pixels, window, self._matrices[t][plane], (y.start, x.start), fade, out[n])

    def mark(self, t: int, tile: Region, fused: Fused) -> Fused:
        """Take the confidence from what no plane could see in focus; changes `fused` in place."""
        y, x = tile.core
        if all(self._window(each, y, x)[1] for each in self._transforms[t]):
            return fused
        size = fused.depth.shape[-2:]  # each channel may have its own depth
        for depth, confidence in zip(
            fused.depth.reshape(-1, *size), fused.confidence.reshape(-1, *size), strict=True
        ):
            invalidate_unreached(
                self._matrices[t], self.shape[3:], (y.start, x.start), self._reference,
                depth, confidence,
            )  # fmt: skip
        return fused

    def _copy(
        self,
        t: int,
        plane: slice,
        transform: Similarity,
        y: slice,
        x: slice,
        window: tuple[slice, slice],
        out: NDArray[Any],
    ) -> None:
        """Copy what a plane that moved by whole pixels has of a window."""
        dy, dx = round(transform.shift.imag), round(transform.shift.real)
        rows = slice(max(y.start + dy, 0), min(y.stop + dy, self.shape[3]))
        columns = slice(max(x.start + dx, 0), min(x.stop + dx, self.shape[4]))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        size = (rows.stop - rows.start, columns.stop - columns.start)
        if size == out.shape[2:]:
            self._source.read(t, plane, rows, columns, out=out)
            return
        top, left = rows.start - dy - y.start, columns.start - dx - x.start
        at = (slice(top, top + size[0]), slice(left, left + size[1]))
        out[:, :, *at] = self._source.read(t, plane, rows, columns)

    def _warp(
        self,
        pixels: NDArray[Any],
        window: tuple[slice, slice],
        matrix: NDArray[np.float64],
        at: tuple[int, int],
        fade: Sides,
        out: NDArray[Any],
    ) -> None:
        place = (window[0].start, window[1].start)

        def rows(first: int) -> None:
            for channel, result in zip(pixels, out, strict=True):
                warp_plane(
                    channel, place, self.shape[3:], matrix, (at[0] + first, at[1]), *self._range,
                    fade, result[first : first + _ROWS],
                )  # fmt: skip

        each(rows, range(0, out.shape[1], _ROWS))

    def _fade(self, transform: Similarity, width: float) -> Sides:
        """Return how far a plane fades at its top, bottom, left and right: where they are seen."""
        ends = bounds(transform, self.shape[3:])
        image = bounds(IDENTITY, self.shape[3:])
        top, bottom, left, right = (
            width if inward * (end - edge) > 1e-6 else 0.0
            for inward, end, edge in zip((1, -1, 1, -1), ends, image, strict=True)
        )
        return top, bottom, left, right

    def _window(
        self, transform: Similarity, y: slice, x: slice, fade: Sides = (0.0, 0.0, 0.0, 0.0)
    ) -> tuple[tuple[slice, slice] | None, bool]:
        """Return what a window needs of a plane, None for nothing; and if the plane covers it.

        It does where it is seen and does not fade.
        """
        corners = [
            transform(complex(column, row))
            for row in (y.start, y.stop - 1)
            for column in (x.start, x.stop - 1)
        ]
        window, inside = [], True
        for places, length, first, last in (
            ([c.imag for c in corners], self.shape[3], fade[0], fade[1]),
            ([c.real for c in corners], self.shape[4], fade[2], fade[3]),
        ):
            low, high = min(places), max(places)
            # where rounding errors decide, rather fill in vain
            inside &= low >= 1e-6 - 0.5 + first and high < length - 0.5 - 1e-6 - last
            start = max(floor(low) - WARP_REACH - 1, 0)
            stop = min(ceil(high) + WARP_REACH + 2, length)
            if start >= stop:
                return None, False
            window.append(slice(start, stop))
        return (window[0], window[1]), inside
