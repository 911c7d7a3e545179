"""What a run did, for people and programs: counts, rate, failures, and where its time went.

Duty: add up, from many threads, and say it. Must not know: how a run works.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from zfuse.pipeline.core import readable_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["STAGES", "Report"]

STAGES = ("open", "align", "calibrate", "fold", "write")
_SHOWN = 10  # failures that are listed one by one for people


class Report:
    """Counts of one run.

    Attributes
    ----------
    images, tiles, voxels, bytes
        Fused and written by this run.
    kept
        Images and tiles that an interrupted run had finished.
    failed
        Reasons by the image's path.
    stages
        Seconds of each stage, of all threads and processes together: `fold` holds reading, too.
    seconds
        From the first image that is begun to the end, or to now.
    """

    def __init__(self) -> None:
        self.images = self.tiles = self.voxels = self.bytes = 0
        self.kept = Counter({"images": 0, "tiles": 0})
        self.failed: dict[str, str] = {}
        self.stages: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self._begun: float | None = None
        self._lock = Lock()

    def begin(self) -> None:
        """Start the clock, unless it runs."""
        if self._begun is None:
            self._begun = time.perf_counter()

    @property
    def seconds(self) -> float:
        return 0.0 if self._begun is None else time.perf_counter() - self._begun

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of the block."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.add({name: time.perf_counter() - begun})

    def add(self, stages: Mapping[str, float]) -> None:
        """Count seconds that were measured elsewhere."""
        with self._lock:
            for name, seconds in stages.items():
                self.stages[name] = self.stages.get(name, 0.0) + seconds

    def tile(self, voxels: int, n_bytes: int = 0) -> None:
        """Count a tile."""
        with self._lock:
            self.tiles += 1
            self.voxels += voxels
            self.bytes += n_bytes

    def values(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "images": self.images,
            "tiles": self.tiles,
            "voxels": self.voxels,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "voxels_a_second": round(self.voxels / max(self.seconds, 1e-9)),
            "kept": dict(self.kept),
            "failed": dict(self.failed),
            "stages": {name: round(self.stages[name], 3) for name in STAGES if self.stages[name]},
        }

    def lines(self) -> Iterator[str]:
        """Yield lines for people, beyond the first one of a summary."""
        kept = f" ({self.kept['tiles']:,} more were there)" if self.kept["tiles"] else ""
        tiles = f"{self.tiles:,} tile{'' if self.tiles == 1 else 's'}{kept}"
        written = f", {readable_size(self.bytes)} written" if self.bytes else ""
        stages = ", ".join(
            f"{name} {self.stages[name]:,.1f} s" for name in STAGES if self.stages[name] >= 0.05
        )
        yield f"{tiles}{written}" + (f"; {stages} (all threads together)" if stages else "")
        if self.failed:
            yield f"{len(self.failed)} image{'' if len(self.failed) == 1 else 's'} failed:"
        for path, reason in list(self.failed.items())[:_SHOWN]:
            yield f"  {path}: {reason}"
        if len(self.failed) > _SHOWN:
            yield f"  and {len(self.failed) - _SHOWN} more, see the report"

    def write(self, path: Path, more: Mapping[str, Any]) -> None:
        """Write a JSON file.

        Raises
        ------
        OSError
            The disk refuses.
        """
        text = json.dumps({**more, **self.values()}, indent=2, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
