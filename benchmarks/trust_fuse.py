"""Fusing with this zfuse or with another one: resident processes that take turns.

Duty: arrays to one process a Python, fused arrays and seconds back, through files of a temporary
folder. So an older zfuse, installed elsewhere, stands beside this one in the same run. Must not
know: data sets, scores. Run as a script it is the process: a request in JSON a line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Result(NamedTuple):
    """Colours last; depth and confidence as the method gives them."""

    image: NDArray[Any]
    depth: NDArray[np.float32]
    confidence: NDArray[np.float32]


class Fuser:
    """One Python with a zfuse, kept running; a context manager."""

    def __init__(self, python: str = sys.executable) -> None:
        self._folder = tempfile.TemporaryDirectory()
        command = [python, "-P", str(Path(__file__).resolve())]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Fuser:  # noqa: D105
        return self

    def __exit__(self, *_: object) -> None:  # noqa: D105
        self._process.communicate("")
        self._folder.cleanup()

    def fuse(
        self, planes: NDArray[Any], method: dict[str, Any], *, channels: bool = False
    ) -> Result:
        """Fuse planes (Z, Y, X), RGB (Z, Y, X, 3), or (Z, C, Y, X) with `channels`."""
        self.keep(planes)
        self._ask({"do": "fuse", "method": method, "channels": channels})
        with np.load(Path(self._folder.name, "fused.npz")) as file:
            return Result(file["image"], file["depth"], file["confidence"])

    def keep(self, planes: NDArray[Any]) -> None:
        """Hand planes over, for `seconds`."""
        np.save(Path(self._folder.name, "planes.npy"), planes)

    def seconds(self, method: dict[str, Any], workers: int) -> tuple[float, float]:
        """Fuse what `keep` handed over; seconds by the clock and of all cores, without reading."""
        clock, cores = self._ask({"do": "time", "method": method, "workers": workers})
        return clock, cores

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request | {"folder": self._folder.name}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit(f"the process that fuses ended with {self._process.wait()}")
        return json.loads(answer)


def _serve() -> None:
    import zfuse
    from zfuse.pipeline.sources import from_array

    for line in sys.stdin:
        request = json.loads(line)
        folder = Path(request["folder"])
        planes = np.load(folder / "planes.npy")
        if planes.ndim == 3:
            stack = from_array(planes)
        elif request.get("channels"):
            stack = from_array(planes, axes="ZCYX")
        else:
            stack = replace(from_array(np.moveaxis(planes, -1, 1), axes="ZCYX"), rgb=True)
        begun = time.perf_counter(), time.process_time()
        fused = zfuse.fuse(stack, request["method"], align="none", workers=request.get("workers"))
        seconds = time.perf_counter() - begun[0], time.process_time() - begun[1]
        if request["do"] == "fuse":
            image = fused.image
            if image.ndim == 3 and not request["channels"]:
                image = np.moveaxis(image, 0, -1)
            np.savez(
                folder / "fused.npz", image=image, depth=fused.depth, confidence=fused.confidence
            )
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    _serve()
