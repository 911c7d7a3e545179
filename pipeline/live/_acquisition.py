"""One acquisition of a microscope that is being fused: from its frames to those of a session.

Duty: what its sequence and its summary metadata say of it, and where each frame belongs. Must not
know: signals, threads, where the result goes.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline.live._frame import Frame
from zfuse.pipeline.live._sink_view import mark_of, reader_of, where_of
from zfuse.pipeline.live._useq import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    from numpy.typing import NDArray

    from zfuse.pipeline.live._frame import StackKey
    from zfuse.pipeline.live._session import Session
    from zfuse.pipeline.live._useq import Place

__all__ = ["Acquisition"]

_log = logging.getLogger("zfuse.live")


class Acquisition:
    """Gives a session the frames of one sequence.

    Parameters
    ----------
    session
        It is begun here.
    sequence
        The `useq.MDASequence`.
    about
        Summary metadata of pymmcore-plus, or nothing.
    view
        The frames in the acquisition's own output, see `reader_of`; None: it has none.
    whole
        All frames will come here, from the first on.
    name
        Of the series.

    Attributes
    ----------
    session
        As given.
    cancelled
        It will not come to its end.

    Raises
    ------
    ZfuseError
        The sequence does not say which frames will come, or the session cannot begin.
    """

    def __init__(
        self,
        session: Session,
        sequence: Any,
        about: Mapping[str, Any],
        view: Any,
        *,
        whole: bool,
        name: str,
    ) -> None:
        self.session = session
        self.cancelled = False
        self._view = view
        self._number = 0 if whole else None
        self._last: StackKey | None = None
        camera: Mapping[str, Any] = next(iter(about.get("image_infos", ())), {})
        size = camera.get("pixel_size_um") or None
        try:
            self._plan = Plan(
                sequence,
                name=name,
                source=f"pymmcore-plus, sequence {sequence.uid}",
                cameras=camera.get("num_camera_adapter_channels", 1),
                rgb=len(camera.get("plane_shape", ())) == 3,
                pixel_size=None if size is None else (size, size),
            )
        except (AttributeError, ValueError, ZeroDivisionError) as error:
            raise ZfuseError(
                f"this acquisition is not fused: {error}. Run a useq.MDASequence with an end, so "
                "that zfuse knows which frames make a stack"
            ) from error
        session.begin(self._plan.series)

    def take(self, image: NDArray[Any] | None, event: Any, mark: int | None) -> None:
        """Give a frame to the session.

        Parameters
        ----------
        image
            Its pixels; None: there was no room for them.
        event
            The `useq.MDAEvent` that it was taken for.
        mark
            Of the pixels, where they are missing.
        """
        number = self._number
        if number is not None:
            self._number = number + 1
        place = self._plan.place(event)
        if place is None:
            _log.warning("a frame that its sequence does not announce is left out: %r", event)
            return
        if self._plan.one_by_one:
            if self._last is not None and self._last != place.key:
                self.session.end_stack(self._last)  # if complete it is fused; if not, no more comes
            self._last = place.key
        rgb = self._plan.series.rgb
        read: Callable[[], NDArray[Any]] | None = None
        if self._view is not None and not rgb:  # ome-writers takes no colours
            mark = mark if image is None else mark_of(image)
            assert mark is not None
            where = where_of(self._view.dims[:-2], event.index, place, number)
            read = reader_of(self._view, where, place, mark)
        if image is None:
            read = read or _Lost(place)
        elif rgb:
            image = np.moveaxis(image, -1, 0)
        self.session.put(Frame(place.key, place.c, place.z, image, read))


class _Lost:
    """Says that a frame cannot be had any more."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __call__(self) -> NoReturn:
        raise ZfuseError(
            f"plane {self._place.z} of position {self._place.key.p}, time point "
            f"{self._place.key.t} was dropped because zfuse fell behind: let the acquisition write "
            "to disk (output=...), so that it can be read back"
        )
