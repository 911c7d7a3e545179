"""The focal stack: lazy pixels in one canonical order, and the calibration that travels with them.

Duty: the contract between sources and everything behind them. A source turns whatever lies on disk
into a `Stack`; nobody behind it asks again how axes were ordered or where the z step was written.
Must not know: file formats, methods, tiles, Dask.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from zfuse.pipeline.core._lazy_array import lazy_array, read_array
from zfuse.pipeline.core._reader import ChannelReader, PickedReader, StoppableReader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from threading import Event
    from typing import Self

    import numpy as np
    from dask.array import Array
    from numpy.typing import NDArray

    from zfuse.pipeline.core._reader import PlaneReader

__all__ = ["Channel", "Stack"]


@dataclass(frozen=True)
class Channel:
    """Name and display settings of one channel, copied to the output untouched."""

    name: str
    omero: Mapping[str, Any] = field(default_factory=dict)  # the OME-NGFF "omero" channel entry


@dataclass(frozen=True, repr=False)
class Stack:
    """One image of a source: lazy pixels plus calibration.

    ``np.asarray(stack)`` reads all of it, `dask` nothing before it is computed; both have the axes
    that the source really has. A context manager: files are closed at its end.

    Attributes
    ----------
    reader
        The pixels.
    axes
        Axes that the source really has, in canonical order, a subset of ``"tczyx"``. The output
        keeps them (z with length 1).
    name, source
        Name for people; path or URL for the provenance.
    channels
        One entry a channel.
    rgb
        The channels are the red, green and blue of one colour image.
    pixel_size
        (y, x) in µm, or None when unknown.
    z_step
        Distance between planes in µm, or None when unknown.
    time_step
        Seconds between time points, or None.
    origin
        (z, y, x) position of the first voxel in µm.
    kind
        Format of the source, and what reads it, for people.
    warnings
        Short lines about what the source had to assume or leave out.
    """

    reader: PlaneReader
    axes: str
    name: str
    source: str
    channels: tuple[Channel, ...]
    rgb: bool = False
    pixel_size: tuple[float, float] | None = None
    z_step: float | None = None
    time_step: float | None = None
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    kind: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Lengths of T, C, Z, Y, X."""
        return self.reader.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the pixels."""
        return self.reader.dtype

    @property
    def dask(self) -> Array:
        """Pixels as a lazy Dask array with `axes`."""
        return lazy_array(self.reader, self.axes)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a stack is read when it becomes an array: copy=False cannot be kept")
        return read_array(self.reader, self.axes).astype(
            self.dtype if dtype is None else dtype, copy=False
        )

    def __repr__(self) -> str:
        lengths = dict(zip("tczyx", self.shape, strict=True))
        axes = ", ".join(f"{axis} {lengths[axis]}" for axis in self.axes)
        step = "z step unknown" if self.z_step is None else f"z step {self.z_step:g} µm"
        pixel = "pixel size unknown"
        if self.pixel_size is not None:
            pixel = "pixels of {1:g} x {0:g} µm (x, y)".format(*self.pixel_size)
        names = ", ".join(repr(channel.name) for channel in self.channels)
        kind = "RGB" if self.rgb else f"channels {names}"
        return f"<zfuse.Stack {self.name!r}: {axes}; {self.dtype}; {step}; {pixel}; {kind}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release open files."""
        self.reader.close()

    def only(self, channel: int) -> Stack:
        """Return the stack of one channel, with the axes and the calibration of this one."""
        reader = ChannelReader(self.reader, channel)
        return replace(self, reader=reader, channels=(self.channels[channel],), rgb=False)

    def picked(
        self, times: Sequence[int] | None = None, channels: Sequence[int] | None = None
    ) -> Stack:
        """Return the stack of some times and channels (indices; None for all), calibrated alike.

        Times that are not evenly spaced any more have no time step, with a warning.
        """
        step, said = self.time_step, self.warnings
        if times is not None and len(times) > 1 and step is not None:
            gaps = {after - before for before, after in pairwise(times)}
            if len(gaps) > 1:
                said = (*said, "the times that are left are not evenly spaced: no time step")
            step = None if len(gaps) > 1 else step * gaps.pop()
        whole = channels is None or list(channels) == list(range(self.shape[1]))
        return replace(
            self,
            reader=PickedReader(self.reader, times, channels),
            channels=self.channels
            if channels is None
            else tuple(self.channels[c] for c in channels),
            rgb=self.rgb and whole,
            time_step=step,
            warnings=said,
        )

    def stoppable(self, cancel: Event | None) -> Stack:
        """Return the same stack, whose reader raises `Cancelled` once the event is set."""
        if cancel is None:
            return self
        return replace(self, reader=StoppableReader(self.reader, cancel))

    def calibrated(self, *, z_step: float | None = None, pixel_size: float | None = None) -> Stack:
        """Return the same stack with a z step or pixel size (µm) given by hand."""
        stack = self
        if z_step is not None:
            stack = replace(stack, z_step=z_step)
        if pixel_size is not None:
            stack = replace(stack, pixel_size=(pixel_size, pixel_size))
        return stack
