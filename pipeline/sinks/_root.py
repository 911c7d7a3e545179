"""The root of several images: the groups above them, which say what they are.

Duty: metadata of a collection or plate, made aside and moved to its place. Must not know: images,
tiles.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from zfuse.pipeline.sinks import _ome_metadata as metadata
from zfuse.pipeline.sinks._files import aside
from zfuse.pipeline.sinks._plate import write_plate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from zfuse.pipeline.core import PlateLayout
    from zfuse.pipeline.sinks._place import Place

__all__ = ["write_collection", "write_root"]


def write_root(
    place: Place, images: Sequence[str], layout: PlateLayout | None, provenance: Mapping[str, Any]
) -> None:
    """Write what lies above the images of an output.

    Parameters
    ----------
    place
        The output.
    images
        Paths of the images that are there, in order.
    layout
        Of a plate; None: a ``bioformats2raw.layout`` collection.
    provenance
        What goes under ``zfuse`` in the root's attributes.

    Raises
    ------
    OSError
        The disk refuses.
    """
    with aside(place.staging) as new:
        if layout is not None:
            write_plate(new, images, layout, provenance)
        else:
            write_collection(new, images, provenance)
        for made in sorted(new.rglob("zarr.json")):
            target = place.root / made.relative_to(new)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(made, target)


def write_collection(
    folder: Path, paths: Sequence[str], provenance: Mapping[str, Any] | None = None
) -> None:
    """Make the root of a ``bioformats2raw.layout`` collection of several images.

    Parameters
    ----------
    folder
        The root.
    paths
        Its images, in order.
    provenance
        What goes under ``zfuse`` in its attributes.
    """
    import zarr

    root = zarr.open_group(folder, mode="a", zarr_format=3)
    said = {"zfuse": dict(provenance)} if provenance else {}
    root.attrs.update(metadata.collection_attributes() | said)
    series = zarr.open_group(folder / "OME", mode="a", zarr_format=3)
    series.attrs.update(metadata.series_attributes(paths))
