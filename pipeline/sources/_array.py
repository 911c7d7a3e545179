"""Arrays in memory or lazy (NumPy, zarr, Dask) as a stack.

Duty: `from_array`, and a reader for anything that NumPy-style slicing serves.
Must not know: files, OME metadata.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import BaseReader, Channel, Stack
from zfuse.pipeline.sources._layout import CANONICAL, Layout, default_axes, pixel_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["ArrayReader", "channels_named", "from_array"]


class ArrayReader(BaseReader):
    """Reads an array by slicing; a Dask window is computed in the calling thread.

    Parameters
    ----------
    array
        NumPy or Dask array.
    layout
        Its axes.
    """

    def __init__(self, array: Any, layout: Layout) -> None:
        dtype = pixel_dtype(array.dtype, layout.source)
        self._dask = hasattr(array, "__dask_graph__")
        # Nothing of a NumPy array is decoded, so any cut of it is free.
        chunk = layout.zyx(array.chunksize) if self._dask else (1, 1, 1)
        super().__init__(layout.shape, dtype, chunk)
        self._array = array
        self._layout = layout

    def fill(self, t: int, z: slice, y: slice, x: slice, out: NDArray[Any]) -> None:
        """Fill `out` with the window."""
        window = self._array[self._layout.selection(t, z, y, x)]
        if self._dask:
            # The run brings its own threads; a pool inside each of them would only queue up. No
            # callbacks: napari's cache would keep every chunk, up to a quarter of the memory.
            window = window.compute(scheduler="synchronous", callbacks=())
        self._layout.view(out)[...] = window


def from_array(
    array: Any,
    *,
    axes: str | None = None,
    channel_names: Sequence[str] | None = None,
    z_step: float | None = None,
    pixel_size: float | tuple[float, float] | None = None,
    rgb: bool = False,
    allow_missing: bool = False,
) -> Stack:
    """Make a stack of an array, without copying or computing it.

    Parameters
    ----------
    array
        NumPy, zarr or Dask array.
    axes
        One letter a dimension out of ``TCZYX``, in any order; by default ZYX, CZYX or TCZYX for
        3, 4 or 5 dimensions.
    channel_names
        One name a channel.
    z_step
        Distance between planes in µm.
    pixel_size
        In µm, one number or (y, x).
    rgb
        The three channels are red, green and blue of one picture, which are in focus together.
    allow_missing
        Read chunks that a zarr array lacks as its fill value instead of refusing them.

    Returns
    -------
    Stack
        Lazy where the array is lazy.

    Raises
    ------
    ZfuseError
        The axes don't fit, there is no z, an axis is empty, colours are not three channels, or the
        dtype can't be fused.
    """
    source = f"{type(array).__module__.split('.')[0]} array"
    if not (hasattr(array, "shape") and hasattr(array, "dtype")):
        array = np.asarray(array)
    letters = default_axes(array.ndim, source) if axes is None else axes.lower()
    if unknown := set(letters) - set(CANONICAL):
        raise ZfuseError(
            f"axes={axes!r} has the unknown axis {min(unknown)!r}; use letters out of TCZYX"
        )
    layout = Layout(letters, tuple(array.shape), source)
    reader = _zarr_reader(array, layout, allow_missing) or ArrayReader(array, layout)
    if rgb and layout.shape[1] != 3:
        raise ZfuseError(f"rgb=True, but {source} has {layout.shape[1]} channel(s); colours are 3")
    if pixel_size is not None and not isinstance(pixel_size, tuple):
        pixel_size = (pixel_size, pixel_size)
    return Stack(
        reader=reader,
        axes=layout.declared,
        name="array",
        source=source,
        channels=channels_named(channel_names, layout.shape[1], source),
        rgb=rgb,
        pixel_size=pixel_size,
        z_step=z_step,
    )


def channels_named(names: Sequence[str] | None, count: int, source: str) -> tuple[Channel, ...]:
    """Return `count` channels with these names, or "channel 0" and so on.

    Raises
    ------
    ZfuseError
        There are more or fewer names than channels.
    """
    if names is None:
        names = [f"channel {i}" for i in range(count)]
    if len(names) != count:
        raise ZfuseError(f"{source} has {count} channel(s) but {len(names)} channel name(s)")
    return tuple(Channel(name) for name in names)


def _zarr_reader(array: Any, layout: Layout, allow_missing: bool) -> BaseReader | None:
    """Return the reader for a zarr array, None for others; never imports zarr for the others."""
    if "zarr" not in sys.modules:
        return None
    import zarr

    if not isinstance(array, zarr.Array):
        return None
    from zfuse.pipeline.sources._zarr_reader import ZarrReader

    return ZarrReader(array, layout, allow_missing=allow_missing)
