"""napari's reader of what zfuse writes: one path, layers for image, depth and confidence.

Other readers show the image of a fused OME-Zarr and miss the maps inside it. This one takes nothing
but such an output: it looks into one small file, two of a collection, and refuses all else, so that
other OME-Zarr stay with the readers that are made for them.

Duty: recognise the output, and lay its arrays out as layers, lazily. Must not know: Qt, runs.

A result lies *over* its stack: it is seen at every z of it. Without time that is a layer (Y, X);
with time its one plane is as thick as the stack was.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dask.array import Array

    from zfuse.pipeline.core import Stack

__all__ = ["LayerData", "get_reader", "read_fused"]

LayerData = tuple[Any, dict[str, Any], str]
_MAPS = {"confidence": "gray", "depth": "viridis"}
_CHUNK = 1024  # px: the least that is read at once, if the file's own chunks are smaller


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return `read_fused` for an OME-Zarr that zfuse wrote, None for anything else.

    Parameters
    ----------
    path
        What napari was asked to open; lists, which are to become one stack, are refused.
    """
    if isinstance(path, list) or not _images(Path(path)):
        return None
    return read_fused


def read_fused(path: str) -> list[LayerData]:
    """Return the layers of a fused OME-Zarr: confidence, depth, image (one a channel).

    Parameters
    ----------
    path
        A fused image or a collection of them.

    Returns
    -------
    list of layer data
        Of each image: its channels with their colours and limits, depth in µm (viridis) and
        confidence (0 to 1); pyramids stay lazy. Shown are the channels of the first image.

    Raises
    ------
    ZfuseError
        The metadata or an array is damaged.
    """
    found: list[LayerData] = []
    for folder in _images(Path(path)):
        found += _of_image(folder, shown=not found)
    _show_colour_bars(sum(meta["metadata"]["zfuse"]["quantity"] == "depth" for _, meta, _ in found))
    return found


def _show_colour_bars(count: int) -> None:
    """Let the next `count` depth layers that the current viewer gets show their colour bar.

    Layer data can say nothing of colour bars; napari before 0.6.5 has none.
    """
    import napari

    viewer = napari.current_viewer()
    if viewer is None or not count:
        return
    left = count

    def show(event: Any) -> None:
        nonlocal left
        said = event.value.metadata.get("zfuse") or {}
        if said.get("quantity") != "depth":
            return
        left -= 1
        if hasattr(event.value, "colorbar"):
            event.value.colorbar.visible = True
        if not left:
            viewer.layers.events.inserted.disconnect(show)

    viewer.layers.events.inserted.connect(show)


def _images(folder: Path) -> list[Path]:
    """Return the fused images of a folder: itself, or the members of a collection, or none."""
    said = _attributes(folder)
    if "multiscales" in said.get("ome", ()):
        return [folder] if "method" in said.get("zfuse", ()) else []
    if "bioformats2raw.layout" not in said.get("ome", ()):
        return []
    names = _attributes(folder / "OME").get("ome", {}).get("series", [])
    members = [folder / str(name) for name in names]
    return members if members and _images(members[0]) == members[:1] else []


