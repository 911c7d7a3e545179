"""CZI, ND2, LIF and what else bioio has a reader plugin for.

Duty: find the plugin by what the file is, list its scenes as images, and settle their axes.
Must not know: how windows are read (`_bioio_reader`), calibration (`_bioio_meta`).
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zfuse.errors import ZfuseError, reason
from zfuse.pipeline.core import Channel, Stack
from zfuse.pipeline.sources._bioio_meta import asked, bioio_meta
from zfuse.pipeline.sources._bioio_reader import BioioReader, Mosaic
from zfuse.pipeline.sources._layout import DESCENDING, IGNORED, Layout, NoStackError, pixel_dtype
from zfuse.pipeline.sources._magic import CZI, DV, LIF, ND2, kind_of
from zfuse.pipeline.sources._members import Listing, Member

__all__ = ["is_vendors", "list_members", "open_member"]

PLUGINS = {CZI: "bioio_czi", ND2: "bioio_nd2", LIF: "bioio_lif", DV: "bioio_dv"}
# Their first bytes are those of HDF5, OLE or nothing special: here the name decides.
SUFFIXES = {
    ".ims": "bioio_bioformats", ".oib": "bioio_bioformats", ".oif": "bioio_bioformats",
    ".oir": "bioio_bioformats", ".zvi": "bioio_bioformats", ".mvd2": "bioio_bioformats",
    ".xdce": "bioio_bioformats", ".sldy": "bioio_sldy", ".sld": "bioio_bioformats",
}  # fmt: skip
FORMATS_EXTRA = ("bioio_czi", "bioio_nd2", "bioio_lif")


def is_vendors(place: str) -> bool:
    """Whether a path is a file in a vendor's format."""
    path = Path(place)
    return path.is_file() and (kind_of(place) in PLUGINS or path.suffix.lower() in SUFFIXES)


def list_members(place: str, *, allow_missing: bool) -> Listing:
    """List the scenes of a file; of mosaics whose tiles have no exact places, the tiles.

    Parameters
    ----------
    place
        The file.
    allow_missing
        Not used: these formats do not tell what is missing.

    Raises
    ------
    ZfuseError
        The plugin is not installed, or can't read the file.
    """
    del allow_missing
    module = _module(place)
    image = _opened(_plugin(module, place), module, place)
    names = _scenes(image, place)
    found: list[Member] = []
    for scene, name in enumerate(names):
        size = _size(image, scene)
        count = 1 if module == "bioio_czi" else size.get("M", 1)
        flat = bool(size) and size.get("Z", 1) == 1
        for tile in range(count):
            path, called = f"{scene}", name
            if count > 1:
                path, called = f"{path}-{tile}", f"{name} tile {tile}"
            found.append(Member(path, called, len(found), overview=flat))
    if len(found) == 1:
        return Listing((replace(found[0], path=""),))
    return Listing(tuple(found))


def open_member(place: str, image: str, *, allow_missing: bool) -> Stack:
    """Open one scene, lazily, by the path that `list_members` gave it.

    Raises
    ------
    ZfuseError
        The plugin is not installed, can't read the file, or the scene is no focal stack.
    """
    del allow_missing
    module = _module(place)
    scene, _, tile = image.partition("-")
    return _image(module, place, int(scene or 0), int(tile) if tile else None)


def _module(place: str) -> str:
    return PLUGINS.get(kind_of(place)) or SUFFIXES[Path(place).suffix.lower()]


def _plugin(module: str, place: str) -> Any:
    """Return the reader class of a plugin."""
    for name in (module, "bioio_base", "nd2", "liffile", "aicspylibczi"):
        logging.getLogger(name).addHandler(logging.NullHandler())  # else remarks reach the terminal
    try:
        if find_spec(module) is None:
            raise ModuleNotFoundError(module)
        return import_module(module).Reader
    except ImportError as error:
        package = module.replace("_", "-")
        extra = '"zfuse[formats]"' if module in FORMATS_EXTRA else f"bioio {package}"
        raise ZfuseError(
            f"{place} is read by {package}, which is not installed ({reason(error)}); install it "
            f"with: pip install {extra}, or export the file as OME-TIFF"
        ) from error


def _opened(reader: Any, module: str, place: str) -> Any:
    try:
        # One plane is the least that is decoded; bioio's default is all planes of a channel.
        by_plane = {"chunk_dims": ["Y", "X"]} if module in {"bioio_czi", "bioio_lif"} else {}
        return reader(place, **by_plane)
    except MemoryError:
        raise
    except Exception as error:  # each plugin raises what its library raises
        raise _refusal(place, module, error) from error


def _refusal(place: str, module: str, error: Exception) -> ZfuseError:
    return ZfuseError(
        f"{place} cannot be read by {module.replace('_', '-')} ({reason(error)}); it is truncated "
        "or damaged: copy it again from the original"
    )


def _scenes(image: Any, place: str) -> tuple[str, ...]:
    try:
        return tuple(str(name) for name in image.scenes)
    except Exception as error:  # see above
        raise _refusal(place, type(image).__module__.split(".")[0], error) from error


