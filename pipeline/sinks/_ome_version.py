"""OME-Zarr 0.4 and 0.5: where the same metadata lie in either, and the groups that hold them.

Duty: the one place that knows both versions of the format. All others speak 0.5. Must not know:
what the metadata mean, arrays, chunks.

0.5 is zarr 3, its attributes lie under ``ome``; 0.4 is zarr 2, they lie at the top, and each part
names its version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import zarr

__all__ = ["OmeZarrVersion", "make_group", "metadata_files", "spelled", "zarr_format"]

_METADATA = ("zarr.json", ".zgroup", ".zarray", ".zattrs")

OmeZarrVersion: TypeAlias = Literal["0.4", "0.5"]


def zarr_format(version: OmeZarrVersion) -> Literal[2, 3]:
    """Return the version of zarr that a version of OME-Zarr lies in."""
    return 2 if version == "0.4" else 3


def metadata_files(folder: Path) -> list[Path]:
    """Return the files that say what a group or array is."""
    return [folder / name for name in _METADATA if (folder / name).is_file()]


def spelled(attributes: Mapping[str, Any], version: OmeZarrVersion) -> dict[str, Any]:
    """Return attributes of 0.5 as a version has them.

    Parameters
    ----------
    attributes
        With ``ome`` as 0.5 has it, and perhaps others beside it.
    version
        The version that is wanted.
    """
    said = dict(attributes)
    if version == "0.5" or "ome" not in said:
        return said
    ome = {key: value for key, value in said.pop("ome").items() if key != "version"}
    if "multiscales" in ome:
        ome["multiscales"] = [{"version": version, **entry} for entry in ome["multiscales"]]
    for part in ("omero", "plate", "well"):
        if part in ome:
            ome[part] = {"version": version, **ome[part]}
    return ome | said


def make_group(
    folder: Path, attributes: Mapping[str, Any], version: OmeZarrVersion = "0.5"
) -> zarr.Group:
    """Make a group, or open the one that is there, and give it attributes of 0.5.

    Raises
    ------
    OSError
        The disk refuses.
    """
    import zarr

    group = zarr.open_group(folder, mode="a", zarr_format=zarr_format(version))
    if attributes:
        group.attrs.update(spelled(attributes, version))
    return group
