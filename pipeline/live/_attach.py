"""Attach to a microscope in this process: its acquisitions are fused while they run.

Duty: refuse what is wrong, and compile what is needed, before the first frame. Must not know: how
frames are listened for, what a session does with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import output_kind
from zfuse.pipeline.live._attachment import Attachment
from zfuse.pipeline.live._frame import Frame, StackKey
from zfuse.pipeline.live._series import Series
from zfuse.pipeline.live._session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from zfuse.pipeline.core import Fused
    from zfuse.pipeline.methods import Method

__all__ = ["attach"]


def attach(
    source: Any,
    method: str | dict[str, Any] | Method = "select",
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    on_fused: Callable[[StackKey, int | None, Fused], None] | None = None,
    **settings: Any,
) -> Attachment:
    """Fuse what a microscope acquires, while it does so.

    Nothing that happens here blocks or fails the acquisition. Its frames are taken over in
    microseconds; what zfuse has no room for is read back later from the acquisition's own output
    (``core.mda.run(..., output=...)``), where it has one; what fails is logged (``zfuse.live``).

    Parameters
    ----------
    source
        A pymmcore-plus core, or its ``mda`` runner. An acquisition that runs already is joined:
        stacks that have begun are fused from the planes that are still to come.
    method
        As for `zfuse.fuse`. Its kernels are compiled now, not while frames come.
    output
        Path of the fused OME-Zarr. The next acquisition takes the first name of
        ``NAME_001.ome.zarr``, ``NAME_002.ome.zarr`` … that is free. None: results go to `on_fused`
        only.
    overwrite
        The first acquisition replaces what lies at `output`.
    on_fused
        Called with each result as soon as it is in memory: stack, channel (None where channels are
        decided together), result. Never in the acquiring thread.
    **settings
        Further settings of `Session`: `channel`, `memory`, `workers` ….

    Returns
    -------
    Attachment
        A context manager: ``wait()`` for the results, ``detach()`` at the end.

    Raises
    ------
    ZfuseError
        There is no such method, or the source is nothing to attach to.

    Examples
    --------
    ::

        with zfuse.live.attach(core, output="fused.ome.zarr"):
            core.mda.run(sequence, output="planes.ome.zarr")
    """
    runner = getattr(source, "mda", source)
    if not hasattr(getattr(runner, "events", None), "frameReady"):
        raise ZfuseError(
            f"{type(source).__name__} is nothing to attach to: give a pymmcore-plus core "
            "(CMMCorePlus), or its mda runner"
        )

    def session(path: Path | None, *, replace: bool) -> Session:
        return Session(path, method, overwrite=replace, on_fused=on_fused, **settings)

    if output is not None and output_kind(output) != "ome-zarr":
        raise ZfuseError(
            f"output {output}: what is fused while it is acquired is written as OME-Zarr; give it "
            "a name that ends in .ome.zarr"
        )
    of_fusing = {key: settings[key] for key in ("workers", "min_confidence") if key in settings}
    _rehearse(Session(None, method, **of_fusing), *_camera(source))
    return Attachment(runner, session, None if output is None else Path(output), overwrite)


def _rehearse(session: Session, dtype: str, rgb: bool) -> None:
    """Fuse a little stack: kernels are compiled now, and a wrong setting is refused now.

    Compiling takes seconds, in which Python does nothing else: the acquisition would wait for it.
    """
    shape = (4, 3, 128, 128) if rgb else (4, 128, 128)
    planes = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    key = StackKey(0, 0)
    session.begin(Series("rehearsal", "zfuse", planes={(key, 0): len(planes)}, rgb=rgb))
    for z, plane in enumerate(planes):
        session.put(Frame(key, 0, z, plane))
    (stack,) = session.end().stacks
    if stack.reason:
        raise ZfuseError(stack.reason)


def _camera(source: Any) -> tuple[str, bool]:
    """Return dtype and colour of a core's camera; 16 bits and grey where there is none yet."""
    try:
        components = max(1, source.getNumberOfComponents())
        return f"uint{8 * (source.getBytesPerPixel() // components or 2)}", components > 1
    except (AttributeError, RuntimeError):
        return "uint16", False