def _size(image: Any, scene: int) -> dict[str, int]:
    """Return the lengths of the axes of a scene, none where the plugin fails to say."""
    asked(lambda: image.set_scene(scene), None)
    return asked(lambda: dict(zip(image.dims.order, map(int, image.dims.shape), strict=True)), {})


def _image(module: str, place: str, scene: int, tile: int | None) -> Stack:
    """Open one scene."""
    image = _opened(_plugin(module, place), module, place)
    names = _scenes(image, place)
    source = place if len(names) == 1 else f"{place} scene {scene}"
    name = Path(place).stem if len(names) == 1 else f"{Path(place).stem} {names[scene]}"
    if tile is not None:
        source, name = f"{source} tile {tile}", f"{name} tile {tile}"
    try:
        image.set_scene(scene)
        order, lengths = str(image.dims.order), tuple(int(n) for n in image.dims.shape)
        dtype = image.dtype
    except MemoryError:
        raise
    except Exception as error:  # see above
        raise _refusal(source, module, error) from error
    size = dict(zip(order, lengths, strict=True))
    said: list[str] = []
    mosaic = _mosaic(image, size, source, said) if tile is None else None
    rgb, count = _channels(size, source, said)
    # libCZI hands samples out as they are stored: blue, green, red.
    samples = (slice(2, None, -1) if module == "bioio_czi" else slice(3)) if rgb else None
    if size.get("Z", 1) == 1:
        raise NoStackError(f"{source} has a single plane; give a focal stack")
    layout = _layout(order, size, mosaic, count, source)
    pixels = pixel_dtype(dtype, source)
    fixed = {axis: 0 for axis in order if axis not in "TCZYXSM"}
    if "M" in order and mosaic is None:
        fixed["M"] = tile or 0
    stack_reader = BioioReader(image, layout, pixels, samples, fixed, mosaic)
    planes = math.prod(size.get(axis, 1) for axis in "TCZM") * len(names)
    known = bioio_meta(image, scene, 1 if rgb else count, planes)
    z_step = known.z_step
    if z_step is not None and z_step < 0:
        z_step, stack_reader.descending = -z_step, True
        said.append(DESCENDING)
    channels = known.channels
    if rgb:
        channels = tuple(Channel(colour) for colour in ("red", "green", "blue"))
    return Stack(
        reader=stack_reader,
        axes=layout.declared,
        name=name,
        source=source,
        channels=channels,
        rgb=rgb,
        pixel_size=known.pixel_size,
        z_step=z_step,
        time_step=known.time_step,
        origin=(known.z_origin, 0.0, 0.0),
        kind=f"{kind_of(place) or Path(place).suffix}, read by {_called(module)}",
        warnings=(*said, *known.warnings),
    )


def _channels(size: dict[str, int], source: str, said: list[str]) -> tuple[bool, int]:
    """Return whether pixels are colours, and the number of channels of the stack."""
    samples, channels = size.get("S", 1), size.get("C", 1)
    if samples == 1:
        return False, channels
    if channels > 1 or samples not in (3, 4):
        raise ZfuseError(f"{source} has {channels} channels of {samples} samples; split it first")
    if samples == 4:
        said.append(f"{source} has an alpha channel, which is left out")
    return True, 3


def _layout(
    order: str, size: dict[str, int], mosaic: Mosaic | None, channels: int, source: str
) -> Layout:
    axes = "".join(a.lower() if a in "TCZYX" else IGNORED for a in order if a not in "MS")
    lengths = {**size, "C": channels}
    if mosaic is not None:
        lengths["Y"], lengths["X"] = mosaic.size
    if "C" not in order and channels > 1:
        order, axes = f"C{order}", f"c{axes}"
    if strange := [a for a in order if a not in "TCZYXSM" and size[a] > 1]:
        raise ZfuseError(
            f"{source} has the axis {strange[0]} of length {size[strange[0]]} beside "
            "T, C, Z, Y and X; export the part that is a focal stack"
        )
    return Layout(axes, tuple(lengths[a] for a in order if a not in "MS"), source)


def _mosaic(image: Any, size: dict[str, int], source: str, said: list[str]) -> Mosaic | None:
    """Return where the tiles of a mosaic lie."""
    count = size.get("M", 1)
    if count == 1:
        return None
    first = {axis: 0 for axis in "TCZ" if axis in size}
    none: list[tuple[int, int]] = []
    listed = partial(image.get_mosaic_tile_positions, **first)
    places = asked(lambda: [(int(y), int(x)) for y, x in listed()], none)
    if len(places) != count:
        raise ZfuseError(
            f"{source} has {count} tiles, of which {len(places)} say where they lie; stitch it in "
            "the program that took it, or export the tiles as single images"
        )
    top, left = min(y for y, _ in places), min(x for _, x in places)
    said.append(
        f"{source}: {count} tiles lie where the file says, the later over the earlier; they are "
        "not stitched, and what no tile covers is 0"
    )
    return Mosaic(tuple((y - top, x - left) for y, x in places), size["Y"], size["X"])


def _called(module: str) -> str:
    """Return name and version of a plugin."""
    name = module.replace("_", "-")
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name