def _attributes(folder: Path) -> dict[str, Any]:
    """Return the attributes of a Zarr 3 group, nothing where there is none."""
    try:
        said = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        return {key: value for key, value in said.items() if isinstance(value, dict)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _of_image(folder: Path, *, shown: bool) -> Iterator[LayerData]:
    """Yield the layers of one image from bottom to top: confidence, depth, image."""
    from zfuse.pipeline.sources import open_stack

    provenance = _attributes(folder)["zfuse"]
    stack = open_stack(folder, allow_missing=True)
    planes = int(provenance.get("planes") or 1)
    place = _place(stack, planes)
    said = {"source": str(folder), "method": provenance["method"], "planes": planes}
    for quantity, colours in _MAPS.items():
        if (folder / quantity / "zarr.json").is_file():
            yield from _map(folder / quantity, quantity, colours, stack, place, said)
    levels, name = _levels(folder, stack.axes), f"{_title(stack)} fused"
    if stack.rgb:
        pixels = [level.transpose(*_last(level, stack.axes)) for level in levels]
        meta = {"name": name, "rgb": True, "visible": shown}
        yield _layer([_flat(p, stack.axes, -3) for p in pixels], meta, place, said, "image")
        return
    several = len(stack.channels) > 1
    for c, channel in enumerate(stack.channels):
        meta = _look(channel.omero, several=several) | {"visible": shown}
        meta["name"] = f"{name} {channel.name}" if several else name
        yield _layer(_channel(levels, stack.axes, c), meta, place, said, "image")


def _map(
    folder: Path,
    quantity: str,
    colours: str,
    stack: Stack,
    place: dict[str, Any],
    said: dict[str, Any],
) -> Iterator[LayerData]:
    """Yield the layers of depth or confidence: one, or one a channel that decided for itself."""
    attributes = _attributes(folder)
    unit = attributes.get("zfuse", {}).get("unit")
    windows = [c.get("window", {}) for c in attributes["ome"].get("omero", {}).get("channels", [])]
    axes = stack.axes if "c" in _letters(attributes) else stack.axes.replace("c", "")
    levels = _levels(folder, axes)
    each = "c" in axes and levels[0].shape[axes.index("c")] > 1
    symbol = {"micrometer": " (µm)", "plane": " (planes)"}.get(unit or "", "")
    for c in range(len(stack.channels) if each else 1):
        of = f" {stack.channels[c].name}" if each else ""
        window = windows[c] if c < len(windows) else {}
        meta = {
            "name": f"{_title(stack)} {quantity}{of}{symbol}",
            "colormap": colours,
            "contrast_limits": (window.get("start", 0.0), window.get("end", 1.0)),
            "visible": False,
        }
        about = said | ({"unit": unit} if unit else {})
        yield _layer(_channel(levels, axes, c), meta, place, about, quantity)


def _layer(
    levels: list[Array],
    meta: dict[str, Any],
    place: dict[str, Any],
    said: dict[str, Any],
    quantity: str,
) -> LayerData:
    multiscale = len(levels) > 1
    metadata = {"zfuse": {**said, "quantity": quantity}}
    data = levels if multiscale else levels[0]
    return data, {**place, **meta, "multiscale": multiscale, "metadata": metadata}, "image"


def _title(stack: Stack) -> str:
    return stack.name.removesuffix(".zarr").removesuffix(".ome")


def _levels(folder: Path, axes: str) -> list[Array]:
    """Return the arrays of a pyramid, finest first, with these axes."""
    import dask.array
    import zarr

    said = _attributes(folder)["ome"]["multiscales"][0]
    group = zarr.open_group(folder, mode="r")
    levels = []
    for dataset in said["datasets"]:
        stored: Any = group[dataset["path"]]
        chunks = tuple(
            max(chunk, _CHUNK // chunk * chunk) if axis in "yx" else 1
            for axis, chunk in zip(axes, stored.chunks, strict=True)
        )
        levels.append(dask.array.from_zarr(stored, chunks=chunks))
    return levels


def _letters(attributes: dict[str, Any]) -> str:
    return "".join(axis["name"] for axis in attributes["ome"]["multiscales"][0]["axes"])


def _channel(levels: list[Array], axes: str, c: int) -> list[Array]:
    """Return one channel of all levels, (Y, X) or (T, 1, Y, X)."""
    if "c" in axes:
        at = axes.index("c")
        levels = [level[(slice(None),) * at + (c,)] for level in levels]
        axes = axes.replace("c", "")
    return [_flat(level, axes, -2) for level in levels]


def _flat(level: Array, axes: str, image: int) -> Array:
    """Give a level its leading axes: none, or T and one z."""
    shape = level.shape[image:]
    flat: Array = level.reshape((level.shape[0], 1, *shape) if "t" in axes else shape)
    return flat


def _last(level: Array, axes: str) -> list[int]:
    """Return the order of axes that puts the colours last."""
    c = axes.index("c")
    return [*(i for i in range(level.ndim) if i != c), c]


def _place(stack: Stack, planes: int) -> dict[str, Any]:
    """Return scale, translation, units and names of the axes of every layer of an image."""
    z_step, pixel = stack.z_step or 1.0, stack.pixel_size or (1.0, 1.0)
    unit = "um" if stack.pixel_size else "pixel"
    scale, translate, units = [*pixel], [*stack.origin[1:]], [unit, unit]
    if "t" in stack.axes:
        middle = stack.origin[0] + z_step * (planes - 1) / 2
        scale = [stack.time_step or 1.0, z_step * planes, *pixel]
        translate = [0.0, middle, *translate]
        units = ["s" if stack.time_step else "pixel", "um" if stack.z_step else "pixel", unit, unit]
    names = "tzyx"[-len(scale) :]
    return {"scale": scale, "translate": translate, "units": units, "axis_labels": tuple(names)}


def _look(omero: Any, *, several: bool) -> dict[str, Any]:
    """Return colour, limits and blending of a channel."""
    look: dict[str, Any] = {"blending": "additive" if several else "translucent_no_depth"}
    window = omero.get("window") or {}
    if "start" in window and "end" in window and window["end"] > window["start"]:
        look["contrast_limits"] = (window["start"], window["end"])
    colour = str(omero.get("color", "")).lstrip("#").upper()
    if len(colour) == 6 and colour != "FFFFFF":
        look["colormap"] = f"#{colour}"
    return look
