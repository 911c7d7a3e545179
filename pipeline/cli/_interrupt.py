"""Ctrl-C and a scheduler's SIGTERM as one `KeyboardInterrupt`, and peace for cleaning up after it.

Duty: signals. Must not know: what is interrupted.
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

_PATIENCE = 2  # signals that are ignored while unfinished files are removed


@contextmanager
def one_interrupt() -> Iterator[None]:
    """Raise `KeyboardInterrupt` at the first signal only.

    An impatient second Ctrl-C would otherwise hit the removal of unfinished files. The fourth ends
    the process at once; what it leaves is marked unfinished, and the next run clears it. For the
    outermost level of a command line: after an interrupt, signals stay ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and only it gets them
        return
    count = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 1:
            raise KeyboardInterrupt
        if count > 1 + _PATIENCE:
            os._exit(128 + number)
        os.write(2, b"\nremoving unfinished files ...\n")  # print is not safe in a handler

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
        for number, handler in former.items():
            # Interrupted means that the process is about to end: no signal may disturb that either.
            ended = signal.SIG_IGN if count else handler
            signal.signal(number, signal.SIG_DFL if ended is None else ended)
