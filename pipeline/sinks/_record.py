"""What of an output is finished: written down while it is made, and believed only when checked.

Duty: the lines of the manifest, and what they say of each image once every file that they name has
been read again. Must not know: how images are made, what a tile holds.

Lines, after the first one with the run's identity:

==============================================  ==================================================
``begun``, ``tile``, ``grid``, ``source``       an image, the edge of its tiles, how many of them
                                                (time points, down, across), what it is made from
``tile``, ``of``, ``files``                     a tile (t, y, x) of an image, its files
``ended``, ``files``                            an image, and the files of its metadata
``failed``, ``reason``                          an image of several that could not be made
==============================================  ==================================================
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Manifest, chunk_pool, inside
from zfuse.pipeline.sinks._files import checksum

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from zfuse.pipeline.sinks._sink import Files

__all__ = ["RECORD_AFTER", "Record", "State"]

RECORD_AFTER = 60.0
"""Seconds after which a run is worth resuming; one that is interrupted before leaves nothing."""

_YOUNG = ".young"  # suffix of the manifest of a run that is not worth resuming yet
_AHEAD = 64  # lines whose files are being checked


@dataclass
class State:
    """What is known of one image from an earlier attempt.

    Attributes
    ----------
    tile
        Edge of its tiles, if it was begun.
    grid
        Time points, and tiles down and across.
    source
        What it was made from.
    done
        One byte a tile: 1 if it is there and whole.
    ended
        All of it is there and whole.
    """

    tile: int | None = None
    grid: tuple[int, int, int] = (0, 0, 0)
    source: Mapping[str, Any] | None = None
    done: bytearray = field(default_factory=bytearray)
    ended: bool = False

    def has(self, t: int, y: int, x: int) -> bool:
        """Whether a tile, by its top-left pixel, is there and whole."""
        return bool(self.tile and self.done[self.index(t, y, x)])

    def index(self, t: int, y: int, x: int) -> int:
        """Return the place of a tile in `done`."""
        _, rows, columns = self.grid
        edge = self.tile or 1
        return (t * rows + y // edge) * columns + x // edge


class Record:
    """The manifest of one output. May be used by several threads at once.

    Parameters
    ----------
    path
        The manifest; where it is, it is continued.
    root
        The output as it lies in the staging folder: what the manifest's paths begin from.
    identity
        JSON values, what the output depends on.
    at_once
        The run is worth resuming from its first tile on.

    Attributes
    ----------
    torn
        Tiles, or metadata of images, that the manifest names and that are not as it says.

    Raises
    ------
    ZfuseError
        The manifest is damaged, or of another identity; the line says which values differ.
    OSError
        The disk refuses.
    """

    def __init__(
        self, path: Path, root: Path, identity: Mapping[str, Any], *, at_once: bool = False
    ) -> None:
        self._path, self._root = path, root
        self._states: dict[str, State] = {}
        self._checks: deque[tuple[dict[str, Any], Future[bool]]] = deque()
        self._lock = Lock()
        self._begun = time.monotonic()
        self.torn = self.tiles = 0
        self._grown = path.exists() or at_once
        name = path if self._grown else path.with_name(path.name + _YOUNG)
        self._manifest = Manifest(name, identity, take=self._take, sync=False)
        try:
            self._settle(0)
            if said := self._manifest.differences(identity):
                raise ZfuseError(
                    f"cannot resume {root.name}: {'; '.join(said)}; give what was given before, "
                    "or begin again with --overwrite"
                )
        except BaseException:
            self.close()
            raise

    @property
    def worth_keeping(self) -> bool:
        """Whether an interrupted run should leave what it has finished."""
        return self._grown and self.tiles > 0

    def state(self, image: str) -> State:
        """Return what is known of an image from an earlier attempt."""
        return self._states.get(image) or State()

    def forget(self, image: str) -> None:
        """Begin an image from nothing."""
        self._states.pop(image, None)

    def begun(
        self, image: str, tile: int, grid: tuple[int, int, int], source: Mapping[str, Any]
    ) -> None:
        """Record that an image is being made."""
        self._add({"begun": image, "tile": tile, "grid": list(grid), "source": dict(source)})

    def wrote(self, image: str, t: int, y: int, x: int, files: Files) -> None:
        """Record a tile whose files are closed."""
        self._add({"tile": [t, y, x], "of": image, "files": files})
        self.tiles += 1

    def ended(self, image: str, files: Files) -> None:
        """Record an image all of whose files are closed."""
        self._add({"ended": image, "files": files})

    def failed(self, image: str, reason: str) -> None:
        """Record an image that could not be made."""
        self._add({"failed": image, "reason": reason})

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._manifest.close()

    def _add(self, entry: Mapping[str, Any]) -> None:
        with self._lock:
            self._manifest.add(entry)
            if not self._grown and time.monotonic() - self._begun > RECORD_AFTER:
                self._manifest.rename(self._path)
                self._grown = True

    def _take(self, entry: dict[str, Any]) -> None:
        """Check the files of a line, in the order of lines, while later ones are read."""
        image = inside(str(entry.get("of", entry.get("ended", ""))), str(self._path))
        checked = chunk_pool().submit(self._intact, image, entry.get("files", {}))
        self._checks.append((entry, checked))
        self._settle(_AHEAD)

    def _settle(self, left: int) -> None:
        while len(self._checks) > left:
            entry, checked = self._checks.popleft()
            try:
                self._apply(entry, whole=checked.result())
            except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
                raise ZfuseError(
                    f"{self._path} is damaged ({error!r}): it cannot be told what was done; begin "
                    "again with --overwrite"
                ) from error

    def _apply(self, entry: dict[str, Any], *, whole: bool) -> None:
        if "begun" in entry:
            t, rows, columns = (int(n) for n in entry["grid"])
            done = bytearray(t * rows * columns)
            self._states[entry["begun"]] = State(
                int(entry["tile"]), (t, rows, columns), entry["source"], done
            )
        elif "of" in entry:
            state = self._states[entry["of"]]
            t, y, x = entry["tile"]
            state.done[state.index(t, y, x)] = whole
            self.tiles += whole
            self.torn += not whole
        elif "ended" in entry:
            state = self._states[entry["ended"]]
            state.ended = whole and state.done.count(1) == len(state.done)
            self.torn += not whole
        elif "failed" in entry:
            self._states.pop(entry["failed"], None)

    def _intact(self, image: str, files: Mapping[str, Any]) -> bool:
        folder = self._root / image
        for name, said in files.items():
            inside(name, str(self._path))
            try:
                if (folder / name).stat().st_size != said[0] or checksum(folder / name) != (
                    said[0],
                    said[1],
                ):
                    return False
            except OSError:
                return False
        return True
