"""OME-TIFF, ImageJ hyperstacks and multi-page TIFF as stacks.

Duty: series and axes of a TIFF (as tifffile understands it) in canonical order, read page by page.
Must not know: how files are found and checked (`_tiff_open`), how planes are read (`_tiff_reader`),
metadata dialects (`_tiff_meta`).
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Channel, Stack
from zfuse.pipeline.sources._layout import DESCENDING, Layout, NoStackError
from zfuse.pipeline.sources._members import Listing, numbered
from zfuse.pipeline.sources._ome_xml import number
from zfuse.pipeline.sources._tiff_meta import tiff_meta
from zfuse.pipeline.sources._tiff_open import Opened, open_tiff
from zfuse.pipeline.sources._tiff_reader import TiffReader

if TYPE_CHECKING:
    import tifffile

__all__ = ["list_members", "open_member", "open_plane"]


def list_members(place: str, *, allow_missing: bool) -> Listing:
    """List the series of a TIFF.

    Parameters
    ----------
    place
        Path of the file; of a multi-file OME-TIFF, of any of its files; of a companion file.
    allow_missing
        See `open_member`.

    Raises
    ------
    ZfuseError
        The file is damaged.
    """
    with open_tiff(place, allow_missing=allow_missing).tif as tif:
        if (count := len(tif.series)) == 1:
            return Listing(numbered(1))
        return Listing(
            tuple(
                replace(member, overview=_is_overview(series))
                for member, series in zip(numbered(count), tif.series, strict=True)
            )
        )


def open_member(place: str, path: str, *, allow_missing: bool) -> Stack:
    """Open one series of a TIFF, lazily.

    Parameters
    ----------
    place
        See `list_members`.
    path
        Its number, ``""`` for the only one.
    allow_missing
        Read files, planes and segments that are missing as 0.

    Raises
    ------
    ZfuseError
        The file is damaged, or the series no stack.
    """
    return _series(place, int(path or 0), allow_missing)


def open_plane(place: str) -> Stack:
    """Open a TIFF that is one plane of a folder: Y, X with channels or samples, no z, no t.

    Raises
    ------
    ZfuseError
        The file is damaged, or a stack of its own.
    """
    return _series(place, 0, allow_missing=False, plane=True)


def _series_axes(series: Any) -> tuple[str, tuple[int, ...]]:
    """Return axes and lengths of a series in lower case, without those of length 1 but z, y, x."""
    axes, shape = series.get_axes(squeeze=False).lower(), series.get_shape(squeeze=False)
    kept = [(a, n) for a, n in zip(axes, shape, strict=True) if n != 1 or a in "yx"]
    return "".join(a for a, _ in kept), tuple(n for _, n in kept)


def _series(place: str, index: int, allow_missing: bool, *, plane: bool = False) -> Stack:
    opened = open_tiff(place, allow_missing=allow_missing)
    try:
        return _stack(opened, index, place, allow_missing, plane)
    except BaseException:
        opened.tif.close()
        raise


def _stack(opened: Opened, index: int, place: str, allow_missing: bool, plane: bool) -> Stack:
    tif = opened.tif
    series = tif.series[index]
    source = place if len(tif.series) == 1 else f"{place} series {index}"
    meta = tiff_meta(tif, index, opened.ome)
    axes, lengths = _series_axes(series)
    _check_imagej(tif, axes, lengths, source)
    if plane:
        _check_plane(axes, lengths, source)
    axes, said = (axes, []) if plane else _z_axis(axes, lengths, series, source)
    samples = lengths[axes.index("s")] if "s" in axes else 1
    if samples in (2, 4) and series.keyframe.extrasamples:
        said.append(f"{source} has an alpha channel, which is left out")
        samples -= 1
    size = dict(zip(axes, lengths, strict=True))
    if size.get("c", 1) > 1 and samples > 1:
        raise ZfuseError(f"{source} has {size['c']} channels of {samples} samples; split it first")
    if axes.replace("s", "")[-2:] != "yx" or series.keyframe.imagedepth > 1:
        raise ZfuseError(f"{source} has the axes {axes.upper()}; planes of Y, X are needed")
    count = size.get("c", 1) * samples
    size |= {"c": count, "z": size.get("z", 1)}
    declared = [a for a in "tczyx" if a in axes or a == "z" or (a == "c" and count > 1)]
    layout = Layout("".join(declared), tuple(size[a] for a in declared), source)
    reader = TiffReader(tif, series, axes, lengths, layout, samples, allow_missing=allow_missing)
    rgb = samples == 3
    said += meta.warnings
    z_step = meta.z_step
    if z_step is not None and z_step < 0:
        z_step, reader.descending = -z_step, True
        said.append(DESCENDING)
    return Stack(
        reader=reader,
        axes=layout.declared,
        name=meta.name or Path(place).name.split(".")[0],
        source=source,
        channels=_channels(meta.channels, count, rgb=rgb),
        rgb=rgb,
        pixel_size=meta.pixel_size,
        z_step=z_step,
        time_step=meta.time_step,
        origin=(meta.z_origin, 0.0, 0.0),
        kind=_kind(opened),
        warnings=tuple(said),
    )


def _is_overview(series: Any) -> bool:
    try:
        axes, lengths = _series_axes(series)
        _z_axis(axes, lengths, series, "")
    except NoStackError:
        return True
    except ZfuseError:  # said by whoever opens it
        return False
    return False


def _kind(opened: Opened) -> str:
    if opened.ome is not None:
        return "OME-TIFF"
    if opened.tif.is_imagej:
        return "TIFF of ImageJ"
    return "TIFF of Micro-Manager" if opened.tif.is_micromanager else "TIFF"


def _check_imagej(tif: tifffile.TiffFile, axes: str, lengths: tuple[int, ...], source: str) -> None:
    """Refuse a file that lacks planes which ImageJ counted: tifffile goes by what is left."""
    if not tif.is_imagej or tif.imagej_metadata is None:
        return
    announced = number(tif.imagej_metadata.get("images", 1)) or 1
    found = math.prod(n for axis, n in zip(axes, lengths, strict=True) if axis not in "yxs")
    if announced > found and len(tif.series) == 1:
        raise ZfuseError(
            f"{source} is truncated: it holds {found} plane(s), {announced:g} are announced; "
            "copy it again from the original"
        )


def _check_plane(axes: str, lengths: tuple[int, ...], source: str) -> None:
    if extra := [a for a in axes if a not in "cyxs"]:
        raise ZfuseError(
            f"{source} is a stack of its own, {axes.upper()} of {lengths} (axis "
            f"{extra[0].upper()}), in a folder where each file is one plane; give that file instead"
        )


def _z_axis(axes: str, lengths: tuple[int, ...], series: Any, source: str) -> tuple[str, list[str]]:
    """Rename axes whose meaning the file leaves open; a lone plane is a stack of one."""
    said: list[str] = []
    unknown = [a for a in axes if a not in "tczyxs"]
    if "z" not in axes and unknown:
        # tifffile says Q (other) or I (sequence) for pages that nothing describes
        names = {1: "z", 2: "cz", 3: "tcz"}.get(len(unknown), "")
        if len(names) != len(unknown) or any(n in axes for n in names):
            raise ZfuseError(f"{source} has the unclear axes {axes.upper()}; name them on writing")
        for old, new in zip(unknown, names, strict=True):
            axes = axes.replace(old, new, 1)
        said.append(f"{source} does not name its axes; they are taken as {axes.upper()}")
    elif unknown:
        raise ZfuseError(
            f"{source} has the axis {unknown[0].upper()} of length "
            f"{lengths[axes.index(unknown[0])]}; only TCZYX and RGB samples can be read"
        )
    elif "z" not in axes:
        full = series.get_axes(squeeze=False).upper()
        if "t" in axes or "c" in axes or series.kind == "ome":
            raise NoStackError(
                f"{source} has no z axis: its axes are {axes.upper()} (of {full}); give a focal "
                "stack (if another axis is really z, open it in Python with "
                "zfuse.from_array(..., axes=...))"
            )
        said.append(f"{source} holds a single plane; there is nothing to choose from")
    return axes, said


def _channels(known: tuple[Channel, ...], count: int, *, rgb: bool) -> tuple[Channel, ...]:
    if rgb:
        return tuple(Channel(name) for name in ("red", "green", "blue"))
    given = known if len(known) == count else (Channel(""),) * count
    return tuple(
        replace(channel, name=channel.name or f"channel {i}") for i, channel in enumerate(given)
    )
