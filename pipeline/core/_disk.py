"""What the disk says, in one line that a microscopist understands.

Duty: turn operating-system errors while writing into `ZfuseError`, and look ahead whether an output
can fit at all. Must not know: file formats.
"""

from __future__ import annotations

import errno
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["OutputError", "check_space", "disk_errors", "existing_parent", "readable_size"]

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_WINDOWS_FULL = {39, 112, 1295}  # ERROR_HANDLE_DISK_FULL, _DISK_FULL, _DISK_QUOTA_EXCEEDED


class OutputError(ZfuseError):
    """The disk of the output refuses: no other image of a run would fare better."""


def readable_size(n_bytes: float) -> str:
    """Bytes for people: ``1.5 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"


def existing_parent(path: Path) -> Path:
    """Return the nearest folder above `path` that exists."""
    path = path.absolute()
    return next(parent for parent in (*path.parents, Path(path.anchor)) if parent.exists())


def check_space(path: Path, needed: int) -> None:
    """Refuse an output that cannot fit.

    Parameters
    ----------
    path
        The output.
    needed
        Bytes that will be written at the very least.

    Raises
    ------
    OutputError
        Less than that is free.
    """
    free = shutil.disk_usage(existing_parent(path)).free
    if free < needed:
        raise OutputError(
            f"not enough space for {path}: it needs at least {readable_size(needed)}, "
            f"{readable_size(free)} are free; free some space or choose another disk"
        )


@contextmanager
def disk_errors(
    path: Path, needed: int | None = None, *, kept: str | Callable[[], str] = "nothing was kept"
) -> Iterator[None]:
    """Turn an `OSError` inside the block into an `OutputError` about `path`.

    Parameters
    ----------
    path
        The output, as the user knows it.
    needed
        Bytes that were about to be written, when known.
    kept
        What is left of the output, or what tells.
    """
    try:
        yield
    except OSError as error:
        left = kept if isinstance(kept, str) else kept()
        raise OutputError(_line(error, path, needed, left)) from error


def _line(error: OSError, path: Path, needed: int | None, kept: str) -> str:
    if error.errno in _FULL or getattr(error, "winerror", None) in _WINDOWS_FULL:
        try:
            free = f"{readable_size(shutil.disk_usage(existing_parent(path)).free)} free"
        except OSError:
            free = "free space unknown"
        wanted = f"the next {readable_size(needed)} did not fit, " if needed else ""
        return (
            f"disk full, or quota used up, while writing {path}: {wanted}{free}; {kept}; "
            "free some space or choose another disk"
        )
    if error.errno in _DENIED:
        return (
            f"no permission to write {path} ({error.strerror}); choose another folder, or close "
            "the program that holds it open"
        )
    return f"could not write {path}: {error.strerror or error}; {kept}"
