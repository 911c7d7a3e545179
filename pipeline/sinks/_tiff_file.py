"""An uncompressed TIFF that is filled tile by tile, in any order and from any thread.

Duty: make the file with its description and calibration, put pixels where they belong, at each
level of its pyramid. Must not know: fused images, staging, where in a level a pixel lies
(`_tiff_levels`).

Pixels are written with seek and write, not through a memory map: when the disk is full a write is
an error, a memory map kills the process.
"""

from __future__ import annotations

import itertools
import json
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from zfuse.kernels import downsample, downsampled_shape
from zfuse.pipeline.sinks._tiff_levels import TILE, TiffLevel, lay_tiles, stored_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Stack

__all__ = ["TiffFile"]

_Channels: TypeAlias = "tuple[tuple[str, str | None], ...]"  # name and colour of each

_CLASSIC_LIMIT = 2**32 - 2**25  # bytes of pixels; the rest is for tags
_IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
_MOST_LABELS = 10_000


class TiffFile:
    """One TIFF of planes (T, C, Y, X), or (T, Y, X, 3) when it holds colours.

    Parameters
    ----------
    path
        The file to make.
    stack
        Gives calibration, time points, and size.
    dtype
        Of the pixels.
    channels
        Channel names; one entry for a map.
    colours
        Six hexadecimal digits for each channel that has a colour, None for others.
    rgb
        The three channels are one colour image.
    ome
        Write OME-XML. Otherwise the file is one that ImageJ knows, when its dtype and size allow
        it, and else a plain (Big)TIFF.
    big
        Write BigTIFF even when the file is small.
    notes
        JSON values: provenance, or what a map's values mean.
    levels
        Height and width of each level of a pyramid, the whole image first. Several levels are
        SubIFDs of square tiles, as Bio-Formats and QuPath read them; one is one piece.
    """

    def __init__(
        self,
        path: Path,
        stack: Stack,
        dtype: np.dtype[Any],
        *,
        channels: tuple[str, ...],
        notes: Mapping[str, Any],
        levels: Sequence[tuple[int, int]] = (),
        colours: Sequence[str | None] = (),
        rgb: bool = False,
        ome: bool = False,
        big: bool = False,
    ) -> None:
        import tifffile

        n_times, _, _, height, width = stack.shape
        self._samples = len(channels) if rgb else 1
        self._planes = 1 if rgb else len(channels)
        sizes = list(levels) or [(height, width)]
        step = dtype.itemsize * self._samples
        n_bytes = (
            n_times * self._planes * sum(stored_bytes(size, len(sizes), step) for size in sizes)
        )
        big = big or n_bytes > _CLASSIC_LIMIT
        imagej = not (ome or big) and dtype.name in (("uint8",) if rgb else _IMAGEJ_DTYPES)
        describe = _ome if ome else _imagej if imagej else _plain
        named = tuple(itertools.zip_longest(channels, colours[: len(channels)]))
        if rgb and describe is not _plain:  # the samples of a colour picture have no names there
            named = ()
        said: dict[str, Any] = {
            "axes": "TYXS" if rgb else "TCYX", **describe(stack, named, dict(notes)),
        }  # fmt: skip
        with tifffile.TiffWriter(path, bigtiff=big, ome=ome, imagej=imagej) as writer:
            for index, size in enumerate(sizes):
                writer.write(
                    itertools.repeat(b"") if len(sizes) > 1 else None,  # no tile is written yet
                    shape=(n_times, *size, 3) if rgb else (n_times, self._planes, *size),
                    dtype=dtype,
                    photometric="rgb" if rgb else "minisblack",
                    planarconfig="contig" if rgb else None,
                    tile=(TILE, TILE) if len(sizes) > 1 else None,
                    subifds=len(sizes) - 1 if index == 0 else 0,
                    subfiletype=1 if index else 0,  # a reduced image
                    metadata=None if index else said,
                    resolution=_resolution(stack, (1.0 if imagej else 1e4) / (1 << index)),
                    resolutionunit="NONE" if imagej or stack.pixel_size is None else "CENTIMETER",
                )
        with tifffile.TiffFile(path, mode="r+") as file:
            if len(sizes) > 1:
                self._levels, end = lay_tiles(file, sizes, step)
            else:
                self._levels, end = [TiffLevel.whole(file, sizes[0], step)], None
            self._dtype = dtype.newbyteorder(file.byteorder)  # ImageJ files are big-endian
        self._file = open(path, "r+b", buffering=0)
        if end is not None:
            self._file.truncate(end)
        self._lock = Lock()

    def write(self, t: int, y: int, x: int, pixels: NDArray[Any]) -> None:
        """Write a part of one time point, and of what is coarser.

        Parameters
        ----------
        t
            Time point.
        y, x
            Top-left pixel; with a pyramid, a multiple of the coarsest level's step.
        pixels
            (C, h, w) for planes and colours alike.
        """
        for index, level in enumerate(self._levels):
            if index:
                pixels = _halved(pixels)
            parts = np.moveaxis(pixels, 0, -1)[np.newaxis] if self._samples > 1 else pixels
            for plane, rows in enumerate(parts):
                page = t * self._planes + plane
                rows = np.ascontiguousarray(rows, self._dtype)
                for place, values in level.places(page, y >> index, x >> index, rows):
                    self._put(place, values)

    def _put(self, place: int, values: NDArray[Any]) -> None:
        data = values.reshape(-1).view(np.uint8).data
        with self._lock:
            self._file.seek(place)
            while len(data):
                data = data[self._file.write(data) :]

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()


