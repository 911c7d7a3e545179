"""Calibration and channel names out of TIFF metadata: OME-XML, ImageJ, resolution tags.

Duty: one record in µm and seconds, whoever wrote the file. Must not know: pixels, axes order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from zfuse.pipeline.sources._units import is_size, to_micrometer, to_second

__all__ = ["TiffMeta", "tiff_meta"]

# Resolution tags of plain TIFFs are mostly print resolutions (72 dpi is 353 µm a pixel).
LARGEST_PIXEL_UM = 100.0


@dataclass(frozen=True)
class TiffMeta:
    """What the metadata says; None where it says nothing usable."""

    name: str = ""
    pixel_size: tuple[float, float] | None = None
    z_step: float | None = None
    time_step: float | None = None
    channel_names: tuple[str, ...] = ()


def tiff_meta(tif: Any, series: int) -> TiffMeta:
    """Return the calibration of one series.

    Parameters
    ----------
    tif
        The open tifffile.TiffFile.
    series
        Number of the series in it.

    Returns
    -------
    TiffMeta
        In µm and seconds.
    """
    if tif.is_ome and tif.ome_metadata:
        return _ome(tif.ome_metadata, series)
    if tif.is_imagej and tif.imagej_metadata is not None:
        return _imagej(tif)
    page = tif.pages[0]
    unit = page.tags.valueof("ResolutionUnit", 2)
    if int(unit) != 3:  # 3 is centimetre
        return TiffMeta()
    size = _resolution(page, 1e4)
    return TiffMeta(pixel_size=size if size and max(size) <= LARGEST_PIXEL_UM else None)


def _ome(xml: str, series: int) -> TiffMeta:
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return TiffMeta()
    found = [e for e in root if _tag(e) == "Image"]
    if series >= len(found):
        return TiffMeta()
    image = found[series]
    pixels = next((e for e in image if _tag(e) == "Pixels"), None)
    if pixels is None:
        return TiffMeta()

    def size(axis: str) -> float | None:
        factor = to_micrometer(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        return _scaled(pixels.get(f"PhysicalSize{axis}"), factor)

    y, x = size("Y"), size("X")
    return TiffMeta(
        name=image.get("Name") or "",
        pixel_size=(y, x) if y is not None and x is not None else None,
        z_step=size("Z"),
        time_step=_scaled(
            pixels.get("TimeIncrement"), to_second(pixels.get("TimeIncrementUnit", "s"))
        ),
        channel_names=tuple(e.get("Name") or "" for e in pixels if _tag(e) == "Channel"),
    )


def _imagej(tif: Any) -> TiffMeta:
    meta = tif.imagej_metadata or {}
    factor = to_micrometer(str(meta.get("unit", "")))
    return TiffMeta(
        pixel_size=_resolution(tif.pages[0], factor) if factor else None,
        z_step=_scaled(meta.get("spacing"), factor),
        time_step=_scaled(meta.get("finterval"), to_second(str(meta.get("tunit", "s")))),
        channel_names=_labels(meta),
    )


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
        if not isinstance(value, tuple) or 0 in value:
            return None
        sizes.append(value[1] / value[0] * unit_um)
    return (sizes[0], sizes[1]) if all(map(is_size, sizes)) else None


def _scaled(value: Any, factor: float | None) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number * factor if factor is not None and is_size(number) else None


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rsplit("}", 1)[-1]
