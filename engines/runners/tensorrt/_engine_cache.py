"""Compiled engines on disk: found by what they were made of, believed only if nothing changed.

An entry is one file: a line with the SHA-256 of the rest, a line with the key, the engine. Whatever
does not fit is built anew. Must not know: TensorRT.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from zfuse.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["cached", "entries", "folder"]

FOLDER_VARIABLE = "ZFUSE_ENGINE_CACHE"
"""Environment variable: a folder in the stead of the user's cache folder."""


def folder() -> Path:
    """Return the folder that engines are kept in; it need not exist."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen) if chosen else user_cache_path("zfuse", appauthor=False) / "engines"


def cached(key: Mapping[str, str], build: Callable[[], bytes]) -> bytes:
    """Return the engine of a key, built if there is none that can be trusted.

    Two processes that build the same one both do, and the last one's file stays: each is whole.

    Parameters
    ----------
    key
        All that the engine depends on; ``key["graph"]`` names the file too.
    build
        Makes the engine.
    """
    line = json.dumps(dict(key), sort_keys=True).encode()
    path = folder() / f"{key['graph']}-{hashlib.sha256(line).hexdigest()[:20]}.engine"
    engine = _read(path, line)
    if engine is None:
        engine = build()
        with suppress(OSError):  # a full disk or a read-only home costs time, not the result
            _write(path, line + b"\n" + engine)
    return engine


def entries() -> list[dict[str, str]]:
    """Return the key of each entry and its ``state``, ok or damaged, by its checksum."""
    found = []
    for path in sorted(folder().glob("[!.]*.engine")):
        with suppress(OSError):
            content = path.read_bytes()
            line = content.partition(b"\n")[2].partition(b"\n")[0]
            if _read(path, line) is None:
                found.append({"file": path.name, "state": "damaged"})
            else:
                found.append({"file": path.name, "state": "ok", **json.loads(line)})
    return found


def _read(path: Path, line: bytes) -> bytes | None:
    try:
        checksum, _, rest = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    found, _, engine = rest.partition(b"\n")
    whole = hashlib.sha256(rest).hexdigest().encode() == checksum
    return engine if whole and found == line and engine else None


def _write(path: Path, rest: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as new:
        new.write_bytes(hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)
