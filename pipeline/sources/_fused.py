"""Open a fused image again, with its maps and its calibration.

Duty: one answer for what lies in an OME-Zarr, in a TIFF or PNG with its maps beside it, and in the
truth of a simulated stack. Must not know: what is done with the images, how they were written.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.kernels import downsample
from zfuse.pipeline.core import TRUTH, Channel, inside, output_files, tiff_notes
from zfuse.pipeline.sources._collection import open_stack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["FusedImage", "open_fused"]

_TIFF_SUFFIXES = (".tif", ".tiff", ".btf")


@dataclass(frozen=True)
class FusedImage:
    """A fused image, or the truth of a simulated one, in memory.

    Attributes
    ----------
    image
        (C, Y, X) in its own dtype.
    depth
        float32 in `depth_unit` above the first plane, NaN where unknown; (Y, X), or (C, Y, X) where
        each channel has its own. None without a map.
    confidence
        float32 in 0..1, (Y, X) or (C, Y, X) likewise. None without a map.
    depth_unit
        ``"micrometer"`` or ``"plane"``.
    pixel_size
        (y, x) of these pixels in µm, or None when unknown.
    z_step
        Distance in µm of the planes that were fused, or None when unknown.
    channels
        Name and display settings of each channel.
    rgb
        The channels are the red, green and blue of one picture.
    """

    image: NDArray[Any]
    depth: NDArray[np.float32] | None
    confidence: NDArray[np.float32] | None
    depth_unit: str
    pixel_size: tuple[float, float] | None
    z_step: float | None
    channels: tuple[Channel, ...]
    rgb: bool


@dataclass(frozen=True)
class _Read:
    """One image of an output and what its file says."""

    pixels: NDArray[Any]  # (C, Y, X)
    pixel_size: tuple[float, float] | None = None
    z_step: float | None = None
    channels: tuple[Channel, ...] = ()
    rgb: bool = False
    unit: str = "micrometer"  # what others than zfuse mean, who do not say it


def open_fused(path: str | Path, *, time: int = 0, largest: int | None = None) -> FusedImage:
    """Open a fused image, whatever its format, with its maps and calibration.

    Parameters
    ----------
    path
        Output of `zfuse fuse`: an OME-Zarr with its maps inside, or a TIFF or PNG with its maps
        beside it. A stack of `zfuse simulate` stands for the truth inside it. Images of others are
        opened likewise, with the maps that there are.
    time
        Time point.
    largest
        Longest edge that is wanted, in pixels: the image and its maps are halved until they fit,
        as their pyramid does. By default they come whole.

    Returns
    -------
    FusedImage
        In memory.

    Raises
    ------
    ZfuseError
        The path is missing, damaged, no image, a stack of several planes, or has no such time
        point.
    """
    place = Path(path)
    if place.is_dir():
        place = place / TRUTH if (place / TRUTH / "zarr.json").is_file() else place
        maps = [place / name for name in ("depth", "confidence")]
        found = [_zarr(p, time, largest) if _is_group(p) else None for p in maps]
        image = _zarr(place, time, largest)
    else:
        try:
            maps = output_files(place)[1:]
        except ZfuseError:  # a name that zfuse would not write
            maps = []
        found = [_file(p, time) if p.is_file() else None for p in maps] or [None, None]
        image = _file(place, time)
    depth, confidence = found
    size, pixels = _halved(image.pixels, image.pixel_size, largest)
    return FusedImage(
        image=pixels,
        depth=_map(depth, image, largest),
        confidence=_map(confidence, image, largest),
        depth_unit=depth.unit if depth else "micrometer",
        pixel_size=size,
        z_step=image.z_step,
        channels=image.channels,
        rgb=image.rgb,
    )


def _is_group(place: Path) -> bool:
    return any((place / name).is_file() for name in ("zarr.json", ".zgroup"))


def _halved(
    pixels: NDArray[Any], size: tuple[float, float] | None, largest: int | None
) -> tuple[tuple[float, float] | None, NDArray[Any]]:
    while largest is not None and max(pixels.shape[1:]) > max(1, largest):
        pixels = np.stack([downsample(np.ascontiguousarray(channel)) for channel in pixels])
        size = size and (2 * size[0], 2 * size[1])
    return size, pixels


def _map(read: _Read | None, image: _Read, largest: int | None) -> NDArray[np.float32] | None:
    """Return a map (Y, X), or (C, Y, X) if it has as many channels as the image."""
    if read is None:
        return None
    each = not read.rgb and len(read.pixels) == len(image.pixels) > 1
    pixels = read.pixels if each else read.pixels[:1]
    values = np.asarray(_halved(pixels, None, largest)[1], np.float32)
    return values if each else values[0]


def _zarr(place: Path, time: int, largest: int | None) -> _Read:
    """Read one image of an OME-Zarr at the level of its pyramid that is wanted."""
    import zarr

    stack = open_stack(place)
    n_times, _, n_planes, height, width = stack.shape
    _check_one(place, n_planes, n_times, time)
    node = zarr.open(place, mode="r")
    attributes: Mapping[str, Any] = node.attrs.asdict()
    level, factor = stack, 1
    try:
        datasets = (attributes.get("ome") or attributes)["multiscales"][0]["datasets"]
        paths = [str(dataset["path"]) for dataset in datasets]
    except (LookupError, TypeError):  # a bare array has no pyramid
        paths = []
    for path in paths[1:]:
        if largest is None or max(level.shape[3:]) <= largest:
            break
        level = open_stack(place / inside(path, str(place)))
        factor = round(max(height, width) / max(level.shape[3:]))
    rows, columns = level.shape[3:]
    pixels = level.reader.read(time, slice(0, 1), slice(0, rows), slice(0, columns))[0]
    said = attributes.get("zfuse")
    size = stack.pixel_size
    return _Read(
        pixels,
        size and (size[0] * factor, size[1] * factor),
        stack.z_step,
        stack.channels,
        stack.rgb,
        _unit(said),
    )


def _file(place: Path, time: int) -> _Read:
    """Read one image of a file."""
    if place.suffix.lower() in _TIFF_SUFFIXES:
        return _tiff(place, time)
    stack = open_stack(place)
    try:
        height, width = stack.shape[3:]
        pixels = stack.reader.read(0, slice(0, 1), slice(0, height), slice(0, width))[0]
    finally:
        stack.reader.close()
    return _Read(pixels, channels=stack.channels, rgb=stack.rgb)


def _tiff(place: Path, time: int) -> _Read:
    from zfuse.pipeline.sources._tiff_meta import tiff_meta
    from zfuse.pipeline.sources._tiff_open import open_tiff

    if not place.is_file():
        open_stack(place)  # says what is missing
    opened = open_tiff(str(place))
    with opened.tif as file:
        series = file.series[0]
        size = dict(zip(series.axes, series.shape, strict=True))
        n_planes = int(np.prod([n for axis, n in size.items() if axis not in "TCSYX"]))
        _check_one(place, n_planes, size.get("T", 1), time)
        try:
            pixels = series.asarray()
        except (OSError, ValueError) as error:
            raise ZfuseError(f"{place} cannot be read as an image: {error}") from error
        meta, said = tiff_meta(file, 0, opened.ome), tiff_notes(file)
    axes = series.axes
    if "T" in axes:
        pixels, axes = np.take(pixels, time, axes.index("T")), axes.replace("T", "")
    pixels = pixels.reshape([size[axis] for axis in axes if axis in "CSYX"])
    axes = "".join(axis for axis in axes if axis in "CSYX")
    colour = "S" if "S" in axes else "C"
    pixels = np.moveaxis(pixels, axes.index(colour), 0) if colour in axes else pixels[np.newaxis]
    if colour == "S":  # grey with alpha, or colours with alpha
        pixels = pixels[: 3 if len(pixels) >= 3 else 1]
    channels = meta.channels if len(meta.channels) == len(pixels) else ()
    pixel_size, z_step = said.get("pixel_size_yx_um"), said.get("z_step_um")
    return _Read(
        pixels,
        meta.pixel_size or (tuple(pixel_size) if pixel_size else None),
        meta.z_step or z_step,
        channels,
        colour == "S" and len(pixels) == 3,
        _unit(said),
    )


def _unit(said: Any) -> str:
    unit = said.get("unit") if isinstance(said, dict) else None
    return unit if unit == "plane" else "micrometer"


def _check_one(place: Path, n_planes: int, n_times: int, time: int) -> None:
    if n_planes != 1:
        raise ZfuseError(f"{place} is a stack of {n_planes} planes, not one image; fuse it first")
    if not 0 <= time < n_times:
        raise ZfuseError(f"{place} has no time point {time}: choose 0 to {n_times - 1}")
