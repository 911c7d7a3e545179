"""Draw what docs/howto/trust.md shows: depth, confidence, what --min-confidence leaves.

    python benchmarks/trust_figure.py docs/trust.png docs/reliability.png

The stack is that page's: few photons, sparse texture, so that much of the surface says little.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from zfuse.pipeline.cli._app import app
from zfuse.pipeline.figures import Sheet
from zfuse.pipeline.sources import open_fused

_SIZE, _GAP, _HEAD, _BAR = 280, 12, 30, 66
_LEAST = 0.8


def main() -> None:
    overview, diagram = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        stack, fused = (str(Path(folder, f"{name}.ome.zarr")) for name in ("stack", "fused"))
        simulated = "--texture sparse --photons 500 --size 400 --seed 3".split()
        for words in (
            ["simulate", stack, *simulated],
            ["fuse", stack, fused],
            ["evaluate", fused, "--planes", stack, "--figure", diagram, "--overwrite"],
        ):
            done = CliRunner().invoke(app, words, catch_exceptions=False)
            print(done.output)
        found, truth = open_fused(fused), open_fused(stack)
    assert found.depth is not None
    assert found.confidence is not None
    assert truth.depth is not None
    kept = found.confidence >= _LEAST
    limits = float(np.nanmin(truth.depth)), float(np.nanmax(truth.depth))
    maps = {
        "true depth, µm": truth.depth,
        "depth found": found.depth,
        f"kept by --min-confidence {_LEAST}": np.where(kept, found.depth, np.nan),
    }
    sheet = Sheet(4 * (_SIZE + _GAP) + _BAR + 4, _SIZE + _HEAD + 4)
    for number, (title, values) in enumerate(maps.items()):
        box = (4 + number * (_SIZE + _GAP), _HEAD, _SIZE, _SIZE)
        sheet.map(box, values, limits, title=title, unit=None)
    box = (4 + 3 * (_SIZE + _GAP), _HEAD, _SIZE, _SIZE)
    sheet.map(box, found.confidence, (0, 1), colours="gray", title="confidence")
    sheet.figure.savefig(overview, dpi="figure")
    error = np.abs(found.depth - truth.depth) / (found.z_step or 1)
    known = np.isfinite(error)
    for what, where in (("all", known), ("kept", known & kept)):
        print(
            f"{what}: {where.sum() / known.sum():.1%} of the pixels, MAE "
            f"{error[where].mean():.3f} planes, {np.mean(error[where] <= 1):.1%} within one plane"
        )


if __name__ == "__main__":
    main()
