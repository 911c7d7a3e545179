"""All or nothing: write beside the final name, then swap.

Duty: one folder ``<output>.partial`` that holds everything unfinished, and the swap into the final
names that keeps an earlier output until the new one stands. Must not know: file formats, pixels.

The folder belongs to the run that holds the lock in it (see `zfuse.pipeline.core._lock`). That run
writes into a folder of its own below: if somebody removes all of it and another run begins there,
nothing of theirs is mixed. When everything is written, the inner folder is renamed to ``complete``.
Who finds the folder of a dead run clears it up: what is complete is published, anything else is
removed. A folder of that name that holds other things is not ours and is left alone.

A run that can be resumed keeps a manifest beside its unfinished files. Such a folder is never
cleared unasked: it is named, and refused, or resumed, or overwritten.

Nothing is flushed to the platters (fsync): a power cut is not covered, a killed process is. After a
power cut begin again with --overwrite; --resume would find most of what was lost by its checksum,
but nobody promises that the manifest itself is whole.
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
_MANIFEST = "manifest.jsonl"
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


def check_staging(output: str | Path, *, remains: bool = False) -> None:
    """Refuse an output that another run is writing, or whose folder for that is not ours.

    Parameters
    ----------
    output
        Final path.
    remains
        What an interrupted run has left there may be gone on with, or removed.

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
    if not remains and _remains(folder) is not None:
        raise ZfuseError(_left(Path(output), folder))


class Staging:
    """The folder of unfinished files of one output.

    Parameters
    ----------
    output
        Final path; what belongs to it lies beside it.
    overwrite
        An earlier output may be replaced.
    resume
        Go on with what an interrupted run has left.

    Attributes
    ----------
    folder
        ``<output>.partial``.
    resumed
        Whether there was something to go on with; from `create` on.
    published
        An interrupted run had finished all, and it stands under its final name now.
    """

    def __init__(self, output: Path, *, overwrite: bool = False, resume: bool = False) -> None:
        self._output = output
        self._overwrite = overwrite
        self._resume = resume
        self.resumed = self.published = False
        self._files = [path.absolute() for path in output_files(output)]
        self.folder = staging_folder(output).absolute()
        self._mine = self.folder / uuid4().hex[:8]
        self._complete = self.folder / _COMPLETE
        self._lock = FolderLock(self.folder / _LOCK)
        self._new_parents: list[Path] = []

    def create(self) -> None:
        """Make the folder, and its parents; clear or take what a killed run has left there.

        Raises
        ------
        ZfuseError
            Another run has it, something is there that is not ours or that could be resumed, or the
            output exists by now.
        """
        self._new_parents = [path for path in self.folder.parents if not path.exists()]
        try:
            self._claim()
            if self._complete.is_dir():
                self._swap()
                self.published = self._resume
            self._restore()
            left = None if self.published else _remains(self.folder)
            if left is not None and self._resume:
                self._mine, self.resumed = left, True
            elif left is not None and not self._overwrite:
                self.resumed = True  # not by us, but it stays
                raise ZfuseError(_left(self._output, self.folder))
            self._empty()
            # A run that ended a moment ago may have written it.
            if not (self._overwrite or self.published):
                check_absent(self._output)
            self._mine.mkdir(exist_ok=self.resumed)
        except BaseException:
            if self.resumed:
                self.keep()
            else:
                self.abandon()
            raise

    @property
    def inner(self) -> Path:
        """The folder of this run, in which everything unfinished lies."""
        return self._mine

    @property
    def manifest(self) -> Path:
        """Where a run records what is finished, if it can be resumed."""
        return self._mine / _MANIFEST

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
            os.rename(self._complete, self._mine)
            raise
        # The output stands: an old file that Windows still holds open must not make it a failure.
        # What stays behind is ours, and the next run to this output clears it.
        # An interrupt that comes now comes too late.
        with suppress(OSError, KeyboardInterrupt):
            self._remove()

    def keep(self) -> None:
        """Leave everything as it is, for a run that resumes. May be called twice."""
        self._lock.release(remove=False)

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
        """Remove all but the lock, which says that the folder is ours, and what is resumed."""
        for entry in self.folder.iterdir():
            if entry.name == _LOCK or (self.resumed and entry == self._mine):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _remove(self) -> None:
        emptied = self.resumed = False
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


def _remains(folder: Path) -> Path | None:
    """Return the folder below that an interrupted run has left to be resumed."""
    found = sorted(folder.glob(f"*/{_MANIFEST}"), key=lambda path: path.stat().st_mtime)
    return next((path.parent for path in reversed(found) if path.parent.name != _COMPLETE), None)


def _left(output: Path, folder: Path) -> str:
    return (
        f"an interrupted run to {output} has left what it had finished in {folder}; go on with "
        "--resume, or remove it and begin again with --overwrite"
    )


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
