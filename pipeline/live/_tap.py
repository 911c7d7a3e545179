"""A stream of ome-writers with a tap: what is written is fused, too.

Duty: from the stream's settings and its frames to a session's series and frames. Must not know:
files, fusion.

A stream's own event says that a frame was handed to the writer, not that it can be read: of 32
frames of 2048 x 2048 that were read at their ``coords_changed``, tensorstore gave zeros for 2, with
z chunks of 4 for all 32, and acquire-zarr has no view to read from (ome-writers 0.3.2). Therefore
frames are taken where they go in.
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Channel
from zfuse.pipeline.live._frame import Frame, StackKey
from zfuse.pipeline.live._series import Series
from zfuse.pipeline.live._session import Session
from zfuse.pipeline.live._sink_view import mark_of, reader_of
from zfuse.pipeline.live._useq import Place

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Fused
    from zfuse.pipeline.live._report import Report
    from zfuse.pipeline.methods import Method

__all__ = ["TappedStream", "tap"]

_log = logging.getLogger("zfuse.live")
_MICRONS = {"micrometer": 1.0, "um": 1.0, "µm": 1.0, "nanometer": 1e-3, "nm": 1e-3}


def tap(
    stream: Any,
    settings: Any,
    method: str | dict[str, Any] | Method = "select",
    output: str | Path | None = None,
    *,
    on_fused: Callable[[StackKey, int | None, Fused], None] | None = None,
    **session: Any,
) -> TappedStream:
    """Fuse what an ome-writers stream writes, while it does so.

    Parameters
    ----------
    stream
        Of `ome_writers.create_stream`.
    settings
        The `ome_writers.AcquisitionSettings` that it was created with.
    method
        As for `zfuse.fuse`.
    output, on_fused, **session
        Of the `Session`.

    Returns
    -------
    TappedStream
        To be used instead of the stream.

    Raises
    ------
    ZfuseError
        The settings have dimensions that make no stacks, or one of the session's is wrong.

    Examples
    --------
    ::

        stream = zfuse.live.tap(create_stream(settings), settings, output="fused.ome.zarr")
        with stream:
            for frame in camera:
                stream.append(frame)
        print(stream.wait())
    """
    return TappedStream(stream, settings, Session(output, method, on_fused=on_fused, **session))


class TappedStream:
    """An ome-writers stream whose frames are fused, too; see `tap`.

    What is not named here is the stream's own.
    """

    def __init__(self, stream: Any, settings: Any, session: Session) -> None:
        self._stream = stream
        self._session = session
        self._dims = settings.dimensions[:-2]
        self._kinds = [_kind(dim) for dim in self._dims]
        by_kind = dict(zip(self._kinds, self._dims, strict=True))
        if len(by_kind) < len(self._dims) or "other" in by_kind or "space" not in by_kind:
            names = ", ".join(dim.name for dim in settings.dimensions)
            raise ZfuseError(
                f"dimensions {names} make no stacks: beside the last two there must be one of "
                "space (z), and may be one each of time, position and channel"
            )
        self._count = 0
        self._came: Counter[tuple[StackKey, int]] = Counter()
        self._ranks = _ranks(by_kind["space"])
        try:
            self._view = stream.view(dynamic_shape=False)
        except (AttributeError, NotImplementedError, ValueError):
            self._view = None  # of a writer that cannot read
        session.begin(_series(settings, by_kind, Path(settings.root_path).name))

    def append(self, frame: NDArray[Any], *, frame_metadata: dict[str, Any] | None = None) -> None:
        """Write the next frame, as the stream does, and fuse a copy of it."""
        self._stream.append(frame, frame_metadata=frame_metadata)
        try:
            where, place = self._next()
            mark = None if self._view is None else mark_of(frame)
            read = None if mark is None else reader_of(self._view, where, place, mark)
            # A copy, because the camera may write its next frame there.
            self._session.put(Frame(place.key, place.c, place.z, np.array(frame), read))
            self._passed(place)
        except Exception:
            _log.exception("a frame is not fused")

    def skip(self, *, frames: int = 1) -> None:
        """Leave frames out, as the stream does; their stacks are fused as partial."""
        self._stream.skip(frames=frames)
        for _ in range(frames):
            self._passed(self._next()[1])

    def close(self) -> None:
        """Close the stream. What came is fused: `wait` for it."""
        self._stream.close()
        self._session.end(wait=0)

    def wait(self, timeout: float | None = None) -> Report:
        """Wait until everything is fused and written.

        Parameters
        ----------
        timeout
            Seconds after which a report of what is done so far is returned.
        """
        return self._session.end(wait=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _next(self) -> tuple[tuple[int, ...], Place]:
        """Return where the next frame lies, and its place."""
        number, self._count = self._count, self._count + 1
        where: list[int] = []
        for dim in reversed(self._dims[1:]):
            number, at = divmod(number, dim.count)
            where.insert(0, at)
        where.insert(0, number)
        at_kind = dict(zip(self._kinds, where, strict=True))
        key = StackKey(at_kind.get("position", 0), at_kind.get("time", 0))
        z = self._ranks[at_kind.get("space", 0)]
        return tuple(where), Place(key, at_kind.get("channel", 0), z)

    def _passed(self, place: Place) -> None:
        """Note that a plane's turn is over; after the last one's no more of its stack comes."""
        stack = place.key, place.c
        self._came[stack] += 1
        if self._came[stack] == len(self._ranks):
            del self._came[stack]
            self._session.end_stack(*stack)


def _kind(dim: Any) -> str:
    return str(dim.type or "other")


def _ranks(dim: Any) -> list[int]:
    """Return the rank of each plane's height."""
    heights = dim.coords or range(dim.count)
    try:
        order = np.argsort([float(height) for height in heights], kind="stable")
    except (TypeError, ValueError):  # names
        return list(range(dim.count))
    return [int(rank) for rank in np.argsort(order)]


def _series(settings: Any, dims: dict[str, Any], name: str) -> Series:
    height, width = settings.dimensions[-2:]
    size = _microns(height), _microns(width)
    times = dims["time"].count if "time" in dims else 1
    positions, channels = _names(dims.get("position")), _names(dims.get("channel"))
    keys = [StackKey(p, t) for t in range(times or 0) for p in range(len(positions))]
    return Series(
        name=name,
        source=f"ome-writers, {settings.root_path}",
        positions=positions,
        channels=tuple(Channel(channel) for channel in channels),
        times=times,
        planes={(key, c): dims["space"].count for key in keys for c in range(len(channels))},
        pixel_size=None if None in size else size,  # type: ignore[arg-type]
        z_step=_microns(dims["space"]),
    )


def _names(dim: Any) -> tuple[str, ...]:
    if dim is None:
        return ("0",)
    named = dim.coords or range(dim.count)
    return tuple(str(getattr(item, "name", item)) for item in named)


def _microns(dim: Any) -> float | None:
    factor = _MICRONS.get(dim.unit or "micrometer")
    return None if factor is None or not dim.scale else dim.scale * factor