def _halved(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of 2 x 2 pixels, (C, h, w)."""
    half = np.empty((len(pixels), *downsampled_shape(*pixels.shape[1:])), pixels.dtype)
    for channel, smaller in zip(pixels, half, strict=True):
        downsample(np.ascontiguousarray(channel), smaller)
    return half


def _resolution(stack: Stack, per: float) -> tuple[float, float] | None:
    """Pixels along x and y in `per` µm."""
    if stack.pixel_size is None:
        return None
    return per / stack.pixel_size[1], per / stack.pixel_size[0]


def _ome(stack: Stack, channels: _Channels, notes: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"Name": stack.name, "Description": json.dumps(notes)}
    if channels:
        said["Channel"] = [
            {"Name": name} | ({"Color": _rgba(colour)} if colour else {})
            for name, colour in channels
        ]
    sizes = {"X": None, "Y": None, "Z": stack.z_step}
    if stack.pixel_size is not None:
        sizes |= {"Y": stack.pixel_size[0], "X": stack.pixel_size[1]}
    for axis, size in sizes.items():
        if size is not None:
            said |= {f"PhysicalSize{axis}": abs(size), f"PhysicalSize{axis}Unit": "µm"}
    if stack.time_step is not None:
        said |= {"TimeIncrement": stack.time_step, "TimeIncrementUnit": "s"}
    return said


def _imagej(stack: Stack, channels: _Channels, notes: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"Info": json.dumps(notes, ensure_ascii=False)}
    if stack.pixel_size is not None:
        said["unit"] = "um"
    if stack.z_step is not None:
        said["spacing"] = abs(stack.z_step)
    if stack.time_step is not None:
        said["finterval"] = stack.time_step
    if channels and stack.shape[0] * len(channels) <= _MOST_LABELS:
        said["Labels"] = [name for name, _ in channels] * stack.shape[0]
    if any(colour for _, colour in channels):
        said["LUTs"] = [_ramp(colour or "FFFFFF") for _, colour in channels]
        if len(channels) > 1:
            said["mode"] = "composite"
    return said


def _rgba(colour: str) -> int:
    """Colour as OME-XML has it: red, green, blue and opacity as one signed number of 32 bits."""
    return int.from_bytes(bytes.fromhex(colour + "FF"), "big", signed=True)


def _ramp(colour: str) -> NDArray[np.uint8]:
    """Table (3, 256) from black to a colour, as ImageJ has it."""
    steps = np.arange(256) * np.frombuffer(bytes.fromhex(colour), np.uint8)[:, np.newaxis]
    return np.rint(steps / 255).astype(np.uint8)


def _plain(stack: Stack, channels: _Channels, notes: dict[str, Any]) -> dict[str, Any]:
    said = {
        "name": stack.name,
        "channels": [name for name, _ in channels],
        "pixel_size_yx_um": stack.pixel_size,
        "z_step_um": stack.z_step,
        "time_step_s": stack.time_step,
        "zfuse": notes,
    }
    return {key: value for key, value in said.items() if value is not None}
