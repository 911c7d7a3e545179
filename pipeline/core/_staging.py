"""All or nothing: write beside the final name, then swap.

Duty: one folder ``<output>.partial`` that holds everything unfinished, and the swap into the final
names that keeps an earlier output until the new one stands. Must not know: file formats, pixels.

The folder belongs to the run that holds the lock in it (see `zfuse.pipeline.core._lock`). That run
writes into a folder of its own below: if somebody removes all of it and another run begins there,
nothing of theirs is mixed. When everything is written, the inner folder is renamed to ``complete``.
Who finds the folder of a dead run clears it up: what is complete is published, anything else is
removed. A folder of that name that holds other things is not ours and is left alone.

Nothing is flushed to the platters (fsync): a power cut is not covered, a killed process is.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from zfuse.errors import ZfuseError
from zfuse.pipeline.core._lock import ATTEMPTS, PAUSE, FolderLock, Holder, holder_of
from zfuse.pipeline.core._output_names import output_files, staging_folder

__all__ = ["Staging", "check_absent", "check_staging"]

_LOCK = ".zfuse-partial"
_COMPLETE = "complete"
_OLD = "replaced."  # prefix of an earlier output while it is being replaced


def check_absent(output: str | Path) -> None:
    """Refuse an output that exists, or whose maps exist.

    Raises
    ------
    ZfuseError
        Something is there.
    """
    for path in output_files(output):
        if os.path.lexists(path):
            raise ZfuseError(
                f"output {path} exists; choose another name, or replace it with --overwrite"
            )


def check_staging(output: str | Path) -> None:
    """Refuse an output that another run is writing, or whose folder for that is not ours.

    Raises
    ------
    ZfuseError
        So it is.
    """
    folder = staging_folder(output)
    if _is_foreign(folder):
        raise ZfuseError(_foreign(folder))
    holder = holder_of(folder / _LOCK)
    if holder is not None:
        raise ZfuseError(_busy(Path(output), folder, holder))


class Staging:
    """The folder of unfinished files of one output.

    Parameters
    ----------
    output
        Final path; what belongs to it lies beside it.
    overwrite
        An earlier output may be replaced.
    """

    def __init__(self, output: Path, *, overwrite: bool = False) -> None:
        self._output = output
        self._overwrite = overwrite
        self._files = [path.absolute() for path in output_files(output)]
        self.folder = staging_folder(output).absolute()
        self._mine = self.folder / uuid4().hex[:8]
        self._complete = self.folder / _COMPLETE
        self._lock = FolderLock(self.folder / _LOCK)
        self._new_parents: list[Path] = []

    def create(self) -> None:
        """Make the folder, and its parents; clear what a killed run has left there.

        Raises
        ------
        ZfuseError
            Another run has it, something is there that is not ours, or the output exists by now.
        """
        self._new_parents = [path for path in self.folder.parents if not path.exists()]
        try:
            self._claim()
            if self._complete.is_dir():
                self._swap()
            self._restore()
            self._empty()
            if not self._overwrite:  # a run that ended a moment ago may have written it
                check_absent(self._output)
            self._mine.mkdir()
        except BaseException:
            self.abandon()
            raise

    def path(self, file: Path) -> Path:
        """Where the final path `file` is written until it is finished."""
        return self._mine / file.name

    def publish(self) -> None:
        """Swap everything into place: all of it, or on failure nothing.

        Raises
        ------
        ZfuseError
            The unfinished files were removed, or another run has taken the output's place.
        OSError
            The swap failed; earlier outputs stand as before.
        """
        if not self._lock.held() or not all(self.path(f).exists() for f in self._files):
            raise ZfuseError(
                f"{self.folder} was removed while {self._output} was written there; nothing was "
                "published: run again"
            )
        if not self._overwrite:
            check_absent(self._output)
        os.rename(self._mine, self._complete)
        try:
            self._swap()
        except BaseException:
            for final in reversed(self._files):
                new = self._complete / final.name
                if os.path.lexists(final) and not os.path.lexists(new):
                    os.replace(final, new)
            self._restore()
            raise
        # The output stands: an old file that Windows still holds open must not make it a failure.
        # What stays behind is ours, and the next run to this output clears it.
        # An interrupt that comes now comes too late.
        with suppress(OSError, KeyboardInterrupt):
            self._remove()

    def abandon(self) -> None:
        """Remove everything unfinished that is ours, and the parents that `create` made."""
        if self._lock.held():
            self._restore()
            self._remove()
        else:  # refused, or removed by hand: whatever lies there belongs to somebody else
            shutil.rmtree(self._mine, ignore_errors=True)
            self._lock.release()
            with suppress(OSError):
                self.folder.rmdir()
        for parent in self._new_parents:  # innermost first; one that is in use by now stays
            with suppress(OSError):
                parent.rmdir()

    def _claim(self) -> None:
        holder, foreign = Holder(), False
        for _ in range(ATTEMPTS):
            with suppress(FileNotFoundError):
                self.folder.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileExistsError):
                    self.folder.mkdir()
                foreign = _is_foreign(self.folder)
                if not foreign:
                    found = self._lock.acquire()
                    if found is None:
                        return
                    holder = found
            time.sleep(PAUSE)
        raise ZfuseError(
            _foreign(self.folder) if foreign else _busy(self._output, self.folder, holder)
        )

    def _swap(self) -> None:
        for final in self._files:
            new = self._complete / final.name
            if not os.path.lexists(new):  # published before its run was killed
                continue
            if os.path.lexists(final):
                os.replace(final, self._old(final))
            os.replace(new, final)

    def _old(self, final: Path) -> Path:
        return self.folder / (_OLD + final.name)

    def _restore(self) -> None:
        """Put earlier outputs back that were set aside and never replaced."""
        for final in self._files:
            if os.path.lexists(self._old(final)) and not os.path.lexists(final):
                os.replace(self._old(final), final)

    def _empty(self) -> None:
        """Remove all but the lock, which says that the folder is ours."""
        for entry in self.folder.iterdir():
            if entry.name == _LOCK:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _remove(self) -> None:
        emptied = False
        try:
            self._empty()
            emptied = True
        finally:
            self._lock.release(remove=emptied)
        with suppress(OSError):  # the next run is there already
            self.folder.rmdir()


def _is_foreign(folder: Path) -> bool:
    """Whether there is something without our lock in it. An empty folder may be anybody's."""
    if folder.is_symlink() or (os.path.lexists(folder) and not folder.is_dir()):
        return True
    try:
        # Looked at twice: the lock is made first and removed last, perhaps just now.
        return any(folder.iterdir()) and not (folder / _LOCK).is_file() and any(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        return True


def _foreign(folder: Path) -> str:
    return (
        f"{folder} is in the way and was not left by zfuse; move it away or choose another "
        "output name"
    )


def _busy(output: Path, folder: Path, holder: Holder) -> str:
    cure = "" if holder.certain else f"; if that run has died, delete {folder}"
    return (
        f"output {output} is being written by another zfuse run ({holder}); wait for it to end or "
        f"choose another output name{cure}"
    )
