import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from zfuse.errors import ZfuseError
from zfuse.pipeline import RunConfig, run
from zfuse.pipeline.cli._app import app
from zfuse.pipeline.evaluation import depth_mae, evaluate, psnr, ssim
from zfuse.pipeline.simulation import make_settings, simulate, write_simulated


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A simulated stack, and its fusion in tiles of 64 px in three formats."""
    folder = tmp_path_factory.mktemp("evaluate")
    stack = folder / "stack.ome.zarr"
    settings = make_settings(size=160, planes=8, photons=20_000, texture="fine", seed=1)
    write_simulated(simulate(settings), stack)
    for name in ("fused.ome.zarr", "fused.ome.tif", "picture.png"):
        run(RunConfig.checked({"input": str(stack), "output": str(folder / name), "tile": 64}))
    return folder


def test_command_line_scores_a_fused_stack(folder):
    names = [str(folder / name) for name in ("fused.ome.zarr", "stack.ome.zarr")]
    result = CliRunner().invoke(app, ["evaluate", names[0], "--planes", names[1]])
    assert result.exit_code == 0, result.output
    for label in ("SSIM", "PSNR", "Q^AB/F", "Q_MI", "depth MAE", "noise gain", "seam index"):
        assert label in result.output
    assert "are scaled to 0 to 255" in result.output


def test_scores_are_those_of_the_arrays(folder):
    result = evaluate(folder / "fused.ome.zarr", planes=folder / "stack.ome.zarr")
    image = tifffile.imread(folder / "fused.ome.tif").squeeze().astype(float)
    truth = simulate(make_settings(size=160, planes=8, photons=20_000, texture="fine", seed=1))
    low, span = truth.image.min(), float(np.ptp(truth.image))
    assert result.scores["ssim"] == pytest.approx(
        ssim(image - low, truth.image - low, data_range=span), abs=1e-6
    )
    assert result.scores["psnr"] == pytest.approx(
        psnr(image, truth.image, data_range=span), abs=1e-6
    )
    depth = tifffile.imread(folder / "fused.depth.tif").squeeze()
    assert result.scores["depth_mae"] == pytest.approx(depth_mae(depth, truth.depth_um), abs=1e-6)
    assert result.depth_unit == "µm"
    assert result.scores["depth_mae"] < 0.4 * 2.5
    assert 0.7 < result.scores["seam_index"] < 1.3


@pytest.mark.parametrize("name", ["fused.ome.tif", "picture.png"])
def test_formats_score_alike(folder, name):
    stack = folder / "stack.ome.zarr"
    result = evaluate(folder / name, planes=stack, tile=64)
    expected = evaluate(folder / "fused.ome.zarr", truth=stack, planes=stack)
    assert result.scores == pytest.approx(expected.scores, abs=1e-6)


def test_without_truth_and_planes_only_the_image_speaks(folder):
    result = evaluate(folder / "picture.png")
    assert list(result.scores) == ["spatial_frequency", "average_gradient"]


def test_noise_gain_tells_averaging_from_picking(folder, tmp_path):
    stack = folder / "stack.ome.zarr"
    planes = simulate(make_settings(size=160, planes=8, photons=20_000, texture="fine", seed=1))
    tifffile.imwrite(tmp_path / "mean.tif", np.rint(planes.planes.mean(0)).astype(np.uint16))
    tifffile.imwrite(tmp_path / "one.tif", planes.planes[3])
    gain = {
        name: evaluate(tmp_path / f"{name}.tif", planes=stack).scores["noise_gain"]
        for name in ("mean", "one")
    }
    assert gain["mean"] < 0.6 * gain["one"]


def test_depth_in_planes_is_converted_or_left_out(folder, tmp_path):
    stack = folder / "stack.ome.zarr"
    array = tmp_path / "bare.tif"
    tifffile.imwrite(
        array,
        simulate(make_settings(size=160, planes=8, photons=20_000, texture="fine", seed=1)).planes,
        photometric="minisblack",
        metadata={"axes": "ZYX"},
    )
    for name in ("one.tif", "two.ome.tif"):
        run(
            RunConfig.checked(
                {"input": str(array), "output": str(tmp_path / name), "overwrite": True}
            )
        )
        result = evaluate(tmp_path / name, truth=stack)
        expected = evaluate(folder / "fused.ome.zarr", truth=stack)
        assert result.scores["depth_mae"] == pytest.approx(expected.scores["depth_mae"], abs=0.01)


def test_what_does_not_belong_together_is_refused(folder, tmp_path):
    stack = folder / "stack.ome.zarr"
    with pytest.raises(ZfuseError, match="is a simulated stack, not one image"):
        evaluate(stack)
    tifffile.imwrite(tmp_path / "small.tif", np.zeros((32, 32), np.uint16))
    with pytest.raises(ZfuseError, match="160 x 160"):
        evaluate(tmp_path / "small.tif", truth=stack)
