"""What a manifest says is what was written whole, in order, whatever happened to its writer."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Manifest

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = {"method": {"name": "select"}, "source": "Größe"}


def written(path: Path, *entries: dict[str, Any]) -> None:
    manifest = Manifest(path, SETTINGS)
    for entry in entries:
        manifest.add(entry)
    manifest.close()


def test_manifest_is_continued(tmp_path: Path) -> None:
    written(tmp_path / "m", {"t": 0}, {"t": 1})
    written(tmp_path / "m", {"t": 2})
    manifest = Manifest(tmp_path / "m", {"another": 1})
    assert manifest.identity == SETTINGS
    assert manifest.entries == [{"t": 0}, {"t": 1}, {"t": 2}]
    manifest.close()
    manifest.close()


def test_any_torn_end_is_left_out(tmp_path: Path) -> None:
    written(tmp_path / "whole", {"t": 0}, {"t": 1})
    whole = (tmp_path / "whole").read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(len(whole)):
        (tmp_path / "m").write_bytes(whole[:length])
        manifest = Manifest(tmp_path / "m", SETTINGS)
        lines = whole[:length].count(b"\n")
        assert manifest.entries == [{"t": 0}, {"t": 1}][: max(0, lines - 1)]
        manifest.add({"t": 7})
        manifest.close()
        kept = max(whole[:length].rfind(b"\n") + 1, first)
        assert (tmp_path / "m").read_bytes() == whole[:kept] + b'{"t": 7}\n'


def test_differences_are_named(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "m", SETTINGS)
    assert manifest.differences(SETTINGS) == []
    assert manifest.differences({"method": {"name": "adaptive"}, "more": (1, 2)}) == [
        'method {"name": "select"}, now {"name": "adaptive"}',
        'source "Größe", now null',
        "more null, now [1, 2]",
    ]
    manifest.close()


@pytest.mark.parametrize("line", [b"not JSON", b"[1, 2]", b"\xff"])
def test_damage_in_the_middle_is_refused(tmp_path: Path, line: bytes) -> None:
    written(tmp_path / "m", {"t": 0})
    first, second = (tmp_path / "m").read_bytes().splitlines()
    (tmp_path / "m").write_bytes(b"\n".join([first, line, second, b""]))
    with pytest.raises(ZfuseError, match="is damaged in line 2"):
        Manifest(tmp_path / "m", SETTINGS)


def test_line_that_a_full_disk_refused_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest(tmp_path / "m", SETTINGS)
    manifest.add({"t": 0})
    before = (tmp_path / "m").read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space left"):
            manifest.add({"t": 1})
    assert manifest.entries == [{"t": 0}]
    assert (tmp_path / "m").read_bytes() == before
    manifest.add({"t": 2})
    assert manifest.entries == [{"t": 0}, {"t": 2}]
    manifest.close()
