"""Watch a data set that another program writes, and fuse its stacks as they become whole.

Duty: poll, hand on, end. Must not know: formats (the followers do), how stacks are fused.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Progress
from zfuse.pipeline.live._follower import Ended, Remark, StackEnded, sidecar
from zfuse.pipeline.live._frame import Frame
from zfuse.pipeline.live._report import Report
from zfuse.pipeline.live._series import Series
from zfuse.pipeline.live._session import Session
from zfuse.pipeline.sources import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zfuse.pipeline.core import Fused
    from zfuse.pipeline.live._follower import Follower, News
    from zfuse.pipeline.live._frame import StackKey
    from zfuse.pipeline.methods import Method

__all__ = ["watch"]

_ZARR = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
_LOOK = 0.5  # seconds between two looks at `cancel` while the last stacks are fused


def watch(
    input: str | Path,
    output: str | Path,
    method: str | dict[str, Any] | Method = "select",
    *,
    channel: int | str = "each",
    poll: float = 1.0,
    expect_planes: int | None = None,
    template: str | None = None,
    until_idle: float | None = None,
    z_step: float | None = None,
    pixel_size: float | None = None,
    min_confidence: float | None = None,
    memory: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    cancel: threading.Event | None = None,
    on_fused: Callable[[StackKey, int | None, Fused], None] | None = None,
    on_begin: Callable[[Session], None] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Follow what another program is writing and fuse each stack when it is whole.

    The input is only ever read. What was fused lies in ``NAME.growing.ome.zarr`` beside the output
    until the end; the same call goes on with it after an interruption.

    Parameters
    ----------
    input
        A folder of planes (TIFF, PNG, JPEG, BMP; also one folder a position), an OME-Zarr or an
        NDTiff data set. It need not exist yet.
    output
        Path of the fused OME-Zarr.
    method, channel, memory, workers, min_confidence, overwrite, on_fused, on_begin
        See `Session`.
    poll
        Seconds between two looks.
    expect_planes
        Planes of each channel of a stack, where the data set does not say it: a stack is fused as
        soon as it has them.
    template
        How the files of a folder are named, e.g. ``img_{t}_{c}_{z}.tif``; by default their names
        are read as `zfuse.open` reads them.
    until_idle
        Seconds without any change after which all is taken to have come. By default only an end
        mark ends it: ``INPUT.done`` beside the input, ``.done`` in it, or the writer's own.
    z_step, pixel_size
        µm, where the data set does not say it.
    cancel
        Set by another thread: stop, and leave what was fused for the next call.
    progress
        Told in one line each what was assumed and what could not be read.

    Returns
    -------
    Report
        What became of each stack.

    Raises
    ------
    ZfuseError
        A setting is wrong, the input is no folder, or the output may not be written.
    """
    for name, value in (("poll", poll), ("until_idle", until_idle), ("z_step", z_step),
                        ("pixel_size", pixel_size), ("expect_planes", expect_planes)):  # fmt: skip
        if value is not None and not 0 < value < float("inf"):
            raise ZfuseError(f"{name} is {value:g}; it must be above 0")
    watcher = _Watcher(
        Path(input),
        Session(
            output, method, channel=channel, memory=memory, workers=workers,
            min_confidence=min_confidence, overwrite=overwrite, on_fused=on_fused,
            on_begin=on_begin, progress=progress,
        ),
        poll=poll,
        until_idle=until_idle,
        cancel=cancel or threading.Event(),
        progress=progress or Progress(),
        expect_planes=expect_planes,
        template=template,
        given={
            "z_step": z_step,
            "pixel_size": None if pixel_size is None else (pixel_size, pixel_size),
        },
    )  # fmt: skip
    try:
        return watcher.run()
    except BaseException:
        watcher.abandon()
        raise


