"""Every real stack in ../shared goes through the command line. How they look is for eyes to say.

Minutes each for the large ones with `rpsnn`, `fusion2void` and `umis` on two cores; an hour in all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr
from support.shared import STACKS, needs_stacks
from typer.testing import CliRunner

import zfuse
from zfuse import engines
from zfuse.pipeline.cli._app import app
from zfuse.pipeline.methods import make_method

if TYPE_CHECKING:
    from pathlib import Path

PAIRS = STACKS / "cytology_pairs_ecnu"
FOLDERS = sorted(
    path
    for path in [*STACKS.glob("*/"), *PAIRS.glob("*/")]
    if path.is_dir() and path.name not in (PAIRS.name, "SOURCE.txt")
)

pytestmark = [
    pytest.mark.slow,
    needs_stacks,
]


@pytest.mark.parametrize("method", ["adaptive", "select", *engines.MODELS])
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_real_stack(folder: Path, method: str, tmp_path: Path) -> None:
    output = tmp_path / "fused.ome.zarr"
    arguments = ["fuse", str(folder), str(output), "--z-step", "2", "--method", method]
    arguments += ["--align", "none"]  # compared below with the planes as they lie
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    stack = zfuse.open(folder)
    times, channels, planes, height, width = stack.shape
    image, depth, confidence = (
        np.asarray(zarr.open_array(output / part / "0", mode="r")[...])
        for part in ("", "depth", "confidence")
    )
    assert image.dtype == stack.dtype
    assert image.size == times * channels * height * width
    pixels = stack.reader.read(0, slice(0, planes), slice(0, height), slice(0, width))
    fused = image.reshape(channels, height, width)
    if make_method(method).copies_pixels:  # each is one plane's; colours are never parted
        same = fused == pixels
        assert (same.all(1) if stack.rgb else same).any(0).all()
    else:  # a mean of planes, or sharper: it leaves their range by little, and seldom
        span = np.ptp(pixels.astype(np.float64)) / 20
        low, high = pixels.min(0) - span, pixels.max(0) + span
        assert np.mean((fused < low) | (fused > high)) < 0.01
    assert 0 <= depth.min() < depth.max() <= 2 * (planes - 1)
    assert 0 <= confidence.min() < confidence.max() <= 1
    stack.reader.close()
