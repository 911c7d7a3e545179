"""What lies under the name of an output: its format, and the files beside it.

Duty: names only, for those who write outputs and those who read them again. Must not know: what is
inside the files, whether they exist.
"""

from __future__ import annotations

from pathlib import Path

from zfuse.errors import ZfuseError

__all__ = ["TRUTH", "growing_folder", "output_files", "output_kind", "staging_folder"]

TRUTH = "truth"  # group of a simulated stack that holds what fusing should give

# Longest first: ".ome.zarr" is not the ".zarr" of "a.ome".
_KINDS = {
    ".ome.zarr": "ome-zarr",
    ".ome.tiff": "tiff",
    ".ome.tif": "tiff",
    ".zarr": "ome-zarr",
    ".tiff": "tiff",
    ".tif": "tiff",
    ".btf": "tiff",
    ".png": "png",
}


def _suffix(path: Path) -> str:
    lower = path.name.lower()
    for suffix in _KINDS:
        if lower.endswith(suffix) and len(lower) > len(suffix):
            return suffix
    raise ZfuseError(
        f"cannot tell the format of output {path}: its name must end in {', '.join(_KINDS)}; "
        "for example fused.ome.zarr"
    )


def output_kind(output: str | Path) -> str:
    """Tell ``"ome-zarr"``, ``"tiff"`` or ``"png"`` by the name.

    Raises
    ------
    ZfuseError
        The name ends in nothing known.
    """
    return _KINDS[_suffix(Path(output))]


def output_files(output: str | Path) -> list[Path]:
    """List what appears under a final name: the output, and the maps beside a TIFF or PNG.

    Raises
    ------
    ZfuseError
        The name ends in nothing known.
    """
    path = Path(output)
    suffix = _suffix(path)
    if _KINDS[suffix] == "ome-zarr":
        return [path]
    stem = path.name[: -len(suffix)]
    return [path, *(path.with_name(f"{stem}.{name}.tif") for name in ("depth", "confidence"))]


def staging_folder(output: str | Path) -> Path:
    """Name the folder of what is unfinished: one for all outputs that want the same maps.

    Raises
    ------
    ZfuseError
        The name ends in nothing known.
    """
    path = Path(output)
    suffix = _suffix(path)
    kept = path.name if _KINDS[suffix] == "ome-zarr" else path.name[: -len(suffix)]
    return path.with_name(f"{kept}.partial")


def growing_folder(output: str | Path) -> Path:
    """Name the visible OME-Zarr that an output is while it grows.

    Raises
    ------
    ZfuseError
        The name ends in nothing known.
    """
    path = Path(output)
    suffix = path.name[-len(_suffix(path)) :]
    return path.with_name(f"{path.name[: -len(suffix)]}.growing{suffix}")
