"""Image, depth and confidence of every method on small stacks are what they were.

A change that is meant to change results records them anew, and its commit says why:
``python tests/support/fingerprints.py tests/support/fingerprints.json``. Hashes are compared on the
kind of CPU that recorded them; others may round differently, there the means of blocks must hold.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from llvmlite.binding import get_host_cpu_name
from support import fingerprints

RECORDED = json.loads(Path(fingerprints.__file__).with_suffix(".json").read_text(encoding="utf-8"))
SAME_CPU = RECORDED.pop("cpu", None) == get_host_cpu_name()
METHODS = [
    *fingerprints.CLASSICAL,
    *fingerprints.VARIANTS,
    *(pytest.param(name, marks=pytest.mark.slow) for name in fingerprints.NETWORKS),
]


@pytest.mark.parametrize("method", METHODS)
def test_results_are_what_they_were(method: str) -> None:
    was = {name: parts for name, parts in RECORDED.items() if name.split("/")[1] == method}
    now = fingerprints.record((method,))
    assert now.keys() == was.keys()
    assert fingerprints.differences(was, now, exact=SAME_CPU) == []


@pytest.mark.parametrize("method", fingerprints.CLASSICAL)
def test_tiles_are_the_whole(method: str) -> None:
    for name, parts in RECORDED.items():
        stack, its, tiling = name.split("/")
        if its == method and tiling == "tiles":
            assert parts == RECORDED[f"{stack}/{method}/whole"], name


def test_a_change_is_seen() -> None:
    """One count in one pixel changes the hash, a shift the means."""
    image = np.arange(64, dtype=np.uint16).reshape(8, 8)

    def found(pixels: np.ndarray) -> dict[str, dict[str, object]]:
        return {"stack/select/whole": {"image": fingerprints.fingerprint(pixels)}}

    was = found(image)
    assert fingerprints.differences(was, was, exact=True) == []
    one_count = image.copy()
    one_count[3, 3] += 1
    assert len(fingerprints.differences(was, found(one_count), exact=True)) == 1
    assert len(fingerprints.differences(was, found(image + np.uint16(9)), exact=False)) == 1
