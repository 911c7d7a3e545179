"""The focal stack: lazy pixels in one canonical order, and the calibration that travels with them.

Duty: the contract between sources and everything behind them. A source turns whatever lies on disk
into a `Stack`; nobody behind it asks again how axes were ordered or where the z step was written.
Must not know: file formats, methods, tiles, Dask.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Channel", "PlaneReader", "Stack"]


class PlaneReader(Protocol):
    """Lazy pixels of one image, always seen as (T, C, Z, Y, X). Safe to call from threads.

    Attributes
    ----------
    shape
        Lengths of T, C, Z, Y, X; axes that the file lacks have length 1.
    dtype
        Native-endian dtype of the pixels as stored.
    chunk
        Extent in Z, Y, X that is decoded at once (a compressed chunk, a TIFF strip, a whole plane):
        the tile plan cuts along it so that nothing is decoded twice without need.
    """

    @property
    def shape(self) -> tuple[int, int, int, int, int]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def chunk(self) -> tuple[int, int, int]: ...

    def read(
        self, t: int, z: slice, y: slice, x: slice, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Read planes ``z`` of time point ``t``, all channels, cut to ``y`` and ``x``.

        Parameters
        ----------
        t
            Time point.
        z, y, x
            Slices with explicit start and stop inside the shape, step 1.
        out
            C-contiguous array (n planes, C, h, w) of `dtype` to fill. It saves the page faults of
            fresh memory, which cost as much as decoding lz4 (see docs/performance.md).

        Returns
        -------
        NDArray
            (n planes, C, h, w), `out` itself when it was given.

        Raises
        ------
        ZfuseError
            A chunk is missing or corrupt, a file is truncated.
        """
        ...

    def close(self) -> None:
        """Release open files. Reading afterwards is an error."""
        ...


@dataclass(frozen=True)
class Channel:
    """Name and display settings of one channel, copied to the output untouched."""

    name: str
    omero: Mapping[str, Any] = field(default_factory=dict)  # the OME-NGFF "omero" channel entry


@dataclass(frozen=True)
class Stack:
    """One image of a source: lazy pixels plus calibration.

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
    warnings: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Lengths of T, C, Z, Y, X."""
        return self.reader.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the pixels."""
        return self.reader.dtype

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release open files."""
        self.reader.close()

    def calibrated(self, *, z_step: float | None = None, pixel_size: float | None = None) -> Stack:
        """Return the same stack with a z step or pixel size (µm) given by hand."""
        stack = self
        if z_step is not None:
            stack = replace(stack, z_step=z_step)
        if pixel_size is not None:
            stack = replace(stack, pixel_size=(pixel_size, pixel_size))
        return stack
