"""Scores of earlier runs: what has not changed since is not computed again.

Duty: a line of JSON for each case and row, found again by all that it depends on. So a table is
renewed in full, but only rows whose method, weights, planes or scores changed cost time, and a run
that was stopped goes on. Must not know: data sets, methods' settings, tables.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import zfuse
from zfuse import engines
from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from quality_data import Case
    from quality_tables import Scores

_ROOT = Path(__file__).resolve().parents[1]
_SCORING = (
    "benchmarks/quality_scores.py",
    *(f"pipeline/evaluation/_{name}.py" for name in ("arrays", "depth", "planes", "reference")),
)
_PEERS = ("benchmarks/quality_peers.py",)


class Memory:
    """Scores by key, in a file or for this run alone."""

    def __init__(self, folder: Path | None) -> None:
        self._file = folder / "scores.jsonl" if folder else None
        self._known: dict[str, Scores] = {}
        if self._file and self._file.exists():
            lines = self._file.read_text(encoding="utf-8").splitlines()
            self._known = dict(json.loads(line) for line in lines)

    def scores(self, key: str, compute: Callable[[], Scores]) -> Scores:
        """Return what is known under a key, or compute and keep it."""
        if key not in self._known:
            found = {name: float(value) for name, value in compute().items()}
            self._known[key] = found
            if self._file:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([key, found]) + "\n")
        return self._known[key]


def case_key(case: Case) -> str:
    """Return what stands for a case: its planes and its truth."""
    digest = hashlib.sha1(f"{case.inner} {case.radius}".encode(), usedforsecurity=False)
    for array in (case.planes, case.image, case.depth, case.copied):
        if array is not None:
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def peer_key() -> str:
    """Return what stands for the code that peers are run and scored by."""
    return _digest([_ROOT / name for name in (*_SCORING, *_PEERS)])


@cache
def method_key(module: str) -> str:
    """Return what stands for the code of a method: its module, what that imports, and scoring."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        spec = find_spec(name)
        if name in found or spec is None or spec.origin is None:
            continue
        found[name] = Path(spec.origin)
        imported = re.findall(
            r"zfuse\.kernels\b[\w.]*|zfuse\.pipeline\.methods\._\w+",
            found[name].read_text(encoding="utf-8"),
        )
        waiting += sorted(set(imported) - found.keys())
    return _digest([*(_ROOT / name for name in _SCORING), *(found[name] for name in sorted(found))])


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha1(zfuse.__version__.encode(), usedforsecurity=False)
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def weights_key(method: str) -> str:
    """Return what stands for a method's weights: the checksums in its model card, if it has one.

    Raises
    ------
    ZfuseError
        It is a network, and has no weights.
    """
    if method not in engines.MODELS:
        return ""
    return joined(graph.sha256 for graph in engines.card(method).graphs.values())


def has_weights(method: str) -> bool:
    """Whether a method needs no weights, or has them."""
    try:
        weights_key(method)
    except ZfuseError as error:
        print(f"{method} is left out: {error}", file=sys.stderr)
        return False
    return True


def joined(parts: Iterable[object]) -> str:
    """Return one key of several."""
    text = "\n".join(str(part) for part in parts)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
