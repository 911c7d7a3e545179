"""Planes as they come: a fold for stacks that are still being acquired.

Duty: put planes into ascending z, hold those that come early, go through them again for methods of
two passes. Must not know: cameras, files, what a method computes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline._channels import EACH, Decisions
from zfuse.pipeline._fold import StripFold
from zfuse.pipeline._plan import cut_strips, strip_count
from zfuse.pipeline.core import Region, Stack, cores, wait_all
from zfuse.pipeline.methods import DEFAULT_METHOD, make_method, warm_up
from zfuse.pipeline.sources import from_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import ArrayLike, NDArray

    from zfuse.pipeline.core import Fused
    from zfuse.pipeline.methods import Method

__all__ = ["Fold"]

_BLOCK = 8  # planes folded together: the state goes through memory once a block


class Fold:
    """Fuse one stack whose planes come one after another, in any order.

    For one thread at a time. Memory does not grow with the number of planes, unless a method of two
    passes has to keep them (see `replay`).

    Parameters
    ----------
    sample
        (Z, Y, X) or (C, Z, Y, X) array, or a `Stack`, of planes like those that will come: their
        size, dtype and channels are the sample's, and noise, optics and limits are measured on it.
        The first stack of a series is a good one, or the first planes of this stack; with the
        stack itself the result is that of `zfuse.fuse`, bit for bit.
    method, channel, workers
        As for `zfuse.fuse`.
    limit
        Planes that may wait for one that is late.
    replay
        For methods of two passes: gives all planes once more, from the first on, from where they
        were stored meanwhile. By default such a method's planes are kept in memory.

    Raises
    ------
    ZfuseError
        The sample is no focal stack, or a setting is wrong.

    Examples
    --------
    >>> import numpy as np, zfuse
    >>> planes = np.random.default_rng(0).integers(0, 4096, (5, 64, 64), np.uint16)
    >>> fold = zfuse.Fold(sample=planes)
    >>> for z in (1, 0, 3, 2, 4):
    ...     fold.add(planes[z], z)
    >>> fused = fold.finish()
    >>> np.array_equal(fused.image, zfuse.fuse(planes).image)
    True
    """

    def __init__(
        self,
        sample: ArrayLike | Stack,
        method: str | dict[str, Any] | Method = DEFAULT_METHOD,
        *,
        channel: int | str = EACH,
        workers: int | None = None,
        limit: int = 64,
        replay: Callable[[], Iterable[NDArray[Any]]] | None = None,
    ) -> None:
        stack = sample if isinstance(sample, Stack) else from_array(sample)
        workers = workers or cores()
        self._method = make_method(method).with_workers(workers)
        decisions = Decisions.of(stack, channel)
        warm_up(self._method, stack.only(0) if decisions.each else stack)
        calibrations = decisions.calibrate(self._method, stack)
        _, channels, _, height, width = stack.shape
        self._shape = (channels, height, width) if "c" in stack.axes else (height, width)
        self._dtype = stack.dtype
        self._limit = limit
        self._replay = replay
        self._kept: list[NDArray[Any]] = []
        self._waiting: dict[int, NDArray[Any]] = {}
        self._next = 0
        strips = cut_strips(
            Region.whole(height, width),
            strip_count(self._method, height, workers),
            self._method.grid_step,
        )
        threads = 1 if self._method.own_threads else workers
        pool = ThreadPoolExecutor(threads, thread_name_prefix="zfuse-fold")
        fold = StripFold(self._method, strips, decisions.groups, stack.dtype, pool)
        self._fold: StripFold | None = fold
        wait_all(fold.start(calibrations))

    def add(self, planes: NDArray[Any], z: int) -> None:
        """Take one plane, (Y, X) or (C, Y, X) as in the sample, or several with an axis in front.

        Returns when they are folded or, if they came early, copied.

        Parameters
        ----------
        planes
            Pixels of the sample's dtype.
        z
            Index of the (first) plane, from 0.

        Raises
        ------
        ZfuseError
            A plane of the wrong shape or dtype, one that came before, more planes than the method
            can count, or too many that wait.
        """
        block = self._checked(planes, z)
        for i in range(z, z + len(block)):
            if i < self._next or i in self._waiting:
                raise ZfuseError(f"plane {i} came twice")
        if z > self._next:
            if (count := len(self._waiting) + len(block)) > self._limit:
                raise ZfuseError(
                    f"{count} planes wait for plane {self._next}, which did not come; the limit "
                    f"is {self._limit}"
                )
            self._waiting |= {z + i: plane.copy() for i, plane in enumerate(block)}
            return
        self._take(block)
        while self._next in self._waiting:
            early: list[NDArray[Any]] = []
            while len(early) < _BLOCK and self._next + len(early) in self._waiting:
                early.append(self._waiting.pop(self._next + len(early)))
            self._take(np.stack(early))

    def finish(self) -> Fused:
        """Return the fused image, depth and confidence, as `zfuse.fuse` does. Ends the fold.

        Raises
        ------
        ZfuseError
            No plane came, one is missing between those that came, or `replay` gives others.
        """
        if self._waiting:
            raise ZfuseError(
                f"plane {self._next} is missing: planes {sorted(self._waiting)} wait for it"
            )
        if self._next == 0:
            raise ZfuseError("no plane came: a stack needs at least one")
        for _ in range(1, self._method.passes):
            z = 0
            for planes in self._replay() if self._replay else self._kept:
                block = self._checked(planes, z) if self._replay else planes
                wait_all(self._going().add(block, z, next_pass=z == 0))
                z += len(block)
            if z != self._next:
                raise ZfuseError(f"replay gave {z} planes, but {self._next} had come")
        fused = self._going().finish()
        self._fold = None
        self._kept.clear()
        return fused if len(self._shape) == 3 else replace(fused, image=fused.image[0])

    def _take(self, block: NDArray[Any]) -> None:
        """Fold the next planes (n, C, Y, X)."""
        wait_all(self._going().add(block, self._next))
        self._next += len(block)
        if self._method.passes > 1 and self._replay is None:
            self._kept.append(block.copy())

    def _going(self) -> StripFold:
        if self._fold is None:
            raise ZfuseError("this fold is finished; begin another for the next stack")
        return self._fold

    def _checked(self, planes: NDArray[Any], z: int) -> NDArray[Any]:
        """Return planes as a C-contiguous block (n, C, Y, X)."""
        block = np.asarray(planes)
        if block.shape == self._shape:
            block = block[np.newaxis]
        if block.shape[1:] != self._shape or block.dtype != self._dtype:
            raise ZfuseError(
                f"plane {z} is {np.asarray(planes).dtype} {np.asarray(planes).shape}, those of the "
                f"sample are {self._dtype} {self._shape}"
            )
        if (last := z + len(block)) > self._method.max_planes:
            raise ZfuseError(
                f"plane {last - 1} came; method {self._method.name!r} counts up to "
                f"{self._method.max_planes}: split the stack"
            )
        return np.ascontiguousarray(block.reshape(len(block), -1, *self._shape[-2:]))
