"""An output that everybody may look at while it grows, and that survives its writer.

Duty: the visible folder ``NAME.growing.ome.zarr``, the folder ``NAME.growing.session`` beside it
(the writer's lock, its manifest, and what is still in the making), and the swap into the final
name. Must not know: what lies in the output.

Whatever appears in the visible folder is made aside and renamed into place. A killed writer leaves
both folders; who comes next takes the lock, which died with its owner, and goes on.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from zfuse.errors import ZfuseError
from zfuse.pipeline.core._lock import ATTEMPTS, PAUSE, FolderLock, Holder
from zfuse.pipeline.core._output_names import growing_folder
from zfuse.pipeline.core._staging import check_absent

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["GrowingFolder", "rename"]

_LOCK, _ASIDE, _OLD = "lock", "aside", "replaced"


class GrowingFolder:
    """The folder of an output that grows.

    Parameters
    ----------
    output
        Final path.
    overwrite
        An earlier output may be replaced.

    Attributes
    ----------
    folder
        What grows; it need not exist yet.
    manifest
        Path for the record of what is done.
    """

    def __init__(self, output: Path, *, overwrite: bool = False) -> None:
        self._output = output.absolute()
        self._overwrite = overwrite
        self.folder = growing_folder(self._output)
        self.session = self.folder.with_name(_session_name(self.folder.name))
        self.manifest = self.session / "manifest.jsonl"
        self._lock = FolderLock(self.session / _LOCK)

    def claim(self) -> None:
        """Take the output for this process, and clear up after one that was killed.

        Raises
        ------
        ZfuseError
            Another session has it, or something is in the way that no session left.
        OSError
            The disk refuses.
        """
        if self.folder.exists() and not self.manifest.is_file():
            raise ZfuseError(
                f"{self.folder} is in the way and no session can go on with it; move it away or "
                "choose another output name"
            )
        holder = Holder()
        for _ in range(ATTEMPTS):
            with suppress(FileNotFoundError):
                self.session.mkdir(parents=True, exist_ok=True)
                found = self._lock.acquire()
                if found is None:
                    break
                holder = found
            time.sleep(PAUSE)
        else:
            cure = "" if holder.certain else f"; if that has died, delete {self._lock.path}"
            raise ZfuseError(
                f"output {self._output} is being written by another zfuse session ({holder}); wait "
                f"for it to end or choose another output name{cure}"
            )
        old = self.session / _OLD
        if old.exists() and not self._output.exists():  # killed while it replaced an earlier output
            rename(old, self._output)
        _remove(old)
        _remove(self.session / _ASIDE)

    def tidy(self) -> None:
        """Remove what a session left that was killed after it had published, before its end."""
        if self.folder.exists() or not (self._output.exists() and self.manifest.is_file()):
            return
        with suppress(OSError):
            if self._lock.acquire() is not None:
                return
            published = self._output.exists() and not self.folder.exists()  # and not by now anew
            if published:
                self._remove_session()
            self.release(remove=published)

    def clear(self) -> None:
        """Remove what an earlier session has left, but for the lock."""
        self.manifest.unlink(missing_ok=True)
        _remove(self.folder)

    def held(self) -> bool:
        """Whether this process still has the output: nobody removed its folders."""
        return self._lock.held()

    def aside(self) -> Path:
        """Return a new name on the same disk, to make something there and rename it into place."""
        (self.session / _ASIDE).mkdir(exist_ok=True)
        return self.session / _ASIDE / uuid4().hex[:8]

    def publish(self) -> None:
        """Give the output its final name, and remove what only the session needed.

        Raises
        ------
        ZfuseError
            The folders were removed, or the final name is taken by now.
        OSError
            The swap failed; an earlier output stands as before.
        """
        if not (self.held() and self.folder.is_dir()):
            raise ZfuseError(
                f"{self.folder} was removed while it grew; nothing was published: run again"
            )
        if not self._overwrite:
            check_absent(self._output)
        old = self.session / _OLD
        if os.path.lexists(self._output):
            rename(self._output, old)
        try:
            rename(self.folder, self._output)
        except BaseException:
            if os.path.lexists(old):
                rename(old, self._output)
            raise
        # The output stands: what cannot be removed must not make it a failure.
        with suppress(OSError):
            self._remove_session()
        self.release(remove=True)

    def _remove_session(self) -> None:
        """Remove all that belongs to the session but its lock."""
        _remove(self.session / _OLD)
        _remove(self.session / _ASIDE)
        self.manifest.unlink(missing_ok=True)

    def release(self, *, remove: bool = False) -> None:
        """Give the output back to others. May be called twice."""
        self._lock.release(remove=remove)
        if remove:
            with suppress(OSError):
                self.session.rmdir()


def rename(old: Path, new: Path) -> None:
    """Rename a file or folder; on Windows, readers that hold it open for a moment are waited for.

    Files are replaced.
    """
    for attempt in range(ATTEMPTS):
        try:
            os.replace(old, new)
            return
        except PermissionError:
            if sys.platform != "win32" or attempt == ATTEMPTS - 1:
                raise
            time.sleep(PAUSE)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def _session_name(growing: str) -> str:
    """Return ``a.growing.session`` for ``a.growing.ome.zarr``."""
    return f"{growing.rpartition('.growing.')[0]}.growing.session"
