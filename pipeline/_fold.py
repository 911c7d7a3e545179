"""Folding one tile: planes in, in order; strips in threads; one fused tile out.

Duty: the order of planes, the buffers, and that reading goes on while planes are folded. Must not
know: file formats, sinks, Dask, what a method computes.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Fused, Region

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from threading import Event

    from numpy.typing import NDArray

    from zfuse.pipeline._plan import TilePlan
    from zfuse.pipeline.core import PlaneReader
    from zfuse.pipeline.methods import Method

__all__ = ["Cancelled", "OrderedFold", "fold_tile"]


class Cancelled(Exception):
    """The run was asked to stop."""


def fold_tile(
    reader: PlaneReader,
    t: int,
    tile: Region,
    plan: TilePlan,
    method: Method,
    calibration: Any,
    pool: ThreadPoolExecutor,
    *,
    cancel: Event,
    advance: Callable[[int], None],
) -> Fused:
    """Fuse one tile of one time point.

    Parameters
    ----------
    reader, t
        Pixels and time point.
    tile
        The tile; what is shown of it includes the halo.
    plan
        Blocks and strips.
    method, calibration
        The fold.
    pool
        Threads that fold strips; shared by all tiles of a process.
    cancel
        Checked at every block; set, it raises `Cancelled`.
    advance
        Told the number of voxels of each block that was folded.

    Returns
    -------
    Fused
        Image (C, h, w), depth and confidence (h, w) of the tile's core.
    """
    channels, planes = reader.shape[1:3]
    blocks = [slice(z, min(z + plan.block, planes)) for z in range(0, planes, plan.block)]
    strips = plan.cut(tile)
    started = [
        pool.submit(method.start, strip, channels, reader.dtype, calibration) for strip in strips
    ]
    rows, columns = tile.shown
    shape = (plan.block, channels, rows.stop - rows.start, columns.stop - columns.start)
    buffers = [np.empty(shape, reader.dtype) for _ in range(2)]
    kept: list[NDArray[Any]] = []  # a stack of one block is read once for all passes

    def read(n: int, turn: int) -> NDArray[Any]:
        z = blocks[n]
        if kept:
            return kept[0]
        block = reader.read(t, z, rows, columns, out=buffers[turn % 2][: z.stop - z.start])
        if len(blocks) == 1:
            kept.append(block)
        return block

    order = list(range(len(blocks))) * method.passes
    with ThreadPoolExecutor(1, thread_name_prefix="zfuse-read") as ahead:
        pending = ahead.submit(read, 0, 0)
        states = wait_all(started)
        started.clear()
        for turn, n in enumerate(order):
            block = pending.result()
            if cancel.is_set():
                raise Cancelled
            if turn + 1 < len(order):
                pending = ahead.submit(read, order[turn + 1], turn + 1)
            if turn and n == 0:
                # A first pass's state goes as soon as the second's is made of it.
                states = wait_all([pool.submit(method.next_pass, states.pop(0)) for _ in strips])
            wait_all([pool.submit(method.add, state, block, blocks[n].start) for state in states])
            voxels = block[..., 0, 0].size * tile.shape[0] * tile.shape[1]
            done = turn // len(blocks)
            advance(voxels * (done + 1) // method.passes - voxels * done // method.passes)
    buffers.clear()
    del block, pending
    image = np.empty((channels, *tile.shape), reader.dtype)
    return _assemble(image, tile, strips, states, method, pool)


def wait_all(futures: list[Future[Any]]) -> list[Any]:
    """Return all results, or raise the first error once no thread runs that uses a buffer."""
    wait(futures)
    return [future.result() for future in futures]


def _assemble(
    image: NDArray[Any],
    tile: Region,
    strips: list[Region],
    states: list[Any],
    method: Method,
    pool: ThreadPoolExecutor,
) -> Fused:
    """Finish strips into the tile's arrays; each strip's state goes as soon as it is copied."""
    top = tile.core[0].start
    depth = np.empty(tile.shape, np.float32)
    confidence = np.empty(tile.shape, np.float32)

    def finish(strip: Region, state: Any) -> None:
        part = method.finish(state)
        at = slice(strip.core[0].start - top, strip.core[0].stop - top)
        image[:, at], depth[at], confidence[at] = part.image, part.depth, part.confidence

    wait_all([pool.submit(finish, strip, states.pop(0)) for strip in strips])
    return Fused(image, depth, confidence)


class OrderedFold:
    """A fold that takes planes as they come and hands them to the method in ascending z.

    Planes that come early wait, up to `limit` of them.

    Parameters
    ----------
    method, calibration
        The fold.
    shape
        (C, Y, X) of a plane.
    dtype
        Of the pixels.
    limit
        Planes that may wait.
    replay
        For a method of two passes: gives all planes once more, in order, as (block, z), e.g. from
        where they were stored meanwhile.
    """

    def __init__(
        self,
        method: Method,
        calibration: Any,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        limit: int = 64,
        replay: Callable[[], Iterable[tuple[NDArray[Any], int]]] | None = None,
    ) -> None:
        if method.passes > 1 and replay is None:
            raise ZfuseError(
                f"method {method.name!r} goes through the planes {method.passes} times; give "
                "replay=, or choose a method of one pass"
            )
        self._replay = replay
        self._method = method
        self._shape = shape
        self._state = method.start(Region.whole(*shape[1:]), shape[0], dtype, calibration)
        self._waiting: dict[int, NDArray[Any]] = {}
        self._limit = limit
        self._next = 0

    def add(self, planes: NDArray[Any], z: int) -> None:
        """Take planes (n, C, Y, X) or one plane (C, Y, X); `z` is the index of the first.

        Raises
        ------
        ZfuseError
            A plane of the wrong shape, one that was there before, or too many out of order.
        """
        block = planes[None] if planes.ndim == 3 else planes
        if block.shape[1:] != self._shape:
            raise ZfuseError(f"plane {z} has shape {block.shape[1:]}, the stack's is {self._shape}")
        for i, plane in enumerate(block):
            if z + i < self._next or z + i in self._waiting:
                raise ZfuseError(f"plane {z + i} came twice")
            self._waiting[z + i] = plane
        self._flush()
        if len(self._waiting) > self._limit:
            raise ZfuseError(
                f"{len(self._waiting)} planes wait for plane {self._next}, which did not come; the "
                f"limit is {self._limit}"
            )

    def _flush(self) -> None:
        ready: list[NDArray[Any]] = []
        while self._next + len(ready) in self._waiting:
            ready.append(self._waiting.pop(self._next + len(ready)))
        if ready:
            self._method.add(self._state, np.ascontiguousarray(np.stack(ready)), self._next)
            self._next += len(ready)

    def finish(self) -> Fused:
        """Return the fused image, depth and confidence.

        Raises
        ------
        ZfuseError
            No plane came, or one is missing between those that came.
        """
        if self._waiting:
            raise ZfuseError(
                f"plane {self._next} is missing: planes {sorted(self._waiting)} wait for it"
            )
        if self._next == 0:
            raise ZfuseError("no plane came: a stack needs at least one")
        for _ in range(self._method.passes - 1):
            assert self._replay is not None
            self._state = self._method.next_pass(self._state)
            for block, z in self._replay():
                self._method.add(self._state, np.ascontiguousarray(block), z)
        return self._method.finish(self._state)
