"""The fold of live stacks, calibrated when their last plane has come.

Duty: fold planes while they pass, with a calibration that is not yet theirs; measure theirs on
them; settle whether they have to be folded again. Must not know: in which order planes arrive,
cameras, what a method computes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from zfuse.pipeline._fold import StripFold
from zfuse.pipeline._gather import Gathered
from zfuse.pipeline._plan import cut_strips, strip_count
from zfuse.pipeline.core import Region, wait_all
from zfuse.pipeline.methods import warm_up

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from zfuse.pipeline._channels import Decisions
    from zfuse.pipeline._kept import KeptPlanes
    from zfuse.pipeline.core import Fused, Stack
    from zfuse.pipeline.methods import Method

    Whole = Callable[[int], NDArray[Any]]

__all__ = ["Refold"]

_WASTED, _RETRY = 2, 8  # see `Refold._eager`


class Refold:
    """Folds of stacks of one size, one stack after another, planes in ascending z.

    Parameters
    ----------
    method, decisions
        What, and which channels decide together.
    workers
        Threads.
    like
        A stack of the same size, dtype and channels; calibrations are measured on it if `given`.
    kept
        Planes that may be needed again.
    given
        Whether that calibration is good for all stacks. If not, each has its own.
    """

    def __init__(
        self,
        method: Method,
        decisions: Decisions,
        workers: int,
        like: Stack,
        kept: KeptPlanes,
        *,
        given: bool,
    ) -> None:
        warm_up(method, like.only(0) if decisions.each else like)
        self._method, self._decisions, self._kept = method, decisions, kept
        height, width = like.shape[3:]
        strips = cut_strips(
            Region.whole(height, width), strip_count(method, height, workers), method.grid_step
        )
        threads = 1 if method.own_threads else workers
        pool = ThreadPoolExecutor(threads, thread_name_prefix="zfuse-fold")
        self._strips = StripFold(method, strips, decisions.groups, like.dtype, pool, again=True)
        self._gathered = None if given else Gathered(like)
        self._calibrations: Sequence[Any] | None = None
        self._stacks = self._wasted = self._planes = 0
        if given:
            self._start(decisions.calibrate(method, like))

    @property
    def _eager(self) -> bool:
        """Whether planes are folded while they pass.

        Not where that is in vain: some calibrations are never those of the stack before.
        """
        return self._wasted < _WASTED or self._stacks % _RETRY == 0

    @property
    def keeps(self) -> bool:
        """Whether planes that have come may be needed again."""
        return self._method.passes > 1 or (self._gathered is not None and self._gathered.read)

    def take(self, block: NDArray[Any], *, copy: bool) -> None:
        """Fold the next planes (n, C, Y, X); `copy`: their memory will change."""
        gathered = self._gathered
        if gathered is not None:
            gathered.take(block)
            if self._calibrations is None:
                self._start(self._measured(gathered, block.__getitem__))
                if not gathered.read:
                    gathered.release()
        if self.keeps:
            self._kept.take(block, copy=copy)
        if self._eager:
            wait_all(self._strips.add(block, self._planes))
        self._planes += len(block)

    def finish(self) -> Fused:
        """Return the stack's image (C, Y, X), depth and confidence."""
        self._calibrate()
        for _ in range(1, self._method.passes):
            why = f"method {self._method.name!r} takes all planes {self._method.passes} times"
            self._fold_again(why, next_pass=True)
        return self._strips.finish()

    def restart(self) -> None:
        """Begin the next stack."""
        self._kept.clear()
        self._planes = 0
        self._stacks += 1
        if self._gathered is not None:
            self._gathered.clear()
        if self._calibrations is not None and self._eager:
            self._start(self._calibrations)

    def _start(self, calibrations: Sequence[Any]) -> None:
        self._calibrations = calibrations
        wait_all(self._strips.start(calibrations))

    def _measured(self, gathered: Gathered, whole: Whole) -> Sequence[Any]:
        return self._decisions.calibrate(self._method, gathered.stack(whole))

    def _calibrate(self) -> None:
        """Calibrate on the planes that came; fold them again if that makes a difference."""
        if self._gathered is None or self._calibrations is None:
            return
        before, own = self._calibrations, self._measured(self._gathered, self._kept.plane)
        if self._eager:
            if self._strips.recalibrated(before, own):
                self._calibrations, self._wasted = own, 0
                return
            self._wasted += 1
        self._start(own)
        self._fold_again("the planes are folded once more, calibrated on all")

    def _fold_again(self, why: str, *, next_pass: bool = False) -> None:
        """Fold all planes; those that are replayed are read while the ones before are folded."""
        folding: list[Future[None]] = []
        try:
            for block, z in self._kept.again(why):
                wait_all(folding)
                folding = self._strips.add(block, z, next_pass=next_pass and z == 0)
        finally:
            wait_all(folding)
