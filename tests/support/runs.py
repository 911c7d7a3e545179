"""Small OME-Zarr inputs, runs over them, and what was written, for the tests of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from zfuse.pipeline import RunConfig, run
from zfuse.pipeline.core import Progress

if TYPE_CHECKING:
    from pathlib import Path

TCZYX = np.random.default_rng(7).integers(0, 4096, (2, 2, 5, 150, 200)).astype(np.uint16)


def write_image(place: Path, pixels: Any, axes: str = "tczyx", **more: Any) -> None:
    """Write an OME-Zarr 0.5 image with a z step of 0.5 µm and pixels of 0.1 µm."""
    kinds = {"t": "time", "c": "channel"}
    scale = {"z": 0.5, "y": 0.1, "x": 0.1}
    multiscale = {
        "axes": [{"name": a, "type": kinds.get(a, "space")}
                 | ({"unit": "micrometer"} if a in scale else {}) for a in axes],
        "datasets": [{"path": "0", "coordinateTransformations": [
            {"type": "scale", "scale": [scale.get(a, 1.0) for a in axes]}]}],
    }  # fmt: skip
    ome = {"version": "0.5", "multiscales": [multiscale]} | more
    group = zarr.create_group(place, attributes={"ome": ome})
    chunks = tuple(min(n, 64) if a in "yx" else 1 for a, n in zip(axes, pixels.shape, strict=True))
    array = group.create_array("0", shape=pixels.shape, chunks=chunks, dtype=pixels.dtype)
    array[...] = pixels


def write_collection(place: Path) -> None:
    zarr.create_group(place, attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}})
    write_image(place / "0", TCZYX)
    write_image(place / "1", TCZYX[0, 0, :3, :70, :90], "zyx")


def fuse_to(source: Path, output: Path, progress: Progress | None = None, **settings: Any) -> None:
    config = RunConfig.checked({"input": source, "output": output, "workers": 2, **settings})
    summary = run(config, progress)
    assert summary.output == str(output)
    assert str(output) in str(summary)


def read_zarr(place: Path) -> dict[str, Any]:
    return {
        part: np.asarray(zarr.open_array(place / part, mode="r")[...])
        for part in ("0", "1", "depth/0", "confidence/0")
        if (place / part).exists()
    }


class Listener(Progress):
    def __init__(self) -> None:
        self.total, self.done = 0, 0
        self.lines: list[str] = []

    def start(self, voxels: int) -> None:
        self.total = voxels

    def advance(self, voxels: int) -> None:
        self.done += voxels

    def warn(self, line: str) -> None:
        self.lines.append(line)
