"""Fusing one stack in memory: arrays in, arrays or tiles out.

Must not know: files, configs, what a method computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline._channels import EACH
from zfuse.pipeline._job import align_job, make_job
from zfuse.pipeline._tiles import run_job
from zfuse.pipeline.core import Fused, Progress, Stack
from zfuse.pipeline.methods import DEFAULT_METHOD, make_method
from zfuse.pipeline.sources import from_array

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from numpy.typing import ArrayLike

    from zfuse.pipeline._job import Job
    from zfuse.pipeline.alignment import AlignMode
    from zfuse.pipeline.methods import Method

__all__ = ["fuse", "fuse_tiles"]

_AMPLE = 10**12  # bytes: tiles as large as they may be


def fuse(
    stack: ArrayLike | Stack,
    method: str | dict[str, Any] | Method = DEFAULT_METHOD,
    *,
    channel: int | str = EACH,
    align: AlignMode = "none",
    tile: int | None = None,
    memory: int | None = None,
    workers: int | None = None,
    min_confidence: float | None = None,
    progress: Progress | None = None,
    cancel: Event | None = None,
    on_tile: Callable[[int, int, int, Fused], None] | None = None,
) -> Fused:
    """Fuse one focal stack in memory.

    Parameters
    ----------
    stack
        (Z, Y, X) or (C, Z, Y, X) array (NumPy, Zarr, Dask), or a `Stack` with one time point.
        Channels of an array are no colours unless ``zfuse.from_array(array, rgb=True)`` says so.
    method
        Name of a method, or its name and settings, e.g. ``{"name": "select", "window": 13}``.
    channel
        Who decides on focus: ``"each"`` channel for itself (the colours of RGB together),
        ``"together"``, or one channel for all of them: its index or name.
    align
        Undo drift of the planes: ``"none"``, ``"translation"``, ``"similarity"``: also scale and
        angle; or ``"auto"``: what surely moves, which is the default for files (`zfuse.run`).
    tile
        Edge of a tile in pixels; the result does not depend on it.
    memory
        Bytes the fold may use beside the result; default: for methods that run a network 2 GB,
        for others what the whole image takes at once.
    workers
        Threads; default: all cores.
    min_confidence
        Probability in 0..1 below which depth becomes NaN; by default all depth is kept.
    progress
        Told about voxels, notes and warnings; a `zfuse.pipeline.core.Progress`.
    cancel
        A `threading.Event`: set from any thread, it stops the work within a block of planes.
    on_tile
        Called with time point (0), top and left of each finished tile, and the tile (its image has
        a channel axis), from any thread; a small `tile` brings them early.

    Returns
    -------
    Fused
        ``image`` (Y, X) or (C, Y, X) of the input's dtype, ``depth`` float32 in planes,
        ``confidence`` float32 in 0..1; both (C, Y, X) where each of several channels decides for
        itself, else (Y, X).

    Raises
    ------
    ZfuseError
        The array is no focal stack, or a setting is wrong.
    zfuse.errors.Cancelled
        `cancel` was set.

    Examples
    --------
    >>> import numpy as np, zfuse
    >>> planes = np.random.default_rng(0).integers(0, 4096, (5, 64, 64), np.uint16)
    >>> fused = zfuse.fuse(planes)
    >>> fused.image.dtype, fused.depth.shape
    (dtype('uint16'), (64, 64))
    """
    opened = stack if isinstance(stack, Stack) else from_array(stack)
    if opened.shape[0] != 1:
        raise ZfuseError(f"{opened.shape[0]} time points; fuse them one by one, or use zfuse.run")
    job = _job(
        opened, method, channel=channel, align=align, tile=tile, memory=memory, workers=workers,
        min_confidence=min_confidence, progress=progress, cancel=cancel,
    )  # fmt: skip
    _, channels, _, height, width = opened.shape
    image = np.empty((channels, height, width), opened.dtype)
    maps = (channels, height, width) if job.decisions.each else (height, width)
    depth, confidence = np.empty(maps, np.float32), np.empty(maps, np.float32)

    def keep(t: int, y: int, x: int, fused: Fused) -> None:
        rows, columns = fused.image.shape[1:]
        at = (..., slice(y, y + rows), slice(x, x + columns))
        image[at], depth[at], confidence[at] = fused.image, fused.depth, fused.confidence
        if on_tile is not None:
            on_tile(t, y, x, fused)

    _run(job, keep, progress, cancel)
    return Fused(image if "c" in opened.axes else image[0], depth, confidence)


def fuse_tiles(
    stack: Stack,
    method: str | dict[str, Any] | Method,
    on_tile: Callable[[int, int, int, Fused], None],
    *,
    channel: int | str = EACH,
    align: AlignMode = "none",
    tile: int | None = None,
    memory: int | None = None,
    workers: int | None = None,
    min_confidence: float | None = None,
    progress: Progress | None = None,
    cancel: Event | None = None,
) -> None:
    """Fuse every time point of a stack and hand out its tiles; nothing of them is kept.

    Parameters and errors are those of `fuse`; ``Fused.image`` of a tile is (C, Y, X).
    """
    job = _job(
        stack, method, channel=channel, align=align, tile=tile, memory=memory, workers=workers,
        min_confidence=min_confidence, progress=progress, cancel=cancel,
    )  # fmt: skip
    _run(job, on_tile, progress, cancel)


def _run(
    job: Job,
    write: Callable[[int, int, int, Fused], None],
    progress: Progress | None,
    cancel: Event | None,
) -> None:
    progress = progress or Progress()
    progress.start(job.voxels)
    run_job(job, write, progress, cancel)


def _job(
    stack: Stack,
    method: str | dict[str, Any] | Method,
    *,
    align: AlignMode,
    memory: int | None,
    progress: Progress | None,
    cancel: Event | None,
    **plan: Any,
) -> Job:
    """Plan one stack, and lay its planes on each other."""
    chosen = make_method(method)
    if memory is None and not chosen.own_threads:  # a network takes kilobytes a pixel
        memory = _AMPLE
    stoppable = stack.stoppable(cancel)
    job = make_job(stoppable, chosen, memory=memory, aligning=align != "none", **plan)
    return align_job(job, align, progress or Progress()) if align != "none" else job
