"""Who gives way has a lower priority, and so have the threads that it starts."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from zfuse.pipeline.core import give_way


def _niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux")
def test_who_gives_way_gives_way_with_its_threads_alone() -> None:
    before, seen = _niceness(), []

    def work() -> None:
        give_way()
        with ThreadPoolExecutor(1) as pool:
            seen.extend((_niceness(), pool.submit(_niceness).result()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [min(before + 10, 19)] * 2
    assert _niceness() == before
