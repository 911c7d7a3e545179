"""Time to write one tile as OME-Zarr: zfuse's shard writer beside zarr's own sharding.

A tile of uint16 with photon noise, depth and confidence, all levels of the three pyramids. Rounding
and halving are the same code on the same threads; only who makes the bytes of a shard differs.
Run: ``python benchmarks/shards.py [FOLDER]``. Writers take turns in every repeat, so that a busy
machine slows all of them; fastest and median times are printed, and the median ratio of turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from scipy.ndimage import gaussian_filter

from zfuse.kernels import downsample
from zfuse.pipeline.core import Fused, Stack, each
from zfuse.pipeline.sinks import _ome_zarr, open_output
from zfuse.pipeline.sources import from_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 256
DEFAULT = "zarr.core.codec_pipeline.BatchedCodecPipeline"
WRITERS = {"zfuse": None, "zarr": DEFAULT, "zarr with zarrs": "zarrs.ZarrsCodecPipeline"}


class ZarrSink(_ome_zarr.OmeZarrSink):
    """The sink, but zarr writes the shards."""

    def _store(self, t: int, y: int, x: int, image: Any, depth: Any, confidence: Any) -> Any:
        for layer, pixels in (
            (self._image, image),
            (self._depth, depth),
            (self._confidence, confidence),
        ):
            for level in range(len(self._levels)):
                values, half = rounded_and_halved(layer, level, pixels)
                array = zarr.open_array(layer.folder / str(level), mode="r+")
                array[...] = values.reshape(array.shape)  # one tile is the whole image here
                pixels = half


def rounded_and_halved(layer: Any, level: int, pixels: NDArray[Any]) -> tuple[Any, Any]:
    """Do what the sink does to a level before it compresses it, strip by strip."""
    channels, height, width = pixels.shape
    values = np.empty_like(pixels)
    half = np.empty((channels, (height + 1) // 2, (width + 1) // 2), pixels.dtype)

    def strip(top: int) -> None:
        rows, halves = slice(top, top + ROWS), slice(top // 2, (top + ROWS) // 2)
        for part, out, smaller in zip(pixels, values, half, strict=True):
            if layer.stored is None:
                out[rows] = part[rows]
            else:
                (layer.stored.round if level else layer.stored.store)(part[rows], out[rows])
            downsample(out[rows], smaller[halves])

    each(strip, range(0, height, ROWS))
    return values, half


def make_tile(size: int) -> Fused:
    """Structure of a few pixels with photon noise, and maps that vary as real ones do."""
    rng = np.random.default_rng(0)
    ground = gaussian_filter(rng.random((size, size), np.float32), 3)
    ground = (ground - ground.min()) / np.ptp(ground) * 3000 + 400
    noise = rng.normal(0, 0.02, (2, size, size)).astype(np.float32)
    depth = gaussian_filter(rng.random((size, size), np.float32), 20) * 30 + noise[0]
    sure = np.clip(gaussian_filter(rng.random((size, size), np.float32), 5) + noise[1], 0, 1)
    return Fused(rng.poisson(ground).astype(np.uint16)[np.newaxis], depth, sure)


def seconds(place: Path, tile: Fused, pipeline: str | None) -> float:
    """Write the tile once."""
    size = tile.depth.shape[0]
    pixels = np.broadcast_to(np.uint16(0), (30, size, size))
    stack = Stack(from_array(pixels).reader, "zyx", "tile", "", (), z_step=0.5)
    own = _ome_zarr.OmeZarrSink
    _ome_zarr.OmeZarrSink = ZarrSink if pipeline else own  # type: ignore[misc]
    try:
        with (
            zarr.config.set({"codec_pipeline.path": pipeline or DEFAULT}),
            open_output(place, overwrite=True) as output,
        ):
            sink = output.begin("", stack, tile=size, provenance={})
            begun = time.perf_counter()
            sink.write(0, 0, 0, tile)
            passed = time.perf_counter() - begun
            output.end("")
        return passed
    finally:
        _ome_zarr.OmeZarrSink = own  # type: ignore[misc]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", help="where to write; default: the system's own")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=12)
    given = parser.parse_args()
    tile = make_tile(given.size)
    times: dict[str, list[float]] = {name: [] for name in WRITERS}
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for turn in range(given.repeats + 1):
            for name, pipeline in WRITERS.items():
                spent = seconds(Path(folder) / f"{name}.ome.zarr", tile, pipeline)
                if turn:  # the first one warms up
                    times[name].append(spent)
    for name, found in times.items():
        ratio = median(a / b for a, b in zip(found, times["zfuse"], strict=True))
        print(f"{name:<16} {min(found):6.2f} s  median {median(found):6.2f} s  ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
