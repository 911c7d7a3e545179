"""OME-Zarr plates as instruments write them, in both versions of the format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SIZE = (5, 48, 64)  # planes, height, width
CHANNELS = ("DAPI", "GFP")


def field_pixels(
    name: str, size: tuple[int, int, int] = SIZE, times: int = 1, channels: int = 2
) -> NDArray[np.uint16]:
    """Return the (T, C, Z, Y, X) pixels of a field: noise of its own that is sharpest somewhere."""
    random = np.random.default_rng(sum(ord(letter) * 31**i for i, letter in enumerate(name)))
    planes, height, width = size
    pixels = random.normal(0, 1, (times, channels, planes, height, width))
    sharp = 1 + 4 * np.exp(-((np.arange(planes) - planes // 2) ** 2))
    return np.clip(2000 + 200 * pixels * sharp[:, None, None], 0, 65535).astype(np.uint16)


def write_plate(
    place: Path,
    wells: Mapping[str, Sequence[str]] | None = None,
    *,
    version: str = "0.5",
    rows: Sequence[str] = ("A", "B", "C"),
    columns: Sequence[str] = ("01", "02", "03"),
    sizes: Mapping[str, tuple[int, int, int]] | None = None,
    times: int = 1,
    channels: Sequence[str] = CHANNELS,
    acquisitions: Sequence[Mapping[str, Any]] = (),
    declared: Sequence[str] = (),
) -> Path:
    """Write a plate.

    Parameters
    ----------
    place
        Where.
    wells
        Fields of each well, ``{"B/03": ["0", "1"]}``.
    version
        ``"0.5"`` or ``"0.4"``.
    rows, columns
        Their names.
    sizes
        Planes, height and width of fields that differ from `SIZE`, by ``"B/03/0"``.
    times, channels
        Time points and channel names of each field.
    acquisitions
        As metadata; fields belong to them in turn.
    declared
        Wells that the plate names but that are not there.
    """
    wells = {"A/01": ["0", "1"], "B/02": ["0"], "B/03": ["0"]} if wells is None else wells
    names = [*wells, *declared]
    plate: dict[str, Any] = {
        "name": "screen 7",
        "rows": [{"name": name} for name in rows],
        "columns": [{"name": name} for name in columns],
        "field_count": max(map(len, wells.values()), default=1),
        "wells": [
            {
                "path": name,
                "rowIndex": list(rows).index(name.split("/")[0]),
                "columnIndex": list(columns).index(name.split("/")[1]),
            }
            for name in names
        ],
    }
    if acquisitions:
        plate["acquisitions"] = [dict(entry) for entry in acquisitions]
    group(place, {"plate": plate}, version)
    for row in rows:
        if any(name.startswith(f"{row}/") for name in wells):
            group(place / row, {}, version)
    for well, fields in wells.items():
        images: list[dict[str, Any]] = [{"path": field} for field in fields]
        for i, image in enumerate(images if acquisitions else []):
            image["acquisition"] = acquisitions[i % len(acquisitions)]["id"]
        group(place / well, {"well": {"images": images}}, version)
        for field in fields:
            size = (sizes or {}).get(f"{well}/{field}", SIZE)
            pixels = field_pixels(f"{well}/{field}", size, times, len(channels))
            write_image(place / well / field, pixels, channels, version)
    return place


def write_image(
    place: Path, pixels: NDArray[Any], channels: Sequence[str], version: str = "0.5"
) -> None:
    """Write one TCZYX image of one level, 0.5 µm between planes of 0.25 µm pixels, every 60 s."""
    axes = [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "c", "type": "channel"},
        *({"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"),
    ]
    steps = [
        {"type": "scale", "scale": [60.0, 1.0, 0.5, 0.25, 0.25]},
        {"type": "translation", "translation": [0.0, 0.0, 3.0, 100.0, 200.0]},
    ]
    colours = ("0000FF", "00FF00", "FF0000", "FFFFFF")
    omero = {
        "channels": [
            {
                "label": name,
                "color": colours[i % 4],
                "active": True,
                "window": {"min": 0, "max": 65535, "start": 0, "end": 4000},
            }
            for i, name in enumerate(channels)
        ]
    }
    multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    ome = {"multiscales": [multiscale], "omero": omero}
    if version == "0.4":
        multiscale["version"] = version
    made = group(place, ome, version)
    chunks = (1, 1, 1, *pixels.shape[3:])
    made.create_array(
        "0",
        data=pixels,
        chunks=chunks,
        **({"chunk_key_encoding": {"name": "v2", "separator": "/"}} if version == "0.4" else {}),
    )


def group(place: Path, ome: Mapping[str, Any], version: str) -> zarr.Group:
    """Make a group with OME attributes, where either version has them."""
    if version == "0.4":
        said = {
            key: {**value, "version": version} if key in ("plate", "well") else value
            for key, value in ome.items()
        }
        return zarr.create_group(place, zarr_format=2, attributes=said)
    attributes = {"ome": {"version": version, **ome}} if ome else {}
    return zarr.create_group(place, attributes=attributes)
