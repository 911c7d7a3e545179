"""Fusing one stack in memory: arrays in, arrays out.

Must not know: files, configs, what a method computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline._channels import EACH
from zfuse.pipeline._job import align_job, make_job
from zfuse.pipeline._tiles import run_jobs
from zfuse.pipeline.core import Fused, Progress, Stack
from zfuse.pipeline.methods import DEFAULT_METHOD, make_method
from zfuse.pipeline.sources import from_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from zfuse.pipeline.alignment import AlignMode
    from zfuse.pipeline.methods import Method

__all__ = ["fuse"]

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
    chosen = make_method(method)
    if memory is None and not chosen.own_threads:  # a network takes kilobytes a pixel
        memory = _AMPLE
    job = make_job(
        opened, chosen, channel=channel, memory=memory, workers=workers, tile=tile,
        aligning=align != "none", min_confidence=min_confidence,
    )  # fmt: skip
    if align != "none":
        job = align_job(job, align, Progress())
    _, channels, _, height, width = opened.shape
    image = np.empty((channels, height, width), opened.dtype)
    maps = (channels, height, width) if job.decisions.each else (height, width)
    depth, confidence = np.empty(maps, np.float32), np.empty(maps, np.float32)

    def keep(t: int, y: int, x: int, fused: Fused) -> None:
        rows, columns = fused.image.shape[1:]
        at = (..., slice(y, y + rows), slice(x, x + columns))
        image[at], depth[at], confidence[at] = fused.image, fused.depth, fused.confidence

    run_jobs([job], [keep], Progress())
    return Fused(image if "c" in opened.axes else image[0], depth, confidence)
