import subprocess
import sys

import numpy as np
import pytest
import zarr
from yaozarrs import validate_zarr_store

from zfuse.errors import ZfuseError
from zfuse.pipeline.cli import _demo
from zfuse.pipeline.cli._demo import _write_stack, run_demo
from zfuse.pipeline.simulation._phantom import render_phantom


def test_demo_fuses_better_than_any_single_plane_and_can_be_repeated(tmp_path):
    for seed in (0, 1):  # the second run replaces the first
        (tmp_path / "notes.txt").write_text("mine")
        result = run_demo(tmp_path, planes=8, size=128, seed=seed)
        assert result.psnr > result.best_plane_psnr + 3
        assert result.ssim > result.best_plane_ssim
        assert result.depth_mae < 0.5
        assert result.overview.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {
        "notes.txt",
        "stack.ome.zarr",
        "fused.ome.zarr",
        "overview.png",
    }


@pytest.mark.parametrize("name", ["stack.ome.zarr", "fused.ome.zarr", "overview.png"])
def test_what_no_demo_wrote_is_left_alone(tmp_path, name):
    path = tmp_path / name
    if path.suffix == ".png":
        path.write_bytes(b"mine")
    else:
        zarr.create_group(path, attributes={"mine": True})
    with pytest.raises(ZfuseError, match="not written by a demo"):
        run_demo(tmp_path, planes=4, size=32)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert path.is_dir() or path.read_bytes() == b"mine"


def test_two_demos_in_one_folder_do_not_disturb_each_other(tmp_path):
    command = [sys.executable, "-m", "zfuse", "demo", str(tmp_path / "out")]
    demos = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [demo.communicate(timeout=240)[1] for demo in demos]
    # Whoever comes late enough finds the folder free again.
    for demo, text in zip(demos, said, strict=True):
        assert demo.returncode == 0 or "in use by another zfuse (process " in text, text
        assert "Traceback" not in text
    assert 0 in [demo.returncode for demo in demos]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"stack.ome.zarr", "fused.ome.zarr", "overview.png"}


def test_a_demo_that_is_in_use_is_refused_and_an_interrupted_one_repeated(tmp_path, monkeypatch):
    def interrupted(*_):
        with pytest.raises(ZfuseError, match=r"is in use by another zfuse \(process"):
            run_demo(tmp_path, planes=4, size=64)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(_demo, "_fuse", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_demo(tmp_path, planes=4, size=64)
    assert [path.name for path in tmp_path.iterdir()] == ["stack.ome.zarr"]
    run_demo(tmp_path, planes=4, size=64)


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ZfuseError, match="cannot write"):
        run_demo(tmp_path / "file" / "demo", planes=4, size=32)


def test_the_stack_is_valid_ome_zarr_with_the_calibration(tmp_path):
    phantom = render_phantom(5, 48)
    _write_stack(tmp_path / "a.ome.zarr", phantom, seed=0)
    group = validate_zarr_store(tmp_path / "a.ome.zarr")
    (multiscale,) = group.ome_metadata().multiscales
    assert [(a.name, a.unit) for a in multiscale.axes] == [(a, "micrometer") for a in "zyx"]
    assert multiscale.datasets[0].coordinateTransformations[0].scale == [2.0, 0.5, 0.5]
    array = zarr.open_array(tmp_path / "a.ome.zarr" / "0")
    assert array.chunks == (1, 48, 48)
    np.testing.assert_array_equal(array[:], phantom.planes)
