"""OME-TIFF, ImageJ hyperstacks and multi-page TIFF as stacks.

Duty: series and axes of a TIFF (as tifffile understands it) in canonical order, read page by page.
Must not know: how planes are read (`_tiff_reader`), metadata dialects (`_tiff_meta`).
"""

from __future__ import annotations

import logging
import struct
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tifffile

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Channel, Stack
from zfuse.pipeline.sources._layout import Layout
from zfuse.pipeline.sources._tiff_meta import tiff_meta
from zfuse.pipeline.sources._tiff_reader import TiffReader

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["images", "open_plane", "open_tiff"]

# tifffile logs what it works around; what matters to the user is said in refusals and warnings.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def images(place: str, *, allow_missing: bool) -> list[Callable[[], Stack]]:
    """List the series of a TIFF as functions that open them.

    Parameters
    ----------
    place
        Path of the file; of a multi-file OME-TIFF, of any of its files.
    allow_missing
        Read planes and segments that were never written as 0.

    Returns
    -------
    list of callables
        One a series.

    Raises
    ------
    ZfuseError
        The file is damaged.
    """
    with open_tiff(place) as tif:
        count = len(tif.series)
    return [partial(_series, place, i, allow_missing) for i in range(count)]


def open_plane(place: str) -> Stack:
    """Open a TIFF that is one plane of a folder: Y, X with channels or samples, no z, no t.

    Raises
    ------
    ZfuseError
        The file is damaged, or a stack of its own.
    """
    return _series(place, 0, allow_missing=False, plane=True)


def open_tiff(place: str) -> tifffile.TiffFile:
    """Open a TIFF and list its series.

    Raises
    ------
    ZfuseError
        The file is damaged or empty.
    """
    tif = None
    try:
        tif = tifffile.TiffFile(place)
        found = len(tif.series) if len(tif.pages) else 0
        cut = found > 0 and _chain_is_cut(tif)
    except Exception as error:  # tifffile raises a dozen kinds on damaged files
        if tif is not None:
            tif.close()
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ZfuseError(
            f"{place} cannot be read as TIFF ({reason}); it is truncated or damaged: "
            "copy it again from the original"
        ) from error
    if cut or not found:
        tif.close()
        what = f"ends after {len(tif.pages)} page(s), more are announced" if cut else "has no pages"
        raise ZfuseError(f"{place} is truncated: it {what}; copy it again from the original")
    return tif


def _chain_is_cut(tif: tifffile.TiffFile) -> bool:
    """Whether the last page points at a next one beyond the end of the file.

    tifffile only logs that, and goes on with the pages that are left.
    """
    file, form = tif.filehandle, tif.tiff
    last = tif.pages[len(tif.pages) - 1]
    file.seek(last.offset)
    (tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    file.seek(last.offset + form.tagnosize + tags * form.tagsize)
    (following,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))
    return bool(following >= file.size)


def _series_axes(series: Any) -> tuple[str, tuple[int, ...]]:
    """Return axes and lengths of a series in lower case, without those of length 1 but z, y, x."""
    axes, shape = series.get_axes(squeeze=False).lower(), series.get_shape(squeeze=False)
    kept = [(a, n) for a, n in zip(axes, shape, strict=True) if n != 1 or a in "yx"]
    return "".join(a for a, _ in kept), tuple(n for _, n in kept)


def _series(place: str, index: int, allow_missing: bool, *, plane: bool = False) -> Stack:
    tif = open_tiff(place)
    try:
        return _stack(tif, index, place, allow_missing, plane)
    except BaseException:
        tif.close()
        raise


def _stack(
    tif: tifffile.TiffFile, index: int, place: str, allow_missing: bool, plane: bool
) -> Stack:
    series = tif.series[index]
    source = place if len(tif.series) == 1 else f"{place} series {index}"
    meta = tiff_meta(tif, index)
    axes, lengths = _series_axes(series)
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
    return Stack(
        reader=reader,
        axes=layout.declared,
        name=meta.name or Path(place).name.split(".")[0],
        source=source,
        channels=_channels(meta.channel_names, count, rgb=rgb),
        rgb=rgb,
        pixel_size=meta.pixel_size,
        z_step=meta.z_step,
        time_step=meta.time_step,
        warnings=tuple(said),
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
            raise ZfuseError(
                f"{source} has no z axis: its axes are {axes.upper()} (of {full}); give a focal "
                "stack (if another axis is really z, open it in Python with "
                "zfuse.from_array(..., axes=...))"
            )
        said.append(f"{source} holds a single plane; there is nothing to choose from")
    return axes, said


def _channels(names: tuple[str, ...], count: int, *, rgb: bool) -> tuple[Channel, ...]:
    if rgb:
        return tuple(Channel(name) for name in ("red", "green", "blue"))
    given = names if len(names) == count else ("",) * count
    return tuple(Channel(name or f"channel {i}") for i, name in enumerate(given))
