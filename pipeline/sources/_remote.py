"""Stores behind an address: S3, Google Cloud Storage, HTTP and what else fsspec knows.

Duty: tell "it is not there" from "nobody answered". Only an answer that says so makes a chunk
missing; whatever else goes wrong is asked again, a few times and ever later, and then refused in
one line. Must not know: zarr's metadata, codecs, pixels.

fsspec alone does not do: over HTTP it never asks twice, any failed question for existence means
"no", and a server that ignores the range of a request gives the whole object in its place.
"""

from __future__ import annotations

import asyncio
import atexit
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import zarr
from zarr.abc.store import RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore, WrapperStore

from zfuse.errors import ZfuseError, reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["RemoteStore", "close_sessions", "is_address", "open_store"]

ATTEMPTS = 5
FIRST_WAIT = 0.3  # s, three times as long before each further attempt: 12 s in all
PATIENCE = 60.0  # s for one answer
METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
AT_ONCE = 32  # requests of one read; 100 ms away that is twice as fast as zarr's own 10
_ZARRS_AT_ONCE = 10
_TRANSIENT = {408, 425, 429}  # time out, too early, too many: of 4xx these pass by themselves
_NO_KEYS = {"NoCredentialsError", "PartialCredentialsError"}


# fsspec closes no session of a file system that it was asked to use asynchronously; what is still
# open at the end of the process is reported on the terminal.
_opened: dict[int, Any] = {}


@atexit.register
def close_sessions() -> None:
    """Close the connections to all stores; whoever reads on opens new ones."""
    while _opened:
        _, fs = _opened.popitem()
        client, session = getattr(fs, "_s3", None), getattr(fs, "_session", None)
        with suppress(Exception):  # at the end there is nobody left to tell
            if client is not None:
                sync(client.__aexit__(None, None, None))
            elif session is not None:
                sync(session.close())
            type(fs).clear_instance_cache()


def is_address(place: object) -> bool:
    """Whether a place is no path of this machine."""
    return isinstance(place, str) and ("://" in place or "::" in place)


def open_store(url: str) -> RemoteStore:
    """Return the store at an address; nothing of it is read.

    Keys, end point and region come from where the service's own tools take them
    (``AWS_PROFILE``, ``AWS_ENDPOINT_URL``, ``~/.aws``, ``GOOGLE_APPLICATION_CREDENTIALS``) or from
    fsspec's configuration (``FSSPEC_S3_ANON=true``). Where there are no keys for S3, it is asked
    without.

    Raises
    ------
    ZfuseError
        The address has a scheme that nothing installed can serve.
    """
    try:
        options = {"anon": True} if _is_keyless_s3(url) else {}
        store = FsspecStore.from_url(url.rstrip("/"), storage_options=options, read_only=True)
    except ImportError as error:
        raise ZfuseError(
            f'{url} cannot be opened: {reason(error)}; install it with: pip install "zfuse[remote]"'
        ) from error
    except Exception as error:  # a scheme that fsspec does not know, an address without a bucket
        raise ZfuseError(f"{url} cannot be opened ({reason(error)}); check the address") from error
    _opened[id(store.fs)] = store.fs
    if zarr.config.get("async.concurrency") == _ZARRS_AT_ONCE:  # else somebody chose
        zarr.config.set({"async.concurrency": AT_ONCE})
    return RemoteStore(store, url.rstrip("/"))


class RemoteStore(WrapperStore[Store]):
    """Another store that asks again, and says so when nobody answers.

    Parameters
    ----------
    store
        Asks once.
    url
        For people.

    Attributes
    ----------
    denied
        Metadata were asked for that may not be read, or are not there: S3 says the same of both to
        whoever may not list the bucket.
    """

    def __init__(self, store: Store, url: str) -> None:
        super().__init__(store)
        self.url = url
        self.denied = False

    def _with_store(self, store: Store) -> RemoteStore:
        return type(self)(store, self.url)

    def __str__(self) -> str:
        return self.url

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Get an object or a part of it, None when the store says that there is none.

        Raises
        ------
        ZfuseError
            There was no answer, or it was a refusal.
        """
        wait = FIRST_WAIT
        for attempt in range(ATTEMPTS):
            try:
                asked = super().get(key, prototype, byte_range)
                return _part(await asyncio.wait_for(asked, PATIENCE), byte_range)
            except (MemoryError, asyncio.CancelledError):
                raise
            except Exception as error:  # stores raise whatever their transport raises
                if isinstance(error, PermissionError) and key.rsplit("/", 1)[-1] in METADATA:
                    self.denied = True
                    return None
                if _is_final(error) or attempt == ATTEMPTS - 1:
                    raise self._refusal(key, error, attempt + 1) from error
            await asyncio.sleep(wait * random.uniform(0.7, 1.3))  # not all tiles at once
            wait *= 3
        raise AssertionError("unreachable")

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Get parts of several objects; see `get`."""
        asked = (self.get(key, prototype, part) for key, part in key_ranges)
        return list(await asyncio.gather(*asked))

    async def exists(self, key: str) -> bool:
        """Whether there is an object; see `get`."""
        first = RangeByteRequest(0, 1)
        return await self.get(key, default_buffer_prototype(), first) is not None

    def _refusal(self, key: str, error: Exception, attempts: int) -> ZfuseError:
        why = reason(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            why = f"no answer in {PATIENCE:g} s"
        if isinstance(error, PermissionError) or type(error).__name__ in _NO_KEYS:
            return ZfuseError(f"{self.url}/{key} may not be read ({why}); check keys and rights")
        times = f", asked {attempts} times" if attempts > 1 else ""
        return ZfuseError(
            f"{self.url}/{key} cannot be fetched ({why}{times}); check the address and the "
            "network, and run again"
        )


def _part(found: Buffer | None, asked: ByteRequest | None) -> Buffer | None:
    """Cut out what was asked for where a server gave the whole object."""
    if found is None:
        return None
    if isinstance(asked, RangeByteRequest) and len(found) > asked.end - asked.start:
        return found[asked.start : asked.end]
    if isinstance(asked, SuffixByteRequest) and len(found) > asked.suffix:
        return found[len(found) - asked.suffix :]
    return found


def _is_final(error: BaseException | None) -> bool:
    """Whether asking again is of no use."""
    if isinstance(error, (PermissionError, ImportError, ValueError, TypeError)):
        return True
    if type(error).__name__ in _NO_KEYS:
        return True
    status: Any = getattr(error, "status", None) or getattr(error, "code", None)
    return isinstance(status, int) and 400 <= status < 500 and status not in _TRANSIENT


def _is_keyless_s3(url: str) -> bool:
    """Whether an address is one of S3 and nobody has set keys or anything else for it."""
    if urlsplit(url).scheme not in ("s3", "s3a") or "::" in url:
        return False
    import fsspec.config

    if any(fsspec.config.conf.get(scheme) for scheme in ("s3", "s3a")):
        return False
    from botocore.session import get_session

    return get_session().get_credentials() is None
