"""Open zarr groups and arrays, read-only, with the fastest decoder that serves the store.

Duty: paths and URLs to zarr nodes, and the choice of the codec pipeline.
Must not know: OME metadata, axes.
"""

from __future__ import annotations

import stat
import threading
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr
from zarr.abc.store import ByteRequest, Store
from zarr.storage import LocalStore, WrapperStore

from zfuse.errors import ZfuseError, reason
from zfuse.pipeline.sources._remote import RemoteStore, is_address, open_store

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["open_array", "open_child", "open_node"]

# zarr's config is process-wide: two threads that scope it at once would restore the other's values.
_CONFIG = threading.Lock()
ZARRS = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "codec_pipeline.strict": True}
MOST_METADATA = 2**28  # bytes: ten times the notes of 100,000 frames that ome-writers lists
DEEPEST = 100
NOT_CHUNKS = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


@cache
def have_zarrs() -> bool:
    return find_spec("zarrs") is not None


def open_node(place: str) -> zarr.Group | zarr.Array[Any]:
    """Open what lies at a path or fsspec URL.

    Raises
    ------
    ZfuseError
        There is no zarr node, or the URL can't be served.
    """
    store = open_store(place) if is_address(place) else place
    node = _open(store, None, place)
    if node is None and isinstance(store, RemoteStore) and store.denied:
        raise ZfuseError(f"{place} may not be read (access denied); check path, keys and rights")
    if node is None:
        raise ZfuseError(f"{place} cannot be opened as OME-Zarr: nothing is there; check the path")
    return node


def open_child(group: zarr.Group, path: str) -> zarr.Group | zarr.Array[Any] | None:
    """Open a node below a group, None when there is none.

    Raises
    ------
    ZfuseError
        It is there but can't be opened.
    """
    whole = f"{group.path}/{path}".strip("/")
    return _open(group.store, whole, f"{group.store}/{whole}")


def open_array(group: zarr.Group, path: str, source: str) -> zarr.Array[Any]:
    """Open an array below a group.

    Raises
    ------
    ZfuseError
        It is missing, or is no array.
    """
    node = open_child(group, path)
    if not isinstance(node, zarr.Array):
        raise ZfuseError(
            f"{source} declares the dataset {path!r}, which is missing; the image is incomplete: "
            "copy it again from the original"
        )
    return node


def _open(store: Any, path: str | None, name: str) -> zarr.Group | zarr.Array[Any] | None:
    """Open a node, None when there is none; any other failure is a refusal."""
    try:
        _check_files(store, path or "")
        return _checked(_quietly(store, path), name)
    except FileNotFoundError:
        return None
    except ZfuseError:
        raise
    except RecursionError as error:
        raise ZfuseError(
            f"{name} has metadata that are nested too deeply to be read; they are damaged: copy "
            "them again from the original"
        ) from error
    except ImportError as error:
        raise ZfuseError(
            f"{name} cannot be opened: {error}; install the package it names"
        ) from error
    except Exception as error:  # stores raise whatever their transport raises
        raise ZfuseError(
            f"{name} cannot be opened as OME-Zarr ({reason(error)}); check the path or the network"
        ) from error


def _check_files(store: Any, path: str) -> None:
    """Refuse metadata files of a local node that would fill the memory, or block for ever."""
    root = store.root if isinstance(store, LocalStore) else store
    if not isinstance(root, (str, Path)) or "://" in str(root):
        return
    for file in (Path(root, path, name) for name in NOT_CHUNKS):
        try:
            found = file.stat()
        except (OSError, ValueError):
            continue
        if not stat.S_ISREG(found.st_mode):
            raise ZfuseError(f"{file} is no file that can be read; put a plain file in its place")
        if found.st_size > MOST_METADATA:
            raise ZfuseError(
                f"{file} has {found.st_size} bytes, the most that metadata may have is "
                f"{MOST_METADATA}; it is damaged: copy it again from the original"
            )


def _checked(node: zarr.Group | zarr.Array[Any], name: str) -> zarr.Group | zarr.Array[Any]:
    """Refuse attributes that are nested so deeply that they could not be written again."""
    level: list[Any] = [node.attrs.asdict()]
    for _ in range(DEEPEST):
        level = [
            value
            for outer in level
            for value in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(value, (dict, list))
        ]
        if not level:
            return node
    raise RecursionError


def _quietly(store: Any, path: str | None) -> zarr.Group | zarr.Array[Any]:
    """Open a node; zarr's remarks on what else lies in the store are not for our users."""
    with _CONFIG, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        node = zarr.open(store, path=path, mode="r")
        if not isinstance(node, zarr.Array):
            return node
        if have_zarrs() and isinstance(node.store, LocalStore):
            try:
                with zarr.config.set(ZARRS):
                    return zarr.open_array(node.store, path=node.path, mode="r")
            except Exception:  # strict: zarrs says that it can't decode it; zarr-python may
                pass
        if _is_blosc(node):
            return zarr.open_array(WholeBlosc(node.store), path=node.path, mode="r")
        return node


def _is_blosc(array: zarr.Array[Any]) -> bool:
    return any("blosc" in type(codec).__name__.lower() for codec in array.compressors)


class WholeBlosc(WrapperStore[Store]):
    """A store that checks the length of blosc chunks.

    numcodecs does not: behind the end of a chunk that was cut off it reads on and calls that
    pixels. zarrs checks by itself.
    """

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Get a chunk; raise ValueError when its header announces more bytes than there are."""
        found = await super().get(key, prototype, byte_range)
        if found is None or byte_range is not None or key.rsplit("/", 1)[-1] in NOT_CHUNKS:
            return found
        length = int.from_bytes(found[12:16].to_bytes(), "little")
        if length > len(found) or len(found) < 16:
            raise ValueError(f"{length} bytes announced, {len(found)} there")
        return found
