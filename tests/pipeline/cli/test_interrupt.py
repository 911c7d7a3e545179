"""Signals while a command runs."""

from __future__ import annotations

import os
import signal

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
