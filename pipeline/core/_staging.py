"""All or nothing: write beside the final name, then swap.

Duty: one folder ``<output>.partial`` that holds everything unfinished, and the swap into the final
names that keeps an earlier output until the new one stands. Must not know: file formats, pixels.

The folder carries a marker file; a folder of that name without it is not ours and is left alone.
Nothing is flushed to the platters (fsync): a power cut is not covered, a killed process is.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["PARTIAL", "Staging", "check_stale"]

PARTIAL = ".partial"
_MARKER = ".zfuse-partial"
_OLD = "replaced."  # prefix of an earlier output while it is being replaced


def check_stale(partial: Path) -> None:
    """Refuse a ``.partial`` that is not ours.

    Raises
    ------
    ZfuseError
        Something of that name exists without our marker.
    """
    if os.path.lexists(partial) and not (partial / _MARKER).is_file():
        raise ZfuseError(
            f"{partial} is in the way and was not left by zfuse; move it away or choose another "
            "output name"
        )


class Staging:
    """The folder of unfinished files of one output.

    Parameters
    ----------
    files
        Final paths, all in one folder; the first names the output.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = [path.absolute() for path in files]
        self.folder = self._files[0].with_name(self._files[0].name + PARTIAL)
        self._new_parents: list[Path] = []

    def create(self) -> None:
        """Make the folder, and its parents; clear what a killed run has left there."""
        check_stale(self.folder)
        if self.folder.exists():
            self._restore()
            self._remove()
        self._new_parents = [path for path in self.folder.parents if not path.exists()]
        self.folder.mkdir(parents=True)
        (self.folder / _MARKER).touch()

    def path(self, file: Path) -> Path:
        """Where the final path `file` is written until it is finished."""
        return self.folder / file.name

    def publish(self) -> None:
        """Swap everything into place: all of it, or on failure nothing.

        Raises
        ------
        OSError
            The swap failed; earlier outputs stand as before.
        """
        done: list[Path] = []
        try:
            for final in self._files:
                if os.path.lexists(final):
                    os.replace(final, self._old(final))
                done.append(final)
                os.replace(self.path(final), final)
        except BaseException:
            for final in reversed(done):
                if os.path.lexists(final) and not self.path(final).exists():
                    os.replace(final, self.path(final))
            self._restore()
            raise
        # The output stands: an old file that Windows still holds open must not make it a failure.
        # What stays behind carries the marker, and the next run to this output clears it.
        # An interrupt that comes now comes too late.
        with suppress(OSError, KeyboardInterrupt):
            self._remove()

    def abandon(self) -> None:
        """Remove everything unfinished, and the parents that `create` made."""
        if self.folder.exists():
            self._restore()
            self._remove()
        for parent in self._new_parents:  # innermost first; one that is in use by now stays
            with suppress(OSError):
                parent.rmdir()

    def _old(self, final: Path) -> Path:
        return self.folder / (_OLD + final.name)

    def _restore(self) -> None:
        """Put earlier outputs back that were set aside and never replaced."""
        for final in self._files:
            if os.path.lexists(self._old(final)) and not os.path.lexists(final):
                os.replace(self._old(final), final)

    def _remove(self) -> None:
        # The marker goes last, so that a removal that was killed is still known as ours.
        for entry in self.folder.iterdir():
            if entry.name == _MARKER:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        (self.folder / _MARKER).unlink()
        self.folder.rmdir()
