"""What a run's output depends on: settings and source, so that nobody resumes another run.

Duty: JSON values that change when the result may. Must not know: how a run is recorded.

Of a source its metadata are looked at, and size and time of the files that hold them: pixels that
somebody changed in place, and nothing else, are not seen.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zfuse

if TYPE_CHECKING:
    from zfuse.pipeline._config import RunConfig
    from zfuse.pipeline.core import Stack
    from zfuse.pipeline.sources import Collection

__all__ = ["member_source", "run_identity", "source_files"]

_FREE = {"output", "overwrite", "resume", "memory", "workers", "report", "cluster"}
"""Settings that change no bit of the result; each image keeps the tiles that it was begun with."""

_MARKERS = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")


def run_identity(config: RunConfig, collection: Collection) -> dict[str, Any]:
    """Return what a whole run depends on.

    Parameters
    ----------
    config
        Its settings.
    collection
        Its input; no image of it is opened.
    """
    settings = config.model_dump(mode="json", exclude=_FREE)
    if "://" not in config.input and os.path.exists(config.input):
        settings["input"] = str(Path(config.input).absolute())
    images = [[member.path, member.target] for member in collection.members]
    return {
        "manifest": 1,
        "zfuse": zfuse.__version__,
        **settings,
        "images": len(images),
        "list of images": _hash(images),
    }


def member_source(stack: Stack) -> dict[str, Any]:
    """Return what an image is made from."""
    return {
        "source": stack.source,
        "shape": list(stack.shape),
        "dtype": str(stack.dtype),
        "z step": stack.z_step,
        "channels": [channel.name for channel in stack.channels],
        "metadata files": source_files(stack.source),
    }


def source_files(source: str) -> str:
    """Return a hash of name, size and time of the files that hold a source's metadata.

    Those of a TIFF are the file, those of a folder of planes all of its files. ``""`` for what is
    not on a local disk.
    """
    place = Path(source)
    if not source or "://" in source or not place.exists():
        return ""
    if not place.is_dir():
        return _hash([_stamp(place, place)])
    groups = [place, *sorted(path for path in place.iterdir() if path.is_dir())]
    marked = [group / name for group in groups for name in _MARKERS if (group / name).is_file()]
    if any(path.parent == place for path in marked):
        return _hash([_stamp(path, place) for path in marked])
    return _planes(place, place.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _planes(place: Path, _: int) -> str:
    """Hash a folder of planes: many images of one do not go through all of it again and again."""
    stamps = []
    for folder, inner, names in os.walk(place):
        inner.sort()
        stamps += [_stamp(Path(folder) / name, place) for name in sorted(names)]
    return _hash(stamps)


def _stamp(path: Path, place: Path) -> list[Any]:
    found = path.stat()
    return [path.relative_to(place).as_posix(), found.st_size, found.st_mtime_ns]


def _hash(values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
