"""Signals while a command runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from support.signals import heeding_ctrl_c

from zfuse.pipeline.cli._interrupt import one_interrupt


def interrupted(*numbers: int) -> None:
    """Get the last signal while what the first ones left is cleared up."""
    with one_interrupt():
        try:
            for number in numbers[:-1]:
                signal.raise_signal(number)
        finally:
            signal.raise_signal(numbers[-1])


@heeding_ctrl_c()
def test_the_first_ctrl_c_interrupts_and_the_second_does_not() -> None:
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted(signal.SIGINT, signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@heeding_ctrl_c()
def test_handlers_are_put_back() -> None:
    with one_interrupt():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(os.name == "nt", reason="raising SIGTERM ends a process on Windows")
@heeding_ctrl_c()
def test_under_nohup_ctrl_c_stays_ignored_and_sigterm_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted(signal.SIGINT, signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


SLOW = """
import time
from zfuse.pipeline.cli import _interrupt
_interrupt._LIMIT = 0.5
with _interrupt.one_interrupt():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM ends a process on Windows")
def test_who_does_not_end_in_time_after_sigterm_is_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, text=True) as slow:
        assert slow.stdout is not None
        assert slow.stdout.readline() == "ready\n"
        begun = time.monotonic()
        slow.send_signal(signal.SIGTERM)
        assert slow.wait(timeout=30) == 128 + signal.SIGTERM
        assert 0.4 < time.monotonic() - begun < 25
