"""A lock of another host: as long as its owner gives signs of life, and no longer."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING

import pytest

from zfuse.pipeline.core import _lock
from zfuse.pipeline.core._lock import FolderLock, holder_of

if TYPE_CHECKING:
    from pathlib import Path

ELSEWHERE = {"host": "node-7", "pid": 1, "since": "2026-11-21 12:00:00", "id": "a", "beat": 10.0}


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_lock, "SILENCE", 0.5)
    monkeypatch.setattr(_lock, "BEAT", 0.05)
    monkeypatch.setattr(_lock, "_silent", {})
    path = tmp_path / "lock"
    path.write_text(json.dumps(ELSEWHERE))
    return path


def test_an_owner_elsewhere_that_is_silent_is_dead(lock: Path) -> None:
    assert holder_of(lock) is None
    mine = FolderLock(lock)
    assert mine.acquire() is None
    assert mine.held()
    mine.release()
    assert not lock.exists()


def test_an_owner_elsewhere_that_gives_signs_of_life_is_respected(lock: Path) -> None:
    ended = threading.Event()

    def live() -> None:
        while not ended.wait(0.05):
            os.utime(lock)

    other = threading.Thread(target=live)
    other.start()
    try:
        for holder in (holder_of(lock), FolderLock(lock).acquire()):
            assert holder is not None
            assert (holder.host, holder.certain) == ("node-7", False)
    finally:
        ended.set()
        other.join()


def test_who_promised_no_signs_of_life_holds_until_a_person_says_otherwise(lock: Path) -> None:
    lock.write_text(json.dumps({k: v for k, v in ELSEWHERE.items() if k != "beat"}))
    assert holder_of(lock) is not None


def test_a_holder_gives_signs_of_life_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lock, "BEAT", 0.02)
    mine = FolderLock(tmp_path / "mine")
    assert mine.acquire() is None
    os.utime(mine.path, (0, 0))
    for _ in range(500):
        if mine.path.stat().st_mtime > 0:
            break
        threading.Event().wait(0.01)
    assert mine.path.stat().st_mtime > 0
    mine.release(remove=False)
    assert not [thread for thread in threading.enumerate() if thread.name == "zfuse-lock"]
