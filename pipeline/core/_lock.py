"""A lock on a folder, which says whose it is and ends with its owner.

Duty: one file that the operating system keeps locked as long as its owner lives, and that names the
owner. Must not know: what lies in the folder.

The system frees the lock when a process ends, however it ends: neither clocks nor process numbers
(which are used again) decide. On a drive that machines share, a lock may be seen by one machine
only, so a file that names another host is respected too, as long as its owner gives signs of life:
it touches the file every 10 seconds, and is dead when somebody who waits sees none in 45. So a
batch job that is started again on another node waits as long. Clocks of two machines are not
compared. Where a file system has no locks at all, the same holds for owners on the same host.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["ATTEMPTS", "PAUSE", "FolderLock", "Holder", "alone", "holder_of"]

_FAR = 1 << 30  # the locked byte: Windows lets nobody read it, and everybody may read the owner
ATTEMPTS, PAUSE = 10, 0.02  # somebody may just be looking, or be about to end: that is short
BEAT, SILENCE = 10.0, 45.0
"""Seconds between two signs of life, and without one after which an owner elsewhere is dead."""
_HELD = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes
    ----------
    host, pid
        Machine and process; "" and 0 while they are not written yet.
    since
        When the lock was taken, for people.
    certain
        The owner lives: the operating system says so. Otherwise it may have died elsewhere.
    """

    host: str = ""
    pid: int = 0
    since: str = ""
    certain: bool = False

    def __str__(self) -> str:
        if not self.host:
            return "process unknown"
        return f"process {self.pid} on {self.host}, since {self.since}"


class FolderLock:
    """The lock of one folder; `acquire` may be called until it succeeds.

    Parameters
    ----------
    path
        The file to lock, in the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._record = b""
        self._ended = threading.Event()
        self._living: threading.Thread | None = None

    def acquire(self) -> Holder | None:
        """Take the lock.

        Returns
        -------
        Holder or None
            Who has it; None when it was taken.

        Raises
        ------
        FileNotFoundError
            The folder is not there, or its last owner removes it right now.
        """
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        created = True
        try:
            file = os.open(self.path, flags | os.O_EXCL, 0o666)
        except FileExistsError:
            created = False
            file = os.open(self.path, flags & ~os.O_CREAT)
        try:
            holder = _holder(file, unlocked_is_free=created)
            if holder is not None and not _is_silent(self.path, file, holder):
                return holder
            # A file that was removed between opening and locking protects nothing.
            if not _is_at(file, self.path):
                raise FileNotFoundError(errno.ENOENT, "removed meanwhile", str(self.path))
            record = {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "since": datetime.now().isoformat(" ", "seconds"),
                "id": uuid4().hex,
                "beat": BEAT,
            }
            self._record = json.dumps(record).encode()
            os.ftruncate(file, 0)
            os.lseek(file, 0, os.SEEK_SET)
            os.write(file, self._record)
            self._file, self._ended = file, threading.Event()
            self._living = threading.Thread(
                target=self._live, args=(self._ended,), name="zfuse-lock", daemon=True
            )
            self._living.start()
        finally:
            if self._file is None:
                os.close(file)
        return None

    def _live(self, ended: threading.Event) -> None:
        """Give signs of life."""
        while not ended.wait(BEAT) and self.held():
            with suppress(OSError):
                os.utime(self.path)

    def held(self) -> bool:
        """Whether the lock is ours and the file in its place is still the one that we locked."""
        if self._file is None:
            return False
        return _is_at(self._file, self.path) and _content(self._file) == self._record

    def release(self, *, remove: bool = True) -> None:
        """Give the lock back, and remove its file if it is ours. May be called twice."""
        file, remove = self._file, remove and self.held()
        if file is None:
            return
        self._file = None
        self._ended.set()
        if self._living is not None:
            self._living.join()
        # Elsewhere the file must go first, or somebody takes it in between; Windows removes no
        # open file, and refuses to remove what somebody has taken.
        with suppress(OSError):
            if remove and sys.platform != "win32":
                self.path.unlink()
        os.close(file)
        with suppress(OSError):
            if remove and sys.platform == "win32":
                self.path.unlink()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a lock for the length of a block.

    Parameters
    ----------
    path
        The file to lock, in a folder that exists; it is removed at the end.

    Raises
    ------
    ZfuseError
        Another process has it.
    """
    lock, holder = FolderLock(path), None
    for _ in range(ATTEMPTS):
        with suppress(FileNotFoundError):
            holder = lock.acquire()
            if holder is None:
                break
        time.sleep(PAUSE)
    else:
        cure = "" if holder and holder.certain else f"; if that has died, delete {path}"
        raise ZfuseError(
            f"{path.parent} is in use by another zfuse ({holder or Holder()}); wait for it to end "
            f"or choose another folder{cure}"
        )
    try:
        yield
    finally:
        lock.release()


def holder_of(path: Path) -> Holder | None:
    """Tell who holds the lock of a folder, without taking it; None when it is free or absent."""
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    try:
        holder = _holder(file, unlocked_is_free=False)
        return None if holder is not None and _is_silent(path, file, holder) else holder
    finally:
        os.close(file)


_silent: dict[bytes, float] = {}  # records whose owners gave no sign of life, and of when


def _is_silent(path: Path, file: int, holder: Holder) -> bool:
    """Whether the owner is one who gives signs of life, and gives none: this takes a while."""
    record = _content(file)
    if holder.certain or b'"beat"' not in record:
        return False
    seen = _touched(path)
    end = time.monotonic() + (0 if _silent.get(record) == seen else SILENCE)
    while time.monotonic() < end:
        time.sleep(min(1.0, SILENCE / 10))
        if _touched(path) != seen:
            return False
    _silent[record] = seen
    return True


def _touched(path: Path) -> float:
    """Return when a file was touched last; opened, as an NFS client asks the server only then."""
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return 0.0


def _holder(file: int, *, unlocked_is_free: bool) -> Holder | None:
    """Lock an open file; if that may not be, tell whose it is."""
    locked = _try_lock(file)
    try:
        said = json.loads(_content(file))
        holder = Holder(str(said["host"]), int(said["pid"]), str(said["since"]), locked is False)
    except (ValueError, LookupError, TypeError):  # made this moment, or its maker died in between
        holder = Holder(certain=locked is False)
    if locked is None:
        return None if unlocked_is_free else holder
    return None if locked and holder.host in ("", socket.gethostname()) else holder


def _content(file: int) -> bytes:
    os.lseek(file, 0, os.SEEK_SET)
    return os.read(file, 4096)


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


def _try_lock(file: int) -> bool | None:
    """Lock an open file for this process: True, False if another has it, None if none can."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(file, _FAR, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _HELD else None
    return True
