"""One TIFF series, plane by plane.

Duty: find the page (or the place in one long block) that holds a plane, and have it read.
Must not know: metadata, how a page is cut and decoded (`_tiff_pages`), how the series was chosen.
"""

from __future__ import annotations

import math
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import BaseReader, each
from zfuse.pipeline.sources._layout import pixel_dtype
from zfuse.pipeline.sources._tiff_pages import Files, page_chunk, read_contiguous, read_page

if TYPE_CHECKING:
    import tifffile
    from numpy.typing import NDArray

    from zfuse.pipeline.sources._layout import Layout

__all__ = ["TiffReader"]


class TiffReader(BaseReader):
    """Reads one series.

    Parameters
    ----------
    tif
        The open file.
    series
        The series.
    axes
        Its axes in file order, ``t c z`` for planes, then ``y x`` and perhaps ``s``.
    lengths
        Their lengths.
    layout
        The axes with samples as channels.
    samples
        Samples of a pixel that are kept.
    allow_missing
        Read what was never written as 0.
    """

    def __init__(
        self,
        tif: tifffile.TiffFile,
        series: Any,
        axes: str,
        lengths: tuple[int, ...],
        layout: Layout,
        samples: int,
        *,
        allow_missing: bool,
    ) -> None:
        dtype = pixel_dtype(series.dtype, layout.source)
        keyframe = series.keyframe
        self._offset = series.dataoffset
        high, wide = (1, 1) if self._offset is not None else page_chunk(keyframe)
        super().__init__(layout.shape, dtype, (1, high, wide))
        self._close = weakref.finalize(self, tif.close)  # also for stacks that nobody closes
        self._series = series
        self._samples = samples
        # Writers store 3 or 4 grey planes as the samples of one page, as if they were colours.
        self._planes_a_page = 1 if "s" in axes else int(keyframe.shaped[0])
        self._allow_missing = allow_missing
        self._source = layout.source
        self._files = Files()
        self._lock = threading.Lock()
        outer = [(a, n) for a, n in zip(axes, lengths, strict=True) if a in "tcz"]
        steps = np.cumprod([1, *(n for _, n in reversed(outer))])[::-1][1:]
        self._steps = {a: int(step) for (a, _), step in zip(outer, steps, strict=True)}

    def fill(self, t: int, z: slice, y: slice, x: slice, out: NDArray[Any]) -> None:
        """Fill `out` with the window, planes in parallel."""
        step = self._samples
        work = [
            (self._number(t, c, plane), out[i, c * step : (c + 1) * step])
            for i, plane in enumerate(range(z.start, z.stop))
            for c in range(out.shape[1] // step)
        ]
        each(lambda job: self._plane(job[0], y, x, job[1]), work)

    def close(self) -> None:
        """Release the files."""
        super().close()
        self._files.close()
        self._close()

    def _number(self, t: int, c: int, z: int) -> int:
        place = {"t": t, "c": c, "z": z}
        return sum(place[axis] * step for axis, step in self._steps.items())

    def _plane(self, number: int, y: slice, x: slice, out: NDArray[Any]) -> None:
        keyframe = self._series.keyframe
        if self._offset is not None:
            planes, _, rows, columns, samples = keyframe.shaped
            planes //= self._planes_a_page
            dtype = keyframe.dtype.newbyteorder(keyframe.parent.byteorder)
            size = (planes, rows, columns, samples)
            path = keyframe.parent.filehandle.path
            offset = self._offset + number * math.prod(size) * dtype.itemsize
            read_contiguous(self._files, path, offset, dtype, size, y, x, out)
            return
        index, first = divmod(number, self._planes_a_page)
        page = self._page(index)
        if page is None:
            if not self._allow_missing:
                raise ZfuseError(
                    f"{self._source}: plane {number} is missing (its file or page is not there); "
                    "--allow-missing reads missing planes as 0"
                )
            out[...] = 0
            return
        read_page(self._files, page, y, x, out, first=first, allow_missing=self._allow_missing)

    def _page(self, number: int) -> Any:
        try:
            with self._lock:  # tifffile reads the page's tags on first use, moving its file
                return self._series[number]
        except Exception as error:  # damaged tags
            raise ZfuseError(
                f"{self._source}: page of plane {number} cannot be read ({error}); the file is "
                "truncated or damaged: copy it again from the original"
            ) from error
