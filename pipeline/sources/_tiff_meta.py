"""Calibration and channels out of TIFF metadata: OME-XML, ImageJ, Micro-Manager, resolution tags.

Duty: one record in µm and seconds, whoever wrote the file. Must not know: pixels, axes order.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from zfuse.pipeline.core import Channel
from zfuse.pipeline.sources._ome_xml import Calibration, calibration, children, number
from zfuse.pipeline.sources._units import is_position, is_size, to_micrometer, to_second

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["tiff_meta"]

# Resolution tags of plain TIFFs are mostly print resolutions (72 dpi is 353 µm a pixel).
LARGEST_PIXEL_UM = 100.0


def tiff_meta(tif: tifffile.TiffFile, series: int, ome: Element | None) -> Calibration:
    """Return the calibration of one series.

    Parameters
    ----------
    tif
        The open file.
    series
        Number of the series in it.
    ome
        Its OME-XML.

    Returns
    -------
    Calibration
        In µm and seconds.
    """
    if ome is not None:
        known = _ome(ome, tif, series)
    elif tif.is_imagej and tif.imagej_metadata is not None:
        known = _imagej(tif)
    else:
        known = _tags(tif.pages.first)
    return _with_micromanager(known, tif) if tif.is_micromanager else known


def _tags(page: Any) -> Calibration:
    if int(page.tags.valueof("ResolutionUnit", 2)) != 3:  # 3 is centimetre
        return Calibration()
    size = _resolution(page, 1e4)
    return Calibration(pixel_size=size if size and max(size) <= LARGEST_PIXEL_UM else None)


def _ome(root: Element, tif: tifffile.TiffFile, series: int) -> Calibration:
    """Return what the XML says of a series; tifffile leaves out images without pixels."""
    images = list(children(root, "Image"))
    if len(images) != len(tif.series):
        images = [e for e in images if (e.get("Name") or "") == tif.series[series].name][:1]
        series = 0
    return calibration(images[series]) if series < len(images) else Calibration()


def _imagej(tif: tifffile.TiffFile) -> Calibration:
    meta = tif.imagej_metadata or {}
    factor = to_micrometer(str(meta.get("unit", "")))
    spacing = number(meta.get("spacing", ""))
    step = abs(spacing) * factor if spacing is not None and factor else None
    said = []
    if spacing is not None and spacing < 0:  # ImageJ itself drops the sign
        said.append(f"its spacing is {spacing:g}; the sign is left out")
    if factor and spacing is not None and not is_size(step):
        said.append(f"its spacing is {spacing:g}, which is no size; it is left out")
    first = number(meta.get("zorigin", "")) or 0.0  # the plane at 0 µm
    origin = -first * step if step is not None and is_size(step) else 0.0
    return Calibration(
        pixel_size=_resolution(tif.pages.first, factor) if factor else None,
        z_step=step if is_size(step) else None,
        z_origin=origin if is_position(origin) else 0.0,
        time_step=_scaled(meta.get("finterval"), to_second(str(meta.get("tunit", "s")))),
        channels=_imagej_channels(meta),
        warnings=tuple(said),
    )


def _imagej_channels(meta: dict[str, Any]) -> tuple[Channel, ...]:
    """Return names and colours; the colour is the bright end of the look-up table."""
    names, colours = _labels(meta), []
    tables = meta.get("LUTs")
    if isinstance(tables, np.ndarray):  # of one channel tifffile gives the table itself
        tables = [tables]
    for table in tables or ():
        colour = bytes(int(v) for v in table[:, -1]).hex().upper()
        colours.append({} if colour == "000000" else {"color": colour})
    count = len(names) or len(colours)
    names = names or ("",) * count
    if len(colours) != count:
        colours = [{}] * count
    return tuple(Channel(name, colour) for name, colour in zip(names, colours, strict=True))


def _with_micromanager(known: Calibration, tif: tifffile.TiffFile) -> Calibration:
    """Supply what is still unknown from the summary of Micro-Manager (multi-page TIFF, NDTiff)."""
    said = tif.micromanager_metadata
    summary = said.get("Summary") if said else None
    if not isinstance(summary, dict):
        return known
    channels, names = known.channels, summary.get("ChNames")
    if not channels or not any(channel.name for channel in channels):
        names = names if isinstance(names, list) and names else _ndtiff_channels(tif)
        channels = tuple(Channel(str(name)) for name in names) or channels
    pixel, step = (
        next((size for key in keys if is_size(size := number(summary.get(key)))), None)
        for keys in (("PixelSize_um", "PixelSizeUm"), ("z-step_um", "ZStepUm"))
    )
    pixel_size = known.pixel_size or (None if pixel is None else (pixel, pixel))
    return replace(known, channels=channels, pixel_size=pixel_size, z_step=known.z_step or step)


def _ndtiff_channels(tif: tifffile.TiffFile) -> list[str]:
    """Return the channel names in the index of an NDTiff, in the order in which tifffile counts."""
    index = Path(tif.filehandle.dirname) / "NDTiff.index"
    if not tif.is_ndtiff or not index.is_file():
        return []
    names = [entry[0].get("channel") for entry in tifffile.read_ndtiff_index(index)]
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def _labels(meta: dict[str, Any]) -> tuple[str, ...]:
    """Return the slice labels as channel names where they really name channels.

    Planes are stored channel by channel, so a name is a channel's when it comes back each round.
    """
    labels = [str(label).strip() for label in meta.get("Labels") or ()]
    count = int(meta.get("channels", 1))
    rounds = [tuple(labels[i : i + count]) for i in range(0, len(labels), count)]
    return rounds[0] if rounds and len(set(rounds)) == 1 and len(rounds[0]) == count else ()


def _resolution(page: Any, unit_um: float) -> tuple[float, float] | None:
    """Return pixel size (y, x) in µm from the tags, which hold pixels a unit."""
    sizes: list[float] = []
    for tag in ("YResolution", "XResolution"):
        value = page.tags.valueof(tag)
        if not isinstance(value, tuple) or len(value) != 2 or 0 in value:
            return None
        sizes.append(value[1] / value[0] * unit_um)
    return (sizes[0], sizes[1]) if all(map(is_size, sizes)) else None


def _scaled(value: Any, factor: float | None) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number * factor if factor is not None and is_size(number) else None