class _Watcher:
    """One call of `watch`."""

    def __init__(
        self,
        place: Path,
        session: Session,
        *,
        poll: float,
        until_idle: float | None,
        cancel: threading.Event,
        progress: Progress,
        expect_planes: int | None,
        template: str | None,
        given: dict[str, Any],
    ) -> None:
        self.session = session
        self._place = place
        self._poll = poll
        self._until_idle = until_idle
        self._cancel = cancel
        self._progress = progress
        self._expect_planes, self._template, self._given = expect_planes, template, given
        self._follower: Follower | None = None
        self._begun = False
        self._missing: set[StackKey] = set()  # of those that were announced

    def run(self) -> Report:
        """Poll until the end."""
        quiet, seen = time.monotonic(), -1
        while not self._cancel.is_set():
            self._follower = self._follower or self._found()
            ended = self._hand_on(self._follower.poll()) if self._follower is not None else ""
            now = -1 if self._follower is None else self._follower.activity
            if now != seen:
                quiet, seen = time.monotonic(), now
            if not ended and self._until_idle is not None:
                idle = time.monotonic() - quiet
                ended = f"nothing changed for {idle:.0f} s" if idle > self._until_idle else ""
            if not ended and self._follower is None:
                ended = sidecar(self._place)
            if self.session.problem:
                return self._abandoned()
            if ended:
                return self._end(ended)
            self._cancel.wait(self._poll)
        return self._abandoned()

    def _end(self, why: str) -> Report:
        """Look a last time and wait for the session."""
        if self._follower is not None:
            self._hand_on(self._follower.finish())
        if self._cancel.is_set():
            return self._abandoned()
        self._progress.note(f"end of {self._place}: {why}")
        if not self._begun:
            self.session.abandon()
            return Report(None, problem=f"{self._place}: no stack came")
        while not self._cancel.is_set():
            report = self.session.end(cancelled=bool(self._missing), wait=_LOOK)
            if report.problem != "still at work":
                return report
        return self._abandoned()

    def abandon(self) -> None:
        """Stop; what was fused stays for the next call."""
        if self._follower is not None:
            self._follower.patience.stop.set()
        self.session.abandon()

    def _abandoned(self) -> Report:
        problem = self.session.problem
        self.abandon()
        report = self.session.end() if self._begun else Report(None, problem="abandoned")
        return replace(report, problem=problem or report.problem)

    def _hand_on(self, news: Iterator[News]) -> str:
        """Give news to the session; return why nothing more comes."""
        ended = ""
        for item in news:
            match item:
                case Series():
                    known = {key: value for key, value in self._given.items() if value is not None}
                    self.session.begin(replace(item, **known))
                    self._missing = {key for key, _ in item.planes} - self.session.done
                    self._begun = True
                    assert self._follower is not None
                    self._follower.done = self.session.done
                    if self.session.done:
                        self._progress.note(f"{len(self.session.done)} stacks were fused before")
                case Frame():
                    self.session.put(item)
                case StackEnded():
                    self._missing.discard(item.key)
                    self.session.end_stack(item.key, item.c)
                case Remark():
                    self._progress.warn(item.line)
                case Ended():
                    ended = item.why
            if self._cancel.is_set():
                break
        return ended

    def _found(self) -> Follower | None:
        """Choose a follower by what lies at the input, None while nothing tells."""
        place = self._place
        if place.is_file():
            raise ZfuseError(
                f"{place} is a file; give the folder that grows (a single file is fused when it is "
                "whole: zfuse fuse)"
            )
        try:
            names = [entry.name for entry in place.iterdir()] if place.is_dir() else []
        except OSError:
            return None
        if place.name.endswith(".zarr") or any(name in names for name in _ZARR):
            from zfuse.pipeline.live._follow_zarr import ZarrFollower

            return ZarrFollower(place)
        from zfuse.pipeline.live._follow_ndtiff import INDEX, NDTiffFollower

        if INDEX in names or any("NDTiffStack" in name for name in names):
            return NDTiffFollower(place, expect_planes=self._expect_planes)
        from zfuse.pipeline.live._follow_planes import PlanesFollower

        if any(_is_image(place / name) for name in names):
            return PlanesFollower(place, expect_planes=self._expect_planes, template=self._template)
        return None


def _is_image(path: Path) -> bool:
    """Whether a path is named like an image, or is a folder that holds one."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        return path.is_dir() and any(p.suffix.lower() in SUFFIXES for p in path.iterdir())
    except OSError:
        return False
