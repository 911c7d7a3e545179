"""Reading TIFF: our windows against tifffile's zarr view (``aszarr``).

Run: ``python benchmarks/tiff_windows.py``; minima of alternating runs, 8 planes of 2048 x 2048.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr
from zarr.core.buffer.cpu import NDBuffer

from zfuse.pipeline.sources import open_stack

if TYPE_CHECKING:
    from collections.abc import Callable

ZLIB = {"compression": "zlib"}
KINDS: dict[str, dict[str, Any]] = {
    "raw": {},
    "raw pages": {"contiguous": False},
    "zlib strips": {**ZLIB, "rowsperstrip": 64},
    "zlib tiles": {**ZLIB, "tile": (256, 256), "predictor": 2},
    "lzw tiles": {"compression": "lzw", "tile": (256, 256)},
}
CUTS = {"whole planes": slice(0, 2048), "windows": slice(700, 1212)}


def fastest(tasks: dict[str, Callable[[], Any]], rounds: int = 6) -> dict[str, float]:
    """Run tasks in turns, and return the least ms of each."""
    best = dict.fromkeys(tasks, float("inf"))
    for _ in range(rounds):
        for name, task in tasks.items():
            begun = time.perf_counter()
            task()
            best[name] = min(best[name], 1e3 * (time.perf_counter() - begun))
    return best


def main() -> None:
    """Print one line a kind of file and of cut."""
    planes = np.random.default_rng(0).poisson(200, (8, 2048, 2048)).astype(np.uint16)
    for kind, settings in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.tif"
            with tifffile.TiffWriter(path) as tif:
                for plane in planes:
                    tif.write(plane, metadata=None, **settings)
            stack = open_stack(path)
            with tifffile.TiffFile(path) as tif:
                reader = stack.reader
                array = zarr.open_array(tif.series[0].aszarr(), mode="r")
                for what, cut in CUTS.items():
                    out = np.empty_like(planes[:, None, cut, cut], order="C")
                    whole = (slice(0, 8), cut, cut)
                    view = NDBuffer.from_numpy_array(out[:, 0])
                    best = fastest(
                        {
                            "ours": lambda w=whole, o=out, r=reader: r.read(0, *w, o),
                            "aszarr": lambda w=whole, v=view, a=array: a.get_basic_selection(
                                w, out=v
                            ),
                        }
                    )
                    ratio = best["aszarr"] / best["ours"]
                    print(f"{kind:12} {what:13} {best['ours']:7.1f} ms, aszarr x {ratio:.2f}")
            reader.close()


if __name__ == "__main__":
    main()
