"""Ctrl-C and a scheduler's SIGTERM as one `KeyboardInterrupt`, and peace for cleaning up after it.

Duty: signals, and the end that SIGTERM sets: who sends it kills half a minute later. Must not know:
what is interrupted.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["one_interrupt"]

_LIMIT = 18.0  # s from SIGTERM to the end: SLURM kills after 30, others after 20
_PATIENCE = 2  # signals that are ignored while unfinished files are removed


@contextmanager
def one_interrupt() -> Iterator[None]:
    """Raise `KeyboardInterrupt` at the first signal only.

    An impatient second Ctrl-C would otherwise hit the removal of unfinished files. The fourth ends
    the process at once, and so does time, 18 s after SIGTERM; what is left is marked unfinished,
    and the next run clears it or goes on with it. For the outermost level of a command line: after
    an interrupt, signals stay ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and only it gets them
        return
    count, ended = 0, threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 1:
            if number == signal.SIGTERM:
                threading.Thread(target=end_in_time, daemon=True).start()
            raise KeyboardInterrupt
        if count > 1 + _PATIENCE:
            os._exit(128 + number)
        os.write(2, b"\nremoving unfinished files ...\n")  # print is not safe in a handler

    def end_in_time() -> None:
        if not ended.wait(_LIMIT):
            os.write(2, b"\nnot done in time: the next run clears up, or goes on with --resume\n")
            os._exit(128 + signal.SIGTERM)

    # A signal that was ignored from outside (nohup) stays ignored.
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]
    former = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        ended.set()
        for number, handler in former.items():
            # Interrupted means that the process is about to end: no signal may disturb that either.
            after = signal.SIG_IGN if count else handler
            signal.signal(number, signal.SIG_DFL if after is None else after)
