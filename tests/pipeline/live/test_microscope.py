"""The microscope without hardware: what its camera sees, and what the demo makes of it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import zfuse
from zfuse.errors import ZfuseError
from zfuse.pipeline.cli._live_demo import run_live_demo
from zfuse.pipeline.live import SimulatedMicroscope, StackKey, attach

pytest.importorskip("pymmcore_plus")
pytest.importorskip("useq")


@pytest.fixture(scope="module")
def microscope():
    return SimulatedMicroscope(positions=2, times=2, planes=8, size=128, exposure=1)


def test_each_thing_is_sharp_where_its_truth_says(microscope) -> None:
    planes: dict = {}

    def take(image, event, about) -> None:
        at = event.index
        planes.setdefault((StackKey(at["p"], at["t"]), at["c"]), []).append(image)

    microscope.core.mda.events.frameReady.connect(take)
    microscope.core.mda.run(microscope.sequence)
    microscope.core.mda.events.frameReady.disconnect(take)
    assert len(planes) == 2 * 2 * 2
    for (key, c), stack in planes.items():
        image, depth = microscope.truth(key, c)
        fused = zfuse.fuse(np.stack(stack), "select")
        assert np.median(np.abs(fused.depth - depth)) < 0.25
        error = fused.image - image
        best = min(np.sqrt(np.mean((plane - image) ** 2)) for plane in stack)
        assert np.sqrt(np.mean(error**2)) < 0.7 * best
    first, later = (microscope.truth(StackKey(0, t), 0)[1] for t in range(2))
    assert np.allclose(later - first, 0.5), "the specimen rises by half a plane"
    turned = microscope.truth(StackKey(1, 0), 0)[1]
    assert np.array_equal(turned, np.rot90(first)), "another field of view"


def test_its_calibration_reaches_the_output(microscope, tmp_path) -> None:
    with attach(microscope.core, output=tmp_path / "fused.ome.zarr"):
        microscope.core.mda.run(microscope.sequence)
    with zfuse.open(tmp_path / "fused.ome.zarr" / "0") as fused:
        assert fused.pixel_size == (0.5, 0.5)
        assert [c.name for c in fused.channels] == ["Reflected", "Fluorescence"]
        assert fused.shape == (2, 2, 1, 128, 128)
    with zfuse.open(tmp_path / "fused.ome.zarr" / "0" / "depth") as depth:
        high = np.asarray(depth)[1, 0, 0]
        truth = microscope.truth(StackKey(0, 1), 0)[1] * microscope.z_step
        assert np.median(np.abs(high - truth)) < 0.5


def test_the_demo_fuses_while_it_acquires(tmp_path, capsys) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for _ in range(2):  # the second one replaces the first one's outputs
        result = run_live_demo(tmp_path, positions=2, times=1, planes=8, size=128)
        assert result.lost == 0
        assert result.frames == 2 * 2 * 8
        assert len(result.latencies) == 4
        assert result.depth_mae < 0.7
        assert "planes lost                  0 of 32" in str(result)
    assert capsys.readouterr().out.count("ms after its last plane") == 2 * 4
    shown = np.asarray(Image.open(result.picture).convert("RGB"))
    assert shown.std() > 20
    assert (shown == 26).all(-1).sum() < 20_000, "no panel, of 53,824 px, is still to come"
    assert {path.name for path in tmp_path.iterdir()} == {
        ".zfuse-demo-live",
        "live-fused.ome.zarr",
        "live-planes.ome.zarr",
        "live.png",
        "notes.txt",
    }


def test_what_no_demo_wrote_is_left_alone(tmp_path) -> None:
    (tmp_path / "live.png").write_bytes(b"mine")
    with pytest.raises(ZfuseError, match="not written by a demo"):
        run_live_demo(tmp_path, positions=1, times=1, planes=4, size=32)
    assert (tmp_path / "live.png").read_bytes() == b"mine"


def test_without_the_extra_it_says_how_to_get_it() -> None:
    code = (
        "import sys; sys.modules['pymmcore_plus'] = None\n"
        "from zfuse.pipeline.cli import main\n"
        "sys.argv = ['zfuse', 'demo', '--live', 'nowhere']\n"
        "main()"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == (
        "error: the simulated microscope needs pymmcore-plus; install it with: "
        'pip install "zfuse[rig]"\n'
    )
