"""What is done, line by line: a file that says after a crash where work stopped.

Duty: a first line with the settings and the source, then one JSON line for each piece of work,
each with the operating system before `add` returns. Must not know: what the pieces are, where their
data lie.

A process that dies while it writes leaves a torn last line, which counts as not written. A line in
the middle that is no JSON is damage, and refused.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

__all__ = ["Manifest"]


class Manifest:
    """The manifest of one output. Not for several threads at once.

    Parameters
    ----------
    path
        The file. Where it is, it is continued, whatever its first line says: see `differences`.
    identity
        JSON values, what the work depends on: the first line of a new file.
    take
        Given every other line of a file that is continued, in order, instead of `entries`: there
        may be a million of them.
    sync
        A line is on the platters when `add` returns, so that it survives a power cut, too. It takes
        milliseconds, and is worth them only where what it tells of is there as surely.

    Attributes
    ----------
    identity
        The first line of the file.
    entries
        All other lines, in order; none if something else takes them.

    Raises
    ------
    ZfuseError
        The file is damaged.
    OSError
        It cannot be read or written.
    """

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, Any],
        *,
        take: Callable[[dict[str, Any]], None] | None = None,
        sync: bool = True,
    ) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []
        self._take = take or self.entries.append
        self._keep = take is None
        self._sync = sync
        first, length = None, 0
        for value, end in _lines(path):
            length = end
            if first is None:
                first = value
            else:
                self._take(value)
        self.identity: dict[str, Any] = dict(identity) if first is None else first
        # Unbuffered: what a full disk refused must not come out later.
        self._file = open(path, "ab", buffering=0)
        try:
            self._file.truncate(length)
            if first is None:
                self._write(self.identity)
        except BaseException:
            self._file.close()
            raise

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append a line. It survives this process when this returns.

        Raises
        ------
        OSError
            It could not be written; the file is as it was.
        """
        self._write(entry)
        if self._keep:
            self.entries.append(dict(entry))

    def rename(self, path: Path) -> None:
        """Give the file another name.

        Raises
        ------
        OSError
            The disk refuses.
        """
        self._file.close()  # Windows renames no open file
        os.rename(self.path, path)
        self.path = path
        self._file = open(path, "ab", buffering=0)

    def differences(self, identity: Mapping[str, Any]) -> list[str]:
        """Tell for each key with another value than in the file: ``key VALUE, now VALUE``."""
        now = json.loads(json.dumps(dict(identity)))
        return [
            f"{key} {_shown(self.identity.get(key))}, now {_shown(now.get(key))}"
            for key in {**self.identity, **now}
            if self.identity.get(key) != now.get(key)
        ]

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()

    def _write(self, value: Mapping[str, Any]) -> None:
        length = self._file.seek(0, os.SEEK_END)
        try:
            data = memoryview(json.dumps(dict(value)).encode() + b"\n")
            while data:
                data = data[self._file.write(data) :]
            if self._sync:
                os.fsync(self._file.fileno())
        except BaseException:
            self._file.truncate(length)
            raise


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the lines that are whole, and how many bytes they and those before them take."""
    length = 0
    try:
        file = open(path, "rb")
    except FileNotFoundError:
        return
    with file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):  # torn
                return
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                value = None
            if not isinstance(value, dict):
                raise ZfuseError(
                    f"{path} is damaged in line {number}: it cannot be told what was done; delete "
                    "what was begun and begin again"
                )
            length += len(line)
            yield value, length


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
