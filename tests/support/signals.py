"""Ctrl-C in tests, also where the tests run with it ignored (nohup, a job in the background)."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def heeding_ctrl_c() -> Iterator[None]:
    """Give this process, and those that it starts, the SIGINT of a terminal; also a decorator."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
