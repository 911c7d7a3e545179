"""The root of several images: the groups above them, which say what they are.

Duty: metadata of a collection or plate, made aside and moved to its place. Must not know: images,
tiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zfuse.pipeline.sinks import _ome_metadata as metadata
from zfuse.pipeline.sinks._files import aside, move_files
from zfuse.pipeline.sinks._ome_version import make_group
from zfuse.pipeline.sinks._plate import write_plate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from zfuse.pipeline.core import PlateLayout
    from zfuse.pipeline.sinks._ome_version import OmeZarrVersion
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
            write_plate(new, images, layout, provenance, place.version)
        else:
            write_collection(new, images, provenance, place.version)
        move_files(new, place.root)


def write_collection(
    folder: Path,
    paths: Sequence[str],
    provenance: Mapping[str, Any] | None = None,
    version: OmeZarrVersion = "0.5",
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
    version
        Of the format.
    """
    said = {"zfuse": dict(provenance)} if provenance else {}
    make_group(folder, metadata.collection_attributes() | said, version)
    make_group(folder / "OME", metadata.series_attributes(paths), version)
