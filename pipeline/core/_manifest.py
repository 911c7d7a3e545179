"""What is done, line by line: a file that says after a crash where work stopped.

Duty: a first line with the settings and the source, then one JSON line for each piece of work,
each on the disk before `add` returns. Must not know: what the pieces are, where their data lie.

A process that dies while it writes leaves a torn last line, which counts as not written. A line in
the middle that is no JSON is damage, and refused.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Mapping
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

    Attributes
    ----------
    identity
        The first line of the file.
    entries
        All other lines, in order.

    Raises
    ------
    ZfuseError
        The file is damaged.
    OSError
        It cannot be read or written.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        lines, length = _lines(path)
        self.identity: dict[str, Any] = lines[0] if lines else dict(identity)
        self.entries: list[dict[str, Any]] = lines[1:]
        # Unbuffered: what a full disk refused must not come out later.
        self._file = open(path, "ab", buffering=0)
        try:
            self._file.truncate(length)
            if not lines:
                self._write(self.identity)
        except BaseException:
            self._file.close()
            raise

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append a line. It is on the disk when this returns.

        Raises
        ------
        OSError
            It could not be written; the file is as it was.
        """
        self._write(entry)
        self.entries.append(dict(entry))

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
            os.fsync(self._file.fileno())
        except BaseException:
            self._file.truncate(length)
            raise


def _lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the lines that are whole, and how many bytes they take."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    whole = data[: data.rfind(b"\n") + 1]
    lines = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise ZfuseError(
                f"{path} is damaged in line {number}: it cannot be told what was done; delete "
                "what was begun and begin again"
            )
        lines.append(value)
    return lines, len(whole)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
