"""One run that a widget starts, watches and cancels.

Duty: fuse a stack in the calling thread while others ask how far it is. Must not know: Qt, napari's
viewer, where settings come from.
"""

from __future__ import annotations

import gc
import re
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from zfuse.pipeline import RunConfig, fuse_tiles, run
from zfuse.pipeline.core import Progress
from zfuse.pipeline.methods import make_method, warm_up
from zfuse.plugins._canvas import Canvas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zfuse.pipeline.alignment import AlignMode
    from zfuse.pipeline.core import Stack

__all__ = ["FuseJob", "Order", "tile_edge"]

_SWITCH = 0.0005  # s: see `_polite`
_PARTS = 4  # tiles along the longer edge: so that the picture can be seen to grow
_SMALLEST = 256  # px: of smaller tiles too much is halo


@dataclass(frozen=True)
class Order:
    """What is to be done with a stack: settings as `zfuse.fuse` has them.

    Attributes
    ----------
    output
        OME-Zarr to write, too; None: nothing is written.
    """

    method: dict[str, Any]
    channel: int | str = "each"
    align: AlignMode = "none"
    min_confidence: float | None = None
    output: str | None = None
    overwrite: bool = False


class FuseJob(Progress):
    """A run.

    Parameters
    ----------
    open_stack
        Returns the stack; called by `run`, as opening may take its time.
    order
        What is done with it.

    Attributes
    ----------
    canvas
        Where results grow; None until the stack is open.
    lines
        What the run had to say so far: notes and warnings.
    seconds
        How long it took, once it is done.
    """

    def __init__(self, open_stack: Callable[[], Stack], order: Order) -> None:
        self._open, self.order = open_stack, order
        self.canvas: Canvas | None = None
        self.lines: list[str] = []
        self._cancel, self._lock, self._shown = Event(), Lock(), Event()
        self._voxels, self._done, self._begun = 0, 0, 0.0
        self.seconds = 0.0

    def run(self, *, wait: bool = False) -> Canvas:
        """Fuse; blocks, but lets others work.

        Parameters
        ----------
        wait
            Once there is a canvas, wait until `shown` is called, or `cancel`: adding a layer takes
            a window 0.1 s, and much longer beside threads that are busy.

        Raises
        ------
        ZfuseError
            What cannot be done, and the cure.
        zfuse.errors.Cancelled
            `cancel` was called.
        """
        with _polite():
            return self._run(wait)

    def _run(self, wait: bool) -> Canvas:
        begun, order = time.perf_counter(), self.order
        method = make_method(order.method)
        stack = self._open().stoppable(self._cancel)
        each = order.channel == "each" and not stack.rgb and stack.shape[1] > 1
        warm_up(method, stack.only(0) if each else stack)
        canvas = Canvas(stack, each=each)
        tile = None if method.own_threads else tile_edge(stack, method.grid_step)
        gc.freeze()  # kernels and their compiler are loaded now
        self.canvas = canvas
        if wait:
            self._shown.wait()
        if order.output is None:
            fuse_tiles(
                stack, method, canvas.put, channel=order.channel, align=order.align, tile=tile,
                min_confidence=order.min_confidence, progress=self, cancel=self._cancel,
            )  # fmt: skip
        else:
            config = RunConfig.checked(
                {
                    "input": stack.source, "output": order.output, "method": method,
                    "channel": order.channel, "align": order.align, "tile": tile,
                    "min_confidence": order.min_confidence, "overwrite": order.overwrite,
                }
            )  # fmt: skip
            run(config, self, stack=stack, cancel=self._cancel, on_tile=canvas.put)
        self.seconds = time.perf_counter() - begun
        return canvas

    def cancel(self) -> None:
        """Stop at the next block of planes."""
        self._cancel.set()
        self._shown.set()

    def shown(self) -> None:
        """Let `run` go on."""
        self._shown.set()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancel.is_set()

    @property
    def fraction(self) -> float:
        """How much is done, 0 to 1."""
        return self._done / self._voxels if self._voxels else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimate; None until there is something to tell from."""
        with self._lock:
            if not self._done:
                return None
            return (time.perf_counter() - self._begun) * (self._voxels / self._done - 1)

    def start(self, voxels: int) -> None:
        """Begin to count."""
        with self._lock:
            self._voxels, self._done, self._begun = voxels, 0, time.perf_counter()

    def advance(self, voxels: int) -> None:
        """Count."""
        with self._lock:
            self._done += voxels

    def note(self, line: str) -> None:
        """Keep a line, in the words of a form instead of the command line's."""
        self.lines.append(re.sub(r"--align (\w+)", r"alignment “\1”", line))

    warn = note


@contextmanager
def _polite() -> Iterator[None]:
    """Let threads of Python take turns more often than every 5 ms, and collect garbage quickly.

    A window draws by hundreds of calls, after each of which its thread waits for its turn. Worse,
    all threads wait while one collects garbage: 0.2 s with all that a viewer has loaded, which is
    none. So what is there at the start of a run is left alone until its end.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)


def tile_edge(stack: Stack, grid_step: int = 1) -> int:
    """Return the edge of tiles of which there are enough to see a picture grow.

    Tiles that share a chunk decode it again and again, so that none is smaller than half a chunk.
    """
    unit = max(64, grid_step)
    longer = max(stack.shape[3:])
    chunk = max(stack.reader.chunk[1:])
    wanted = max(longer / _PARTS, _SMALLEST, chunk / 2)
    if unit < chunk < longer and chunk % unit == 0:  # whole chunks
        return int(-(-wanted // chunk) * chunk)
    return int(-(-wanted // unit) * unit)
