"""Planes as they come: a fold for stacks that are still being acquired.

Duty: take planes in any order, hand them on in ascending z, hold those that come early, refuse what
does not fit. Must not know: cameras, files, calibrations, what a method computes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline._channels import EACH, Decisions
from zfuse.pipeline._kept import KeptPlanes
from zfuse.pipeline._refold import Refold
from zfuse.pipeline.core import Stack, cores
from zfuse.pipeline.methods import DEFAULT_METHOD, make_method
from zfuse.pipeline.sources import from_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import ArrayLike, NDArray

    from zfuse.pipeline.core import Fused
    from zfuse.pipeline.methods import Method

__all__ = ["Fold"]

_BLOCK = 8  # planes folded together: the state goes through memory once a block


class Fold:
    """Fuse stacks whose planes come one after another, in any order; one stack after the other.

    For one thread at a time. The result is that of `zfuse.fuse` on the same planes, bit for bit:
    planes are folded as they come with the calibration of the stack before (at first, of the first
    plane). When the last one has come the stack itself is calibrated, on what was cut out of its
    planes, and it is folded once more if that makes a difference to what was folded. It makes none
    for `select` on one channel, or on colours, of 8 or 16 bits, and seldom one for `adaptive`
    there. Planes are taken as they lie: drift is not undone.

    Memory does not grow with the number of planes but by the 82 kB (of 16 bits) of each plane that
    are calibrated on, unless planes may be needed again: see `keep`.

    Parameters
    ----------
    sample
        (Z, Y, X) or (C, Z, Y, X) array, or a `Stack`, of planes like those that will come. Then
        noise, optics and limits are measured on it, once, instead of on each stack.
    method, channel, workers
        As for `zfuse.fuse`.
    rgb
        Without a sample: the three channels of a plane are colours of one picture.
    limit
        Planes that may wait for one that is late.
    keep
        Bytes of planes that may be kept where they may be needed again: methods of two passes need
        them, and where calibration may make a difference. By default all planes of a stack, or none
        if they can be replayed.
    replay
        Gives planes once more, from where they were stored meanwhile: called with the index of the
        first one that is wanted, it gives that and all after it, each (or several) as for `add`, in
        memory that nobody writes to meanwhile.

    Raises
    ------
    ZfuseError
        The sample is no focal stack, or a setting is wrong.

    Examples
    --------
    >>> import numpy as np, zfuse
    >>> planes = np.random.default_rng(0).integers(0, 4096, (5, 64, 64), np.uint16)
    >>> fold = zfuse.Fold()
    >>> for z in (1, 0, 3, 2, 4):
    ...     fold.add(planes[z], z)
    >>> np.array_equal(fold.finish().image, zfuse.fuse(planes).image)
    True
    >>> fold.restart()  # the next stack
    >>> fold.add(planes[0], 0)
    """

    def __init__(
        self,
        sample: ArrayLike | Stack | None = None,
        method: str | dict[str, Any] | Method = DEFAULT_METHOD,
        *,
        channel: int | str = EACH,
        workers: int | None = None,
        rgb: bool = False,
        limit: int = 64,
        keep: int | None = None,
        replay: Callable[[int], Iterable[NDArray[Any]]] | None = None,
    ) -> None:
        self._workers = workers or cores()
        self._method = make_method(method).with_workers(self._workers)
        self._channel, self._rgb, self._limit = channel, rgb, limit
        if keep is None and replay is not None:
            keep = 0
        self._kept = KeptPlanes(keep, replay, self._checked)
        self._waiting: dict[int, NDArray[Any]] = {}
        self._next = 0
        self._finished = False
        self._fold: Refold | None = None
        if sample is not None:
            stack = sample if isinstance(sample, Stack) else from_array(sample)
            self._fold = self._opened(stack, given=True)

    @property
    def keeps(self) -> bool:
        """Whether planes that have come may be needed again; known from the first one on."""
        return self._fold is not None and self._fold.keeps

    def add(self, planes: NDArray[Any], z: int, *, copy: bool = True) -> None:
        """Take one plane or several.

        Returns when they are folded or, if they came early, copied.

        Parameters
        ----------
        planes
            (Y, X) or (C, Y, X), or several of these with an axis in front. Without a sample the
            first array settles which: of three axes, the first one is C. All have its dtype.
        z
            Index of the (first) plane, from 0.
        copy
            False: nobody will write to this memory any more, and what has to be kept of it is not
            copied.

        Raises
        ------
        ZfuseError
            A plane of the wrong shape or dtype, one that came before, more planes than the method
            can count, or too many that wait.
        """
        if self._finished:
            raise ZfuseError("this stack is finished: restart() the fold for the next one")
        planes = np.asarray(planes)
        if self._fold is None:
            self._fold = self._opened(_first(planes, rgb=self._rgb), given=False)
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
            early = block.copy() if copy else block
            self._waiting |= {z + i: plane for i, plane in enumerate(early)}
            return
        self._take(self._fold, block, copy=copy and np.may_share_memory(block, planes))
        while self._next in self._waiting:
            waited: list[NDArray[Any]] = []
            while len(waited) < _BLOCK and self._next + len(waited) in self._waiting:
                waited.append(self._waiting.pop(self._next + len(waited)))
            self._take(self._fold, np.stack(waited), copy=False)

    def finish(self) -> Fused:
        """Return the fused image, depth and confidence, as `zfuse.fuse` does.

        Where planes are needed again that cannot be had, the stack is lost: `restart`.

        Raises
        ------
        ZfuseError
            No plane came, one is missing between those that came, or planes are needed again that
            were not kept, see `keep`, or are others now.
        """
        if self._finished:
            raise ZfuseError("this stack is finished: restart() the fold for the next one")
        if self._waiting:
            raise ZfuseError(
                f"plane {self._next} is missing: planes {sorted(self._waiting)} wait for it"
            )
        if self._fold is None or self._next == 0:
            raise ZfuseError("no plane came: a stack needs at least one")
        self._finished = True  # also if it fails: nobody knows how far it came
        fused = self._fold.finish()
        return fused if len(self._shape) == 3 else replace(fused, image=fused.image[0])

    def restart(self) -> None:
        """Begin the next stack, of planes of the same size and dtype.

        Whatever came of the stack before is dropped, finished or not; threads and memory are used
        again. What `finish` returned is nobody else's.
        """
        self._waiting.clear()
        self._next = 0
        self._finished = False
        if self._fold is not None:
            self._fold.restart()

    def _opened(self, like: Stack, *, given: bool) -> Refold:
        """Settle size, dtype and channels."""
        _, channels, _, height, width = like.shape
        decisions = Decisions.of(like, self._channel)
        self._shape = (channels, height, width) if "c" in like.axes else (height, width)
        self._dtype = like.dtype
        return Refold(self._method, decisions, self._workers, like, self._kept, given=given)

    def _take(self, fold: Refold, block: NDArray[Any], *, copy: bool) -> None:
        self._finished = True  # if it fails
        fold.take(block, copy=copy)
        self._finished = False
        self._next += len(block)

    def _checked(self, planes: NDArray[Any], z: int) -> NDArray[Any]:
        """Return planes as a C-contiguous block (n, C, Y, X)."""
        planes = np.asarray(planes)
        if planes.dtype == np.bool_:
            planes = planes.view(np.uint8)
        block = planes[np.newaxis] if planes.shape == self._shape else planes
        if block.shape[1:] != self._shape or block.dtype.newbyteorder("=") != self._dtype:
            raise ZfuseError(
                f"plane {z} is {planes.dtype} {planes.shape}, those before it are {self._dtype} "
                f"{self._shape}"
            )
        if (last := z + len(block)) > self._method.max_planes:
            raise ZfuseError(
                f"plane {last - 1} came; method {self._method.name!r} counts up to "
                f"{self._method.max_planes}: split the stack"
            )
        block = block.reshape(len(block), -1, *self._shape[-2:])
        return np.ascontiguousarray(block, self._dtype)


def _first(planes: NDArray[Any], *, rgb: bool) -> Stack:
    """Return the planes that came first, one or several, as a stack."""
    axes = {2: "yx", 3: "cyx", 4: "zcyx"}.get(planes.ndim)
    if axes is None:
        raise ZfuseError(
            f"the first plane has {planes.ndim} axes: give (Y, X), (C, Y, X) or, several planes, "
            "(n, C, Y, X)"
        )
    if planes.ndim < 4:
        planes, axes = planes[np.newaxis], "z" + axes
    return from_array(planes, axes=axes, rgb=rgb)
