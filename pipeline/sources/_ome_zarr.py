"""OME-Zarr 0.4 and 0.5: images, plates, wells and collections as stacks.

Duty: find the images behind a group and join pixels and metadata into stacks.
Must not know: how metadata is spelt (see `_ngff`), how chunks are decoded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import zarr

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Stack
from zfuse.pipeline.sources import _ngff
from zfuse.pipeline.sources._array import channels_named
from zfuse.pipeline.sources._layout import DESCENDING, Layout, default_axes
from zfuse.pipeline.sources._members import Listing, Member, numbered
from zfuse.pipeline.sources._ngff_models import Series, Well, parse
from zfuse.pipeline.sources._plate import attributes_below, list_plate
from zfuse.pipeline.sources._zarr_reader import ZarrReader
from zfuse.pipeline.sources._zarr_store import open_array, open_child, open_node

if TYPE_CHECKING:
    from zfuse.pipeline.sources._growth import GrowingPlanes

__all__ = ["Growing", "growing", "list_members", "members", "open_member"]


def list_members(place: str, *, allow_missing: bool) -> Listing:
    """List the images of an OME-Zarr, without opening one.

    Parameters
    ----------
    place
        Local path or fsspec URL of a multiscale image, a plate, a well, a bioformats2raw
        collection, one image of it, or a bare array.
    allow_missing
        Nothing is read here that could be missing.

    Raises
    ------
    ZfuseError
        There is no image.
    """
    node = open_node(place)
    if isinstance(node, zarr.Array):
        return Listing(numbered(1))
    ome = _ngff.ome_attributes(node.attrs.asdict())
    if "multiscales" in ome:
        return Listing(numbered(1))
    if "plate" in ome:
        return list_plate(node, ome, place)
    paths = _collection(node, ome, place)
    if not paths:
        raise ZfuseError(_no_image(node, place))
    found = attributes_below(node, paths) if len(paths) > 1 else [""]
    return Listing(
        tuple(
            Member(path, f"image {path}", number, overview=_is_overview(attributes))
            for number, (path, attributes) in enumerate(zip(paths, found, strict=True))
        )
    )


def open_member(place: str, path: str, *, allow_missing: bool) -> Stack:
    """Open one image of an OME-Zarr, lazily; see `list_members`.

    Raises
    ------
    ZfuseError
        It is missing or damaged.
    """
    node = open_node(place)
    if path:
        if isinstance(node, zarr.Array):
            raise ZfuseError(f"{place} is an array; it holds no image {path}")
        return _member(node, path, place, allow_missing)
    if isinstance(node, zarr.Array):
        return _bare(node, place, allow_missing)
    return _image(node, place, allow_missing)


def _is_overview(attributes: dict[str, Any] | str) -> bool:
    """Whether an image says of itself that it has no z axis."""
    if isinstance(attributes, str):
        return False
    try:
        axes = _ngff.read_image(_ngff.ome_attributes(attributes), "").axes
    except ZfuseError:  # said by whoever opens it
        return False
    return axes is not None and "z" not in axes


@dataclass(frozen=True)
class Growing:
    """An image of an OME-Zarr that someone is still writing.

    Attributes
    ----------
    stack
        Its calibration, and its shape as far as its metadata are written.
    planes
        Its pixels.
    frames
        Where ome-writers ends, it lists the frames that it wrote: their indices along the axes of
        the file but y and x. None before.
    lacks_channels
        It names more channels than it has so far: channels are what it grows along.
    """

    stack: Stack
    planes: GrowingPlanes
    frames: frozenset[tuple[int, ...]] | None
    lacks_channels: bool


def members(place: str) -> list[str]:
    """List the paths of the images of an OME-Zarr: of a plate, a collection, "" for a single image.

    Raises
    ------
    ZfuseError
        There is no image, or its metadata are not written yet.
    """
    listing = list_members(place, allow_missing=True)
    if fault := next((member.fault for member in listing.members if member.fault), ""):
        raise ZfuseError(fault)
    return [member.path for member in listing.members]


def growing(place: str, member: str) -> Growing:
    """Open one image of a local OME-Zarr that someone is still writing.

    Parameters
    ----------
    place
        The OME-Zarr.
    member
        One of `members`.

    Raises
    ------
    ZfuseError
        Its metadata are not written yet, or it is no focal stack.
    """
    node = open_node(f"{place.rstrip('/')}/{member}".rstrip("/"))
    source = f"{place.rstrip('/')}/{member}".rstrip("/")
    if isinstance(node, zarr.Array):
        stack, attributes = _bare(node, source, True), {}
    else:
        stack, attributes = _image(node, source, True), node.attrs.asdict()
    assert isinstance(stack.reader, ZarrReader)
    omero = _ngff.ome_attributes(attributes).get("omero")
    named = omero.get("channels") if isinstance(omero, dict) else None
    lacks = isinstance(named, list) and len(named) > stack.shape[1]
    return Growing(stack, stack.reader.growing(), _frames(attributes), lacks)


def _frames(attributes: dict[str, Any]) -> frozenset[tuple[int, ...]] | None:
    """Return the list of frames that ome-writers writes at its end, None before."""
    notes = attributes.get("ome_writers")
    listed = notes.get("frame_metadata") if isinstance(notes, dict) else None
    if not isinstance(listed, list) or not listed:
        return None
    try:
        return frozenset(tuple(int(i) for i in frame["storage_index"]) for frame in listed)
    except (KeyError, TypeError, ValueError):
        return None


def _collection(group: zarr.Group, ome: dict[str, Any], place: str) -> list[str]:
    """List the images of a collection or a well, in order."""
    if "well" in ome:
        return [image.path for image in parse(Well, ome, place).well.images]
    folder = open_child(group, "OME")
    if "bioformats2raw.layout" not in ome and folder is None:
        return []
    if folder is not None:
        declared = _ngff.ome_attributes(folder.attrs.asdict())
        if series := parse(Series, declared, f"{place}/OME").series:
            return list(series)
    # Nothing says how many there are; they are numbered, so one that lacks in between is seen.
    numbers = sorted(int(name) for name in _names(group) if re.fullmatch(r"0|[1-9]\d*", name))
    paths = [str(number) for number in numbers]
    if (gap := next((i for i, n in enumerate(numbers) if i != n), None)) is not None:
        return [*paths[:gap], str(gap), *paths[gap:]]
    while isinstance(open_child(group, str(len(paths))), zarr.Group):  # a store without a list
        paths.append(str(len(paths)))
    return paths


def _member(group: zarr.Group, path: str, place: str, allow_missing: bool) -> Stack:
    source = f"{place.rstrip('/')}/{path}"
    node = open_child(group, path)
    if not isinstance(node, zarr.Group):
        raise ZfuseError(f"{source} belongs to its collection but is missing; copy it again")
    stack = _image(node, source, allow_missing)
    # The fields of a plate are "0" in every well, which names none of them.
    return replace(stack, name=path) if stack.name == path.rsplit("/", 1)[-1] else stack


def _image(group: zarr.Group, source: str, allow_missing: bool) -> Stack:
    """Make a stack of level 0 of a multiscale image."""
    attributes = group.attrs.asdict()
    ome = _ngff.ome_attributes(attributes)
    meta = _ngff.read_image(ome, source)
    array = open_array(group, meta.path, source)
    layout = Layout(meta.axes or default_axes(array.ndim, source), array.shape, source)
    reader = ZarrReader(array, layout, allow_missing=allow_missing)
    count = layout.shape[1]
    channels, rgb = _ngff.channels(ome, count, reader.dtype.name)
    if channels is None:  # nothing of it is read, and validating a million entries takes gigabytes
        ome.pop("omero", None)
    checked = {**attributes, "ome": ome} if "ome" in attributes else ome
    invalid = _ngff.why_invalid(checked, group.metadata.zarr_format)
    z_step, (z, *yx), said = meta.z_step, meta.origin, meta.warnings
    if z_step is not None and z_step < 0:
        reader.descending = True
        z, z_step = z + z_step * (layout.shape[2] - 1), -z_step
        said = (*said, DESCENDING)
    return Stack(
        reader=reader,
        axes=layout.declared,
        name=meta.name or source.rstrip("/").rsplit("/", 1)[-1],
        source=source,
        channels=channels or channels_named(None, count, source),
        rgb=rgb,
        pixel_size=meta.pixel_size,
        z_step=z_step,
        time_step=meta.time_step,
        origin=(z, yx[0], yx[1]),
        kind=f"OME-Zarr, zarr format {group.metadata.zarr_format}",
        warnings=(*invalid, *said),
    )


def _bare(array: zarr.Array[Any], source: str, allow_missing: bool) -> Stack:
    axes = default_axes(array.ndim, source)
    names = getattr(array.metadata, "dimension_names", None) or ()
    if "".join(str(name).lower() for name in names).strip("tczyx") == "" and len(names):
        axes = "".join(str(name).lower() for name in names)
    layout = Layout(axes, array.shape, source)
    return Stack(
        reader=ZarrReader(array, layout, allow_missing=allow_missing),
        axes=layout.declared,
        name=source.rstrip("/").rsplit("/", 1)[-1],
        source=source,
        channels=channels_named(None, layout.shape[1], source),
        kind=f"array without metadata, zarr format {array.metadata.zarr_format}",
        warnings=(
            f"{source} is a bare zarr array without OME metadata; "
            f"its axes are taken as {axes.upper()}, its scale is unknown",
        ),
    )


def _names(group: zarr.Group) -> list[str]:
    """List what lies below a group, be it damaged or not."""
    from zarr.core.sync import sync

    async def listed() -> list[str]:
        return [name async for name in group.store.list_dir(group.path)]

    try:
        names = sync(listed())
    except Exception:  # a store that can't be listed (http)
        return []
    return sorted(name for name in names if not name.startswith(".") and name != "zarr.json")


def _no_image(group: zarr.Group, place: str) -> str:
    """Refuse a group without multiscales, and name what below it can be opened."""
    names = _names(group)
    below = f"; it holds {', '.join(names[:5])}: give one of these" if names else ""
    return f"{place} is a zarr group without OME-Zarr image (no multiscales){below}"
